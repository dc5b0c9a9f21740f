"""Rules that judge a block of raw signal, contact by contact.

Absolute rules look at a contact alone; relative rules compare it with the contacts of its kind.
The limits were chosen on synthetic patients (blinks, movements and mains among what is normal)
so that normal signal stays clear of them, and checked on recorded sEEG and ECoG.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Floats, Ints, Mask

_HARMONICS = 3
# A signal that moves by no more than two steps of the converter is flat; a little more, since
# scaling in floating point blurs the steps.
_FLAT_QUANTA = 2.5
# A signal that repeats a smaller share of its samples is too fine to count its steps.
_REPEATS_OF_FLAT = 0.25
# Points that a correlation over a block needs at least.
_MIN_POINTS = 4
_MAINS_EVERYWHERE_HZ = (50.0, 60.0)
QualityCodes = npt.NDArray[np.int8]
Names = npt.NDArray[np.str_]
QUALITY_REASONS = ("", "not finite", "flat", "saturated", "mains", "noisy", "quiet", "uncorrelated")
ABSOLUTE = frozenset({1, 2, 3})  # numbers of the reasons that need no comparison
_FINE, _NOT_FINITE, _FLAT, _SATURATED, _MAINS, _NOISY, _QUIET, _UNCORRELATED = range(8)
# A free signal reaches its highest value once or twice per block; a clipped one stays there. A
# fifth leaves room for converters with coarse steps.
_SHARE_AT_RAIL = 0.2
# Robust standard deviations from the median of the contacts of a kind; normal contacts of a
# synthetic montage reach 4.2 in level and 5 in change on the high side in single blocks.
_DEVIATIONS = 5.0
# However similar the others are, less than this is no fault: ten times the level and 5.6 times
# the change from sample to sample. Normal contacts reach 15, 8 and 9 dB.
_LEAST_LEVEL_DB = 20.0
_LEAST_CHANGE_DB = 15.0
_LEAST_MAINS_DB = 14.0
# Hum that the notches can remove is no fault: it must also drown the rest. A contact with three
# times the usual hum reaches 0.81.
_MAINS_SHARE = 0.9
# Contacts of one kind needed to compare them, and how many must be good to define alone what is
# normal; with fewer, no contact would ever become good again.
_MIN_CONTACTS = 4
_MIN_GOOD = 2
# Neighbours correlate by 0.4 and more in every normal block average of a synthetic montage; dead
# contacts by less than 0.2. A montage whose lower quartile is below 0.4 (such as few contacts
# after an average reference) does not separate dead from alive.
_CORRELATED = 0.4
_UNCORRELATED_BELOW = 0.2
_QUARTILE = 0.25
# Blocks over which correlations are averaged, and the fewest needed: single blocks of neighbours
# range from -0.7 to 1.
_AVERAGED_BLOCKS = 8
_MIN_BLOCKS = 4


@dataclass(frozen=True, slots=True, eq=False)
class BlockMeasurements:
    """Numbers of one block, one row per contact; NaN for contacts with non-finite samples."""

    finite: Mask
    flat: Mask
    peak_uv: Floats  # float32 [n_contacts]
    at_extreme: Doubles  # float64 [n_contacts]
    level_db: Doubles  # float64 [n_contacts]
    change_db: Doubles  # float64 [n_contacts]
    mains_db: Doubles  # float64 [n_contacts]
    mains_share: Doubles  # float64 [n_contacts]
    correlation: Doubles  # float64 [n_pairs]


class BlockMeasures:
    """Measures blocks of one length.

    Beside the level, the changes from one sample to the next are measured: for a 1/f signal they
    are nearly white and so vary little from block to block. Correlations are between means over
    one mains period, which hold no mains: hum shared by two dead contacts is no sign of life.
    """

    def __init__(
        self, block_samples: int, sfreq_hz: float, mains_hz: float | None, first: Ints, second: Ints
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
        self._scratch: list[Floats] = []  # kept: new pages cost more than what is computed in them
        self._truths: Mask | None = None

    def __call__(self, block: Floats) -> BlockMeasurements:
        """Measure a block."""
        if self._truths is None or self._truths.shape != block.shape:
            self._truths = np.empty(block.shape, np.bool_)
            self._scratch = [
                np.empty((len(block), block.shape[1] - n), np.float32) for n in (0, 1, 1)
            ]
        truths, (centred, changes, squares) = self._truths, self._scratch
        # Non-finite samples make their own contact's numbers NaN.
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            high, low = block.max(axis=1), block.min(axis=1)
            finite: Mask = np.isfinite(high) & np.isfinite(low)
            np.subtract(block, block.mean(axis=1, keepdims=True), out=centred)
            np.subtract(block[:, 1:], block[:, :-1], out=changes)
            extremes = [_share(np.equal(block, edge[:, None], out=truths)) for edge in (high, low)]
            mains, share = self._mains(changes, np.square(changes, out=squares))
            stands = np.equal(changes, 0, out=truths[:, 1:])
            return BlockMeasurements(
                finite,
                _flat(changes, stands, high - low),
                np.maximum(high, -low),
                np.maximum(*extremes),
                _decibel(_power(centred)),
                _decibel(_power(changes)),
                _decibel(mains),
                share,
                self._correlation(centred),
            )

    def _mains(self, changes: Floats, squares: Floats) -> tuple[Doubles, Doubles]:
        """Power of the mains and its share, for the stronger of the mains frequencies."""
        total = (squares @ self._power_weights).astype(np.float64)
        mains = np.zeros_like(total)
        for waves in self._waves:
            products = (changes @ waves).astype(np.float64)
            mains = np.maximum(mains, np.square(products).sum(axis=1) * self._power_of_product)
        return mains, mains / total

    def _correlation(self, centred: Floats) -> Doubles:
        if self._n_periods <= _MIN_POINTS:
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


def _flat(changes: Floats, stands: Mask, span_uv: Floats) -> Mask:
    flat: Mask = span_uv == 0
    for row in np.flatnonzero(~flat & (_share(stands) > _REPEATS_OF_FLAT)):
        quantum = np.abs(changes[row][~stands[row]]).min()
        flat[row] = span_uv[row] <= _FLAT_QUANTA * quantum
    return flat


def _share(which: Mask) -> Doubles:
    # Sums of truth values in floating point take twice as long.
    return np.asarray(np.add.reduce(which, axis=1, dtype=np.int32) / which.shape[1])


def _power(signal: Floats) -> Doubles:
    squares = np.einsum("ct,ct->c", signal, signal).astype(np.float64)
    return np.asarray(squares / signal.shape[1])


def _decibel(power: Doubles) -> Doubles:
    return np.asarray(10 * np.log10(power))


def absolute_codes(measured: BlockMeasurements) -> QualityCodes:
    """Rule that each contact breaks, of those that no living contact does: int8 [n_contacts]."""
    codes = np.full(measured.finite.shape, _FINE, np.int8)
    with np.errstate(invalid="ignore"):
        codes[measured.at_extreme >= _SHARE_AT_RAIL] = _SATURATED
        codes[measured.flat] = _FLAT
        alive = (codes == _FINE) & measured.finite
        if alive.any():
            # A rail lies farther out than anything that moves.
            highest = measured.peak_uv[alive].max()
            codes[measured.flat & (measured.peak_uv > highest)] = _SATURATED
    codes[~measured.finite] = _NOT_FINITE
    return codes


def relative_codes(
    measured: BlockMeasurements, correlation: Doubles, kinds: Names, alive: Mask, good: Mask
) -> tuple[QualityCodes, Mask]:
    """Rule that each contact breaks, compared with its kind, and which contacts could be judged."""
    codes = np.full(alive.shape, _FINE, np.int8)
    judged = np.zeros(alive.shape, np.bool_)
    for kind in np.unique(kinds):
        group = kinds == kind
        if np.count_nonzero(group & alive) < _MIN_CONTACTS:
            continue
        normal = group & good
        if np.count_nonzero(normal) < _MIN_GOOD:
            normal = group & alive
        judged |= group
        codes[group] = _codes_beside(measured, correlation, normal)[group]
    return codes, judged


def _codes_beside(measured: BlockMeasurements, correlation: Doubles, normal: Mask) -> QualityCodes:
    # Contacts that are not finite or flat have NaN or minus infinity here, and rules of their own.
    with np.errstate(invalid="ignore"):
        level = _beyond(measured.level_db, normal, _LEAST_LEVEL_DB)
        change = _beyond(measured.change_db, normal, _LEAST_CHANGE_DB)
        mains = _beyond(measured.mains_db, normal, _LEAST_MAINS_DB)
        drowned = measured.mains_share > _MAINS_SHARE
        codes = np.full(normal.shape, _FINE, np.int8)
        codes[_uncorrelated(correlation, normal)] = _UNCORRELATED
        codes[(level < 0) | (change < 0)] = _QUIET
        codes[(level > 0) | (change > 0)] = _NOISY
        codes[((mains > 0) | (codes == _NOISY)) & drowned] = _MAINS
    return codes


def _beyond(values_db: Doubles, normal: Mask, least_db: float) -> Ints:
    """Which values lie outside the normal range: 1 above, -1 below, 0 within or NaN."""
    middle = np.median(values_db[normal])
    distance = values_db - middle
    robust_std = 1.4826 * np.median(np.abs(distance[normal]))
    limit = max(_DEVIATIONS * robust_std, least_db)
    return np.asarray((distance > limit).astype(np.int64) - (distance < -limit))


def _uncorrelated(correlation: Doubles, normal: Mask) -> Mask:
    known = correlation[normal & np.isfinite(correlation)]
    if known.size < _MIN_CONTACTS or np.quantile(known, _QUARTILE) < _CORRELATED:
        return np.zeros(normal.shape, np.bool_)
    return np.asarray(correlation < _UNCORRELATED_BELOW)


class ShaftCorrelation:
    """Best correlation of each contact with those near it on its shaft, averaged over blocks.

    The sign is dropped after averaging: neighbours of a bipolar montage are anticorrelated.
    """

    def __init__(self, n_contacts: int, first: Ints, second: Ints) -> None:
        self._n_contacts = n_contacts
        self._first, self._second = first, second
        self._seen = np.full((_AVERAGED_BLOCKS, first.size), np.nan)
        self._at = 0

    def __call__(self, correlation: Doubles, usable: Mask) -> Doubles:
        """Add a block; best correlation so far: float64 [n_contacts], NaN where unknown."""
        self._seen[self._at] = correlation
        self._at = (self._at + 1) % _AVERAGED_BLOCKS
        known = np.isfinite(self._seen)
        n_known = known.sum(axis=0)
        mean = np.abs(np.where(known, self._seen, 0).sum(axis=0) / np.maximum(n_known, 1))
        mean[n_known < _MIN_BLOCKS] = -1
        best = np.full(self._n_contacts, -1.0)
        for one, other in ((self._first, self._second), (self._second, self._first)):
            np.maximum.at(best, one, np.where(usable[other], mean, -1))
        best[best < 0] = np.nan
        return best
