"""How often the window draws: as often as wished, or as often as it can."""

import time
from collections import deque

__all__ = ["DrawPace"]

# Drawing may take this share of the time; the rest is for taking samples and for the keys.
_MOST_SHARE = 0.7
_OVER = 20  # draws


class DrawPace:
    """Interval until the next draw, from how long the last ones took.

    Parameters
    ----------
    wished_hz : float
        Draws a second where there is time for them.
    """

    def __init__(self, wished_hz: float) -> None:
        self._wished_s = 1 / wished_hz
        self._took_s: deque[float] = deque(maxlen=_OVER)
        self._began: deque[float] = deque(maxlen=_OVER)

    def drawn(self, took_s: float) -> None:
        """Take the time of a draw and its painting, s, that have just ended."""
        self._took_s.append(took_s)
        self._began.append(time.monotonic())

    @property
    def interval_s(self) -> float:
        """From the start of a draw to the start of the next, s."""
        if not self._took_s:
            return self._wished_s
        mean_s = sum(self._took_s) / len(self._took_s)
        return max(self._wished_s, mean_s / _MOST_SHARE)

    @property
    def text(self) -> str:
        """What the status line says: empty while the window draws as often as it should."""
        spanned_s = self._began[-1] - self._began[0] if len(self._began) > 2 else 0.0
        if spanned_s <= 0:
            return ""
        got_hz, wished_hz = (len(self._began) - 1) / spanned_s, 1 / self._wished_s
        if got_hz > 0.9 * wished_hz:
            return ""
        return f"drawing at {got_hz:.0f} of {wished_hz:.0f} Hz"
