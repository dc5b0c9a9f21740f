"""Statistics of the frames of a session so far, and the z-scores by them."""

from copy import deepcopy
from dataclasses import astuple, dataclass
from typing import Protocol

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.types import Doubles, Floats, Ints, Mask

_KNOWN_FRAMES = 100
_MOST_DEVIATIONS = 5.0
# Frames of a channel that its median is taken of: drawn at random, it lies within 0.06 deviations.
_RESERVOIR_FRAMES = 512
# Standard deviation of a Gaussian in its median absolute deviation.
_STD_IN_MAD = 1.4826022185056018


@dataclass(frozen=True, slots=True, eq=False)
class RunningStatistics:
    """Mean and variance of the magnitudes of a session so far."""

    mean: Doubles  # float64 [n_channels, n_freqs], µV
    variance: Doubles  # float64 [n_channels, n_freqs], µV², ddof 0
    count: Ints  # int64 [n_channels]: frames that each channel has fed


@dataclass(frozen=True, slots=True, eq=False)
class RobustStatistics:
    """Median and spread of the magnitudes of a session so far, which no artefact moves."""

    median: Doubles  # float64 [n_channels, n_freqs]
    spread: Doubles  # float64 [n_channels, n_freqs]: 1.4826 times the median absolute deviation
    count: Ints  # int64 [n_channels]: frames that each channel has fed


FrameStatistics = RunningStatistics | RobustStatistics


class FrameZScore(Protocol):
    """Z-scores of frames, one after the other, by statistics that they feed."""

    def feed(self, frame: Doubles, feeding: Mask) -> None:
        """Update the statistics of some channels with a frame, float64 [n_channels, n_freqs]."""
        ...

    def __call__(self, frame: Doubles) -> Doubles:
        """Z-scores of a frame by the statistics as they stand."""
        ...

    @property
    def statistics(self) -> FrameStatistics:
        """The current statistics, which the next frame changes."""
        ...

    def reset(self) -> None:
        """Return to the initial statistics."""
        ...


class RunningZScore:
    """Z-scores by the mean and variance, exponentially weighted.

    The nth frame of a channel has the weight ``max(1 / n, 1 / time_constant_frames)`` (West,
    doi:10.1145/359146.359153); a deviation of 0 counts as 1. After a channel's first 100 frames, a
    frame feeds at most 5 deviations from the mean, so that an artefact does not hide the brain
    behind it for minutes. `frozen` never updates the statistics given.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        time_constant_frames: float,
        statistics: FrameStatistics | None = None,
        *,
        frozen: bool = False,
    ) -> None:
        _check(shape, time_constant_frames, statistics, RunningStatistics, frozen)
        self._least_weight = 1 / time_constant_frames
        self._frozen = frozen
        self._given = RunningStatistics(*_arrays(shape, statistics))
        self.reset()

    @property
    def statistics(self) -> RunningStatistics:
        """Mean, variance and count."""
        return self._now

    def reset(self) -> None:
        """Return to the initial statistics."""
        self._now = deepcopy(self._given)
        self._deviation = np.empty_like(self._now.variance)  # of the statistics as they stand
        self._note_deviation()

    def __call__(self, frame: Doubles) -> Doubles:
        """Z-scores of a frame by the statistics as they stand."""
        deviation = self._deviation
        if not self._all_vary:
            deviation = np.where(deviation == 0, 1, deviation)
        z_scores = frame - self._now.mean
        z_scores /= deviation
        return np.asarray(z_scores)

    def feed(self, frame: Doubles, feeding: Mask) -> None:
        """Update the statistics of some channels with a frame, float64 [n_channels, n_freqs]."""
        if self._frozen:
            return
        mean, variance, count = self._now.mean, self._now.variance, self._now.count
        count += feeding
        weight = np.maximum(1 / np.maximum(count, 1), self._least_weight)
        weight = np.where(feeding, weight, 0)[:, None]  # [C, 1]
        delta = frame - mean
        if not feeding.all():
            delta[~feeding] = 0
        # An artefact of 1 mV would dominate the variance for minutes: once a channel is known, a
        # frame counts for at most 5 deviations.
        bound = _MOST_DEVIATIONS * self._deviation
        if not self._all_vary or count.min() <= _KNOWN_FRAMES:
            bound[(count <= _KNOWN_FRAMES)[:, None] | (variance == 0)] = np.inf
        np.clip(delta, -bound, bound, out=delta)
        step = weight * delta
        mean += step
        # (1 - w) (variance + w delta²), which for w = 1/n is the plain variance of n frames.
        step *= delta
        variance += step
        variance *= 1 - weight
        self._note_deviation()

    def _note_deviation(self) -> None:
        np.sqrt(self._now.variance, out=self._deviation)
        self._all_vary = bool(self._deviation.all())


class RobustZScore:
    """Z-scores by the median and 1.4826 times the median absolute deviation; 0 where that is 0.

    Both are of at most 512 frames of each channel, in a reservoir (Vitter,
    doi:10.1145/3147.3165): the nth frame replaces a random one with the probability
    ``512 / min(n, time_constant_frames)``, so that memory is bounded and fades with that time
    constant. They are taken anew at fixed numbers of a channel's frames: often at first, then every
    512, a few channels at a time. Statistics that are given stand until the reservoir is full;
    `frozen` never updates them.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        time_constant_frames: float,
        statistics: FrameStatistics | None = None,
        *,
        frozen: bool = False,
    ) -> None:
        _check(shape, time_constant_frames, statistics, RobustStatistics, frozen)
        self._memory = time_constant_frames
        self._size = int(min(_RESERVOIR_FRAMES, time_constant_frames))
        self._frozen = frozen
        self._given = RobustStatistics(*_arrays(shape, statistics))
        # Numbers of frames after which the statistics of a new channel are taken.
        self._early = np.zeros(self._size, np.bool_)
        self._early[np.geomspace(1, self._size, 64).astype(np.int64) - 1] = True
        self._early[: min(16, self._size)] = True
        n_kept = 0 if frozen else self._size
        self._reservoir: Floats = np.empty((*shape, n_kept), np.float32)
        self.reset()

    @property
    def statistics(self) -> RobustStatistics:
        """Median, spread and count."""
        return self._now

    def reset(self) -> None:
        """Return to the initial statistics, with an empty reservoir."""
        self._now = deepcopy(self._given)
        self._n_fed: Ints = np.zeros(len(self._given.count), np.int64)  # since the reset
        self._rng = np.random.default_rng(0)

    def __call__(self, frame: Doubles) -> Doubles:
        """Z-scores of a frame by the statistics as they stand."""
        spread = self._now.spread
        scores = np.zeros_like(frame)
        return np.divide(frame - self._now.median, spread, out=scores, where=spread > 0)

    def feed(self, frame: Doubles, feeding: Mask) -> None:
        """Update the statistics of some channels with a frame, float64 [n_channels, n_freqs]."""
        if self._frozen:
            return
        # Drawn for every frame, so that the same frames meet the same numbers.
        chance, place = self._rng.random(), int(self._rng.integers(self._size))
        n_fed, size = self._n_fed, self._size
        n_fed += feeding
        self._now.count[:] += feeding
        filling = n_fed <= size
        taken = feeding & (filling | (chance * np.minimum(n_fed, self._memory) < size))
        rows = np.flatnonzero(taken)
        self._reservoir[rows, :, np.where(filling, n_fed - 1, place)[rows]] = frame[rows]
        early = filling & (self._given.count == 0) & self._early[np.minimum(n_fed, size) - 1]
        late = ~filling & ((n_fed + np.arange(len(n_fed))) % size == 0)
        self._take_anew(np.flatnonzero(feeding & (early | late)))

    def _take_anew(self, rows: Ints) -> None:
        n_kept = np.minimum(self._n_fed, self._size)[rows]
        for n in np.unique(n_kept):
            of = rows[n_kept == n]
            kept = self._reservoir[of, :, :n]
            median = np.median(kept, axis=2)
            self._now.median[of] = median
            kept -= median[:, :, None]
            self._now.spread[of] = _STD_IN_MAD * np.median(np.abs(kept, out=kept), axis=2)


def _check(
    shape: tuple[int, int],
    time_constant_frames: float,
    statistics: FrameStatistics | None,
    expected: type[FrameStatistics],
    frozen: bool,
) -> None:
    if not time_constant_frames >= 1:
        raise SettingsError(
            f"time_constant_frames must be at least 1, got {time_constant_frames}: lengthen it"
        )
    if statistics is None:
        if frozen:
            raise SettingsError(
                "frozen statistics need statistics to begin with: give those of a decoder, or "
                "do not freeze"
            )
    elif not isinstance(statistics, expected):
        raise SettingsError(
            f"expected {expected.__name__}, got {type(statistics).__name__}: give those of the "
            "same spectrogram"
        )


def _arrays(
    shape: tuple[int, int], statistics: FrameStatistics | None
) -> tuple[Doubles, Doubles, Ints]:
    """Copies of the two statistics and the count; a bundle may hold them in single precision."""
    if statistics is None:
        return np.zeros(shape), np.zeros(shape), np.zeros(shape[0], np.int64)
    first, second, count = astuple(statistics)
    got = first.shape, second.shape, count.shape
    if got != (shape, shape, shape[:1]):
        raise SettingsError(
            f"statistics of shapes {got} do not fit {shape[0]} channels and {shape[1]} bins: "
            "give those of the same montage and spectrogram"
        )
    return first.astype(np.float64), second.astype(np.float64), count.astype(np.int64)
