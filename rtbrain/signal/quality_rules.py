"""Rules that say of each contact whether a block of its raw signal can be believed, and why not.

Absolute rules look at a contact alone; relative rules compare it with the contacts of its kind.
The limits were chosen on synthetic patients (blinks, movements and mains among what is normal)
so that normal signal stays clear of them, and checked on recorded sEEG and ECoG.
"""

import numpy as np
import numpy.typing as npt

from rtbrain.signal.quality_measures import Measured
from rtbrain.types import Mask

__all__ = ["ABSOLUTE", "REASONS", "AbsoluteRules", "Codes", "RelativeRules", "ShaftCorrelation"]

Codes = npt.NDArray[np.int8]
Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

REASONS = ("", "not finite", "flat", "saturated", "mains", "noisy", "quiet", "uncorrelated")
ABSOLUTE = frozenset({1, 2, 3})  # numbers of the reasons that need no comparison
_FINE, _NOT_FINITE, _FLAT, _SATURATED, _MAINS, _NOISY, _QUIET, _UNCORRELATED = range(8)

# A signal that moves freely meets its highest value once or twice a block; one that is cut off at
# a rail stays there. A fifth leaves room for converters whose steps are coarse.
_SHARE_AT_RAIL = 0.2
# Robust standard deviations from the median of the contacts of a kind; normal contacts of a
# synthetic montage reach 4.2 in level and 5 in change on the high side in single blocks.
_DEVIATIONS = 5.0
# However alike the others are, less than this is no fault: ten times the level and 5.6 times the
# change from sample to sample. Normal contacts were seen to reach 15, 8 and 9 dB.
_LEAST_LEVEL_DB = 20.0
_LEAST_CHANGE_DB = 15.0
_LEAST_MAINS_DB = 14.0
# Hum that the notches can take out is no fault: it must also drown the rest. A contact with three
# times the usual hum was seen to reach 0.81.
_MAINS_SHARE = 0.9
# Contacts of one kind needed to compare them, and how many of them must be good for these alone
# to say what is normal; of fewer, nobody would ever be found good again.
_FEWEST_CONTACTS = 4
_FEWEST_GOOD = 2
# Neighbours correlate by 0.4 and more in every normal block average of a synthetic montage; dead
# contacts by less than 0.2. A montage whose lower quartile is below 0.4 (as of few contacts after
# an average reference) does not tell dead from alive.
_CORRELATED = 0.4
_UNCORRELATED_BELOW = 0.2
_QUARTILE = 0.25
# Blocks over which correlations are averaged, and the fewest that will do: single blocks of
# neighbours were seen between -0.7 and 1.
_AVERAGED_BLOCKS = 8
_FEWEST_BLOCKS = 4


class AbsoluteRules:
    """Not finite, flat, saturated: what no living contact is, whatever the others do."""

    def __call__(self, measured: Measured) -> Codes:
        """Give the rule that each contact breaks: int8 [n_contacts], into `REASONS`.

        Parameters
        ----------
        measured : Measured
            Numbers of a block.
        """
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


class RelativeRules:
    """Mains, noisy, quiet, uncorrelated: each against the contacts of the same kind.

    Parameters
    ----------
    kinds : sequence of str
        Kind of each contact.
    """

    def __init__(self, kinds: tuple[str, ...]) -> None:
        array = np.asarray(kinds)
        self._groups = [array == kind for kind in dict.fromkeys(kinds)]

    def __call__(
        self, measured: Measured, correlation: Doubles, alive: Mask, good: Mask
    ) -> tuple[Codes, Mask]:
        """Give the rule that each contact breaks, and which contacts could be judged.

        Parameters
        ----------
        measured : Measured
            Numbers of a block.
        correlation : ndarray, float64 [n_contacts]
            Of each contact with its shaft; NaN where unknown.
        alive : ndarray, bool [n_contacts]
            Contacts that break no absolute rule.
        good : ndarray, bool [n_contacts]
            Those of them that were not bad before: they say what is normal.

        Returns
        -------
        codes : ndarray, int8 [n_contacts]
            Into `REASONS`.
        judged : ndarray, bool [n_contacts]
            Enough contacts of its kind are alive to compare it with.
        """
        codes = np.full(alive.shape, _FINE, np.int8)
        judged = np.zeros(alive.shape, np.bool_)
        for group in self._groups:
            if np.count_nonzero(group & alive) < _FEWEST_CONTACTS:
                continue
            normal = group & good
            if np.count_nonzero(normal) < _FEWEST_GOOD:
                normal = group & alive
            judged |= group
            found = self._broken(measured, correlation, normal)
            codes[group] = found[group]
        return codes, judged

    def _broken(self, measured: Measured, correlation: Doubles, normal: Mask) -> Codes:
        # Contacts that are not finite or flat have NaN or minus infinity here: their own rules
        # speak for them.
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


def _beyond(values_db: Doubles, normal: Mask, least_db: float) -> npt.NDArray[np.int64]:
    """Tell which values lie out of the normal range: 1 above, -1 below, 0 within or NaN."""
    middle = np.median(values_db[normal])
    distance = values_db - middle
    robust_std = 1.4826 * np.median(np.abs(distance[normal]))
    limit = max(_DEVIATIONS * robust_std, least_db)
    return np.asarray((distance > limit).astype(np.int64) - (distance < -limit))


def _uncorrelated(correlation: Doubles, normal: Mask) -> Mask:
    known = correlation[normal & np.isfinite(correlation)]
    if known.size < _FEWEST_CONTACTS or np.quantile(known, _QUARTILE) < _CORRELATED:
        return np.zeros(normal.shape, np.bool_)
    return np.asarray(correlation < _UNCORRELATED_BELOW)


class ShaftCorrelation:
    """Best correlation of each contact with those near it on its shaft, averaged over blocks.

    The sign is dropped after averaging: contacts of a bipolar montage are neighbours too.

    Parameters
    ----------
    n_contacts : int
        How many contacts there are.
    first, second : ndarray, int64 [n_pairs]
        Contacts that are near each other.
    """

    def __init__(self, n_contacts: int, first: Rows, second: Rows) -> None:
        self._n_contacts = n_contacts
        self._first, self._second = first, second
        self._seen = np.full((_AVERAGED_BLOCKS, first.size), np.nan)
        self._at = 0

    def __call__(self, correlation: Doubles, usable: Mask) -> Doubles:
        """Take a block in; best correlation so far: float64 [n_contacts], NaN where unknown.

        Parameters
        ----------
        correlation : ndarray, float64 [n_pairs]
            Of the block; NaN where unknown.
        usable : ndarray, bool [n_contacts]
            Contacts that others may be compared with.
        """
        self._seen[self._at] = correlation
        self._at = (self._at + 1) % _AVERAGED_BLOCKS
        known = np.isfinite(self._seen)
        n_known = known.sum(axis=0)
        mean = np.abs(np.where(known, self._seen, 0).sum(axis=0) / np.maximum(n_known, 1))
        mean[n_known < _FEWEST_BLOCKS] = -1
        best = np.full(self._n_contacts, -1.0)
        for one, other in ((self._first, self._second), (self._second, self._first)):
            np.maximum.at(best, one, np.where(usable[other], mean, -1))
        best[best < 0] = np.nan
        return best
