"""Channels that are not contacts, by what they measure."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from rtbrain.types import Doubles, Floats, Mask

_MIN_OTHERS = 4
# A trigger has a few levels where contacts have thousands.
_FEW_LEVELS, _SOME_LEVELS, _MORE_LEVELS = 8, 32, 10
# Between-class variance of the best threshold, over all variance: 0.64 for a normal distribution,
# 0.75 for a drift, 0.81 for a sine. A jump of the offset crosses the threshold once.
_TWO_LEVELS, _MIN_CROSSINGS = 0.9, 6
_TIMES_LARGER = 50.0
# Bands, Hz, between which the power of a brain falls, and by how much, dB.
_LOW_HZ, _HIGH_HZ = (2.0, 8.0), (50.0, 150.0)
_FALLS_DB, _FLAT_DB = 12.0, 3.0


def unlike_contacts(pieces: Sequence[Floats], sfreq_hz: float) -> dict[int, str]:
    """Rows that measure no brain, and why: triggers, photodiodes, devices in an input.

    `pieces` are stretches of about 1 s from all over a recording of contacts, float32 [n_channels,
    n_samples] in µV. A row is compared with the others: it has a few levels, changes between two,
    is 50 times as large, or is as loud at 50 to 150 Hz as at 2 to 8 Hz where theirs falls. None is
    found among fewer than five.
    """
    if not pieces or pieces[0].shape[0] <= _MIN_OTHERS:
        return {}
    whole = np.concatenate(pieces, axis=1).astype(np.float64)
    finite: Mask = np.asarray(np.isfinite(whole).all(axis=1))
    whole = np.where(finite[:, np.newaxis], whole, 0.0)
    starts = np.cumsum([0, *(piece.shape[1] for piece in pieces)])
    ordered = np.sort(whole, axis=1)
    levels = 1 + np.count_nonzero(ordered[:, 1:] != ordered[:, :-1], axis=1)
    spans = list(pairwise(starts.tolist()))
    sizes = np.sqrt(np.mean([whole[:, a:b].var(axis=1) for a, b in spans], axis=0))
    falls = _falls_db([whole[:, a:b] for a, b in spans], sfreq_hz)
    alive = finite & (levels > 1)
    found = {}
    for row in np.flatnonzero(alive):
        others = np.flatnonzero(alive & (np.arange(alive.size) != row))
        if others.size < _MIN_OTHERS:
            return {}
        typical = float(np.median(sizes[others]))
        few = levels[row] <= _FEW_LEVELS or (
            levels[row] <= _SOME_LEVELS and whole[row].std() > 2 * typical
        )
        if few and np.median(levels[others]) > _MORE_LEVELS * levels[row]:
            found[int(row)] = f"takes {levels[row]} values"
        elif sizes[row] > _TIMES_LARGER * typical > 0:
            found[int(row)] = f"is {sizes[row] / typical:.0f} times as large as the others"
        elif _is_two_levels(whole[row], ordered[row]):
            found[int(row)] = "changes between two levels"
        elif falls[row] < _FLAT_DB and np.median(falls[others]) > _FALLS_DB:
            found[int(row)] = "has no spectrum of a brain"
    return found


def _is_two_levels(values: Doubles, order: Doubles) -> bool:
    """Whether values change between two levels; `order` are the same in order."""
    n, sums = np.arange(1, order.size), np.cumsum(order)[:-1]
    below = sums / n
    above = (order.sum() - sums) / (order.size - n)
    share = n / order.size
    between = share * (1 - share) * (above - below) ** 2
    best = int(between.argmax())
    if between[best] < _TWO_LEVELS * values.var():
        return False
    is_above = values > (below[best] + above[best]) / 2
    return bool(np.count_nonzero(np.diff(is_above.astype(np.int8))) >= _MIN_CROSSINGS)


def _falls_db(pieces: Sequence[Doubles], sfreq_hz: float) -> Doubles:
    """How far the median power falls from the low band to the high one, dB [n_channels]."""
    n_samples = min(piece.shape[1] for piece in pieces)
    freqs = np.fft.rfftfreq(n_samples, 1 / sfreq_hz)
    low = (freqs >= _LOW_HZ[0]) & (freqs <= _LOW_HZ[1])
    high = (freqs >= _HIGH_HZ[0]) & (freqs <= min(_HIGH_HZ[1], 0.4 * sfreq_hz))
    if not (low.any() and high.any()):
        return np.full(pieces[0].shape[0], np.inf)
    cuts = [piece[:, :n_samples] for piece in pieces]
    taper = np.hanning(n_samples)
    power = np.mean(
        [np.abs(np.fft.rfft((cut - cut.mean(axis=1, keepdims=True)) * taper)) ** 2 for cut in cuts],
        axis=0,
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.median(power[:, low], axis=1) / np.median(power[:, high], axis=1)
        falls: Doubles = np.nan_to_num(10 * np.log10(ratio), nan=np.inf)
    return falls
