"""The pill that says whether this signal is recorded: the same in window and console."""

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QPainter, QPen

from rtbrain.view.icons import paint_icon
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme

_PILL_PX, _PAD_PX, _ICON_PX, _GAP_PX = 28, 12, 12, 7
_TYPE_PX = 14
# Icon of each state, and whether the pill is filled.
_ICONS = {"none": "ring", "rec": "dot", "no_signal": "dot", "other": "look", "failed": "fix"}


def pill_words(state: str, *, alarm: bool = False) -> str:
    """Words of a state of the recording; shorter on an alarm, whose title says the rest."""
    if alarm and state == "failed":
        return say("pill.failed_alarm")
    return say("pill.rec") if alarm and state == "other" else say(f"pill.{state}")


def pill_width(state: str, theme: Theme, *, alarm: bool = False) -> float:
    """Width of the pill, px."""
    words = QFontMetricsF(theme.font(_TYPE_PX, 700)).horizontalAdvance(
        pill_words(state, alarm=alarm)
    )
    return words + 2 * theme.px(_PAD_PX) + theme.px(_ICON_PX) + theme.px(_GAP_PX)


def paint_pill(
    painter: QPainter, x: float, middle: float, state: str, theme: Theme, ground: str = ""
) -> float:
    """Paint the pill from `x` on, round a height; returns where it ends, px.

    `ground` is ``alarm`` or ``medium`` where the line behind it is one, in that field of a theme.
    """
    words = pill_words(state, alarm=bool(ground))
    height = theme.px(_PILL_PX)
    box = QRectF(x, middle - height / 2, pill_width(state, theme, alarm=bool(ground)), height)
    fill, edge, ink = _colours(state, theme, ground)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(fill) if fill else QBrush(Qt.BrushStyle.NoBrush))
    thick = theme.px(1) if state == "none" and not ground else theme.px(2)
    inset = thick / 2
    painter.setPen(QPen(QColor(edge), thick))
    radius = height / 2 - inset
    painter.drawRoundedRect(box.adjusted(inset, inset, -inset, -inset), radius, radius)
    size = theme.px(_ICON_PX)
    icon = QRectF(x + theme.px(_PAD_PX), middle - size / 2, size, size)
    name = "dot" if ground and state == "other" else _ICONS[state]
    paint_icon(painter, icon, name, theme, ink, fill or "")
    painter.setFont(theme.font(_TYPE_PX, 700))
    painter.setPen(QColor(ink))
    left = icon.right() + theme.px(_GAP_PX)
    painter.drawText(
        QRectF(left, box.top(), box.right() - left, height), Qt.AlignmentFlag.AlignVCenter, words
    )
    return box.right()


def _colours(state: str, theme: Theme, ground: str) -> tuple[str, str, str]:
    """Fill (empty for none), edge, which stands out from the line where the fill does not, ink."""
    if ground:
        on = str(getattr(theme, f"on_{ground}"))
        return (on, on, str(getattr(theme, ground))) if state == "failed" else ("", on, on)
    if state == "none":
        return "", theme.ctl, theme.text2
    if state == "rec":
        return theme.text, theme.text, theme.bg0
    if state == "other":
        return theme.medium, theme.warn, theme.on_medium
    if state == "failed":
        return theme.alarm, theme.bad, theme.on_alarm
    return "", theme.text, theme.text
