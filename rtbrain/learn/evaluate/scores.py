"""Scores of an evaluation: windows, events and delays, and the table of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtbrain.learn.fit.cross_validation import scores_of, shifted_scores
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.score_table import TITLES, ScoreTable, null_row, number
from rtbrain.types import Decode, Floats, Ints, Times

_GRACE_S = 0.5


def score_decodes(
    decodes: Sequence[Decode],
    valid: Sequence[Decode],
    labelled: Labelled,
    threshold: float | None,
) -> dict[str, Any]:
    """Scores of every decode against its label, and of classes as events above a threshold."""
    values = np.stack([decode.values for decode in valid])[labelled.rows]
    scores = scores_of(values, labelled.targets)
    figures: dict[str, Any] = {
        "decodes": len(decodes),
        "valid": len(valid),
        "labelled": int(labelled.rows.size),
        **scores,
        "null_distribution": shifted_scores(values, labelled.targets).summary(scores),
    }
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
        name: asdict(
            score_events(
                spans_of_states(moments, labelled.targets, row),
                alarms(ready, values[:, row], threshold),
                duration_s,
                grace_s=_GRACE_S,
            )
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
    texts, shifted = null_row(first["null_distribution"], keys)
    cells["labels shifted"] = (*texts, *[""] * (len(headings) - len(keys) + 2))
    values["labels shifted"] = shifted
    return ScoreTable(
        "held out, decoded as if live",
        (*headings, "valid decodes", "samples\nlost"),
        cells,
        values,
        {"bundle": bundle_id, **figures},
        "labels shifted: middle 95 % over shifts in time, and p of the decoder",
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


def spans_of_states(times: Times, states: Ints, state: int) -> list[LabelSpan]:
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
    """Match alarms with the stretches of a class that they should detect."""
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
