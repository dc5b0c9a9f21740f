"""Rules that judge a block of raw signal, contact by contact.

Absolute rules look at a contact alone; relative rules compare it with the contacts of its kind.
The limits were chosen on synthetic patients (blinks, movements and mains among what is normal)
so that normal signal stays clear of them, and checked on recorded sEEG and ECoG.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Floats, Ints, Mask

_PIECES = 8  # of a block
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
Masks = Sequence[Mask]
_Real = TypeVar("_Real", np.float32, np.float64)
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
    """Measures blocks of one length, an eighth at a time, so that no chunk carries all the work.

    Beside the level, the changes from one sample to the next are measured: for a 1/f signal they
    are nearly white and so vary little from block to block. Correlations are between means over
    one mains period, which hold no mains: hum shared by two dead contacts is no sign of life.
    """

    def __init__(
        self,
        n_contacts: int,
        block_samples: int,
        sfreq_hz: float,
        mains_hz: float | None,
        first: Ints,
        second: Ints,
    ) -> None:
        families = _MAINS_EVERYWHERE_HZ if mains_hz is None else (mains_hz,)
        taper = np.hanning(block_samples - 1)
        waves = [wave for hz in families if (wave := _waves(hz, taper, sfreq_hz)) is not None]
        self._n_waves = [wave.shape[1] for wave in waves]
        # A change belongs to the sample that it ends at: the first row is of none.
        joined = np.hstack(waves) if waves else np.empty((taper.size, 0), np.float32)
        self._waves = np.pad(joined, ((1, 0), (0, 0)))
        # Power of a tapered sine of amplitude a: |product|² = a² sum(w)² / 4, of which a² / 2.
        self._power_of_product = 2 / taper.sum() ** 2
        weights = np.stack((np.full(taper.size, 1 / taper.size), taper**2 / (taper**2).sum()))
        self._power_weights: Floats = np.pad(weights, ((0, 0), (1, 0))).T.astype(np.float32)
        self._first, self._second = first, second
        period = max(1, round(sfreq_hz / families[-1]))
        n_periods = block_samples // period
        at = np.arange(block_samples)[:, None] // period == np.arange(n_periods)
        means = np.hstack((at / period, np.full((block_samples, 1), 1 / block_samples)))
        self._averages: Floats = means.astype(np.float32)  # of each period, and of the block
        bounds = np.linspace(0, block_samples, _PIECES + 1).astype(np.int64).tolist()
        self._pieces = list(itertools.pairwise(bounds))
        self._high, self._low = np.empty((2, n_contacts), np.float32)
        self._at_high, self._at_low = np.empty((2, n_contacts), np.int32)  # samples there
        self._standing, self._squares = np.empty((2, n_contacts), np.float32)
        self._means = np.empty((n_contacts, n_periods + 1), np.float32)
        self._powers = np.empty((n_contacts, 2), np.float32)  # of the changes, plain and tapered
        self._products = np.empty((n_contacts, self._waves.shape[1]), np.float32)
        self._done = _PIECES  # pieces of the block that are measured

    def begin(self) -> None:
        """Begin a block."""
        self._done = 0
        self._high[:], self._low[:] = -np.inf, np.inf
        counts = self._at_high, self._at_low, self._standing
        for total in (*counts, self._squares, self._means, self._powers, self._products):
            total[:] = 0

    def add(self, block: Floats, n_held: int) -> None:
        """Measure those pieces of a block [n_contacts, n_samples] that its first samples fill."""
        # Non-finite samples make their own contact's numbers NaN.
        with np.errstate(invalid="ignore", over="ignore"):
            while self._done < _PIECES and self._pieces[self._done][1] <= n_held:
                self._add(block, *self._pieces[self._done])
                self._done += 1

    def _add(self, block: Floats, start: int, stop: int) -> None:
        raw = block[:, start:stop]
        for further, of_piece, so_far, n_there in (
            (np.maximum, raw.max(axis=1), self._high, self._at_high),
            (np.minimum, raw.min(axis=1), self._low, self._at_low),
        ):
            extreme = further(so_far, of_piece)
            n_there *= extreme == so_far
            n_there += (of_piece == extreme) * _count(raw == of_piece[:, None])
            so_far[:] = extreme
        signal = raw - block[:, :1]  # rounding of an offset would drown what is left
        self._squares += np.einsum("ct,ct->c", signal, signal)
        self._means += signal @ self._averages[start:stop]
        start = max(start, 1)
        changes = block[:, start:stop] - block[:, start - 1 : stop - 1]
        self._standing += _count(changes == 0)
        self._products += changes @ self._waves[start:stop]
        self._powers += np.square(changes, out=changes) @ self._power_weights[start:stop]

    def finish(self, block: Floats) -> BlockMeasurements:
        """Measurements of a block that is full."""
        n_samples = block.shape[1]
        high, low, powers = self._high, self._low, self._powers.astype(np.float64)
        finite: Mask = np.isfinite(high) & np.isfinite(low)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            level = self._squares / n_samples - np.square(self._means[:, -1], dtype=np.float64)
            mains = np.zeros(len(block))
            for products in np.split(self._products, np.cumsum(self._n_waves)[:-1], axis=1):
                power = np.square(products, dtype=np.float64).sum(axis=1) * self._power_of_product
                mains = np.maximum(mains, power)
            return BlockMeasurements(
                finite,
                self._flat(block),
                np.maximum(high, -low),
                np.maximum(self._at_high, self._at_low) / n_samples,
                _decibel(np.maximum(level, 0)),
                _decibel(powers[:, 0]),
                _decibel(mains),
                mains / powers[:, 1],
                self._correlation(),
            )

    def _flat(self, block: Floats) -> Mask:
        span_uv = self._high - self._low
        flat: Mask = span_uv == 0
        repeats = self._standing / (block.shape[1] - 1) > _REPEATS_OF_FLAT
        for row in np.flatnonzero(~flat & repeats):
            changes = np.abs(np.diff(block[row]))
            flat[row] = span_uv[row] <= _FLAT_QUANTA * changes[changes != 0].min()
        return flat

    def _correlation(self) -> Doubles:
        of_periods = self._means[:, :-1]
        if of_periods.shape[1] <= _MIN_POINTS:
            return np.full(self._first.shape, np.nan)
        steps = np.diff(of_periods, axis=1)
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


def _count(which: Mask) -> Ints:
    # Sums of truth values in floating point take twice as long.
    return np.asarray(np.add.reduce(which, axis=1, dtype=np.int32))


def medians(values: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Medians over the last axis, which stays, of length 1; in a tenth of the time of numpy's."""
    ordered, half = np.sort(values, axis=-1), values.shape[-1] // 2
    pair = ordered[..., [half - 1 + values.shape[-1] % 2, half]]
    found = np.asarray(pair.mean(axis=-1, keepdims=True), values.dtype)
    found[np.isnan(ordered[..., -1])] = np.nan
    return found


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
    measured: BlockMeasurements, correlation: Doubles, kinds: Masks, alive: Mask, good: Mask
) -> tuple[QualityCodes, Mask]:
    """Rule that each contact breaks, compared with its kind, and which contacts could be judged.

    `kinds` are the contacts of each kind.
    """
    codes = np.full(alive.shape, _FINE, np.int8)
    judged = np.zeros(alive.shape, np.bool_)
    for group in kinds:
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
    distance = values_db - medians(values_db[normal])
    robust_std = 1.4826 * float(medians(np.abs(distance[normal]))[0])
    limit = max(_DEVIATIONS * robust_std, least_db)
    return np.asarray((distance > limit).astype(np.int64) - (distance < -limit))


def _uncorrelated(correlation: Doubles, normal: Mask) -> Mask:
    known = correlation[normal & np.isfinite(correlation)]
    n_low = np.count_nonzero(known < _CORRELATED)
    if known.size < _MIN_CONTACTS or n_low > _QUARTILE * known.size:
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
