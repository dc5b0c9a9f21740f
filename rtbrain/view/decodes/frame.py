"""Border and head of a panel, and texts of several inks in one line."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from rtbrain.view.theme import Theme

HEAD_PX, PAD_PX = 29, 10


def paint_frame(painter: QPainter, box: QRectF, theme: Theme, border: str = "line") -> None:
    """Paint the ground and the border of a panel; a border that warns is 2 px wide."""
    width = 1 if border == "line" else 2
    painter.fillRect(box, QColor(theme.bg0))
    painter.setPen(QPen(QColor(getattr(theme, border)), width))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    inset = width / 2
    painter.drawRoundedRect(box.adjusted(inset, inset, -inset, -inset), 3, 3)


def paint_line(
    painter: QPainter,
    at: QPointF,
    width: float,
    parts: Sequence[tuple[str, QFont, str]],
    gap: float = 0.0,
    middle: bool = False,
) -> float:
    """Paint texts (text, font, colour) one after the other on a baseline; returns the end, px.

    What has no room is elided, at its end or in its middle.
    """
    x, end = at.x(), at.x() + width
    mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
    for text, font, colour in parts:
        metrics = QFontMetricsF(font)
        shown = metrics.elidedText(text, mode, max(0.0, end - x))
        painter.setFont(font)
        painter.setPen(QColor(colour))
        painter.drawText(QPointF(x, at.y()), shown)
        x += metrics.horizontalAdvance(shown) + (gap if shown else 0.0)
    return x


def wrapped(text: str, metrics: QFontMetricsF, width: float) -> list[str]:
    """Lines of a text, broken between words; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and metrics.horizontalAdvance(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
