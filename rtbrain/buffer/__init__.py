"""3. Chunk to Windows: a ring in place, and the windows cut from it."""

from rtbrain.buffer.ring import Ring
from rtbrain.buffer.windows import Windows

__all__ = ["Ring", "Windows"]
