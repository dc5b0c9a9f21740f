"""Sliding windows of fixed length, cut from the newest samples."""

import math
from collections.abc import Generator, Iterator

import numpy as np

from rtbrain.buffer.rings import Ring
from rtbrain.errors import SettingsError, StreamError
from rtbrain.marks import BLANKED, sample_flaw
from rtbrain.types import Chunk, Flags, Floats, Mask, Montage, Quality, Window


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
    channels is 0 or below `coverage_floor` is not valid, nor is one that uses samples with a flag,
    or a share above `max_blanked` of blanked ones.

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
        max_blanked: float = 1.0,
    ) -> None:
        self._used = length_samples if used_samples is None else used_samples
        if length_samples < 1 or hop_samples < 1:
            raise SettingsError(
                f"windows: length and hop must be 1 sample or more, got a length of "
                f"{length_samples} and a hop of {hop_samples}"
            )
        if not 1 <= self._used <= length_samples:
            raise SettingsError(
                f"windows: expected to use 1 to all {length_samples} samples, got {used_samples}"
            )
        if not 0 <= coverage_floor <= 1:
            raise SettingsError(
                f"windows: expected a coverage_floor of 0 to 1, got {coverage_floor}"
            )
        n_hops = max(0, -(-(settling_samples - length_samples) // hop_samples))
        self._settling = length_samples + n_hops * hop_samples
        self._montage = montage
        self._coverage_floor, self._max_blanked = coverage_floor, max_blanked
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
        self._flags = np.zeros(self._length, np.uint8)

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
            if chunk.flags is not None or self._flags.any():
                self._flags = latest_flags(self._flags, chunk, start, stop)
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
        reason, blanked = coverage_flaw(good, self._coverage_floor), 0.0
        flags: Flags | None = None
        if self._flags.any():
            flags, used = self._flags, self._flags[self._length - self._used :]
            blanked = float(np.mean(used == BLANKED))
            reason = sample_flaw(int(used.max()), blanked, self._max_blanked) or reason
        if self._count < self._needed:
            rate_hz = self._montage.sfreq_hz
            what = "settling" if self._count >= self._length else "filling"
            what = "warming" if self._needed < self._length else what
            reason = f"{what}: {self._count / rate_hz:.3g} of {self._needed / rate_hz:.3g} s"
        self._settled |= self._count >= self._needed
        quality = Quality(good, self._lost, not reason, reason, blanked)
        return Window(self._ring.last(self._length), t_stop, self._first + start, quality, flags)


def latest_flags(flags: Flags, chunk: Chunk, start: int, stop: int) -> Flags:
    """Flags of the newest samples, as many as before, after those of a chunk from start to stop."""
    new = np.zeros(stop - start, np.uint8) if chunk.flags is None else chunk.flags[start:stop]
    return np.concatenate([flags, new])[-flags.size :]


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
    n_good, needed = np.count_nonzero(good), math.ceil(floor * good.size - 1e-9)
    few = f"{n_good} of {good.size} contacts are good; {needed} are needed"
    return few if n_good < needed else ""


def no_windows() -> Generator[Window, None, None]:
    """End at once."""
    yield from ()
