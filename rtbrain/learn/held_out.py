"""Held-out decodes of the recordings of a fit, as a live session would have given them.

Recordings are decoded once more, each window by the readout that did not see it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from rtbrain import encoder as encoders
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import smoothing_of
from rtbrain.config import Recipe
from rtbrain.decoder import Readout
from rtbrain.learn.detection import Timeline, join_timelines
from rtbrain.learn.fit.gather import MAIN, LabelledFeatures
from rtbrain.learn.fit.inputs import label_windows, virtual_session
from rtbrain.learn.fit.readout import FittedReadout
from rtbrain.learn.fit.scores import DecoderScores
from rtbrain.learn.intervals import stretch_blocks
from rtbrain.learn.presets import propose_presets
from rtbrain.live.play import play_session
from rtbrain.pipeline import FeaturePipeline
from rtbrain.terminal import OnProgress
from rtbrain.types import Decode, Embedding, Ints, Montage, Times


def propose_detections(
    gathered: LabelledFeatures,
    scored: DecoderScores,
    labels: Sequence[str],
    model: "encoders.EncoderModel | None",
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Presets of these outputs with their rates on held-out time, as plain values, by output."""
    timeline = held_out_timeline(gathered, scored, model, on_progress)
    blocks = stretch_blocks(timeline.labelled, embargo_s=gathered.embargo_s)
    number = np.full(timeline.times.size, -1, np.int64)
    number[timeline.labelled.rows] = blocks.number
    n_recordings = len(gathered.recordings)
    of = f"{n_recordings} recordings" if n_recordings > 1 else "this recording"
    found = {}
    for done, label in enumerate(labels, 1):
        found[label] = propose_presets(timeline, label, number) | {"of": of}
        on_progress(done, len(labels), "thresholds")
    return found


class _HeldOutReadout:
    """Stage that decodes each window by the readout of the fold that holds it out.

    A window is of the fold of the nearest labelled one; `own` are the folds that are decoded here,
    others read another front end: their decodes are empty.
    """

    def __init__(self, own: Mapping[int, Readout], t_s: Times, fold: Ints) -> None:
        self._own, self._fold = own, fold
        self._edges_s = (t_s[1:] + t_s[:-1]) / 2

    def __call__(self, item: Embedding) -> Decode:
        """Decode one embedding."""
        readout = self._own.get(int(self._fold[np.searchsorted(self._edges_s, item.t_stop)]))
        if readout is None:
            return Decode(np.empty(0, np.float32), item.t_neural, item.t_stop, item.quality)
        return readout(item)

    def reset(self) -> None:
        """Forget the last outputs."""
        for readout in self._own.values():
            readout.reset()


def held_out_timeline(
    gathered: LabelledFeatures,
    scored: DecoderScores,
    model: "encoders.EncoderModel | None",
    on_progress: OnProgress,
) -> Timeline:
    """All recordings, decoded as if live by the readouts that did not see them."""
    labelled, choice, recipe = gathered.labelled, gathered.front_end, gathered.recipe
    fold = np.empty(labelled.rows.size, np.int64)
    recipes: dict[str, tuple[Recipe, list[int]]] = {}  # and their folds
    for number, one in enumerate(scored.folds):
        fold[one.test] = number
        own = recipe
        if choice is not None and choice.by_fold[number] != choice.chosen:
            own = choice.by_fold[number].recipe(recipe)
        recipes.setdefault(own.model_dump_json(), (own, []))[1].append(number)
    timelines = []
    for part in labelled.parts:
        at = int(labelled.recordings[part[0]])
        recording = gathered.recordings[at]
        decodes: list[Decode] = []
        of = labelled.t_s[part], fold[part]
        for own, folds in recipes.values():
            session = virtual_session(recording, gathered.labels, own.window, gathered.names)
            fitted = {number: scored.validated[MAIN].fitted[number] for number in folds}
            stages = _stages(own, gathered.montage, model, fitted, of)
            what = f"held-out decodes, recording {at + 1} of {len(gathered.recordings)}"
            n_samples, floor = recording.n_samples, own.coverage_floor
            decodes += play_session(
                session, n_samples, stages, floor, on_progress=on_progress, what=what
            ).decodes
        label = partial(
            label_windows,
            recording,
            session,
            gathered.labels,
            recipe.window,
            lag_s=gathered.label_delay_s,
            whole=False,
        )
        whole = sorted((one for one in decodes if one.values.size), key=lambda one: one.t_stop)
        timelines.append(Timeline.of(whole, label, float(recipe.window.hop_s or 0)))
    return join_timelines(timelines)


def _stages(
    recipe: Recipe,
    montage: Montage,
    model: "encoders.EncoderModel | None",
    fitted: Mapping[int, FittedReadout],
    of: tuple[Times, Ints],
) -> tuple[FeaturePipeline, _HeldOutReadout]:
    """Live stages with the readouts of some folds; contacts that turn bad get their mean."""
    fill = next(iter(fitted.values())).feature_mean if model is None else None
    features = build_feature_pipeline(recipe, montage, model=model, feature_mean=fill)
    smoothing = smoothing_of(recipe, features)
    readouts = {number: Readout(one.readout, smoothing=smoothing) for number, one in fitted.items()}
    return features, _HeldOutReadout(readouts, *of)
