"""Events of a FieldTrip buffer as markers, with the stamps of the samples that they name."""

import bisect
from collections import deque
from collections.abc import Callable

from rtbrain.stream.fieldtrip.connection import BufferEvents
from rtbrain.types import Times

_MEMORY_S = 60.0
_MAX_WAITING = 1000
# The C reference server keeps 100 events, and gives none where one of those asked for is gone.
_MAX_EVENTS = 100
_NOW = 2**32 - 1  # -1 in the protocol: the sender knew no sample


class BufferMarkers:
    """Events, each given once its sample was read, with that sample's stamp.

    An event of a sample that was lost, or is too old or too far ahead to have a stamp, is given at
    once, with a stamp by the nominal rate. `n_read` counts the events of this buffer that were read
    or skipped. Events that the buffer no longer held are reported as ``markers_skipped``.
    """

    def __init__(self, sfreq_hz: float, on_event: Callable[..., None]) -> None:
        self.n_read = 0
        self._sfreq_hz = sfreq_hz
        self._on_event = on_event
        self._waiting: deque[tuple[int, str]] = deque(maxlen=_MAX_WAITING)
        self._stamped: deque[tuple[int, Times]] = deque()

    def unread(self, n_events: int) -> tuple[int, int] | None:
        """Which events to ask for, from the first to after the last; None where there are none."""
        if n_events <= self.n_read:
            self.n_read = n_events
            return None
        start = max(self.n_read, n_events - _MAX_EVENTS)
        self._skip(start - self.n_read)
        self.n_read = n_events
        return start, n_events

    def take(self, answer: BufferEvents, base: int, n_there: int) -> None:
        """Take events; `base` is our number of the buffer's sample 0, which has `n_there` now."""
        if answer.events is None:
            self._skip(answer.stop - answer.start)
            return
        for event in answer.events:
            sample = n_there if event.sample == _NOW else event.sample
            self._waiting.append((base + sample, event.text))

    def stamped(self, first_sample: int, stamps: Times) -> None:
        """Note the stamps of samples that were read."""
        self._stamped.append((first_sample, stamps))
        while self._stamped[0][1][-1] < stamps[-1] - _MEMORY_S:
            self._stamped.popleft()

    def due(self, n_read: int) -> list[tuple[float, str]]:
        """Markers of samples with numbers below `n_read`, as (s, text)."""
        if not self._stamped or not self._waiting:
            return []
        furthest = n_read + _MEMORY_S * self._sfreq_hz
        due = [event for event in self._waiting if event[0] < n_read or event[0] > furthest]
        left = [event for event in self._waiting if n_read <= event[0] <= furthest]
        self._waiting = deque(left, maxlen=_MAX_WAITING)
        return [(self._stamp(number), text) for number, text in due]

    def _stamp(self, number: int) -> float:
        at = bisect.bisect_right(self._stamped, number, key=lambda one: one[0])
        first, stamps = self._stamped[max(0, at - 1)]
        within = number - first
        if 0 <= within < stamps.size:
            return float(stamps[within])
        edge = 0 if within < 0 else stamps.size - 1
        return float(stamps[edge]) + (within - edge) / self._sfreq_hz

    def _skip(self, n_events: int) -> None:
        if n_events:
            self._on_event("markers_skipped", events=n_events)
