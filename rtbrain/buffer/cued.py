"""Event windows whose markers are fetched as samples come."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from rtbrain.buffer.event_windows import EventWindows
from rtbrain.types import Chunk, Window

__all__ = ["CuedWindows"]


class CuedWindows:
    """Stage from Chunk to Windows that asks for markers before each chunk.

    Parameters
    ----------
    windows : EventWindows
        Cuts the windows.
    markers : callable
        ``markers(timeout_s)`` gives the markers that came, as (seconds on the LSL clock, text).
    coverage_floor : float
        Share of good channels below which a window is not valid.
    """

    def __init__(
        self,
        windows: EventWindows,
        markers: Callable[[float], list[tuple[float, str]]],
        *,
        coverage_floor: float,
    ) -> None:
        self._windows = windows
        self._markers = markers
        self._coverage_floor = coverage_floor

    def __call__(self, chunk: Chunk) -> Iterator[Window]:
        """Windows that are complete with this chunk and the markers so far."""
        for t, text in self._markers(0.0):
            self._windows.mark(t, text)
        return map(self._judged, self._windows(chunk))

    def _judged(self, window: Window) -> Window:
        quality = window.quality
        if not quality.valid or quality.coverage >= self._coverage_floor:
            return window
        reason = f"coverage {quality.coverage:.2f} is below {self._coverage_floor:.2f}"
        return replace(window, quality=replace(quality, valid=False, reason=reason))

    def reset(self) -> None:
        """Forget samples and markers."""
        self._windows.reset()
