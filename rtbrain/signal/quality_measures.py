"""What a block of raw signal shows of each contact: the numbers that quality is judged by."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbrain.types import Floats, Mask

__all__ = ["BlockMeasures", "Measured"]

Doubles = npt.NDArray[np.float64]

_HARMONICS = 3
# A signal that moves by no more than two steps of the converter does not move; a little more,
# since a scale in floating point blurs the steps.
_FLAT_QUANTA = 2.5
# Whoever repeats fewer samples than this has too fine a signal to count its steps.
_REPEATS_OF_FLAT = 0.25
# Below this many points, a correlation over a block means nothing.
_FEWEST_POINTS = 4
_MAINS_EVERYWHERE_HZ = (50.0, 60.0)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Numbers of one block, a row a contact; NaN where a contact has samples that are not finite.

    Attributes
    ----------
    finite : ndarray, bool [n_contacts]
        All samples are finite.
    flat : ndarray, bool [n_contacts]
        Nothing moves beyond the converter's steps.
    peak_uv : ndarray, float32 [n_contacts]
        Largest distance from zero, µV.
    at_extreme : ndarray, float64 [n_contacts]
        Share of samples that equal the block's highest or its lowest value, whichever is more.
    level_db, change_db : ndarray, float64 [n_contacts]
        Standard deviation, and root mean square from one sample to the next: dB above 1 µV.
    mains_db : ndarray, float64 [n_contacts]
        Mains and its harmonics from one sample to the next: dB above 1 µV.
    mains_share : ndarray, float64 [n_contacts]
        Their share of the power from one sample to the next, 0 to about 1.
    correlation : ndarray, float64 [n_pairs]
        Of the pairs, between changes of the signal from one mains period to the next.
    """

    finite: Mask
    flat: Mask
    peak_uv: Floats
    at_extreme: Doubles
    level_db: Doubles
    change_db: Doubles
    mains_db: Doubles
    mains_share: Doubles
    correlation: Doubles


class BlockMeasures:
    """Measures blocks of one length.

    The signal's changes from one sample to the next are looked at beside its level: of a 1/f
    signal they are nearly white, and so vary little from block to block. Correlations are taken
    between means over one mains period, which hold no mains: hum that two dead contacts share
    is no sign of life.

    Parameters
    ----------
    block_samples : int
        Samples a block.
    sfreq_hz : float
        Their rate, Hz.
    mains_hz : float or None
        Mains frequency, Hz; None to look for 50 and 60 Hz.
    first, second : ndarray, int64 [n_pairs]
        Contacts whose correlation is asked for.
    """

    def __init__(
        self,
        block_samples: int,
        sfreq_hz: float,
        mains_hz: float | None,
        first: npt.NDArray[np.int64],
        second: npt.NDArray[np.int64],
    ) -> None:
        families = _MAINS_EVERYWHERE_HZ if mains_hz is None else (mains_hz,)
        n_changes = block_samples - 1
        taper = np.hanning(n_changes)
        self._waves = [wave for hz in families if (wave := _waves(hz, taper, sfreq_hz)) is not None]
        # Power of a tapered sine of amplitude a: |product|² = a² sum(w)² / 4, of which a² / 2.
        self._power_of_product = 2 / taper.sum() ** 2
        self._power_weights = (taper**2 / (taper**2).sum()).astype(np.float32)
        self._first, self._second = first, second
        self._period = max(1, round(sfreq_hz / families[-1]))
        self._n_periods = block_samples // self._period

    def __call__(self, block: Floats) -> Measured:
        """Measure a block.

        Parameters
        ----------
        block : ndarray, float32 [n_contacts, block_samples]
            µV; not changed.
        """
        # Not-finite samples make their own contact's numbers NaN: no cause to warn.
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            finite: Mask = np.logical_and.reduce(np.isfinite(block), axis=1)
            centred = block - block.mean(axis=1, keepdims=True)
            changes = np.diff(block, axis=1)
            high, low = block.max(axis=1), block.min(axis=1)
            extremes = [np.equal(block, edge[:, None]).mean(axis=1) for edge in (high, low)]
            mains, share = self._mains(changes)
            return Measured(
                finite,
                _flat(changes, high - low),
                np.maximum(high, -low),
                np.maximum(*extremes),
                _decibel(_power(centred)),
                _decibel(_power(changes)),
                _decibel(mains),
                share,
                self._correlation(centred),
            )

    def _mains(self, changes: Floats) -> tuple[Doubles, Doubles]:
        """Power of the mains and its share: of the mains frequency that has more of it."""
        total = (np.square(changes) @ self._power_weights).astype(np.float64)
        mains = np.zeros_like(total)
        for waves in self._waves:
            products = (changes @ waves).astype(np.float64)
            mains = np.maximum(mains, np.square(products).sum(axis=1) * self._power_of_product)
        return mains, mains / total

    def _correlation(self, centred: Floats) -> Doubles:
        if self._n_periods <= _FEWEST_POINTS:
            return np.full(self._first.shape, np.nan)
        periods = centred[:, : self._n_periods * self._period]
        means = periods.reshape(len(centred), self._n_periods, self._period).mean(axis=2)
        steps = np.diff(means, axis=1)
        steps -= steps.mean(axis=1, keepdims=True)
        steps /= np.sqrt(np.square(steps).sum(axis=1, keepdims=True))
        products = steps[self._first] * steps[self._second]
        return np.asarray(products.sum(axis=1), np.float64)


def _waves(mains_hz: float, taper: Doubles, sfreq_hz: float) -> Floats | None:
    """Tapered cosines and sines of the mains and its harmonics: float32 [n_samples, n_waves]."""
    harmonics_hz = mains_hz * np.arange(1, _HARMONICS + 1)
    harmonics_hz = harmonics_hz[harmonics_hz < sfreq_hz / 2]
    if not harmonics_hz.size:
        return None
    angle = 2 * np.pi / sfreq_hz * np.arange(taper.size)[:, None] * harmonics_hz
    waves = np.hstack([np.cos(angle), np.sin(angle)]) * taper[:, None]
    return np.asarray(waves, np.float32)


def _flat(changes: Floats, span_uv: Floats) -> Mask:
    flat: Mask = span_uv == 0
    stands = changes == 0
    for row in np.flatnonzero(~flat & (stands.mean(axis=1) > _REPEATS_OF_FLAT)):
        quantum = np.abs(changes[row][~stands[row]]).min()
        flat[row] = span_uv[row] <= _FLAT_QUANTA * quantum
    return flat


def _power(signal: Floats) -> Doubles:
    squares = np.einsum("ct,ct->c", signal, signal).astype(np.float64)
    return np.asarray(squares / signal.shape[1])


def _decibel(power: Doubles) -> Doubles:
    return np.asarray(10 * np.log10(power))
