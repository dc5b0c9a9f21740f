"""Shapes that carry a state, so that none depends on colour alone, and the hatch of what is not."""

import math
from collections.abc import Callable
from functools import cache

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

from rtbrain.view.theme import Theme

_HATCH_PX = 8


def paint_icon(
    painter: QPainter, box: QRectF, kind: str, theme: Theme, ink: str = "", ground: str = ""
) -> None:
    """Paint an icon into a square.

    Parameters
    ----------
    kind : str
        ``fine`` a tick in a circle, ``look`` a triangle, ``fix`` an octagon with a cross, ``alarm``
        one with an exclamation mark, ``checking`` an arc, ``unchecked`` a dashed ring, ``know`` an
        i in a circle, ``pin`` a detection, ``square`` a bad contact, ``dot`` and ``ring``.
    ink, ground : str, optional
        Colour, by default that of the state, and of what is cut out of it.
    """
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(box.topLeft())
    painter.scale(box.width() / 16, box.height() / 16)
    shape, colour, behind = _SHAPES[kind]
    shape(painter, ink or getattr(theme, colour), ground or getattr(theme, behind))
    painter.restore()


def icon_pixmap(kind: str, px: int, theme: Theme, ratio: float = 1.0, ink: str = "") -> QPixmap:
    """An icon as a pixmap of `px` logical pixels at a device pixel ratio."""
    pixmap = QPixmap(round(px * ratio), round(px * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    with QPainter(pixmap) as painter:
        paint_icon(painter, QRectF(0, 0, px, px), kind, theme, ink)
    return pixmap


@cache
def hatch_brush(theme: Theme, colour: str = "") -> QBrush:
    """Brush of parallel strokes: not valid, left out, or old."""
    tile = QPixmap(2 * _HATCH_PX, 2 * _HATCH_PX)
    tile.setDevicePixelRatio(2.0)
    tile.fill(Qt.GlobalColor.transparent)
    with QPainter(tile) as painter:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(colour or theme.hatch), 1.3))
        for shift in (-_HATCH_PX, 0, _HATCH_PX):
            painter.drawLine(QPointF(shift - 1, _HATCH_PX + 1), QPointF(shift + _HATCH_PX + 1, -1))
    return QBrush(tile)


def _pen(ink: str, width: float = 1.8, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
    return QPen(QColor(ink), width, style, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)


def _tick(painter: QPainter, ink: str, ground: str) -> None:
    _ring(painter, ink, ground)
    painter.drawPolyline(QPolygonF([QPointF(4.9, 8.3), QPointF(7.1, 10.5), QPointF(11.2, 5.8)]))


def _ring(painter: QPainter, ink: str, ground: str) -> None:
    painter.setPen(_pen(ink))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(QPointF(8, 8), 6.6, 6.6)


def _dot(painter: QPainter, ink: str, ground: str) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(ink))
    painter.drawEllipse(QPointF(8, 8), 6, 6)


def _triangle(painter: QPainter, ink: str, ground: str) -> None:
    painter.setPen(_pen(ink, 1.6))
    painter.setBrush(QColor(ink))
    painter.drawPolygon(QPolygonF([QPointF(8, 1.9), QPointF(15, 14), QPointF(1, 14)]))
    _exclamation(painter, ground, 6, 10.2, 12.2)


def _octagon(painter: QPainter, ink: str) -> None:
    points = [
        QPointF(8 + 7.6 * math.cos(a), 8 + 7.6 * math.sin(a))
        for a in (math.pi / 8 + k * math.pi / 4 for k in range(8))
    ]
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(ink))
    painter.drawPolygon(QPolygonF(points))


def _stop(painter: QPainter, ink: str, ground: str) -> None:
    _octagon(painter, ink)


def _cross(painter: QPainter, ink: str, reach: float, width: float = 1.8) -> None:
    painter.setPen(_pen(ink, width))
    for sign in (1, -1):
        painter.drawLine(QPointF(8 - reach, 8 - sign * reach), QPointF(8 + reach, 8 + sign * reach))


def _wrong(painter: QPainter, ink: str, ground: str) -> None:
    _octagon(painter, ink)
    _cross(painter, ground, 2.5)


def _alarm(painter: QPainter, ink: str, ground: str) -> None:
    _octagon(painter, ink)
    _exclamation(painter, ground, 4, 8.8, 11.6)


def _exclamation(painter: QPainter, ink: str, top: float, bottom: float, dot: float) -> None:
    painter.setPen(_pen(ink, 1.9))
    painter.drawLine(QPointF(8, top), QPointF(8, bottom))
    painter.drawPoint(QPointF(8, dot))


def _arc(painter: QPainter, ink: str, ground: str) -> None:
    painter.setPen(_pen(ground, 2.2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(QPointF(8, 8), 6.4, 6.4)
    painter.setPen(_pen(ink, 2.2))
    painter.drawArc(QRectF(1.6, 1.6, 12.8, 12.8), 0, 120 * 16)


def _dashed(painter: QPainter, ink: str, ground: str) -> None:
    pen = _pen(ink, 1.6)
    pen.setDashPattern([1.4, 1.8])
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(QPointF(8, 8), 6.6, 6.6)


def _know(painter: QPainter, ink: str, ground: str) -> None:
    painter.setPen(_pen(ink, 1.5))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawEllipse(QPointF(8, 8), 6.6, 6.6)
    painter.setPen(_pen(ink, 1.7))
    painter.drawPoint(QPointF(8, 4.9))
    painter.drawLine(QPointF(8, 7.5), QPointF(8, 11.2))


def _pin(painter: QPainter, ink: str, ground: str) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(ink))
    path = QPainterPath(QPointF(1.5, 2))
    path.lineTo(14.5, 2)
    path.lineTo(8, 14)
    path.closeSubpath()
    painter.drawPath(path)


def _square(painter: QPainter, ink: str, ground: str) -> None:
    painter.setPen(_pen(ink))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(QRectF(1.4, 1.4, 13.2, 13.2), 1.5, 1.5)
    _cross(painter, ink, 4)


# Shape, its colour, and the colour of what is cut out of it, as fields of a theme.
_SHAPES: dict[str, tuple[Callable[[QPainter, str, str], None], str, str]] = {
    "fine": (_tick, "ok", "bg0"),
    "look": (_triangle, "warn", "bg0"),
    "fix": (_wrong, "bad", "bg0"),
    "alarm": (_alarm, "bad", "bg0"),
    "checking": (_arc, "accent", "line"),
    "unchecked": (_dashed, "faint", "bg0"),
    "know": (_know, "text2", "bg0"),
    "pin": (_pin, "accent", "bg0"),
    "square": (_square, "warn", "bg0"),
    "stop": (_stop, "text", "bg0"),
    "dot": (_dot, "text", "bg0"),
    "ring": (_ring, "text2", "bg0"),
}
