"""Curves of the decode plot: the target's with its ground, the others told apart by dashes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from rtbrain.types import Floats, Times
from rtbrain.view.theme import Theme

_FILL_ALPHA = {"dark": 0.20, "light": 0.15}
_WIDTH_PX, _DOT_PX = 1.7, 3.0
_MARGIN = 0.08
# A scale is narrowed only when less than a third of it is used.
_MIN_USED = 0.33


@dataclass(frozen=True, slots=True)
class Lane:
    """A part of the plot with a scale of its own."""

    box: QRectF
    low: float
    high: float
    page_s: float

    def x(self, t: float) -> float:
        """Where a time is, s before now."""
        return self.box.right() + t * self.box.width() / self.page_s

    def y(self, value: float) -> float:
        """Where a value is."""
        share = (value - self.low) / (self.high - self.low)
        return self.box.bottom() - share * self.box.height()


def dash_pen(theme: Theme, slot: int, width: float = _WIDTH_PX) -> QPen:
    """Pen of the curve in a slot: 0 the target, then solid, dashed and dotted ink."""
    pen = QPen(QColor(theme.accent if slot == 0 else theme.text2), width)
    if slot > 1:
        pen.setDashPattern([6 / width, 4 / width] if slot == 2 else [1 / width, 4 / width])
    pen.setCapStyle(Qt.PenCapStyle.RoundCap if slot == 3 else Qt.PenCapStyle.FlatCap)
    return pen


def paint_curve(
    painter: QPainter, lane: Lane, t: Times, y: Floats, theme: Theme, slot: int, *, lines: bool
) -> None:
    """Paint one output; decodes that stand alone, or come with events, are dots."""
    finite = np.isfinite(y)
    if not finite.any():
        return
    shown = np.clip(y.astype(np.float64), lane.low, lane.high)
    xs = lane.box.right() + t * (lane.box.width() / lane.page_s)
    ys = lane.box.bottom() - (shown - lane.low) * (lane.box.height() / (lane.high - lane.low))
    pen = dash_pen(theme, slot)
    alone = finite.copy()
    if lines:
        alone[1:] &= ~finite[:-1]
        alone[:-1] &= ~finite[1:]
        if slot == 0:
            ground = QColor(theme.accent)
            ground.setAlphaF(_FILL_ALPHA[theme.name])
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)  # its edge is the curve
            painter.fillPath(_ground(xs, ys, finite, lane.box.bottom()), ground)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(pg.arrayToQPath(xs, ys, connect="finite"))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(pen.color())
    for x, height in zip(xs[alone].tolist(), ys[alone].tolist(), strict=True):
        painter.drawEllipse(QPointF(x, height), _DOT_PX, _DOT_PX)


def _ground(xs: Times, ys: Times, finite: Any, bottom: float) -> Any:
    """Path of the areas between the curve's pieces and the bottom."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], finite.view(np.int8), [0]])))
    pieces_x: list[Times] = []
    pieces_y: list[Times] = []
    base, gap = np.array([bottom]), np.array([np.nan])
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop - start > 1:
            pieces_x += [xs[start : start + 1], xs[start:stop], xs[stop - 1 : stop], gap]
            pieces_y += [base, ys[start:stop], base, gap]
    if not pieces_x:
        return pg.arrayToQPath(np.empty(0), np.empty(0))
    return pg.arrayToQPath(
        np.concatenate(pieces_x), np.concatenate(pieces_y), connect="finite", finiteCheck=True
    )


class Scale:
    """Range of an output without natural limits; it does not follow every wiggle."""

    def __init__(self) -> None:
        self.limits = (math.nan, math.nan)

    def fit(self, values: Floats, also: Sequence[float]) -> tuple[float, float]:
        """Range that holds the values, and others such as a threshold."""
        seen = [*values[np.isfinite(values)].tolist(), *also]
        low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
        if high - low < 1e-9 * max(1.0, abs(high)):
            low, high = low - 0.5, high + 0.5
        was_low, was_high = self.limits
        holds = was_low <= low and high <= was_high  # NaN does not
        if not holds or high - low < _MIN_USED * (was_high - was_low):
            margin = _MARGIN * (high - low)
            self.limits = (low - margin, high + margin)
        return self.limits
