"""3. Chunk to Windows: a ring in place, and the windows cut from it."""

from rtbrain.buffer.cued import CuedWindows
from rtbrain.buffer.event_windows import EventWindows, Marker
from rtbrain.buffer.ring import Ring
from rtbrain.buffer.windows import Windows

__all__ = ["CuedWindows", "EventWindows", "Marker", "Ring", "Windows"]
