"""Stamps of a recorded stream brought to the recorder's clock.

The recorder compared the clocks every few seconds. Where neither clock was set anew, they differ
by a line; it is fitted so that single comparisons that took long do not bend it.

References
----------
Kothe et al. 2024, The Lab Streaming Layer for synchronized multimodal recording,
https://doi.org/10.1101/2024.02.13.580071
Boyd et al. 2011, Distributed optimization and statistical learning via the alternating direction
method of multipliers, section 6.1.1 (Huber fitting), https://doi.org/10.1561/2200000016
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rtbrain.types import Times

__all__ = ["to_recorder_clock"]

# A comparison this late, and this far off, is that of a clock that was set anew: seconds, and
# median absolute deviations.
_LATE_S, _LATE_MADS = 5.0, 5.0
_OFF_S, _OFF_MADS = 1.0, 10.0
# Offsets further off the line than this count by their distance, no longer by its square.
_HUBER_S = 1e-4
_ROUNDS = 1000

Mask = npt.NDArray[np.bool_]


def to_recorder_clock(stamps: Times, times_s: list[float], offsets_s: list[float]) -> None:
    """Add the clock's offset to stamps, in place.

    Parameters
    ----------
    stamps : ndarray, float64 [n_samples]
        Seconds, clock of the sender.
    times_s, offsets_s : list of float
        When the clocks were compared, on the sender's, and what was to be added then.
    """
    if not (stamps.size and times_s):
        return
    times, offsets = np.array(times_s), np.array(offsets_s)
    edges = [0, *(np.flatnonzero(_set_anew(times, offsets)) + 1).tolist(), times.size]
    at = 0
    for first, stop in pairwise(edges):
        end = stamps.size
        if stop < times.size:
            # A stamp belongs to the clock whose comparison is nearer.
            to_this = np.abs(stamps[at:] - times[stop - 1])
            further = np.flatnonzero(to_this >= np.abs(stamps[at:] - times[stop]))
            end = at + int(further[0]) if further.size else stamps.size
        origin_s, level_s, slope = _line(times[first:stop], offsets[first:stop])
        # Step by step: of a long recording even the stamps are large.
        added_s = stamps[at:end] - origin_s
        added_s *= slope
        added_s += level_s
        stamps[at:end] += added_s
        at = end


def _set_anew(times: Times, offsets: Times) -> Mask:
    """Whether a clock was set between each comparison and the next, bool [n - 1]."""
    if times.size < 2:
        return np.zeros(0, np.bool_)
    late = _outlying(np.diff(times), _LATE_S, _LATE_MADS)
    off = _outlying(np.diff(offsets), _OFF_S, _OFF_MADS)
    back: Mask = np.diff(times) < 0
    return back | (late & off)


def _outlying(values: Times, least: float, least_mads: float) -> Mask:
    distance = np.abs(values - np.median(values))
    mad = np.median(distance) + np.finfo(np.float64).eps
    outlying: Mask = (distance > least) & (distance > least_mads * mad)
    return outlying


def _line(times: Times, offsets: Times) -> tuple[float, float, float]:
    """Huber fit: origin in s, offset there in s, slope; the alternating directions of Boyd."""
    middle_s = float(times.min() + times.max()) / 2
    half_s = float(times.max() - times.min()) / 2
    if half_s == 0:
        return middle_s, float(np.median(offsets)), 0.0
    design = np.stack([np.ones(times.size), (times - middle_s) / half_s], 1)
    solve = np.linalg.pinv(design)
    wanted = offsets / _HUBER_S
    residual = np.zeros(times.size)
    dual = np.zeros(times.size)
    fit = np.zeros(2)
    for _ in range(_ROUNDS):
        fit = solve @ (wanted + residual - dual)
        proposed = design @ fit - wanted + dual
        beyond = np.sign(proposed) * np.maximum(np.abs(proposed) - 2, 0)
        residual = (proposed + beyond) / 2
        dual = proposed - residual
    return middle_s, float(fit[0]) * _HUBER_S, float(fit[1]) * _HUBER_S / half_s
