"""What is remembered of the samples that came last, to know one that comes again."""

import math

import numpy as np
import numpy.typing as npt

from rtbrain.types import Floats, Mask, Times

Digests = npt.NDArray[np.uint64]
_LEAST_SAMPLES = 64
_SAME_SAMPLES = 0.5
_FLAT_SAMPLES = 4


def digests(data: Floats) -> Digests:
    """Digest of each sample, uint64 [n_samples]: equal only, nearly always, for equal samples."""
    bits = np.ascontiguousarray(data).view(np.uint32)
    marks: Digests = bits.sum(axis=0, dtype=np.uint64)
    return marks


class RecentSamples:
    """Number, time and digest of the samples of the last stretch, in bounded memory."""

    def __init__(self, length_s: float, sfreq_hz: float) -> None:
        capacity = max(_LEAST_SAMPLES, math.ceil(length_s * sfreq_hz))
        self._apart_s = _SAME_SAMPLES / sfreq_hz
        self._numbers = np.full(capacity, -1, np.int64)
        self._times = np.full(capacity, np.nan)
        self._digests = np.zeros(capacity, np.uint64)
        self._at = 0

    def add(self, first_number: int, times: Times, marks: Digests) -> None:
        """Remember consecutive samples; the oldest make room."""
        capacity = self._numbers.size
        skip = max(0, times.size - capacity)
        n_new = times.size - skip
        slots = (self._at + np.arange(n_new)) % capacity
        self._numbers[slots] = first_number + skip + np.arange(n_new)
        self._times[slots] = times[skip:]
        self._digests[slots] = marks[skip:]
        self._at = int(self._at + n_new) % capacity

    def holds(self, time_s: float, mark: int) -> bool:
        """Whether a sample with this content was delivered at this time."""
        near = np.abs(self._times - time_s) <= self._apart_s
        return bool((self._digests[near] == np.uint64(mark)).any())

    def skipped(self, number: int) -> bool:
        """Whether this number lies among those remembered and was never delivered."""
        oldest = self._numbers[self._at]  # -1 while there is room
        if oldest < 0:
            oldest = self._numbers[0]
        return bool(oldest < number) and not bool((self._numbers == number).any())


class Flatness:
    """Where a signal stays the same, so that samples cannot be told apart by their content.

    That is from the fourth equal sample in a row on; from the second on where several samples
    share one time stamp, as those of a sender that stamps whole chunks do: there, a packet that
    comes twice begins again with another sample than it ended with.
    """

    def __init__(self) -> None:
        self._stamp, self._mark = np.nan, np.uint64(0)
        self._n_received = self._n_same = 0
        self._shared = False

    def __call__(self, stamps: Times, marks: Digests) -> Mask:
        """Flat or not, bool [n_samples], of samples in order of arrival."""
        if not stamps.size:
            return np.zeros(0, np.bool_)
        number = np.arange(stamps.size)
        moved = marks != np.append(self._mark, marks[:-1])
        moved[0] |= self._n_received == 0
        last_move = np.maximum.accumulate(np.where(moved, number, -self._n_same))
        n_same = number - last_move + 1
        shares = stamps == np.append(self._stamp, stamps[:-1])
        # Samples of other content at one time show it, or a stream that never moved so far.
        shared = np.logical_or.accumulate(shares & moved) | self._shared
        shared |= n_same > self._n_received + number
        flat: Mask = (n_same >= _FLAT_SAMPLES) | (shares & shared & ~moved)
        self._stamp, self._mark = stamps[-1], marks[-1]
        self._n_received += stamps.size
        self._n_same = int(n_same[-1])
        self._shared |= bool((shares & moved).any())
        return flat
