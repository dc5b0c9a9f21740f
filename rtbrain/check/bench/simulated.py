"""Simulated recordings for the benchmark of statistics, whose truth is known."""

import zlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import ndtri

from rtbrain.learn.detection import Timeline
from rtbrain.learn.fit.labels import Labelled
from rtbrain.types import Decode, Doubles, Floats, Ints, Quality, Times

HOP_S = 0.5
_TIMES_S = np.geomspace(0.3, 120, 8)  # time constants of the features
_BEFORE_S, _TOGETHER_S = 600.0, 60.0  # groups that began before; how far alarms of one lie apart
_GOOD = Quality(np.ones(1, np.bool_))
_DRIFT = 2.0  # standard deviations of slow drift, over those of the features


class Targets(Protocol):
    """Draws the labels of n windows."""

    def __call__(self, rng: np.random.Generator, n: int) -> npt.NDArray[Any]:
        """Class numbers, or values [n, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """Recordings of one kind: how long, how they are labelled, and whether the signals drift."""

    name: str
    minutes: float
    targets: Targets
    drifts: bool = False
    redrawn: bool = False
    powers: bool = False  # whether recordings with information are simulated too


def alternating(shortest_s: float, longest_s: float, n_classes: int = 2) -> Targets:
    """States one after the other, of random lengths."""

    def draw(rng: np.random.Generator, n: int) -> Ints:
        runs = rng.uniform(shortest_s, longest_s, n) / HOP_S
        numbers = np.searchsorted(np.cumsum(runs), np.arange(n), side="right")
        return (numbers % n_classes).astype(np.int64)

    return draw


def events(n_events: int, shortest_s: float, longest_s: float, jitter: float = 1.0) -> Targets:
    """Events with rest about each; of jitter 0 they come at one pace."""

    def draw(rng: np.random.Generator, n: int) -> Ints:
        targets, slot = np.zeros(n, np.int64), n // n_events
        for number in range(n_events):
            length = round(rng.uniform(shortest_s, longest_s) / HOP_S)
            free = slot - length - 2
            start = number * slot + 1 + round(free * (0.5 + jitter * rng.uniform(-0.5, 0.5)))
            targets[start : start + length] = 1
        return targets

    return draw


def mixed(first: float, last: float, stretch_s: float = 2.0, n_classes: int = 2) -> Targets:
    """Stretches whose share of the last class changes over the recording."""

    def draw(rng: np.random.Generator, n: int) -> Ints:
        runs = rng.uniform(0.5, 1.5, n) * stretch_s / HOP_S
        number = np.searchsorted(np.cumsum(runs), np.arange(n), side="right")
        share = np.linspace(first, last, n)[np.unique(number, return_index=True)[1]]
        last_class = rng.random(share.size) < share
        others = rng.integers(0, n_classes - 1, share.size)
        return np.where(last_class, n_classes - 1, others).astype(np.int64)[number]

    return draw


def value(time_s: float, trend: float = 0.0) -> Targets:
    """A value that wanders, and may rise over the recording."""

    def draw(rng: np.random.Generator, n: int) -> Floats:
        found = _wandering(rng, n, np.array([time_s])) + trend * np.linspace(-1, 1, n)[:, None]
        return found.astype(np.float32)

    return draw


FAMILIES = (
    Family("alternating 1 to 3 s, 5 min", 5, alternating(1, 3), powers=True),
    Family("the same, signals drift", 5, alternating(1, 3), drifts=True, powers=True),
    Family("alternating 5 to 10 s, 5 min", 5, alternating(5, 10), powers=True),
    Family("12 events of 2 s in 10 min", 10, events(12, 2, 2), powers=True),
    Family("5 seizures of 20 to 40 s in 10 min", 10, events(5, 20, 40)),
    Family("5 seizures, nearly periodic", 10, events(5, 30, 40, jitter=0.1)),
    Family("strict 5 s / 5 s, 10 min", 10, alternating(5, 5), powers=True),
    Family("class mix drifts 20 to 80 %", 10, mixed(0.2, 0.8), powers=True),
    Family("class mix and signals drift", 10, mixed(0.2, 0.8), drifts=True, powers=True),
    Family("rest mostly first half, task second", 10, mixed(-0.4, 1.4, 6)),
    Family("halves, signals drift", 10, mixed(-0.4, 1.4, 6), drifts=True),
    Family("mix and signals drift, design redrawn", 10, mixed(0.2, 0.8), True, True, True),
    Family("three classes, mix and signals drift", 10, mixed(0.2, 0.6, 3, 3), True, powers=True),
    Family("value of 5 s, 10 min", 10, value(5), powers=True),
    Family("value and signals drift", 10, value(5, 1.5), drifts=True, powers=True),
)
# Held-out outputs with a known area under the curve, or correlation; offsets of the stretches.
COVERAGE: tuple[tuple[str, float, Targets, float], ...] = (
    ("alternating 1 to 3 s, 5 min", 5, alternating(1, 3), 0.83),
    ("alternating 5 to 10 s, 5 min", 5, alternating(5, 10), 0.83),
    ("alternating 10 to 20 s, 10 min", 10, alternating(10, 20), 0.83),
    ("three classes of 5 to 10 s, 10 min", 10, alternating(5, 10, 3), 0.83),
    ("5 seizures, 10 min", 10, events(5, 20, 40), 0.83),
    ("10 seizures, 20 min", 20, events(10, 20, 40), 0.83),
    ("20 seizures, 40 min", 40, events(20, 20, 40), 0.83),
    ("30 seizures, 60 min", 60, events(30, 20, 40), 0.83),
    ("12 events of 2 s, 10 min", 10, events(12, 2, 2), 0.83),
    ("alternating 5 to 10 s, 5 min, AUC 0.99", 5, alternating(5, 10), 0.99),
    ("value of 10 s, 20 min", 20, value(10), 0.5),
)


# False alarms: how many an hour, how many of them come together, and for how many minutes.
ALARMS = tuple(
    (per_hour, together, minutes)
    for per_hour in (10, 60)
    for together in (1, 4, 12)
    for minutes in (22, 60)
)


def _alarms(rng: np.random.Generator, per_hour: float, together: int, seconds: float) -> Ints:
    """Hops at which an output is high for one; those that come together do so over minutes.

    Their counts in long windows have a variance over mean of about `together`.

    References
    ----------
    Neyman & Scott 1958, Statistical approach to problems of cosmology,
    doi:10.1111/j.2517-6161.1958.tb00272.x.
    """
    n = rng.poisson(per_hour / together * (seconds + _BEFORE_S) / 3600)
    starts_s = rng.uniform(-_BEFORE_S, seconds, n)
    if together > 1:
        counts = 1 + rng.poisson(together - 1, n)
        starts_s = np.repeat(starts_s, counts) + rng.exponential(_TOGETHER_S, counts.sum())
    inside = starts_s[(starts_s >= 0) & (starts_s < seconds)]
    return np.unique((inside / HOP_S).astype(np.int64))


def alarm_timeline(
    rng: np.random.Generator, per_hour: float, together: int, seconds: float, rarely: bool = False
) -> Timeline:
    """Decodes of rest with false alarms; `rarely` gives those about alarms alone."""
    at = _alarms(rng, per_hour, together, seconds)
    numbers = np.union1d(at, at + 1) if rarely else np.arange(round(seconds / HOP_S))
    values = np.where(np.isin(numbers, at), np.float32(0.9), np.float32(0.1))
    outputs = np.stack((1 - values, values), axis=1)
    times = numbers * HOP_S
    decodes = [
        Decode(row, at_s, at_s, _GOOD) for row, at_s in zip(outputs, times.tolist(), strict=True)
    ]

    def label(t_s: Times) -> Labelled:
        rest = np.zeros(t_s.size, np.int64)
        return Labelled(np.arange(t_s.size), rest, ("rest", "event"), t_s)

    return Timeline.of(decodes, label, HOP_S)


def simulated_features(
    rng: np.random.Generator, family: Family, targets: npt.NDArray[Any], lift: float
) -> Floats:
    """Features of a recording, float32 [n_windows, 8]; classes lie `lift` deviations apart."""
    features = _wandering(rng, len(targets), _TIMES_S)
    if family.drifts:
        features += _DRIFT * _slow(rng, len(targets))
    features += lift * _directions(rng, targets)
    return features.astype(np.float32)


def simulated_outputs(rng: np.random.Generator, true: npt.NDArray[Any], truth: float) -> Doubles:
    """Outputs of a known AUC, or correlation: the target, slow noise and offsets of stretches."""
    n = len(true)
    if true.dtype != np.int64:
        noise = _wandering(rng, n, np.array([8.0]))
        found: Doubles = true * truth + noise * np.sqrt(1 - truth**2)
        return found
    n_classes = int(true.max()) + 1
    edges = np.flatnonzero(np.diff(true)) + 1
    stretch = np.searchsorted(edges, np.arange(n), side="right")
    noise = _wandering(rng, n, np.full(n_classes, 8.0))
    noise += 0.5 * rng.standard_normal((edges.size + 1, n_classes))[stretch]
    lift = ndtri(truth) * np.sqrt(2 * 1.25)
    if n_classes == 2:
        on = noise[:, 1] + lift * true
        return np.stack((-on, on), axis=1)
    lifted: Doubles = noise + lift * (true[:, np.newaxis] == np.arange(n_classes))
    return lifted


def random_of(name: str, lift: float, seed: int) -> np.random.Generator:
    """Generator of one recording of a row."""
    return np.random.default_rng((zlib.crc32(name.encode()), round(100 * lift), seed))


def _wandering(rng: np.random.Generator, n: int, times_s: Doubles) -> Doubles:
    """Independent noise of unit variance with these time constants, float64 [n, n_features]."""
    keep = np.exp(-HOP_S / times_s)
    columns = [
        lfilter(
            [np.sqrt(1 - k**2)], [1, -k], rng.standard_normal(n), zi=[k * rng.standard_normal()]
        )[0]
        for k in keep
    ]
    return np.stack(columns, axis=1)


def _slow(rng: np.random.Generator, n: int) -> Doubles:
    """Drift over the recording: a trend and two slow waves in each feature."""
    moments = np.linspace(-1, 1, n)[:, np.newaxis]
    weights, phases = rng.standard_normal((3, _TIMES_S.size)), rng.uniform(0, 2 * np.pi, (2, 8))
    waves = [np.sqrt(2) * np.sin(np.pi * k * moments + phases[k - 1]) for k in (1, 2)]
    trend = weights[0] * np.sqrt(3) * moments
    found: Doubles = trend + 0.5 * weights[1] * waves[0] + 0.3 * weights[2] * waves[1]
    return found


def _directions(rng: np.random.Generator, targets: npt.NDArray[Any]) -> Doubles:
    """Each class, or the value, moves the features its own way, [n, n_features]."""
    n_ways = int(targets.max()) + 1 if targets.dtype == np.int64 else 1
    ways = rng.standard_normal((n_ways, _TIMES_S.size))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    if targets.dtype != np.int64:
        return np.asarray(targets @ ways / 2, np.float64)
    ways[0] = 0
    found: Doubles = ways[targets]
    return found
