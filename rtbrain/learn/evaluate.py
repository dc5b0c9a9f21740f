"""A decoder on a recording that it was not fitted on: decoded as if live, and scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.build import SETTLING_S
from rtbrain.config import DetectSettings, LabelSettings, parse_settings
from rtbrain.decoder import Bundle
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.detection import Timeline, written
from rtbrain.learn.fit.cross_validation import score_clock
from rtbrain.learn.fit.decoder import FittedDecoder, load
from rtbrain.learn.fit.inputs import (
    ignore_note,
    label_windows,
    open_recordings,
    resolve_tasks,
    virtual_session,
)
from rtbrain.learn.fit.labels import require_events
from rtbrain.learn.fit.splits import block_folds
from rtbrain.learn.intervals import Interval, jackknife, stretch_blocks
from rtbrain.learn.metrics import confusions
from rtbrain.learn.nulls import null_of_outputs, null_targets
from rtbrain.learn.recorded import LabelledDecodes, begin_as_live, recorded_decodes
from rtbrain.learn.report.evaluation_table import evaluation_scores
from rtbrain.learn.report.score_table import ScoreTable
from rtbrain.learn.verdict import judge_scores
from rtbrain.live.detections import build_detector, detect_settings
from rtbrain.live.play import bind_session, decoder_for, play_recording
from rtbrain.pipeline import FeaturePipeline
from rtbrain.recording.recording import Recording, select
from rtbrain.signal import contradiction, measure_mains
from rtbrain.stage import Stage
from rtbrain.terminal import OnProgress, no_progress
from rtbrain.types import Decode, Embedding

_N_PERMUTATIONS, _N_FOLDS = 199, 5  # shifts of the labels; folds of the clock
_THRESHOLD, _NO_CAP = 0.5, 10**6  # where nothing else is set


def evaluate(
    decoder: FittedDecoder | str | Path,
    recording: Any,
    *,
    classes: Sequence[str] | None = None,
    trigger: str | None = None,
    threshold: float | None = None,
    refractory_s: float | None = None,
    preset: str | None = None,
    detect: Mapping[str, DetectSettings] | None = None,
    decodes: str | None = None,
    sfreq_hz: float | None = None,
    stream: str | None = None,
    scale: float = 1.0,
    exclude: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    on_progress: OnProgress = no_progress,
    on_note: Callable[[str], None] = ignore_note,
) -> ScoreTable:
    """Score a decoder, and its controls, on a recording that it was not fitted on.

    The recording runs through the live pipeline as fast as it goes.

    Parameters
    ----------
    decoder : FittedDecoder, str or Path
        From `rtbrain.fit`, or the folder of a bundle.
    recording : str, Path, mne.io.BaseRaw, tuple or Recording
        What `rtbrain.read` takes; its channels are found by their labels.
    classes : sequence of str, optional
        Markers that begin the states; by default the labels that the decoder was fitted with.
    trigger : str, optional
        Channel whose codes are the markers; by default that of fitting, if it was named there.
    threshold, refractory_s : float, optional
        Instead of the decoder's own detections: probability from which a class counts as an event,
        0.5 by default, and s after an event in which no other counts, 0 by default; of every class
        but the first.
    preset : str, optional
        Detect by this preset of the decoder: ``few_misses``, ``balanced``, ``few_alarms``.
    detect : mapping of str to DetectSettings, optional
        Or by thresholds of your own, as a live session takes them.
    decodes : str, optional
        Name of a decode stream in the same XDF file: it is scored too, as it was decoded live, and
        the recording is decoded from where that began.
    sfreq_hz, stream, scale
        As for `rtbrain.read`.
    exclude, kinds : sequence of str, optional
        Channels of the recording to leave out, and what they are, as for `rtbrain.fit`.
    on_progress, on_note : callable
        ``on_progress(done, total, what)``, and what looks wrong in the recording.

    Returns
    -------
    ScoreTable
        A row for the decoder, each control, time alone and shifted labels; of a control that the
        bundle does not hold, why. ``report`` holds all figures, with a verdict.

    Raises
    ------
    SettingsError
        The labels are not those of the decoder.
    RecordingError
        The recording cannot be read, or no decode is valid.
    StreamError
        The recording has another rate, or lacks the decoder's channels.

    Examples
    --------
    >>> import rtbrain
    >>> recording = "synthetic:3,duration_s=40,n_channels=12"
    >>> scores = rtbrain.evaluate("bundle", recording, sfreq_hz=2048)
    >>> scores["decoder"]["auc"] > 0.8
    True
    >>> sorted(scores.report["decoder"]["events"])
    ['speech']
    """
    fitted = decoder if isinstance(decoder, FittedDecoder) else load(decoder)
    wanted = wanted_detections(fitted.bundle, threshold, refractory_s, preset, detect)
    build_detector(fitted.bundle, wanted)  # refuse it before any work
    labels = label_settings(fitted.bundle, classes, trigger)
    figures = {}
    with open_recordings(
        [recording],
        stream=stream,
        sfreq_hz=sfreq_hz,
        scale=scale,
        trigger=labels.trigger,
        stimulation=fitted.bundle.recipe.stimulation,
        on_note=on_note,
    ) as opened:
        opened = [select(one, exclude=exclude, kinds=kinds) for one in opened]
        (played,), labels = resolve_tasks(labels, [recording], opened)
        live = None
        if decodes is not None:
            live = recorded_decodes(recording, decodes, fitted.bundle, labels)
            played = begin_as_live(played, recording, decodes, live, fitted.bundle, on_note)
        bound = bind_session(fitted.bundle, virtual_session(played, labels))
        require_events(labels.classes or labels.events or (), played.events)
        for note in bound.binding.notes:
            on_note(f"the recording: {note}")
        mains = measure_mains(played.montage, played.n_samples, played.read)
        if wrong := contradiction(mains, fitted.bundle.recipe.mains_hz):
            on_note(wrong)
        for name, bundle in {"decoder": fitted.bundle, **fitted.controls}.items():
            found = decode_labelled(
                bundle,
                played,
                labels,
                decoder_for(bundle, played),
                on_progress=on_progress,
                on_note=on_note if name == "decoder" else ignore_note,
                what=f"decoding: {name}",
            )
            figures[name] = score_decodes(found, fitted.bundle, wanted)
    if live is not None:
        figures["as decoded live"] = score_decodes(live, fitted.bundle, wanted)
    return evaluation_scores(figures, fitted.bundle.id, fitted.bundle.manifest.encoder_state)


def wanted_detections(
    bundle: Bundle,
    threshold: float | None = None,
    refractory_s: float | None = None,
    preset: str | None = None,
    detect: Mapping[str, DetectSettings] | None = None,
) -> Mapping[str, DetectSettings]:
    """What is detected, by output; by default as live, or every class but the first."""
    if preset is not None and (threshold is not None or refractory_s is not None):
        raise SettingsError(f"preset {preset} has a threshold and a refractory time: give no other")
    found = detect_settings(bundle, preset, detect)
    if threshold is None and refractory_s is None and (found or detect is not None):
        return found
    own = DetectSettings(
        up=_THRESHOLD if threshold is None else threshold,
        refractory_s=refractory_s or 0.0,
        max_per_min=_NO_CAP,
    )
    return dict.fromkeys(bundle.manifest.labels[1:], own)


def label_settings(
    bundle: Bundle, classes: Sequence[str] | None, trigger: str | None = None
) -> LabelSettings:
    """How the decoder's windows were labelled, or by these markers and this trigger channel."""
    values = bundle.report.get("labels") or {"classes": list(bundle.manifest.labels)}
    of_trigger = {key: values[key] for key in ("trigger",) if key in values}
    if classes is not None:
        values = {"classes": list(classes)} | of_trigger
    if trigger is not None:
        values = values | {"trigger": trigger}
    return parse_settings(values, LabelSettings, where="labels")


def decode_labelled(
    bundle: Bundle,
    recording: Recording,
    labels: LabelSettings,
    decoder: tuple[FeaturePipeline, Stage[Embedding, Decode]],
    *,
    on_progress: OnProgress = no_progress,
    on_note: Callable[[str], None] = ignore_note,
    what: str = "decoding",
) -> LabelledDecodes:
    """All decodes of a recording, with labels.

    RecordingError if none is valid, SettingsError if the labels are not those of the decoder.
    """
    window = bundle.recipe.window
    session = virtual_session(recording, labels, window)
    kept = play_recording(
        bundle, session, recording.n_samples, decoder, on_progress=on_progress, what=what
    )
    t_stop = np.array([decode.t_stop for decode in kept.decodes if decode.quality.valid])
    if not t_stop.size:
        raise RecordingError(
            f"none of the {len(kept.decodes)} decodes is valid: the recording is shorter than a "
            "window, has no event to cut at, or too few of its contacts are good"
        )
    label = partial(
        label_windows, recording, session, labels, window, lag_s=decoder[0].neural_delay_s
    )
    labelled = label(t_stop, on_note=on_note)
    fitted = bundle.manifest.labels
    if fitted != labelled.names:
        raise SettingsError(
            f"the decoder distinguishes {', '.join(fitted)}, the labels are "
            f"{', '.join(labelled.names)}: name the same classes in the same order"
        )
    return LabelledDecodes(kept.decodes, labelled, label, kept.n_lost)


def score_decodes(
    found: LabelledDecodes, bundle: Bundle, settings: Mapping[str, DetectSettings]
) -> dict[str, Any]:
    """Scores of every decode against its label, a verdict, and classes as events.

    Labels are shifted against decodes that stay as they are.
    """
    labelled, recipe = found.labelled, bundle.recipe
    split = bundle.report.get("split", {})
    embargo_s = float(split.get("embargo_s", recipe.window.length_s + SETTLING_S))
    outputs = np.stack([decode.values for decode in found.valid])
    values = outputs[labelled.rows]
    blocks = stretch_blocks(labelled, embargo_s=embargo_s)
    intervals = jackknife(values, labelled.targets, blocks)
    null = clock = None
    of_time: dict[str, Any] = {}
    try:
        draws = null_targets(labelled, embargo_s=embargo_s, n_permutations=_N_PERMUTATIONS)
        null = null_of_outputs(values, labelled, draws)
        folds = block_folds(labelled, n_folds=_N_FOLDS, embargo_s=embargo_s)
        alone, clock = score_clock(labelled, folds, draws, embargo_s=embargo_s)
        of_time = asdict(clock) | _scored(jackknife(alone.outputs, labelled.targets, blocks))
    except SettingsError:  # too short to shift its labels, or for folds: the verdict says so
        pass
    figures: dict[str, Any] = {
        "decodes": len(found.decodes),
        "valid": len(found.valid),
        "labelled": int(labelled.rows.size),
        "lost_samples": found.n_lost,
        **_scored(intervals),
        "verdict": judge_scores(intervals, null, clock, values, labelled).summary(),
    }
    if labelled.task == "classification":
        figures["confusion"] = confusions(values, labelled.targets, labelled.names)
    if null is not None:
        figures["null_distribution"] = null.summary()
    if of_time:
        figures["clock"] = of_time
    if recipe.window.hop_s is not None and labelled.task == "classification":
        timeline = Timeline.of(found.decodes, found.label, recipe.window.hop_s)
        figures["events"] = {
            name: timeline.count(name, one).summary(name) | {"settings": written(one)}
            for name, one in settings.items()
        }
    return figures


def _scored(intervals: Mapping[str, Interval]) -> dict[str, Any]:
    scores = {name: one.score for name, one in intervals.items()}
    return scores | {"interval_95": {name: one.summary() for name, one in intervals.items()}}
