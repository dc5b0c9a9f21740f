"""Events and alarms: which events were found, how late, and how many alarms an hour were false.

Only time with valid decodes counts: where nothing was decoded, nothing could have been raised.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.stats import binom, chi2

from rtbrain.config import DetectSettings
from rtbrain.detect import Detector
from rtbrain.learn.fit.labels import Labelled, join_labels
from rtbrain.learn.intervals import share_interval
from rtbrain.learn.verdict import describe_found
from rtbrain.types import Decode, Doubles, Ints, Mask, Times

# Defaults by judgement from simulated alarms: see also rtbrain.learn.verdict.
LEAST_DISPERSION = 3.0  # variance over mean of counts, which alarms that come in groups raise
_WINDOWS_S, _LEAST_WINDOWS = (30.0, 60.0, 120.0, 300.0), 8  # to measure it
_LEAST_P90 = 50  # events for a 90th percentile
GRACE_S = 0.5  # a detection may come this much after the end of its event
_APART_S = 3600.0  # between recordings that are counted together
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


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What became of the events of one class, and the alarms that belong to none.

    Events are those during which something was decoded; `n_unseen` are the others. Of a miss, the
    delay is infinite. `false_s` are the false alarms, in seconds of the `rest_s` at which they
    could have come.
    """

    n_unseen: int
    n_events: int
    n_found: int
    delays_s: Doubles  # float64 [n_events]
    false_s: Doubles  # float64 [n_false]
    rest_s: float

    def text(self, name: str) -> str:
        """All of it in words."""
        found = describe_found(self.n_found, self.n_events, name) if self.n_events else f"no {name}"
        if self.n_unseen:
            found += f", {self.n_unseen} more without a valid decode"
        return f"{found}. False alarms: {describe_rate(self.false_s, self.rest_s)}"

    def summary(self, name: str) -> dict[str, Any]:
        """As plain values for a report, and in words."""
        q = dispersion(self.false_s, self.rest_s)
        median, low, high, p90 = delay_interval(self.delays_s)
        n = self.n_events
        return {
            "n_events": n,
            "n_unseen": self.n_unseen,
            "n_found": self.n_found,
            "hit_rate": self.n_found / n if n else math.nan,
            "hit_rate_interval_95": share_interval(self.n_found, n) if n else (math.nan, math.nan),
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
            "false_alarms_text": describe_rate(self.false_s, self.rest_s),
            "text": self.text(name),
        }


def written(settings: DetectSettings) -> dict[str, Any]:
    """Settings as a live file has them, without defaults."""
    return settings.model_dump(mode="json", exclude_defaults=True)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Decodes of a recording or several, and what was true: what detections are counted on.

    `times` float64 [n_valid] is when each valid decode was there: it holds for a hop, or until the
    next. Of those in `known` it is known what was true. `events` are the stretches of each class,
    also where nothing was decoded, and `elsewhere` those that are not counted, whose time is no
    rest. `labelled` are the labels of the valid decodes, in `rows`.
    """

    decodes: Sequence[Decode]
    times: Times
    known: Mask
    events: Mapping[str, Sequence[LabelSpan]]
    labelled: Labelled
    hop_s: float
    elsewhere: Mapping[str, Sequence[LabelSpan]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, decodes: Sequence[Decode], label: Callable[[Times], Labelled], hop_s: float
    ) -> "Timeline":
        """Timeline of one recording; `label` gives the labels of windows that end at these times.

        What was true is known where nothing was decoded, too: an event does not end at a gap.
        """
        valid = [decode for decode in decodes if decode.quality.valid]
        times = np.array([decode.t_stop for decode in valid])
        every = np.union1d(
            np.arange(decodes[0].t_stop, decodes[-1].t_stop + hop_s / 2, hop_s), times
        )
        truth, labelled = label(every), label(times)
        states = np.full(every.size, -1, np.int64)
        states[truth.rows] = truth.targets
        moments = every - (valid[0].t_stop - valid[0].t_neural)
        events = {
            name: spans_of_states(moments, states, row) for row, name in enumerate(truth.names)
        }
        known = np.isin(np.arange(times.size), labelled.rows)
        return cls(decodes, times, known, events, labelled, hop_s)

    def moved(self, by_s: float) -> "Timeline":
        """The same, later."""
        decodes = [
            replace(one, t_neural=one.t_neural + by_s, t_stop=one.t_stop + by_s)
            for one in self.decodes
        ]
        events = {
            name: [LabelSpan(one.start_s + by_s, one.stop_s + by_s) for one in spans]
            for name, spans in self.events.items()
        }
        labelled = replace(self.labelled, t_s=self.labelled.t_s + by_s)
        return replace(
            self, decodes=decodes, times=self.times + by_s, events=events, labelled=labelled
        )

    def within(self, kept: Mask) -> "Timeline":
        """Of the events that begin, and the time, where `kept`, bool [n_valid], is true."""
        sides: dict[bool, dict[str, list[LabelSpan]]] = {
            side: {name: [] for name in self.events} for side in (True, False)
        }
        for name, spans in self.events.items():
            for span in spans:
                at = int(np.searchsorted(self.times, span.start_s))
                sides[bool(kept[min(at, kept.size - 1)])][name].append(span)
        return replace(self, known=self.known & kept, events=sides[True], elsewhere=sides[False])

    def rest(self, label: str) -> Mask:
        """Valid decodes of which it is known that no event of this class is on, bool [n_valid]."""
        return self.known & ~_inside(self.times, self.elsewhere.get(label, ()))

    def count(
        self, label: str, settings: DetectSettings, task: str = "classification"
    ) -> "Detections":
        """What a detector of one output finds, and its false alarms."""
        detector = Detector({label: settings}, self.labelled.names, self.hop_s, task=task)
        sent_s = [
            found.t_stop
            for decode in self.decodes
            for found in detector(decode)
            if not found.suppressed
        ]
        return detect(
            self.events[label],
            sent_s,
            self.times,
            self.rest(label),
            hop_s=self.hop_s,
            refractory_s=settings.refractory_s,
        )


def join_timelines(parts: Sequence[Timeline]) -> Timeline:
    """Timelines of several recordings one after the other, an hour apart."""
    moved, by_s = [], 0.0
    for part in parts:
        moved.append(part.moved(by_s - part.times[0]))
        by_s = float(moved[-1].times[-1]) + _APART_S
    names = parts[0].labelled.names
    return Timeline(
        [decode for part in moved for decode in part.decodes],
        np.concatenate([part.times for part in moved]),
        np.concatenate([part.known for part in moved]),
        {name: [span for part in moved for span in part.events[name]] for name in names},
        join_labels(
            [part.labelled for part in moved],
            [part.times.size for part in moved],
            [str(number) for number in range(len(parts))],
        ),
        parts[0].hop_s,
    )


def detect(
    events: Sequence[LabelSpan],
    sent_s: Sequence[float],
    times: Times,
    known: Mask,
    *,
    hop_s: float,
    grace_s: float = GRACE_S,
    refractory_s: float = 0.0,
) -> Detections:
    """Match detections with the events that they should find.

    An event is found by a detection that is sent during it or until `grace_s` after it; its delay
    is from its onset to the first of them. The others are false if they are sent where it is
    `known` that there is no event. For `refractory_s` after each no other can come, and no time
    counts.

    Parameters
    ----------
    sent_s : sequence of float
        When they were sent: the ends of the windows of the decodes that decided, s.
    times, known
        As of a `Timeline`.
    """
    sent = np.asarray(sent_s, np.float64)
    edges = _edges(events, grace_s)
    n_decoded = np.searchsorted(times, edges[:, 1], "right") - np.searchsorted(times, edges[:, 0])
    first = np.searchsorted(sent, edges[:, 0])
    delays = np.append(sent, np.inf)[first] - edges[:, 0]
    delays[delays > edges[:, 1] - edges[:, 0]] = np.inf
    delays = delays[n_decoded > 0]
    lasts_s = np.minimum(np.append(np.diff(times), hop_s), hop_s)
    rest = known & ~_inside(times, events, grace_s)
    if refractory_s:
        before = np.append(-np.inf, sent)[np.searchsorted(sent, times)]
        rest &= times > before + refractory_s
    at = np.searchsorted(times, sent)
    passed_s = np.cumsum(np.where(rest, lasts_s, 0.0))
    return Detections(
        int((n_decoded == 0).sum()),
        delays.size,
        int(np.isfinite(delays).sum()),
        delays,
        passed_s[at[~_inside(sent, events, grace_s) & known[at]]],
        float(passed_s[-1]),
    )


def _edges(spans: Sequence[LabelSpan], grace_s: float) -> Times:
    """Starts, and ends with grace, [n_spans, 2]."""
    return np.array([(one.start_s, one.stop_s + grace_s) for one in spans]).reshape(-1, 2)


def _inside(times: Times, spans: Sequence[LabelSpan], grace_s: float = GRACE_S) -> Mask:
    """Which times lie in one of these spans, in the order of their starts; both ends do."""
    starts_s, stops_s = _edges(spans, grace_s).T
    latest_s = np.append(-np.inf, np.maximum.accumulate(stops_s))
    return np.asarray(times <= latest_s[np.searchsorted(starts_s, times, "right")])


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
    return f"{per_hour:.0f}" if per_hour >= 9.5 or per_hour < 0.05 else f"{per_hour:.2g}"
