"""A decoder on a recording that it was not fitted on: decoded as if live, and scored."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.build import SETTLING_S
from rtbrain.bundling import build_decoder
from rtbrain.config import LabelSettings, parse_settings
from rtbrain.decoder import Bundle
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.learn.fit.decoder import FittedDecoder, load
from rtbrain.learn.fit.inputs import (
    ignore_note,
    label_windows,
    open_recordings,
    resolve_tasks,
    virtual_session,
)
from rtbrain.learn.fit.labels import Labelled, require_events, states_from_markers
from rtbrain.learn.fit.score_table import TITLES, ScoreTable, null_row, number
from rtbrain.learn.metrics import alarms, score_events, scores_of, spans_of_states
from rtbrain.learn.nulls import null_of_outputs, null_targets
from rtbrain.learn.verdict import describe_null
from rtbrain.live.play import CollectingSink, bind_session, decoder_for, play_recording
from rtbrain.pipeline import FeaturePipeline
from rtbrain.progress import OnProgress, no_progress
from rtbrain.recording.open import read_recording
from rtbrain.recording.recording import Recording, select
from rtbrain.signal import contradiction, measure_mains
from rtbrain.stage import Stage
from rtbrain.stream_names import DECODE_CHANNELS
from rtbrain.types import Decode, Embedding, Floats, Quality

_N_PERMUTATIONS = 199
_GRACE_S = 0.5  # an alarm may come this much after the end of its event


def evaluate(
    decoder: FittedDecoder | str | Path,
    recording: Any,
    *,
    classes: Sequence[str] | None = None,
    trigger: str | None = None,
    threshold: float = 0.5,
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
    threshold : float
        Probability above which a class counts as an event.
    decodes : str, optional
        Name of a decode stream in the same XDF file: it is scored too, as it was decoded live.
    sfreq_hz, stream, scale
        As for `rtbrain.read`.
    exclude, kinds : sequence of str, optional
        Channels of the recording to leave out, and what they are, as for `rtbrain.fit`.
    on_progress, on_note : callable
        ``on_progress(done, total, what)``, and what looks wrong in the recording.

    Returns
    -------
    ScoreTable
        A row for the decoder, each control and shifted labels; ``report`` holds all figures.

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
    labels = label_settings(fitted.bundle, classes, trigger)
    figures = {}
    with open_recordings(
        [recording],
        stream=stream,
        sfreq_hz=sfreq_hz,
        scale=scale,
        trigger=labels.trigger,
        on_note=on_note,
    ) as opened:
        opened = [select(one, exclude=exclude, kinds=kinds) for one in opened]
        (opened_recording,), labels = resolve_tasks(labels, [recording], opened)
        bound = bind_session(fitted.bundle, virtual_session(opened_recording, labels))
        require_events(labels.classes or labels.events or (), opened_recording.events)
        for note in bound.binding.notes:
            on_note(f"the recording: {note}")
        mains = measure_mains(
            opened_recording.montage, opened_recording.n_samples, opened_recording.read
        )
        if wrong := contradiction(mains, fitted.bundle.recipe.mains_hz):
            on_note(wrong)
        alarm = None if labels.events is not None else threshold
        for name, bundle in {"decoder": fitted.bundle, **fitted.controls}.items():
            kept, valid, labelled = decode_labelled(
                bundle,
                opened_recording,
                labels,
                decoder_for(bundle, opened_recording),
                on_progress=on_progress,
                on_note=on_note if name == "decoder" else ignore_note,
                what=f"decoding: {name}",
            )
            gap_s = _embargo_s(fitted.bundle)
            scores = score_decodes(kept.decodes, valid, labelled, alarm, gap_s)
            figures[name] = scores | {"lost_samples": kept.n_lost}
    if decodes is not None:
        live = score_recorded_decodes(recording, decodes, fitted.bundle, labels, threshold)
        figures["as decoded live"] = live
    return evaluation_scores(figures, fitted.bundle.id)


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
) -> tuple[CollectingSink, list[Decode], Labelled]:
    """All decodes of a recording, those that are valid, and the labels of these.

    RecordingError if none is valid, SettingsError if the labels are not those of the decoder.
    """
    window = bundle.recipe.window
    session = virtual_session(recording, labels, window)
    kept = play_recording(
        bundle, session, recording.n_samples, decoder, on_progress=on_progress, what=what
    )
    valid = [decode for decode in kept.decodes if decode.quality.valid]
    if not valid:
        raise RecordingError(
            f"none of the {len(kept.decodes)} decodes is valid: the recording is shorter than a "
            "window, has no event to cut at, or too few of its contacts are good"
        )
    t_stop = np.array([decode.t_stop for decode in valid])
    delay_s = decoder[0].neural_delay_s
    labelled = label_windows(recording, session, labels, window, t_stop, delay_s, on_note)
    fitted = bundle.manifest.labels
    if fitted != labelled.names:
        raise SettingsError(
            f"the decoder distinguishes {', '.join(fitted)}, the labels are "
            f"{', '.join(labelled.names)}: name the same classes in the same order"
        )
    return kept, valid, labelled


def score_recorded_decodes(
    recording: Any, name: str, bundle: Bundle, labels: LabelSettings, threshold: float
) -> dict[str, Any]:
    """Figures of a recorded decode stream, as `score_decodes` gives them."""
    if labels.classes is None:
        raise SettingsError("decodes are scored against states: name their markers as classes")
    read = read_recording(recording, stream=name)
    try:
        expected = (*bundle.manifest.labels, *DECODE_CHANNELS)
        if read.montage.names != expected:
            raise SettingsError(
                f"{name}: expected channels {', '.join(expected)}, got "
                f"{', '.join(read.montage.names)}: name a decode stream of this bundle"
            )
        delay_s = build_decoder(bundle, bundle.montage)[0].neural_delay_s
        decodes = _decodes(read, len(bundle.manifest.labels), delay_s)
        events = read.events
    finally:
        read.close()
    valid = [decode for decode in decodes if decode.quality.valid]
    t_stop = np.array([decode.t_stop for decode in valid])
    labelled = states_from_markers(t_stop, events, labels.classes, lag_s=delay_s)
    scores = score_decodes(decodes, valid, labelled, threshold, _embargo_s(bundle))
    return scores | {"lost_samples": 0}


def _embargo_s(bundle: Bundle) -> float:
    """How far labels are shifted at least, s."""
    split = bundle.report.get("split", {})
    return float(split.get("embargo_s", bundle.recipe.window.length_s + SETTLING_S))


def _decodes(read: Recording, n_outputs: int, delay_s: float) -> list[Decode]:
    values = read.read(0, read.n_samples)  # [n_outputs + 4, T]
    stamps = read.timestamps(0, read.n_samples)
    good = np.ones(1, bool)
    return [
        Decode(
            values[:n_outputs, number].copy(),
            float(stamp) - delay_s,
            float(stamp),
            Quality(good, valid=bool(values[n_outputs, number] > 0)),
        )
        for number, stamp in enumerate([] if stamps is None else stamps)
    ]


def score_decodes(
    decodes: Sequence[Decode],
    valid: Sequence[Decode],
    labelled: Labelled,
    threshold: float | None,
    embargo_s: float,
) -> dict[str, Any]:
    """Scores of every decode against its label, and of classes as events above a threshold."""
    values = np.stack([decode.values for decode in valid])[labelled.rows]
    scores = scores_of(values, labelled.targets)
    figures: dict[str, Any] = {
        "decodes": len(decodes),
        "valid": len(valid),
        "labelled": int(labelled.rows.size),
        **scores,
    }
    try:
        draws = null_targets(labelled, embargo_s=embargo_s, n_permutations=_N_PERMUTATIONS)
        figures["null_distribution"] = null_of_outputs(values, labelled, draws).summary()
    except SettingsError:  # too short to shift its labels: no p value
        pass
    if threshold is not None and labelled.task == "classification":
        figures["events"] = _events(valid, values, labelled, threshold)
    return figures


def _events(
    valid: Sequence[Decode], values: Floats, labelled: Labelled, threshold: float
) -> dict[str, Any]:
    """Each class but the first as events: hits, false alarms, delays."""
    ready = labelled.t_s
    moments = np.array([valid[row].t_neural for row in labelled.rows])
    duration_s = float(ready[-1] - ready[0])
    return {
        name: score_events(
            spans_of_states(moments, labelled.targets, row),
            alarms(ready, values[:, row], threshold),
            duration_s,
            grace_s=_GRACE_S,
        )
        for row, name in enumerate(labelled.names)
        if row
    }


def evaluation_scores(figures: Mapping[str, Mapping[str, Any]], bundle_id: str) -> ScoreTable:
    """The decoder, its controls and shifted labels as a table."""
    first = next(iter(figures.values()))
    keys = [key for key in TITLES if key in first]
    headings = [TITLES[key] for key in keys]
    events = first.get("events", {})
    if events:
        headings += ["hits", "false alarms\nper minute", "delay, median\nand 90 %, s"]
    cells, values = {}, {}
    for name, one in figures.items():
        scored = [number(one[key]) for key in keys]
        of_events = _event_cells(one["events"]) if events else ()
        counts = f"{one['valid']} of {one['decodes']}", str(one["lost_samples"])
        cells[name] = (*scored, *of_events, *counts)
        values[name] = dict(one)
    caption = "labels cannot be shifted in a recording this short: no p value"
    if null := first.get("null_distribution"):
        texts, values[null["how"]] = null_row(null, keys)
        cells[null["how"]] = (*texts, *[""] * (len(headings) - len(keys) + 2))
        caption = describe_null(null, keys[0], None)
    return ScoreTable(
        "held out, decoded as if live",
        (*headings, "valid decodes", "samples\nlost"),
        cells,
        values,
        {"bundle": bundle_id, **figures},
        caption,
    )


def _event_cells(events: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Hits, false alarms and delays, a line per class."""
    several = len(events) > 1
    lines = [
        (
            f"{name + ' ' if several else ''}{100 * one['hit_rate']:.0f} % of {one['n_events']}",
            f"{one['false_alarms_per_min']:.2f}",
            f"{one['delay_s']:.2f} / {one['delay_p90_s']:.2f}",
        )
        for name, one in events.items()
    ]
    return tuple("\n".join(column) for column in zip(*lines, strict=True))
