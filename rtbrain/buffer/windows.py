"""Windows of fixed length, cut at a fixed hop from the chunks that the signal chain gives."""

from collections.abc import Generator, Iterator

import numpy as np

from rtbrain.buffer.ring import Ring
from rtbrain.errors import SettingsError, StreamError
from rtbrain.types import Chunk, Floats, Mask, Montage, Quality, Window


class Windows:
    """Cuts overlapping windows whose ends lie on a grid of the hop.

    With `first` the number of the first sample (or of the first after a gap or a reset), windows
    end just before samples ``first + length + k * hop`` for all whole ``k``, negative ones too,
    whose end lies after `first`. No window spans a gap.

    Windows that are not yet full come out as well: NaN where no sample has arrived, a
    ``first_sample`` before `first` and thus maybe negative, a quality that is not valid and says
    how far they are filled. A channel is good where the window holds finite samples only. A full
    window whose share of good channels is 0 or below `coverage_floor` is not valid either.

    The windows of a chunk are cut one by one, as the iterator advances. A window's data are valid
    until the next but one is cut, so the newest window may be kept while further chunks complete
    none; after a gap, forever. If the iterator is not exhausted, the next call takes in the
    remaining samples first, and the old iterator ends.

    Raises
    ------
    SettingsError
        The length or the hop is below 1 sample, or the floor is not a share.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        length_samples: int,
        hop_samples: int,
        coverage_floor: float = 0.0,
    ) -> None:
        if length_samples < 1 or hop_samples < 1:
            raise SettingsError(
                f"windows: length and hop must be 1 sample or more, got a length of "
                f"{length_samples} and a hop of {hop_samples}"
            )
        if not 0 <= coverage_floor <= 1:
            raise SettingsError(
                f"windows: coverage_floor is a share of the channels, expected 0 to 1, got "
                f"{coverage_floor}"
            )
        self._montage = montage
        self._coverage_floor = coverage_floor
        self._length = length_samples
        self._hop = hop_samples
        # One hop more than a window, so that cutting the next leaves the last one unchanged.
        self._ring = Ring(montage.n_channels, length_samples + hop_samples)
        self._pending: Generator[Window, None, None] = no_windows()
        self._lost = 0
        self._started = False  # whether a sample came since the start, a gap or a reset
        self._first = 0  # its number
        self._count = 0  # samples since `first`
        # Number since `first` of each channel's last non-finite sample. With -1, before `first`,
        # no channel is good until the window is full.
        self._last_bad = np.full(montage.n_channels, -1, np.int64)

    def __call__(self, chunk: Chunk) -> Iterator[Window]:
        """Windows that end within the chunk, oldest first."""
        for _ in self._pending:
            pass
        if chunk.gap > 0:
            self._lost += chunk.gap
            self._restart()
        if chunk.n_samples:
            if not self._started:
                self._started, self._first = True, chunk.first_sample
            require_next(chunk, self._first + self._count)
        self._pending = self._cut(chunk)
        return self._pending

    def reset(self) -> None:
        """Forget all samples and losses; the last iterator ends."""
        self._pending.close()
        self._lost = 0
        self._restart()

    def _restart(self) -> None:
        if self._started:
            self._ring.reset()
        self._started = False
        self._first = 0
        self._count = 0
        self._last_bad = np.full(self._montage.n_channels, -1, np.int64)

    def _cut(self, chunk: Chunk) -> Generator[Window, None, None]:
        start = 0
        while start < chunk.n_samples:
            n_to_end = (self._length - self._count - 1) % self._hop + 1
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
        good: Mask = self._last_bad < start
        reason = self._filling() if start < 0 else coverage_flaw(good, self._coverage_floor)
        quality = Quality(good, self._lost, valid=not reason, reason=reason)
        return Window(self._ring.last(self._length), t_stop, self._first + start, quality)

    def _filling(self) -> str:
        rate_hz = self._montage.sfreq_hz
        return f"filling: {self._count / rate_hz:.3g} of {self._length / rate_hz:.3g} s"


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
