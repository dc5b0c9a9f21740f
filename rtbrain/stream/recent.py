"""The samples given last, by which the ledger knows one that comes again."""

import math

import numpy as np
import numpy.typing as npt

from rtbrain.types import Floats, Times

__all__ = ["Recent", "digests"]

Marks = npt.NDArray[np.uint64]

_LEAST_SAMPLES = 64
_SAME_SAMPLES = 0.5


def digests(data: Floats) -> Marks:
    """A number for each sample that is the same only where all channels are, as good as always.

    Parameters
    ----------
    data : ndarray, float32 [n_channels, n_samples]
        Microvolts; compared bit by bit, so that NaN equals NaN.

    Returns
    -------
    ndarray, uint64 [n_samples]
    """
    bits = np.ascontiguousarray(data).view(np.uint32)
    marks: Marks = bits.sum(axis=0, dtype=np.uint64)
    return marks


class Recent:
    """Number, time and digest of the samples of the last stretch, in bounded memory.

    Parameters
    ----------
    length_s : float
        How much is remembered, s.
    sfreq_hz : float
        Nominal rate in Hz.
    """

    def __init__(self, length_s: float, sfreq_hz: float) -> None:
        capacity = max(_LEAST_SAMPLES, math.ceil(length_s * sfreq_hz))
        self._apart_s = _SAME_SAMPLES / sfreq_hz
        self._numbers = np.full(capacity, -1, np.int64)
        self._times = np.full(capacity, np.nan)
        self._digests = np.zeros(capacity, np.uint64)
        self._at = 0

    def add(self, first_number: int, times: Times, marks: Marks) -> None:
        """Remember samples that follow one another; the oldest make room."""
        capacity = self._numbers.size
        skip = max(0, times.size - capacity)
        n_new = times.size - skip
        slots = (self._at + np.arange(n_new)) % capacity
        self._numbers[slots] = first_number + skip + np.arange(n_new)
        self._times[slots] = times[skip:]
        self._digests[slots] = marks[skip:]
        self._at = int(self._at + n_new) % capacity

    def holds(self, time_s: float, mark: int) -> bool:
        """Whether a sample with this content was given at this time."""
        near = np.abs(self._times - time_s) <= self._apart_s
        return bool((self._digests[near] == np.uint64(mark)).any())

    def skipped(self, number: int) -> bool:
        """Whether this number lies among those remembered and was never given."""
        oldest = self._numbers[self._at]  # -1 while there is room
        if oldest < 0:
            oldest = self._numbers[0]
        return bool(oldest < number) and not bool((self._numbers == number).any())
