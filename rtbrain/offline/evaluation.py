"""Decodes as events: which onsets were detected, how late, and how often for nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtbrain.types import Floats, Times

__all__ = ["EventScores", "Span", "alarms", "score_events", "spans_of_states"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, s.

    Attributes
    ----------
    start_s, stop_s : float
        When it begins and ends.
    """

    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class EventScores:
    """How well the stretches of one class were detected.

    Attributes
    ----------
    n_events : int
        Stretches that there were.
    hit_rate : float
        Share of them in which an alarm was on; NaN without any.
    false_alarms_per_min : float
        Alarms that touch no stretch, for each minute of time outside of them; NaN where there is
        no time outside.
    delay_s : float
        Median time from the begin of a stretch to the alarm, of the alarms that began within it;
        NaN without any. It holds the encoder's own delay and that of the hop.
    delay_p90_s : float
        The ninth decile of the same.
    """

    n_events: int
    hit_rate: float
    false_alarms_per_min: float
    delay_s: float
    delay_p90_s: float


def spans_of_states(times: Times, states: "np.typing.NDArray[np.int64]", state: int) -> list[Span]:
    """Stretches in which a state held, from the times of its first and last samples.

    Parameters
    ----------
    times : ndarray, float64 [n]
        Seconds, rising.
    states : ndarray, int64 [n]
        Class numbers.
    state : int
        The class.
    """
    on = np.concatenate([[False], states == state, [False]])
    starts = np.flatnonzero(on[1:] & ~on[:-1])
    stops = np.flatnonzero(on[:-1] & ~on[1:]) - 1
    return [Span(float(times[a]), float(times[b])) for a, b in zip(starts, stops, strict=True)]


def alarms(times: Times, values: Floats, threshold: float) -> list[Span]:
    """Stretches in which an output is above a threshold.

    Parameters
    ----------
    times : ndarray, float64 [n]
        When each decode was ready, s, rising.
    values : ndarray, float32 [n]
        One output; a NaN ends an alarm.
    threshold : float
        Above it an alarm is on.
    """
    states = (values > threshold).astype(np.int64)
    return spans_of_states(times, states, 1)


def score_events(
    events: Sequence[Span], raised: Sequence[Span], duration_s: float, *, grace_s: float = 0.0
) -> EventScores:
    """Match alarms with the stretches that they should tell of.

    Parameters
    ----------
    events : sequence of Span
        Stretches of the class, not overlapping.
    raised : sequence of Span
        Alarms.
    duration_s : float
        How long decodes were made, s.
    grace_s : float
        How long after its end a stretch may still be detected, s: what a decoder says then is of
        a moment within it.
    """
    windows = [Span(event.start_s, event.stop_s + grace_s) for event in events]
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


def _touch(one: Span, other: Span) -> bool:
    return one.start_s <= other.stop_s and other.start_s <= one.stop_s
