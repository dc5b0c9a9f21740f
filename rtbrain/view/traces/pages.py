"""Pages of samples as minima and maxima, of every page length at once, and what was marked."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from rtbrain.types import Chunk, Floats, Ints, Mask, Montage
from rtbrain.units import to_samples

PAGES_S = (5.0, 10.0, 20.0, 30.0)
_N_COLUMNS = 1200
_MAX_MARKERS = 256
_MAX_TEXT_CHARS = 40


class TraceCache:
    """Minima and maxima of a page, updated as samples arrive.

    Column `c` covers the sample numbers ``[c, c + 1) * page_samples / n_columns``; a ring keeps the
    last `n_columns` columns. Its cost does not depend on the page's length, nor its memory on the
    sampling rate.
    """

    def __init__(self, n_channels: int, page_samples: int, n_columns: int) -> None:
        self.n_columns = max(1, min(n_columns, page_samples))
        self._page_samples = page_samples
        self.low: Floats = np.full((n_channels, self.n_columns), np.nan, np.float32)
        self.high: Floats = self.low.copy()
        self.gap: Mask = np.zeros(self.n_columns, np.bool_)
        self.broken: Mask = np.zeros(self.n_columns, np.bool_)
        self.reset()

    def reset(self) -> None:
        """Forget every sample."""
        self.low[:] = self.high[:] = np.nan
        self.gap[:] = self.broken[:] = False
        self.newest = -1
        self._next: int | None = None

    def column_of(self, sample: float) -> int:
        """Column of a sample number."""
        return int(sample * self.n_columns // self._page_samples)

    def add(self, data: Floats, first_sample: int) -> None:
        """Add samples, float32 [n_channels, n_samples]; skipped sample numbers are a gap."""
        if data.shape[1]:
            self.extend(extremes_of(data, first_sample), first_sample + data.shape[1])

    def extend(self, extremes: "Extremes", stop: int) -> "Extremes":
        """Add extremes of the samples before number `stop`; those of its columns.

        These will do in place of the samples for pages that are several times as long.
        """
        first_sample = int(extremes.samples[0])
        if self._next is not None and first_sample < self._next:
            self.reset()
        began = self._next if self._next is not None else first_sample
        last = self.column_of(stop - 1)
        if self.newest < 0:
            self.newest = self.column_of(first_sample) - 1
        self._open(last)
        if first_sample > began:
            self._mark_gap(began, first_sample)
        self._next = stop
        return self._reduce(extremes, last)

    def _open(self, last: int) -> None:
        """Clear the slots of the columns after the newest, up to this one."""
        n_new = min(last - self.newest, self.n_columns)
        slots = np.arange(last - n_new + 1, last + 1) % self.n_columns
        self.low[:, slots] = self.high[:, slots] = np.nan
        self.gap[slots] = self.broken[slots] = False
        self.newest = last

    def _mark_gap(self, start: int, stop: int) -> None:
        first = max(self.column_of(start), self.newest - self.n_columns + 1)
        self.gap[np.arange(first, self.column_of(stop - 1) + 1) % self.n_columns] = True
        # The samples after the gap may already span more than the page.
        if self.column_of(stop) > self.newest - self.n_columns:
            self.broken[self.column_of(stop) % self.n_columns] = True

    def _reduce(self, extremes: "Extremes", last: int) -> "Extremes":
        columns = extremes.samples * self.n_columns // self._page_samples
        starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
        # fmin and fmax ignore NaN where there is another value.
        low = np.fmin.reduceat(extremes.low, starts, axis=1)
        high = np.fmax.reduceat(extremes.high, starts, axis=1)
        columns = columns[starts]
        old = int(np.searchsorted(columns, last - self.n_columns, side="right"))
        slots = columns[old:] % self.n_columns
        self.low[:, slots] = np.fmin(self.low[:, slots], low[:, old:])
        self.high[:, slots] = np.fmax(self.high[:, slots], high[:, old:])
        return Extremes(low, high, extremes.samples[starts])


@dataclass(frozen=True, slots=True, eq=False)
class Extremes:
    """Minima and maxima of stretches of samples."""

    low: Floats  # float32 [n_channels, n_stretches]; NaN where no sample is finite
    high: Floats
    samples: Ints  # int64 [n_stretches]: number of the first sample of each


def extremes_of(data: Floats, first_sample: int) -> Extremes:
    """Each sample as a stretch, float32 [n_channels, n_samples]."""
    if not np.isfinite(data).all():
        data = np.where(np.isfinite(data), data, np.float32(np.nan))
    return Extremes(data, data, first_sample + np.arange(data.shape[1]))


class TracePages:
    """One cache per page length, all filled, so that another length shows a whole page at once."""

    def __init__(
        self,
        montage: Montage,
        pages_s: tuple[float, ...] = PAGES_S,
        n_columns: int = _N_COLUMNS,
    ) -> None:
        self._sfreq_hz = montage.sfreq_hz
        try:
            n_samples = [to_samples(page_s, montage.sfreq_hz) for page_s in pages_s]
        except ValueError:  # at fractional rates, pages are those of the nearest whole rate
            n_samples = [round(page_s * round(montage.sfreq_hz)) for page_s in pages_s]
        caches = [TraceCache(montage.n_channels, n, n_columns) for n in n_samples]
        self.caches = dict(zip(pages_s, caches, strict=True))
        self.t_newest: float | None = None
        self._newest_sample = 0
        self._markers: deque[tuple[float, str]] = deque(maxlen=_MAX_MARKERS)
        self._detected: deque[tuple[float, str]] = deque(maxlen=_MAX_MARKERS)

    def add(self, chunk: Chunk) -> None:
        """Add a chunk to every page."""
        if not chunk.n_samples:
            return
        stop = chunk.first_sample + chunk.n_samples
        shortest, *others = self.caches.values()
        extremes = shortest.extend(extremes_of(chunk.data, chunk.first_sample), stop)
        for cache in others:  # whose columns are each several of the shortest page
            cache.extend(extremes, stop)
        self.t_newest = float(chunk.timestamps[-1])
        self._newest_sample = chunk.first_sample + chunk.n_samples - 1

    def mark(self, t: float, text: str) -> None:
        """Add a marker; only the newest are kept."""
        self._markers.append((t, " ".join(text[: 2 * _MAX_TEXT_CHARS].split())[:_MAX_TEXT_CHARS]))

    def detect(self, t: float, text: str) -> None:
        """Add a detection; only the newest are kept."""
        self._detected.append((t, text[:_MAX_TEXT_CHARS]))

    def markers(self, page_s: float, ahead: int = 0) -> list[tuple[int, str]]:
        """Column and text of the markers on a page, oldest first.

        `ahead` columns after the newest sample are on the page too.
        """
        return self._placed(self._markers, page_s, ahead)

    def detected(self, page_s: float, ahead: int = 0) -> list[tuple[int, str]]:
        """Column and text of the detections on a page, as the markers."""
        return self._placed(self._detected, page_s, ahead)

    def _placed(
        self, items: deque[tuple[float, str]], page_s: float, ahead: int
    ) -> list[tuple[int, str]]:
        if self.t_newest is None:
            return []
        cache = self.caches[page_s]
        last = cache.newest + ahead
        placed = []
        for t, text in items:
            sample = self._newest_sample + (t - self.t_newest) * self._sfreq_hz
            column = cache.column_of(sample)
            if last - cache.n_columns < column <= last:
                placed.append((column, text))
        return sorted(placed)
