"""Border and head of a panel, and texts of several inks in one line."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from rtbrain.view.theme import Theme

HEAD_PX, PAD_PX = 29, 10


@dataclass(frozen=True, slots=True)
class Face:
    """A font and its metrics."""

    font: QFont
    metrics: QFontMetricsF

    def width(self, text: str) -> float:
        """Width of a text, px."""
        return self.metrics.horizontalAdvance(text)


@lru_cache(maxsize=256)
def face(theme: Theme, px: float, weight: int = 400) -> Face:
    """Font of a size and weight of a theme; to make one takes longer than to paint with it."""
    font = theme.font(px, weight)
    return Face(font, QFontMetricsF(font))


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
    parts: Sequence[tuple[str, Face, str]],
    gap: float = 0.0,
    middle: bool = False,
) -> float:
    """Paint texts (text, face, colour) one after the other on a baseline; returns the end, px.

    What has no room is elided, at its end or in its middle.
    """
    x, end = at.x(), at.x() + width
    mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
    for text, type_, colour in parts:
        shown, wide = text, type_.width(text)
        if wide > end - x:
            shown = type_.metrics.elidedText(text, mode, max(0.0, end - x))
            wide = type_.width(shown)
        painter.setFont(type_.font)
        painter.setPen(QColor(colour))
        painter.drawText(QPointF(x, at.y()), shown)
        x += wide + (gap if shown else 0.0)
    return x


def wrapped(text: str, font: Face, width: float) -> list[str]:
    """Lines of a text, broken between words; a longer word has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
