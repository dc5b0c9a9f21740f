"""Where everything stands in the live window: a fixed grid in which nothing moves with a state."""

import math
from collections.abc import Callable, Collection

from PySide6.QtCore import QRect

PANELS = ("decode", "now", "signal", "spectrum", "contacts")
_RIGHT = ("now", "spectrum", "contacts")
# Widths from which the right column is wide, and below which spectrum and contacts share a place.
_WIDE_PX, _NARROW_PX, _LOW_PX = 1600, 1280, 760
MENU_PX = 26
_GAP_PX, _STATUS_PX, _STRIP_PX, _TABS_PX = 8, 44, 20, 26
_RIGHT_PX, _WIDE_RIGHT_PX = 304, 420
_DECODE_SHARE, _DECODE_PX, _LOW_DECODE_PX = 0.24, 192, 152


def place_panels(
    width: int,
    height: int,
    px: Callable[[float], int],
    *,
    strip: bool,
    hidden: Collection[str] = (),
) -> dict[str, QRect]:
    """Rectangles of status line, strip, tabs and the panels that are shown, in an area in px.

    `px` scales a length of the design to the type in use. Spectrum and contacts of a narrow window
    are tabs of one place, so that both have the same rectangle.
    """
    gap, status, strip_px = px(_GAP_PX), px(_STATUS_PX), px(_STRIP_PX) if strip else 0
    places = {"status": QRect(0, 0, width, status)}
    if strip:
        places["strip"] = QRect(0, status, width, strip_px)
    shown = [name for name in PANELS if name not in hidden]
    top, bottom = status + strip_px + gap, height - gap
    right = 0
    if any(name in shown for name in _RIGHT):
        right = px(_WIDE_RIGHT_PX if width >= px(_WIDE_PX) else _RIGHT_PX)
    left = width - 2 * gap - (right + gap if right else 0)
    decode = 0
    if "decode" in shown or "now" in shown:
        least = px(_DECODE_PX if height >= _LOW_PX - MENU_PX else _LOW_DECODE_PX)
        decode = max(least, 8 * math.ceil(_DECODE_SHARE * (height + MENU_PX) / 8))
    below = top + (decode + gap if decode else 0)
    x_right = gap + left + (gap if left else 0)
    if "decode" in shown:
        places["decode"] = QRect(gap, top, left, decode)
    if "now" in shown:
        places["now"] = QRect(x_right, top, right, decode)
    if "signal" in shown:
        places["signal"] = QRect(gap, below, left, bottom - below)
    lower = [name for name in ("spectrum", "contacts") if name in shown]
    # Under nothing else in the column, they begin at its top.
    start = below if "now" in shown or not right else top
    if width < px(_NARROW_PX) and len(lower) == 2:
        places["tabs"] = QRect(x_right, start, right, px(_TABS_PX))
        start += px(_TABS_PX)
        lower = lower[:1]
    height_each = (bottom - start - gap * (len(lower) - 1)) // max(1, len(lower))
    for place, name in enumerate(lower):
        y = start + place * (height_each + gap)
        places[name] = QRect(
            x_right, y, right, height_each if place + 1 < len(lower) else bottom - y
        )
    if "tabs" in places:
        places["contacts"] = places["spectrum"]
    return places
