"""How often the window draws, as often as it should or can, and that nothing stops the rest."""

import sys
import time
from collections import deque
from collections.abc import Callable

# Share of the time that drawing may use, averaged over some draws; samples and keys need the rest.
_MAX_DRAW_SHARE = 0.7
_AVERAGED_DRAWS = 20


class DrawInterval:
    """Interval between draws, adapted to how long the last ones took."""

    def __init__(self, target_hz: float) -> None:
        self._target_s = 1 / target_hz
        self._took_s: deque[float] = deque(maxlen=_AVERAGED_DRAWS)
        self._began: deque[float] = deque(maxlen=_AVERAGED_DRAWS)

    def drawn(self, took_s: float) -> None:
        """Note how long the draw and painting that just ended took, s."""
        self._took_s.append(took_s)
        self._began.append(time.monotonic())

    @property
    def interval_s(self) -> float:
        """From the start of a draw to the start of the next, s."""
        if not self._took_s:
            return self._target_s
        mean_s = sum(self._took_s) / len(self._took_s)
        return max(self._target_s, mean_s / _MAX_DRAW_SHARE)

    @property
    def text(self) -> str:
        """Drawing rate for the status line; empty while it is on target."""
        spanned_s = self._began[-1] - self._began[0] if len(self._began) > 2 else 0.0
        if spanned_s <= 0:
            return ""
        actual_hz, target_hz = (len(self._began) - 1) / spanned_s, 1 / self._target_s
        if actual_hz > 0.9 * target_hz:
            return ""
        return f"drawing at {actual_hz:.0f} of {target_hz:.0f} Hz"


def call_each(*calls: Callable[[], object]) -> None:
    """Call each one; one that fails is reported as Python does, and stops none of the others."""
    for call in calls:
        try:
            call()
        except Exception:  # noqa: BLE001 - whatever fails, the others go on
            sys.excepthook(*sys.exc_info())
