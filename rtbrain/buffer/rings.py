"""The newest samples and their stamps, kept in place: what both kinds of windows are cut from."""

import numpy as np

from rtbrain.types import Floats, Times

# Stamps that go back by less are jitter of the sender or of the clock mapping.
_SET_BACK_S = 1.0
# A moment further than this from the nearest stamp belongs to no sample: the stamps jump there.
_FAR_S = 0.05


class Ring:
    """Keeps the last samples and shows any number of them as one view, without copying.

    Each sample is written twice, one capacity apart, so that the newest samples are always
    contiguous somewhere and the buffer is never moved.
    """

    def __init__(self, n_channels: int, capacity_samples: int) -> None:
        if capacity_samples < 1:
            raise ValueError(f"ring: capacity must be 1 sample or more, got {capacity_samples}")
        self._n_channels = n_channels
        self._capacity = capacity_samples
        self.reset()

    def push(self, data: Floats) -> None:
        """Append samples, float32 [n_channels, n_samples]; the oldest are overwritten."""
        if data.shape[0] != self._n_channels:
            raise ValueError(
                f"ring: expected {self._n_channels} channels, got an array of shape {data.shape}"
            )
        data = data[:, -self._capacity :]
        n_to_edge = min(self._capacity - self._at, data.shape[1])
        self._write(data[:, :n_to_edge])
        self._write(data[:, n_to_edge:])

    def last(self, n_samples: int) -> Floats:
        """Newest samples, NaN where none has arrived yet: float32 [n_channels, n_samples].

        The read-only view is valid until more than ``capacity - n_samples`` samples have been
        pushed since; after a reset, forever.
        """
        if not 0 <= n_samples <= self._capacity:
            raise ValueError(
                f"ring: expected 0 to {self._capacity} samples to look back, got {n_samples}"
            )
        stop = self._at + self._capacity
        view = self._buffer[:, stop - n_samples : stop]
        view.flags.writeable = False
        return view

    def reset(self) -> None:
        """Forget all samples; earlier views keep theirs."""
        # New memory, so that a window from before a gap does not turn to NaN. Gaps are rare, and
        # this takes some milliseconds.
        self._buffer = np.full((self._n_channels, 2 * self._capacity), np.nan, np.float32)
        self._at = 0  # where the next sample goes, below the capacity

    def _write(self, data: Floats) -> None:
        stop = self._at + data.shape[1]
        self._buffer[:, self._at : stop] = data
        self._buffer[:, self._at + self._capacity : stop + self._capacity] = data
        self._at = stop % self._capacity


class StampRing:
    """Keeps the last stamps; positions count the samples since the start, lost ones too.

    Stamps may jitter: moments are sought in the highest stamp so far, which falls only where the
    clock was set back; there a new stretch begins.
    """

    def __init__(self, capacity_samples: int, sfreq_hz: float) -> None:
        self._capacity = capacity_samples
        self._sfreq_hz = sfreq_hz
        self._raw = np.full(capacity_samples, np.nan)  # NaN for a lost sample
        self._highest = np.full(capacity_samples, np.nan)
        self.newest = -np.inf  # highest stamp of the newest stretch, s
        self.count = 0

    @property
    def oldest(self) -> int:
        """Position of the oldest stamp held."""
        return max(0, self.count - self._capacity)

    def one_stretch(self, stamps: Times) -> int:
        """Number of the next stamps, float64 [n_samples], s, before the clock is set back."""
        if not stamps.size:
            return 0
        back = np.flatnonzero(stamps < self._highest_with(stamps) - _SET_BACK_S)
        return int(back[0]) if back.size else stamps.size

    def push(self, stamps: Times) -> None:
        """Append stamps of one stretch: float64 [n_samples], s."""
        if stamps.size:
            self._write(stamps, self._highest_with(stamps))

    def lose(self, n_samples: int) -> None:
        """Count lost samples."""
        n_kept = min(n_samples, self._capacity)
        self.count += n_samples - n_kept
        self._write(np.full(n_kept, np.nan), np.full(n_kept, self.newest))

    def at(self, position: int) -> float:
        """Stamp of a sample, s; NaN where it was lost, is no longer held or has not arrived."""
        if not self.oldest <= position < self.count:
            return float("nan")
        return float(self._raw[position % self._capacity])

    def after(self, t: float) -> int:
        """Position of a moment after the newest stamp, at the nominal rate."""
        return self.count - 1 + round(min(t - self.newest, 1e9) * self._sfreq_hz)

    def stretches(self) -> list[tuple[int, Times]]:
        """Stretches between set-backs, newest first: first position, and highest stamps so far."""
        positions = np.arange(self.oldest, self.count)
        highest = self._highest[positions % self._capacity]
        edges = [0, *(np.flatnonzero(np.diff(highest) < 0) + 1), positions.size]
        return [
            (self.oldest + int(a), highest[a:b])
            for a, b in zip(edges[-2::-1], edges[:0:-1], strict=True)
        ]

    def find(self, t: float, stretches: list[tuple[int, Times]]) -> tuple[int, str] | None:
        """Position of the sample nearest to a moment, and what is wrong there; None: no stretch."""
        half_s = 0.5 / self._sfreq_hz
        for number, (begin, highest) in enumerate(stretches):
            if t > highest[-1]:
                if number and t <= highest[-1] + half_s:
                    return begin + highest.size - 1, ""
            elif t >= highest[0] - half_s:
                return self._nearest(t, begin, highest)
        return None

    def before(self, t: float, stretches: list[tuple[int, Times]]) -> tuple[int, str]:
        """Position of a moment before the stamps held, at the nominal rate, and what is wrong."""
        begin, highest = stretches[-1]
        before_s = float(highest[0]) - t
        position = begin - round(min(max(before_s, 0.0), 1e9) * self._sfreq_hz)
        if self.oldest == 0:
            return position, f"the marker is {before_s:.3g} s before the stream"
        return position, f"the marker came {before_s:.3g} s too late: its sample is no longer held"

    def _nearest(self, t: float, begin: int, highest: Times) -> tuple[int, str]:
        # The first stamp that is not before t is never that of a lost sample.
        after = int(np.searchsorted(highest, t))
        if after == 0:
            held = not np.isnan(self.at(begin))
            return begin, "" if held else "the marker's sample is no longer held"
        before = after - 1
        while before > 0 and np.isnan(self.at(begin + before)):
            before -= 1
        to_before_s, to_after_s = t - float(highest[before]), float(highest[after]) - t
        position = begin + (before if to_before_s <= to_after_s else after)
        nearest_s = min(to_before_s, to_after_s)
        n_lost = after - before - 1
        if n_lost and nearest_s > 0.5 / self._sfreq_hz:
            back = min(round(to_after_s * self._sfreq_hz), n_lost)
            return begin + after - back, f"the marker falls into a gap of {n_lost} samples"
        if nearest_s > max(_FAR_S, 0.5 / self._sfreq_hz):
            jump_s = to_before_s + to_after_s
            return position, f"the marker falls where the stamps jump by {jump_s:.3g} s"
        return position, ""

    def _highest_with(self, stamps: Times) -> Times:
        """Highest stamp so far at each of the next samples."""
        highest: Times = np.maximum.accumulate(stamps)
        if stamps[0] < self.newest - _SET_BACK_S:
            return highest
        return np.maximum(highest, self.newest)

    def _write(self, raw: Times, highest: Times) -> None:
        n_kept = min(raw.size, self._capacity)
        if raw.size:
            self.newest = float(highest[-1])
        self.count += raw.size
        slots = np.arange(self.count - n_kept, self.count) % self._capacity
        self._raw[slots] = raw[raw.size - n_kept :]
        self._highest[slots] = highest[raw.size - n_kept :]
