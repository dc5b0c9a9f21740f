"""The signal and the markers of the last half minute, ready for pages of each length."""

from collections import deque

from rtbrain.types import Chunk, Montage, samples
from rtbrain.view.trace_cache import TraceCache

__all__ = ["PAGES_S", "TracePages"]

PAGES_S = (5.0, 10.0, 20.0, 30.0)
_N_COLUMNS = 1200
_MARKER_LIMIT = 256
_TEXT_LIMIT = 40


class TracePages:
    """A cache a page length, all fed at once: another length is there at once, and whole.

    Parameters
    ----------
    montage : Montage
        What the chunks hold.

    Attributes
    ----------
    caches : dict of float to TraceCache
        By length of the page in s.
    t_newest : float or None
        Time of the newest sample, s.
    """

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
        self._markers: deque[tuple[float, str]] = deque(maxlen=_MARKER_LIMIT)

    def add(self, chunk: Chunk) -> None:
        """Take samples in."""
        if not chunk.n_samples:
            return
        for cache in self.caches.values():
            cache.add(chunk.data, chunk.first_sample)
        self.t_newest = float(chunk.timestamps[-1])
        self._newest_sample = chunk.first_sample + chunk.n_samples - 1

    def mark(self, t: float, text: str) -> None:
        """Keep a marker; of many the newest.

        Parameters
        ----------
        t : float
            Its time, s.
        text : str
            What it says.
        """
        self._markers.append((t, " ".join(text.split())[:_TEXT_LIMIT]))

    def markers(self, page_s: float) -> list[tuple[int, str]]:
        """Column and text of the markers that are on a page of this length, oldest first."""
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
    """Samples of a page; at a rate that does not divide it, of a whole number of seconds of it."""
    try:
        return samples(page_s, sfreq_hz)
    except ValueError:
        return round(page_s * round(sfreq_hz))
