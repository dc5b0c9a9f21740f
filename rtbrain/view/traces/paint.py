"""Paints the traces: grid, gaps, lines, cursor."""

import math

import numpy as np
from pyqtgraph.Qt import internals
from PySide6.QtCore import QLineF, QPointF, QRectF
from PySide6.QtGui import QColor, QPainter, QPen

from rtbrain.types import Doubles, Floats, Mask
from rtbrain.view.icons import hatch_brush
from rtbrain.view.traces.pages import TraceCache
from rtbrain.view.traces.scene import Scene

_MIN_GAP_PX = 3.0
# Columns wider than this, px of the device, are joined by slanted lines.
_WIDE_PX = 2.5
# On screens of this many pixels per logical one, smooth lines cost more than they show.
_FINE_RATIO = 2.0


def segments(top: Doubles, bottom: Doubles, x: Doubles, joined: Mask, *, wide: bool) -> Doubles:
    """Line segments of the traces, float64 [n_lines, 4], px, without lines across gaps.

    Narrow columns are vertical lines of 1 px or more, each extended to meet the one before: half
    as many as a zigzag, and the fastest to draw. Wide columns form a zigzag.
    """
    there: Mask = np.asarray(np.isfinite(top))
    kept: Mask = np.asarray(there.any(axis=0))
    if not kept.all():  # drop the columns of gaps and the blank ahead of a sweep
        joined = joined.copy()
        joined[1:] &= kept[:-1]
        top, bottom, there, x = top[:, kept], bottom[:, kept], there[:, kept], x[kept]
        joined = joined[kept]
    upright_top, upright_bottom = top, bottom
    if not wide:
        upright_top, upright_bottom = top.copy(), bottom.copy()
        np.fmin(top[:, 1:], bottom[:, :-1], out=upright_top[:, 1:])
        np.fmax(bottom[:, 1:], top[:, :-1], out=upright_bottom[:, 1:])
        upright_top[:, ~joined], upright_bottom[:, ~joined] = top[:, ~joined], bottom[:, ~joined]
        np.fmax(upright_bottom, upright_top + 1, out=upright_bottom)
    lines = np.empty((*top.shape, 4))
    lines[..., 0] = lines[..., 2] = x
    lines[..., 1], lines[..., 3] = upright_top, upright_bottom
    flat: Doubles = lines.reshape(-1, 4) if there.all() else lines[there]
    if not wide or top.shape[1] < 2:
        return flat
    between = np.empty((top.shape[0], top.shape[1] - 1, 4))
    between[..., 0], between[..., 2] = x[:-1], x[1:]
    between[..., 1], between[..., 3] = bottom[:, :-1], top[:, 1:]
    drawn = there[:, 1:] & there[:, :-1] & joined[1:]
    return np.concatenate([flat, between[drawn]])


class TraceLines:
    """Lines in memory that Qt reads in place; drawn by one call."""

    def __init__(self) -> None:
        # As pyqtgraph's own curves do: a million Python objects per redraw would take seconds.
        self._lines = internals.PrimitiveArray(QLineF, 4)

    def draw(self, painter: QPainter, ends: Doubles, colour: QColor, width_px: float) -> None:
        """Draw lines, float64 [n_lines, 4], some pixels of the device wide."""
        if not len(ends):
            return
        pen = QPen(colour, width_px)
        pen.setCosmetic(True)
        painter.setPen(pen)
        self._lines.resize(len(ends))
        self._lines.ndarray()[:] = ends
        painter.drawLines(*self._lines.drawargs())


def offsets(low: Floats, high: Floats) -> Floats:
    """Median of each trace, from every eighth column: float32 [n_traces], µV; NaN if empty."""
    middles = np.sort((low[:, ::8] + high[:, ::8]) / 2, axis=1)  # NaN last
    n_there = np.isfinite(middles).sum(axis=1)
    at = np.maximum(n_there - 1, 0) // 2
    middle: Floats = middles[np.arange(len(middles)), at]
    return middle


def paint_page(
    painter: QPainter,
    scene: Scene,
    plot: QRectF,
    lines: dict[str, TraceLines],
    *,
    grid: bool = True,
) -> None:
    """Paint the inside of the axes."""
    painter.save()
    painter.setClipRect(plot)
    painter.translate(plot.topLeft())
    inside = QRectF(0, 0, plot.width(), plot.height())
    if grid:
        _paint_grid(painter, scene, inside)
    cache = scene.cache
    if cache is not None and scene.seen:
        _paint_gaps(painter, scene, inside, cache)
        _paint_traces(painter, scene, inside, cache, lines)
        if not scene.scrolling or scene.old_s:
            _paint_cursor(painter, scene, inside, cache)
    painter.restore()


def _paint_grid(painter: QPainter, scene: Scene, inside: QRectF) -> None:
    painter.setPen(QPen(QColor(scene.theme.grid), 1))
    for second in range(1, math.ceil(scene.page_s)):
        x = round(second / scene.page_s * inside.width())
        painter.drawLine(QPointF(x, 0), QPointF(x, inside.height()))


def _paint_traces(
    painter: QPainter,
    scene: Scene,
    inside: QRectF,
    cache: TraceCache,
    lines: dict[str, TraceLines],
) -> None:
    ratio = painter.device().devicePixelRatio()
    lane_px = inside.height() / len(scene.seen)
    column_px = inside.width() / cache.n_columns
    x: Doubles = (np.arange(cache.n_columns, dtype=np.float64) + 0.5) * column_px
    joined = scene.joined(cache)
    wide = column_px * ratio > _WIDE_PX
    width_px = 1.5 if wide else max(1.0, column_px * ratio)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, ratio < _FINE_RATIO)
    for colour, lanes in _by_colour(scene).items():
        top, bottom = scene.ends(lanes, cache, lane_px)
        ends = segments(top, bottom, x, joined, wide=wide)
        lines.setdefault(colour, TraceLines()).draw(painter, ends, QColor(colour), width_px)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)


def _by_colour(scene: Scene) -> dict[str, list[int]]:
    """Lanes of each colour: shafts in turn; bad and old ones come first, below the others."""
    theme = scene.theme
    groups: dict[str, list[int]] = {theme.trace_bad: [], theme.trace2: [], theme.trace: []}
    for lane in scene.seen:
        if scene.old_s or scene.lanes.names[lane] in scene.bad:
            colour = theme.trace_bad
        else:
            colour = theme.trace2 if scene.lanes.shaft_numbers[lane] % 2 else theme.trace
        groups[colour].append(lane)
    return {colour: lanes for colour, lanes in groups.items() if lanes}


def _paint_gaps(painter: QPainter, scene: Scene, inside: QRectF, cache: TraceCache) -> None:
    gap = scene.gaps(cache)
    if not gap.any():
        return
    edges = np.flatnonzero(np.diff(gap.astype(np.int8), prepend=0, append=0))
    column_px = inside.width() / cache.n_columns
    brush = hatch_brush(scene.theme)
    for start, stop in edges.reshape(-1, 2).tolist():
        width = max((stop - start) * column_px, _MIN_GAP_PX)
        painter.setBrushOrigin(QPointF(start * column_px, 0))
        box = QRectF(start * column_px, 0, width, inside.height())
        painter.fillRect(box, brush)
        painter.setPen(QPen(QColor(scene.theme.hatch), 1))
        painter.drawLine(box.topLeft(), box.bottomLeft())
        painter.drawLine(box.topRight(), box.bottomRight())


def _paint_cursor(painter: QPainter, scene: Scene, inside: QRectF, cache: TraceCache) -> None:
    """Line where a sweep writes; where the signal ended, if it is lost."""
    at = scene.place(cache.newest, cache) + 1
    if scene.old_s and scene.ahead(cache) >= cache.n_columns:
        return
    x = at * inside.width() / cache.n_columns
    painter.setPen(QPen(QColor(scene.theme.text), 2))
    painter.drawLine(QPointF(x, 0), QPointF(x, inside.height()))
