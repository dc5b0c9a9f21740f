"""Events and alarms: which events were found, how late, and how many alarms an hour were false.

Only time with valid decodes counts: where nothing was decoded, nothing could have been raised.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, chi2

from rtbrain.learn.verdict import describe_found, found_share
from rtbrain.types import Doubles, Floats, Ints, Mask, Times

# Defaults by judgement from simulated alarms: see also rtbrain.learn.verdict.
LEAST_DISPERSION = 3.0  # variance over mean of counts, which alarms that come in groups raise
_WINDOWS_S, _LEAST_WINDOWS = (30.0, 60.0, 120.0, 300.0), 8  # to measure it
_LEAST_P90 = 50  # events for a 90th percentile
_GAP = 1.5  # hops between decodes above which something is missing
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class LabelSpan:
    """A stretch of time, s."""

    start_s: float
    stop_s: float


def spans_of_states(times: Times, states: Ints, state: int) -> list[LabelSpan]:
    """Stretches in which a state held, from the times of its first and last samples."""
    on = np.concatenate([[False], states == state, [False]])
    starts = np.flatnonzero(on[1:] & ~on[:-1])
    stops = np.flatnonzero(on[:-1] & ~on[1:]) - 1
    return [LabelSpan(float(times[a]), float(times[b])) for a, b in zip(starts, stops, strict=True)]


def alarms(times: Times, values: Floats, threshold: float, hop_s: float) -> list[LabelSpan]:
    """Stretches in which an output is above a threshold; a gap between decodes ends one."""
    runs = np.cumsum(np.append(0, np.diff(times) > _GAP * hop_s))
    states = np.where(values > threshold, runs, -1)
    return sorted(
        (
            span
            for run in np.unique(states[states >= 0]).tolist()
            for span in spans_of_states(times, states, run)
        ),
        key=lambda span: span.start_s,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What became of the events of one class, and the alarms that belong to none.

    Events are those during which something was decoded; `n_unseen` are the others. `delays_s` are
    of the events but those before which an alarm was on; of a miss it is infinite. `false_s` are
    the false alarms, in seconds of the `rest_s` at which they could have come.
    """

    n_unseen: int
    n_events: int
    n_found: int
    delays_s: Doubles  # float64 [at most n_events]
    false_s: Doubles  # float64 [n_false]
    rest_s: float

    def text(self, name: str) -> str:
        """All of it in words."""
        found = describe_found(self.n_found, self.n_events, name) if self.n_events else f"no {name}"
        if self.n_unseen:
            found += f", {self.n_unseen} more without a valid decode"
        return f"{found}. False alarms: {describe_rate(self.false_s, self.rest_s)}"

    def summary(self) -> dict[str, Any]:
        """As plain values for a report."""
        q = dispersion(self.false_s, self.rest_s)
        median, low, high, p90 = delay_interval(self.delays_s)
        n = self.n_events
        return {
            "n_events": n,
            "n_unseen": self.n_unseen,
            "n_found": self.n_found,
            "hit_rate": self.n_found / n if n else math.nan,
            "hit_rate_interval_95": found_share(self.n_found, n) if n else (math.nan, math.nan),
            "false_alarms": self.false_s.size,
            "rest_s": self.rest_s,
            "false_alarms_per_hour": 3600 * self.false_s.size / self.rest_s
            if self.rest_s
            else math.nan,
            "false_alarms_per_hour_interval_95": rate_interval(self.false_s.size, self.rest_s, q),
            "dispersion": q,
            "delay_s": median,
            "delay_interval_95": (low, high),
            "delay_p90_s": p90,
        }


def detect(
    events: Sequence[LabelSpan],
    raised: Sequence[LabelSpan],
    times: Times,
    known: Mask,
    *,
    hop_s: float,
    grace_s: float = 0.0,
    refractory_s: float = 0.0,
) -> Detections:
    """Match alarms with the events that they should detect.

    An event is found by an alarm that is on during it or until `grace_s` after it. The others are
    false if they begin where it is `known` that there is no event. `refractory_s` after an alarm no
    other counts, and no time does.

    Parameters
    ----------
    times : ndarray, float64 [n_valid]
        When each valid decode was there; it holds for a hop, or until the next.
    known : ndarray, bool [n_valid]
        Of which of them it is known what was true.
    """
    windows = [LabelSpan(event.start_s, event.stop_s + grace_s) for event in events]
    edges = np.array([(window.start_s, window.stop_s) for window in windows]).reshape(-1, 2)
    n_decoded = np.searchsorted(times, edges[:, 1], "right") - np.searchsorted(times, edges[:, 0])
    seen = [window for window, n in zip(windows, n_decoded.tolist(), strict=True) if n]
    if refractory_s:
        raised = _outside_refractory(raised, refractory_s)
    found, delays = 0, []
    for window in seen:
        touching = [alarm for alarm in raised if _touch(alarm, window)]
        found += bool(touching)
        if all(alarm.start_s >= window.start_s for alarm in touching):
            first_s = min((alarm.start_s for alarm in touching), default=math.inf)
            delays.append(first_s - window.start_s)
    lasts_s = np.minimum(np.append(np.diff(times), hop_s), hop_s)
    rest, false = known.copy(), []
    for window in windows:
        rest &= (times < window.start_s) | (times > window.stop_s)
    for alarm in raised:
        rest &= (times <= alarm.start_s) | (times > alarm.start_s + refractory_s)
        at = int(np.searchsorted(times, alarm.start_s))
        if known[at] and not any(_touch(alarm, window) for window in windows):
            false.append(at)
    passed_s = np.cumsum(np.where(rest, lasts_s, 0.0))
    return Detections(
        len(windows) - len(seen),
        len(seen),
        found,
        np.array(delays),
        passed_s[false],
        float(passed_s[-1]),
    )


def _outside_refractory(raised: Sequence[LabelSpan], refractory_s: float) -> list[LabelSpan]:
    """Alarms that are not silenced by the one before them: neither false nor a hit otherwise."""
    kept: list[LabelSpan] = []
    for alarm in raised:
        if not kept or alarm.start_s > kept[-1].start_s + refractory_s:
            kept.append(alarm)
    return kept


def dispersion(alarms_s: Doubles, seconds: float) -> float:
    """Variance over mean of counts of alarms at these times, at least 3: it is measured badly.

    The highest of windows of 30 to 300 s of which there are 8 or more.
    """
    found = [LEAST_DISPERSION]
    for window_s in _WINDOWS_S:
        n = int(seconds / window_s)
        counts = np.bincount((alarms_s / window_s).astype(np.int64), minlength=n)[:n]
        if n >= _LEAST_WINDOWS and counts.any():
            found.append(float(counts.var(ddof=1) / counts.mean()))
    return max(found)


def rate_interval(n: int, seconds: float, q: float = 1.0) -> tuple[float, float]:
    """95 % interval of a rate an hour by n alarms in a time, whose counts are dispersed by q.

    References
    ----------
    Garwood 1936, Fiducial limits for the Poisson distribution, doi:10.1093/biomet/28.3-4.437;
    with q of quasi-likelihood, Wedderburn 1974, doi:10.1093/biomet/61.3.439.
    """
    if seconds <= 0:
        return math.nan, math.nan
    per_hour = 3600 * q / (2 * seconds)
    low = float(chi2.ppf(_TAIL, 2 * n / q)) * per_hour if n else 0.0
    return low, float(chi2.ppf(1 - _TAIL, 2 * n / q + 2)) * per_hour


def describe_rate(alarms_s: Doubles, seconds: float) -> str:
    """How many alarms came, and how many an hour there could be."""
    if seconds <= 0:
        return "no time in which one could have come."
    n, q = alarms_s.size, dispersion(alarms_s, seconds)
    (low, high), (single_low, single_high) = (rate_interval(n, seconds, of) for of in (q, 1.0))
    lasts = f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"
    if not n:
        return (
            f"None in {lasts}; could be up to {_rate(high)} an hour, since alarms come in groups "
            f"({_rate(single_high)} if singly)."
        )
    return (
        f"{n} in {lasts}, {_rate(3600 * n / seconds)} an hour; could be {_rate(low)} to "
        f"{_rate(high)}, since alarms come in groups ({_rate(single_low)} to {_rate(single_high)} "
        "if singly)."
    )


def delay_interval(delays_s: Doubles) -> tuple[float, float, float, float]:
    """Median with its 95 % interval by order statistics, and 90th percentile, s.

    Of a miss the delay is infinite. No interval below 6 events, no percentile below 50: NaN.
    """
    n = delays_s.size
    if not n:
        return math.nan, math.nan, math.nan, math.nan
    ordered = np.sort(delays_s)
    median = float(ordered[[(n - 1) // 2, n // 2]].mean())
    first = int(binom.ppf(_TAIL, n, 0.5))
    first -= binom.cdf(first, n, 0.5) > _TAIL  # at most so many lie below the median
    low, high = (ordered[first], ordered[n - 1 - first]) if first >= 0 else (math.nan, math.nan)
    p90 = float(ordered[math.ceil(0.9 * n) - 1]) if n >= _LEAST_P90 else math.nan
    return median, float(low), float(high), p90


def _rate(per_hour: float) -> str:
    return f"{per_hour:.0f}" if per_hour >= 9.5 else f"{per_hour:.2g}"


def _touch(one: LabelSpan, other: LabelSpan) -> bool:
    return one.start_s <= other.stop_s and other.start_s <= one.stop_s
