"""Samples of a page of traces, reduced to the minimum and maximum of each pixel column."""

from collections import deque

import numpy as np

from rtbrain.types import Chunk, Floats, Mask, Montage, to_samples

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
        n_samples = data.shape[1]
        if not n_samples:
            return
        if self._next is not None and first_sample < self._next:
            self.reset()
        began = self._next if self._next is not None else first_sample
        last = self.column_of(first_sample + n_samples - 1)
        if self.newest < 0:
            self.newest = self.column_of(first_sample) - 1
        self._open(last)
        if first_sample > began:
            self._mark_gap(began, first_sample)
        self._reduce(data, first_sample, last)
        self._next = first_sample + n_samples

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

    def _reduce(self, data: Floats, first_sample: int, last: int) -> None:
        numbers = first_sample + np.arange(data.shape[1])
        columns = numbers * self.n_columns // self._page_samples
        old = int(np.searchsorted(columns, last - self.n_columns, side="right"))
        columns, data = columns[old:], data[:, old:]
        if not np.isfinite(data).all():
            data = np.where(np.isfinite(data), data, np.float32(np.nan))
        starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
        slots = columns[starts] % self.n_columns
        # fmin and fmax ignore NaN where there is another value.
        low = np.fmin.reduceat(data, starts, axis=1)
        high = np.fmax.reduceat(data, starts, axis=1)
        self.low[:, slots] = np.fmin(self.low[:, slots], low)
        self.high[:, slots] = np.fmax(self.high[:, slots], high)


class TracePages:
    """One cache per page length, all filled, so that another length shows a whole page at once."""

    def __init__(self, montage: Montage) -> None:
        self._sfreq_hz = montage.sfreq_hz
        self.caches = {
            page_s: TraceCache(
                montage.n_channels, _whole_samples(page_s, montage.sfreq_hz), _N_COLUMNS
            )
            for page_s in PAGES_S
        }
        self.t_newest: float | None = None
        self._newest_sample = 0
        self._markers: deque[tuple[float, str]] = deque(maxlen=_MAX_MARKERS)

    def add(self, chunk: Chunk) -> None:
        """Add a chunk to every page."""
        if not chunk.n_samples:
            return
        for cache in self.caches.values():
            cache.add(chunk.data, chunk.first_sample)
        self.t_newest = float(chunk.timestamps[-1])
        self._newest_sample = chunk.first_sample + chunk.n_samples - 1

    def mark(self, t: float, text: str) -> None:
        """Add a marker; only the newest are kept."""
        self._markers.append((t, " ".join(text.split())[:_MAX_TEXT_CHARS]))

    def markers(self, page_s: float) -> list[tuple[int, str]]:
        """Column and text of the markers on a page of this length, oldest first."""
        if self.t_newest is None:
            return []
        cache = self.caches[page_s]
        placed = []
        for t, text in self._markers:
            sample = self._newest_sample + (t - self.t_newest) * self._sfreq_hz
            column = cache.column_of(sample)
            if cache.newest - cache.n_columns < column <= cache.newest:
                placed.append((column, text))
        return sorted(placed)


def _whole_samples(page_s: float, sfreq_hz: float) -> int:
    """Samples of a page; at fractional rates, those of the nearest whole rate."""
    try:
        return to_samples(page_s, sfreq_hz)
    except ValueError:
        return round(page_s * round(sfreq_hz))
