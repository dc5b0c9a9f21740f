"""What drift is judged by: features, covariance and contacts, smoothed a few times a second."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Embedding, Floats, Ints, Mask, Montage, Window

PERIOD_S = 0.25  # from one update to the next
# Or a little sooner: `streaming` has a window every 0.244 s that ends with a whole patch, and is
# encoded by one of the stages that take turns; those of 0.269 s would be by all of them.
_EARLY = 0.95
# An exponential average with the mean age of one over 5 s; it is known once it holds 5 s.
_SMOOTHED_S = 5.0
_TIME_CONSTANT_S = _SMOOTHED_S / 2
_KNOWN = 0.99 * (1 - math.exp(-_SMOOTHED_S / _TIME_CONSTANT_S))
_SETTLING_S = 3.0  # of the filters, which begin anew at a gap: not yet taken in
_MAX_CHANNELS = 32  # of the covariance
# Differences over 4 ms flatten a 1/f spectrum up to 125 Hz: fast and slow count alike.
_DIFFERENCE_S = 0.004


class MeasuresContacts(Protocol):
    """The quality step of the signal chain."""

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the contacts."""
        ...

    @property
    def blocks(self) -> Sequence[tuple[float, Floats, Mask]]:
        """Newest blocks, oldest first: end in s; change and mains, dB, NaN where bad; bad ones."""
        ...


class Snapshot(NamedTuple):
    """What the distances are of, smoothed over 5 s; NaN where that is not known."""

    t_stop: float
    features: Floats  # float32 [n_features]
    covariance: Doubles  # float64 [n_channels, n_channels]
    contacts: Doubles  # float64 [2, n_contacts], dB
    lost: Mask  # bool [n_contacts]: bad now
    certainty: float  # below 1 where less has been averaged than usually


class Measured(NamedTuple):
    """What is read of the samples of a window that is due."""

    covariance: Doubles  # float64 [n_channels, n_channels], of differences
    levels_db: Floats  # float32 [2, n_contacts]
    lost: Mask  # bool [n_contacts]


class _Average:
    """Exponential average of arrays, in which NaN count for nothing."""

    def __init__(self) -> None:
        self._sum: Any = 0.0
        self._weight: Any = 0.0

    def feed(self, value: npt.NDArray[Any], gain: float) -> npt.NDArray[Any]:
        """Average after one more value; NaN where less than 5 s are known."""
        known: Any = 1.0
        if not np.isfinite(value.sum()):
            known = np.isfinite(value)
            value = np.where(known, value, 0)
        self._sum = (1 - gain) * self._sum + gain * value
        self._weight = (1 - gain) * self._weight + gain * known
        if np.min(self._weight, initial=1.0) >= _KNOWN:
            return np.asarray(self._sum / self._weight)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self._weight >= _KNOWN, self._sum / self._weight, np.nan)


class DriftInput:
    """Smooths what distances are taken of, a few times a second; a gap restarts it.

    `montage` is that of the windows, and `quality` the step that measures the raw contacts; without
    it their level, mains and losses stay unknown.
    """

    def __init__(
        self, montage: Montage, n_features: int, quality: MeasuresContacts | None = None
    ) -> None:
        self.montage, self.n_features = montage, n_features
        self.contacts = () if quality is None else quality.names
        n_channels = min(_MAX_CHANNELS, montage.n_channels)
        spread = np.linspace(0, montage.n_channels - 1, n_channels)
        self.channels: Ints = np.rint(spread).astype(np.int64)
        self._quality = quality
        self._period = max(1, round(PERIOD_S * montage.sfreq_hz))
        self._apart = _EARLY * self._period
        self._settling = round(_SETTLING_S * montage.sfreq_hz)
        self._lag = max(1, round(_DIFFERENCE_S * montage.sfreq_hz))
        self.reset()

    @property
    def n_samples(self) -> int:
        """How many of the newest samples of a window are read."""
        return self._period + self._lag

    def reset(self) -> None:
        """Forget everything."""
        self._due: int | None = None  # first sample of the newest window that is to be taken in
        self._last: int | None = None  # of the newest that was
        self._n_lost = 0
        self._restart(0)

    def _restart(self, first_sample: int) -> None:
        self._since, self._weight = first_sample, 0.0
        self._features, self._covariance, self._contacts = _Average(), _Average(), _Average()

    def due(self, window: Window) -> bool:
        """Whether this window is to be taken in, asked once of each; the others cost nothing."""
        if self._due is not None and 0 <= window.first_sample - self._due < self._apart:
            return False
        self._due = window.first_sample
        return True

    def __call__(self, window: Window, embedding: Embedding) -> Snapshot:
        """Take in a window that is due."""
        return self.take(window, embedding, self.measure(window))

    def measure(self, window: Window) -> Measured:
        """What is read of the samples of a window."""
        return Measured(self._outer(window), *self._levels(window.t_stop))

    def take(self, window: Window, embedding: Embedding, measured: Measured) -> Snapshot:
        """Take in a window that is due, as it was measured; its samples are not read."""
        n_new, n_lost = self._period, window.quality.lost_samples
        if self._last is not None:
            n_new = window.first_sample - self._last
        if self._last is None or n_new < 0 or n_lost != self._n_lost:
            self._restart(window.first_sample)
            n_new = self._period
        self._last, self._n_lost = window.first_sample, n_lost
        elapsed_s = max(n_new, self._period) / self.montage.sfreq_hz
        gain = 1 - math.exp(-elapsed_s / _TIME_CONSTANT_S)
        features, covariance = embedding.population, measured.covariance
        if not embedding.quality.valid:
            features = np.full(self.n_features, np.nan, np.float32)
        if window.first_sample - self._since < self._settling:
            features, covariance = np.full_like(features, np.nan), np.full_like(covariance, np.nan)
        else:
            self._weight += gain * (1 - self._weight)
        return Snapshot(
            window.t_stop,
            self._features.feed(features, gain).astype(np.float32),
            self._covariance.feed(covariance, gain),
            self._contacts.feed(measured.levels_db, gain),
            measured.lost,
            # Deviation of a whole exponential average in that of one so short.
            math.sqrt(self._weight / (2 - self._weight)),
        )

    def _outer(self, window: Window) -> Doubles:
        newest = window.data[self.channels, -self.n_samples :]
        changes = newest[:, self._lag :] - newest[:, : -self._lag]
        out = np.asarray(changes @ changes.T / max(1, changes.shape[1]), np.float64)
        bad = ~window.quality.good[self.channels]  # other values that are not finite spread
        out[bad] = out[:, bad] = np.nan
        return out

    def _levels(self, t_stop: float) -> tuple[Floats, Mask]:
        blocks = () if self._quality is None else self._quality.blocks
        for t_block, levels_db, bad in reversed(tuple(blocks)):  # a thread may filter ahead
            if t_block <= t_stop:
                return levels_db, bad
        n = len(self.contacts)
        return np.full((2, n), np.nan, np.float32), np.zeros(n, np.bool_)
