"""Time stamps of the newest samples, in which the sample of a moment is found."""

import numpy as np

from rtbrain.types import Times

__all__ = ["StampRing"]

# Stamps that go back by less are jitter of the sender or of the mapping between clocks.
_SET_BACK_S = 1.0
# Further from the nearest stamp no sample can be meant: the stamps jump there.
_FAR_S = 0.05


class StampRing:
    """Keeps the last stamps; positions count the samples since the start, lost ones too.

    Stamps may jitter: what is searched is the highest stamp so far, which never falls but where
    the clock was set back; there a new stretch begins.

    Parameters
    ----------
    capacity_samples : int
        How many stamps are kept.
    sfreq_hz : float
        Sampling rate in Hz.

    Attributes
    ----------
    count : int
        Position of the next sample.
    """

    def __init__(self, capacity_samples: int, sfreq_hz: float) -> None:
        self._capacity = capacity_samples
        self._sfreq_hz = sfreq_hz
        self._raw = np.full(capacity_samples, np.nan)  # NaN for a lost sample
        self._highest = np.full(capacity_samples, np.nan)
        self._newest = -np.inf
        self.count = 0

    @property
    def oldest(self) -> int:
        """Position of the oldest stamp that is kept."""
        return max(0, self.count - self._capacity)

    @property
    def newest(self) -> float:
        """Highest stamp of the newest stretch, s; minus infinity before the first."""
        return self._newest

    def one_stretch(self, stamps: Times) -> int:
        """How many of the next stamps, float64 [n_samples], s, come before a set-back in them."""
        if not stamps.size:
            return 0
        back = np.flatnonzero(stamps < self._highest_with(stamps) - _SET_BACK_S)
        return int(back[0]) if back.size else stamps.size

    def push(self, stamps: Times) -> None:
        """Take stamps of one stretch in: float64 [n_samples], s."""
        if stamps.size:
            self._write(stamps, self._highest_with(stamps))

    def lose(self, n_samples: int) -> None:
        """Take note that samples were lost."""
        n_kept = min(n_samples, self._capacity)
        self.count += n_samples - n_kept
        self._write(np.full(n_kept, np.nan), np.full(n_kept, self._newest))

    def at(self, position: int) -> float:
        """Stamp of a sample, s; NaN where it was lost, is not kept or has not come."""
        if not self.oldest <= position < self.count:
            return float("nan")
        return float(self._raw[position % self._capacity])

    def after(self, t: float) -> int:
        """Position at the nominal rate of a moment after the newest stamp."""
        return self.count - 1 + round(min(t - self._newest, 1e9) * self._sfreq_hz)

    def stretches(self) -> list[tuple[int, Times]]:
        """Stretches between set-backs, the newest first: position of the first, highest stamps."""
        positions = np.arange(self.oldest, self.count)
        highest = self._highest[positions % self._capacity]
        edges = [0, *(np.flatnonzero(np.diff(highest) < 0) + 1), positions.size]
        return [
            (self.oldest + int(a), highest[a:b])
            for a, b in zip(edges[-2::-1], edges[:0:-1], strict=True)
        ]

    def find(self, t: float, stretches: list[tuple[int, Times]]) -> tuple[int, str] | None:
        """Position of the sample nearest to a moment.

        Parameters
        ----------
        t : float
            The moment, s.
        stretches : list
            As `stretches` gives them now; one sample or more has come.

        Returns
        -------
        tuple of (int, str) or None
            The position, and why it is but an estimate, empty where it is not; None where no
            stretch that is kept holds the moment.
        """
        half_s = 0.5 / self._sfreq_hz
        for number, (begin, highest) in enumerate(stretches):
            if t > highest[-1]:
                if number and t <= highest[-1] + half_s:
                    return begin + highest.size - 1, ""
            elif t >= highest[0] - half_s:
                return self._nearest(t, begin, highest)
        return None

    def before(self, t: float, stretches: list[tuple[int, Times]]) -> tuple[int, str]:
        """Position at the nominal rate of a moment before the stamps that are kept, and why not."""
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
        if stamps[0] < self._newest - _SET_BACK_S:
            return highest
        return np.maximum(highest, self._newest)

    def _write(self, raw: Times, highest: Times) -> None:
        n_kept = min(raw.size, self._capacity)
        if raw.size:
            self._newest = float(highest[-1])
        self.count += raw.size
        slots = np.arange(self.count - n_kept, self.count) % self._capacity
        self._raw[slots] = raw[raw.size - n_kept :]
        self._highest[slots] = highest[raw.size - n_kept :]
