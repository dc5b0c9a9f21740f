"""Held-out decodes of recordings that were fitted on, as a live session would have given them.

Recordings are decoded once more, each window by the readout that did not see it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rtbrain import encoder as encoders
from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import smoothing_of
from rtbrain.config import LabelSettings, Recipe
from rtbrain.decoder import LinearReadout, Readout
from rtbrain.learn.detection import Timeline, join_timelines
from rtbrain.learn.fit.gather import MAIN, LabelledFeatures
from rtbrain.learn.fit.inputs import label_windows, virtual_session
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.scores import DecoderScores
from rtbrain.learn.intervals import stretch_blocks
from rtbrain.learn.presets import propose_presets
from rtbrain.live.play import BoundSession, VirtualSession, play_session
from rtbrain.pipeline import FeaturePipeline
from rtbrain.recording.recording import Recording
from rtbrain.terminal import OnProgress
from rtbrain.types import Decode, Embedding, Floats, Ints, Montage, Times


@dataclass(frozen=True, slots=True, eq=False)
class FoldDecoder:
    """A front end, and the readouts that read it, by the number of the fold that each held out."""

    recipe: Recipe
    features: Callable[[Recording], FeaturePipeline]
    readouts: Mapping[int, LinearReadout]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Recordings, and what decodes each window of theirs without having seen it.

    `fold` int64 [n_labelled] is of the labelled windows; `label_delay_s` the moment that labels
    are of, before a window's end; `bind` gives what is read in the channels of the decoder.
    """

    recordings: Sequence[Recording]
    labels: LabelSettings
    labelled: Labelled
    label_delay_s: float
    embargo_s: float
    fold: Ints
    decoders: Sequence[FoldDecoder]
    names: Sequence[str] | None = None
    bind: Callable[[VirtualSession], BoundSession] | None = None

    def timeline(self, on_progress: OnProgress) -> Timeline:
        """All recordings, decoded as if live by the readouts that did not see them."""
        labelled, timelines = self.labelled, []
        for part in labelled.parts:
            at = int(labelled.recordings[part[0]])
            recording = self.recordings[at]
            decodes: list[Decode] = []
            for one in self.decoders:
                window, floor = one.recipe.window, one.recipe.coverage_floor
                session = virtual_session(recording, self.labels, window, self.names)
                features = one.features(recording)
                smoothing = smoothing_of(one.recipe, features)
                readouts = {
                    number: Readout(readout, smoothing=smoothing)
                    for number, readout in one.readouts.items()
                }
                stages = features, _HeldOutReadout(readouts, labelled.t_s[part], self.fold[part])
                decodes += play_session(
                    session,
                    recording.n_samples,
                    stages,
                    floor,
                    source=None if self.bind is None else self.bind(session),
                    on_progress=on_progress,
                    what=f"held-out decodes, recording {at + 1} of {len(self.recordings)}",
                ).decodes
            label = partial(
                label_windows,
                recording,
                session,
                self.labels,
                window,
                lag_s=self.label_delay_s,
                whole=False,
            )
            whole = sorted((one for one in decodes if one.values.size), key=lambda one: one.t_stop)
            timelines.append(Timeline.of(whole, label, float(window.hop_s or 0)))
        return join_timelines(timelines)

    def propose(self, outputs: Sequence[str], on_progress: OnProgress) -> dict[str, Any]:
        """Presets of these outputs with their rates on held-out time, as plain values."""
        timeline = self.timeline(on_progress)
        blocks = stretch_blocks(timeline.labelled, embargo_s=self.embargo_s)
        number = np.full(timeline.times.size, -1, np.int64)
        number[timeline.labelled.rows] = blocks.number
        n_recordings = len(self.recordings)
        of = f"{n_recordings} recordings" if n_recordings > 1 else "this recording"
        found = {}
        for done, label in enumerate(outputs, 1):
            found[label] = propose_presets(timeline, label, number) | {"of": of}
            on_progress(done, len(outputs), "thresholds")
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


def held_out_of_fit(
    gathered: LabelledFeatures, scored: DecoderScores, model: "encoders.EncoderModel | None"
) -> HeldOut:
    """The recordings of a fit, each window by the front end and the readout of its fold."""
    labelled, choice, recipe = gathered.labelled, gathered.front_end, gathered.recipe
    fold = np.empty(labelled.rows.size, np.int64)
    recipes: dict[str, tuple[Recipe, list[int]]] = {}  # and their folds
    for number, one in enumerate(scored.folds):
        fold[one.test] = number
        own = recipe
        if choice is not None and choice.by_fold[number] != choice.chosen:
            own = choice.by_fold[number].recipe(recipe)
        recipes.setdefault(own.model_dump_json(), (own, []))[1].append(number)
    decoders = []
    for own, folds in recipes.values():
        fitted = {number: scored.validated[MAIN].fitted[number] for number in folds}
        # Contacts that turn bad get their mean.
        fill = fitted[folds[0]].feature_mean if model is None else None
        features = partial(_features, own, gathered.montage, model, fill)
        readouts = {number: one.readout for number, one in fitted.items()}
        decoders.append(FoldDecoder(own, features, readouts))
    return HeldOut(
        gathered.recordings,
        gathered.labels,
        labelled,
        gathered.label_delay_s,
        gathered.embargo_s,
        fold,
        decoders,
        names=gathered.names,
    )


def _features(
    recipe: Recipe,
    montage: Montage,
    model: "encoders.EncoderModel | None",
    fill: Floats | None,
    recording: Recording,
) -> FeaturePipeline:
    """The front end of a fold, the same for every recording of a fit."""
    return build_feature_pipeline(recipe, montage, model=model, feature_mean=fill)
