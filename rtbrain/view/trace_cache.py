"""What a page of traces is drawn from: the least and greatest sample of each of its columns."""

import numpy as np
import numpy.typing as npt

from rtbrain.types import Floats

__all__ = ["TraceCache"]


class TraceCache:
    """Minima and maxima of a page, fed sample by sample and never made anew.

    Column `c` holds the samples whose number is in ``[c, c + 1) * page_samples / n_columns``; a
    ring keeps the last `n_columns` of them. What it costs to feed does not depend on the page's
    length, and what it holds does not depend on the rate.

    Parameters
    ----------
    n_channels : int
        Channels.
    page_samples : int
        Samples of a page.
    n_columns : int
        Columns of a page; no more than samples are kept.

    Attributes
    ----------
    low, high : ndarray, float32 [n_channels, n_columns]
        µV, by slot: column modulo `n_columns`. NaN where no finite sample came.
    gap : ndarray, bool [n_columns]
        Slots in which samples were lost.
    broken : ndarray, bool [n_columns]
        Slots that samples were lost just before: no line leads to them.
    newest : int
        Newest column; -1 before the first sample.
    n_columns : int
        As kept.
    """

    def __init__(self, n_channels: int, page_samples: int, n_columns: int) -> None:
        self.n_columns = max(1, min(n_columns, page_samples))
        self._page_samples = page_samples
        self.low: Floats = np.full((n_channels, self.n_columns), np.nan, np.float32)
        self.high: Floats = self.low.copy()
        self.gap: npt.NDArray[np.bool_] = np.zeros(self.n_columns, np.bool_)
        self.broken: npt.NDArray[np.bool_] = np.zeros(self.n_columns, np.bool_)
        self.reset()

    def reset(self) -> None:
        """Forget every sample."""
        self.low[:] = self.high[:] = np.nan
        self.gap[:] = self.broken[:] = False
        self.newest = -1
        self._next: int | None = None

    def column_of(self, sample: float) -> int:
        """Column that a sample is in, by its number."""
        return int(sample * self.n_columns // self._page_samples)

    def add(self, data: Floats, first_sample: int) -> None:
        """Take samples in; numbers left out since the ones before are a gap.

        Parameters
        ----------
        data : ndarray, float32 [n_channels, n_samples]
            µV; what is not finite is left out.
        first_sample : int
            Number of the first of them. Numbers that go back begin a new page.
        """
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
        """Empty the slots of the columns after the newest, up to this one."""
        n_new = min(last - self.newest, self.n_columns)
        slots = np.arange(last - n_new + 1, last + 1) % self.n_columns
        self.low[:, slots] = self.high[:, slots] = np.nan
        self.gap[slots] = self.broken[slots] = False
        self.newest = last

    def _mark_gap(self, start: int, stop: int) -> None:
        first = max(self.column_of(start), self.newest - self.n_columns + 1)
        self.gap[np.arange(first, self.column_of(stop - 1) + 1) % self.n_columns] = True
        # The samples after it may have passed the whole page by now.
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
        # fmin and fmax leave NaN out, unless there is nothing else.
        low = np.fmin.reduceat(data, starts, axis=1)
        high = np.fmax.reduceat(data, starts, axis=1)
        self.low[:, slots] = np.fmin(self.low[:, slots], low)
        self.high[:, slots] = np.fmax(self.high[:, slots], high)
