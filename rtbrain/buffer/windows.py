"""The newest samples, kept in place, and the windows of fixed length cut from them."""

from collections.abc import Generator, Iterator

import numpy as np

from rtbrain.errors import SettingsError, StreamError
from rtbrain.types import Chunk, Floats, Mask, Montage, Quality, Times, Window

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


class Windows:
    """Cuts overlapping windows whose ends lie on a grid of the hop.

    With `first` the number of the first sample (or of the first after a gap or a reset), windows
    end just before samples ``first + length + k * hop`` for all whole ``k``, negative ones too,
    whose end lies after `first`. No window spans a gap.

    Windows that are not yet full come out as well: NaN where no sample has arrived, a
    ``first_sample`` before `first` and thus maybe negative, a quality that is not valid and says
    how far they are filled. Where only the newest `used_samples` of a window are read, that many
    are enough after a gap; windows then end at ``first + used_samples + k * hop``. Before the
    first valid window a whole one is waited for, and at least `settling_samples`, rounded up to
    the grid: they settle the filters, and tell which channels are bad.

    A channel is good where what the window holds of it is finite. A window whose share of good
    channels is 0 or below `coverage_floor` is not valid.

    The windows of a chunk are cut one by one, as the iterator advances. A window's data are valid
    until the next but one is cut, so the newest window may be kept while further chunks complete
    none; after a gap, forever. If the iterator is not exhausted, the next call takes in the
    remaining samples first, and the old iterator ends.

    SettingsError if the length or the hop is below 1 sample, more than the length is used, or the
    floor is not a share.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        length_samples: int,
        hop_samples: int,
        used_samples: int | None = None,
        settling_samples: int = 0,
        coverage_floor: float = 0.0,
    ) -> None:
        self._used = length_samples if used_samples is None else used_samples
        if not (1 <= self._used <= length_samples and hop_samples >= 1):
            raise SettingsError(
                f"windows: expected a length and a hop of 1 sample or more, and to use 1 to all of "
                f"it, got {length_samples}, {hop_samples} and {used_samples}"
            )
        if not 0 <= coverage_floor <= 1:
            raise SettingsError(f"windows: expected a coverage_floor of 0 to 1: {coverage_floor}")
        n_hops = max(0, -(-(settling_samples - length_samples) // hop_samples))
        self._settling = length_samples + n_hops * hop_samples
        self._montage = montage
        self._coverage_floor = coverage_floor
        self._length = length_samples
        self._hop = hop_samples
        # One hop more than a window, so that cutting the next leaves the last one unchanged.
        self._ring = Ring(montage.n_channels, length_samples + hop_samples)
        self._pending: Generator[Window, None, None] = no_windows()
        self._lost = 0
        self._settled = False  # whether that many samples came without a gap
        self._restart()

    @property
    def hop_s(self) -> float:
        """Time from one window to the next, s."""
        return self._hop / self._montage.sfreq_hz

    @property
    def n_to_end(self) -> int:
        """Samples until the next window ends, 1 or more."""
        return (self._needed - self._count - 1) % self._hop + 1

    @property
    def first_s(self) -> float:
        """Signal that the first valid window waits for, s."""
        return self._settling / self._montage.sfreq_hz

    @property
    def used_s(self) -> float:
        """Signal after which windows are valid again, after a gap, s."""
        return self._used / self._montage.sfreq_hz

    def reset(self) -> None:
        """Forget all samples and losses; the last iterator ends."""
        self._pending.close()
        self._lost = 0
        self._settled = False
        self._ring.reset()
        self._restart()

    def _restart(self) -> None:
        self._started = False  # whether a sample came since the start, a gap or a reset
        self._first = 0  # its number
        self._count = 0  # samples since `first`
        self._needed = self._used if self._settled else self._settling
        # Number since `first` of each channel's last non-finite sample. With -1, before `first`,
        # no channel is good until enough samples have come.
        self._last_bad = np.full(self._montage.n_channels, -1, np.int64)

    def __call__(self, chunk: Chunk) -> Iterator[Window]:
        """Windows that end within the chunk, oldest first."""
        for _ in self._pending:
            pass
        if chunk.gap > 0:
            self._lost += chunk.gap
            if self._started:
                self._ring.reset()
            self._restart()
        if chunk.n_samples:
            if not self._started:
                self._started, self._first = True, chunk.first_sample
            require_next(chunk, self._first + self._count)
        self._pending = self._cut(chunk)
        return self._pending

    def _cut(self, chunk: Chunk) -> Generator[Window, None, None]:
        start = 0
        while start < chunk.n_samples:
            n_to_end = self.n_to_end
            stop = min(start + n_to_end, chunk.n_samples)
            self._take(chunk.data[:, start:stop])
            if stop - start == n_to_end:
                yield self._window(float(chunk.timestamps[stop - 1]))
            start = stop

    def _take(self, data: Floats) -> None:
        self._ring.push(data)
        bad = ~np.isfinite(data)
        if bad.any():
            rows = np.flatnonzero(bad.any(axis=1))
            n_after = bad[rows, ::-1].argmax(axis=1)
            self._last_bad[rows] = self._count + data.shape[1] - 1 - n_after
        self._count += data.shape[1]

    def _window(self, t_stop: float) -> Window:
        start = self._count - self._length
        # All samples since a gap, as far as the window reaches.
        good: Mask = self._last_bad < (start if self._count < self._needed else max(start, 0))
        reason = coverage_flaw(good, self._coverage_floor)
        if self._count < self._needed:
            rate_hz = self._montage.sfreq_hz
            what = "settling" if self._count >= self._length else "filling"
            what = "warming" if self._needed < self._length else what
            reason = f"{what}: {self._count / rate_hz:.3g} of {self._needed / rate_hz:.3g} s"
        self._settled |= self._count >= self._needed
        quality = Quality(good, self._lost, valid=not reason, reason=reason)
        return Window(self._ring.last(self._length), t_stop, self._first + start, quality)


def require_next(chunk: Chunk, expected: int) -> None:
    """Refuse a chunk that skips or repeats samples without declaring a gap."""
    if chunk.first_sample != expected:
        raise StreamError(
            f"windows: expected sample {expected} next, got a chunk that begins at sample "
            f"{chunk.first_sample} and declares no gap: the source must count what it lost"
        )


def coverage_flaw(good: Mask, floor: float) -> str:
    """Why too few channels are good; empty where there are enough."""
    if not good.any():
        return "no good channel"
    coverage = np.count_nonzero(good) / good.size
    return "" if coverage >= floor else f"coverage {coverage:.2f} is below {floor:.2f}"


def no_windows() -> Generator[Window, None, None]:
    """End at once."""
    yield from ()
