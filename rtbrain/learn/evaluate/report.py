"""Figures of an evaluation: windows, events, delays; and the table that shows them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from rtbrain.bundling import build_decoder
from rtbrain.config import LabelSettings
from rtbrain.decoder import Bundle
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled, states_from_markers
from rtbrain.learn.fit.metrics import score_classes, score_values
from rtbrain.recording.open import read_recording
from rtbrain.types import DECODE_CHANNELS, Decode, Floats, Quality, Times

_GRACE_S = 0.5


def score_decodes(
    decodes: Sequence[Decode],
    valid: Sequence[Decode],
    labelled: Labelled,
    threshold: float | None,
) -> dict[str, Any]:
    """Scores of every decode against its label, and of classes as events."""
    values = np.stack([decode.values for decode in valid])[labelled.rows]
    counts = {"decodes": len(decodes), "valid": len(valid), "labelled": int(labelled.rows.size)}
    if labelled.task == "regression":
        return counts | asdict(score_values(values, labelled.targets))
    scores = asdict(score_classes(values, labelled.targets))
    figures = counts | scores | {"by_chance": _by_chance(values, labelled)}
    if threshold is not None:
        figures["events"] = _events(valid, values, labelled, threshold)
    return figures


def _by_chance(values: Any, labelled: Labelled) -> dict[str, list[float]]:
    """What decodes of another time score: middle 95 % over circular shifts of the labels."""
    n_windows = labelled.targets.size
    # The first and last twentieth of the shifts leave labels near their own windows.
    nearest = n_windows // 20 + 1
    shifts = np.unique(np.rint(np.linspace(nearest, n_windows - nearest, 200)).astype(np.int64))
    scores = [score_classes(values, np.roll(labelled.targets, shift)) for shift in shifts]
    return {
        name: np.nanquantile([getattr(score, name) for score in scores], (0.025, 0.975)).tolist()
        for name in ("balanced_accuracy", "auc")
    }


def _events(
    valid: Sequence[Decode], values: Any, labelled: Labelled, threshold: float
) -> dict[str, Any]:
    """Each class but the first as events: hits, false alarms, delays."""
    ready = labelled.t_s
    moments = np.array([valid[row].t_neural for row in labelled.rows])
    duration_s = float(ready[-1] - ready[0])
    return {
        name: asdict(
            score_events(
                spans_of_states(moments, labelled.targets, number),
                alarms(ready, values[:, number], threshold),
                duration_s,
                grace_s=_GRACE_S,
            )
        )
        for number, name in enumerate(labelled.names)
        if number
    }


def evaluation_table(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    """The decoder and its controls side by side."""
    table = Table(title="held out, decoded as if live")
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    for title, told in _lines(figures):
        table.add_row(title, *told)
    return table


def _lines(figures: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    columns = list(figures.values())
    first = columns[0]
    lines = [
        ("valid decodes", [f"{each['valid']} of {each['decodes']}" for each in columns]),
        ("samples lost", [str(each["lost_samples"]) for each in columns]),
    ]
    names = {"balanced_accuracy": "balanced accuracy", "auc": "AUC", "pearson_r": "r", "r2": "R²"}
    for key, title in names.items():
        if key in first:
            lines.append((title, [f"{each[key]:.3f}" for each in columns]))
        if key in first.get("by_chance", {}):
            intervals = [each["by_chance"][key] for each in columns]
            lines.append((f"  by chance, 95 % of {title}", [_span(one) for one in intervals]))
    for name in first.get("events", {}):
        events = [each["events"][name] for each in columns]
        lines += [
            (f"{name}: events", [str(each["n_events"]) for each in events]),
            ("  hit", [f"{100 * each['hit_rate']:.0f} %" for each in events]),
            ("  false alarms a minute", [f"{each['false_alarms_per_min']:.2f}" for each in events]),
            (
                "  delay, median and 90 %",
                [f"{each['delay_s']:.2f} / {each['delay_p90_s']:.2f} s" for each in events],
            ),
        ]
    return lines


def _span(interval: Sequence[float]) -> str:
    low, high = interval
    return f"{low:.3f} to {high:.3f}"


def score_recorded_decodes(
    recording: str, name: str, bundle: Bundle, labels: LabelSettings, threshold: float
) -> dict[str, Any]:
    """Figures of a recorded decode stream, as `score_decodes` has them.

    Raises
    ------
    SettingsError
        The labels are not states, or the stream is no decode stream of this bundle.
    RecordingError
        The file has no such stream.
    """
    if labels.classes is None:
        raise SettingsError("--decodes is scored against states: give --classes")
    read = read_recording(recording, stream=name)
    try:
        expected = (*bundle.manifest.labels, *DECODE_CHANNELS)
        if read.montage.names != expected:
            raise SettingsError(
                f"--decodes {name}: expected channels {', '.join(expected)}, got "
                f"{', '.join(read.montage.names)}: name a decode stream of this bundle"
            )
        delay_s = build_decoder(bundle, bundle.montage)[0].neural_delay_s
        decodes = _decodes(read, len(bundle.manifest.labels), delay_s)
        events = read.events
    finally:
        read.close()

    valid = [decode for decode in decodes if decode.quality.valid]
    t_stop = np.array([decode.t_stop for decode in valid])
    labelled = states_from_markers(t_stop, events, labels.classes, span_s=0.0, lag_s=delay_s)
    return score_decodes(decodes, valid, labelled, threshold) | {"lost_samples": 0}


def _decodes(read: Any, n_outputs: int, delay_s: float) -> list[Decode]:
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
        for number, stamp in enumerate(stamps)
    ]


@dataclass(frozen=True, slots=True)
class LabelSpan:
    """A stretch of time, s."""

    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class EventScores:
    """How well the stretches of one class were detected."""

    n_events: int
    hit_rate: float
    false_alarms_per_min: float
    delay_s: float
    delay_p90_s: float


def spans_of_states(
    times: Times, states: np.typing.NDArray[np.int64], state: int
) -> list[LabelSpan]:
    """Stretches in which a state held, from the times of its first and last samples."""
    on = np.concatenate([[False], states == state, [False]])
    starts = np.flatnonzero(on[1:] & ~on[:-1])
    stops = np.flatnonzero(on[:-1] & ~on[1:]) - 1
    return [LabelSpan(float(times[a]), float(times[b])) for a, b in zip(starts, stops, strict=True)]


def alarms(times: Times, values: Floats, threshold: float) -> list[LabelSpan]:
    """Stretches in which an output is above a threshold."""
    states = (values > threshold).astype(np.int64)
    return spans_of_states(times, states, 1)


def score_events(
    events: Sequence[LabelSpan],
    raised: Sequence[LabelSpan],
    duration_s: float,
    *,
    grace_s: float = 0.0,
) -> EventScores:
    """Match alarms with the stretches that they should tell of."""
    windows = [LabelSpan(event.start_s, event.stop_s + grace_s) for event in events]
    hit, delays, false = 0, [], 0
    for window in windows:
        touching = [alarm for alarm in raised if _touch(alarm, window)]
        hit += bool(touching)
        begun = [alarm.start_s for alarm in touching if alarm.start_s >= window.start_s]
        if begun and not any(alarm.start_s < window.start_s for alarm in touching):
            delays.append(min(begun) - window.start_s)
    false = sum(not any(_touch(alarm, window) for window in windows) for alarm in raised)
    outside_s = duration_s - sum(window.stop_s - window.start_s for window in windows)
    return EventScores(
        n_events=len(windows),
        hit_rate=hit / len(windows) if windows else math.nan,
        false_alarms_per_min=60 * false / outside_s if outside_s > 0 else math.nan,
        delay_s=float(np.median(delays)) if delays else math.nan,
        delay_p90_s=float(np.quantile(delays, 0.9)) if delays else math.nan,
    )


def _touch(one: LabelSpan, other: LabelSpan) -> bool:
    return one.start_s <= other.stop_s and other.start_s <= one.stop_s
