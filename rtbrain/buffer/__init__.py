"""3. Chunk to Windows: a ring in place, and the windows cut from it."""

from rtbrain.buffer.event_windows import EventWindows, LiveEventWindows, Marker
from rtbrain.buffer.rings import Ring
from rtbrain.buffer.windows import Windows

__all__ = ["EventWindows", "LiveEventWindows", "Marker", "Ring", "Windows"]
