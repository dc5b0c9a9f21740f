"""Paints the traces: grid, gaps, lines, markers, labels, scale bars."""

import math

import numpy as np
from pyqtgraph.Qt import internals
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QPainter, QPen

from rtbrain.types import Doubles, Floats, Mask
from rtbrain.view.traces.scene import SCALES_UV, Scene, TraceCache

_MARKER_ROWS = 3
_BAR_PX = 3
_MIN_GAP_PX = 3.0


def segments(top: Doubles, bottom: Doubles, x: Doubles, joined: Mask, *, wide: bool) -> Doubles:
    """Line segments of the traces, float64 [n_lines, 4], px, without lines across gaps.

    Columns narrower than a pixel are vertical lines, each extended to meet the one before: half as
    many as a zigzag, and the fastest to draw. Wider columns form a zigzag.
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
    """Lines in memory that Qt reads in place; drawn by one call, one pixel wide."""

    def __init__(self) -> None:
        # As pyqtgraph's own curves do: a million Python objects per redraw would take seconds.
        self._lines = internals.PrimitiveArray(QLineF, 4)

    def draw(self, painter: QPainter, ends: Doubles, colour: QColor) -> None:
        """Draw lines, float64 [n_lines, 4]."""
        if not len(ends):
            return
        pen = QPen(colour, 1)
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


def paint_page(painter: QPainter, scene: Scene, plot: QRectF, lines: dict[str, TraceLines]) -> None:
    """Paint the inside of the axes."""
    cache = scene.cache
    if cache is None or not scene.seen:
        return
    painter.save()
    painter.setClipRect(plot)
    painter.translate(plot.topLeft())
    inside = QRectF(0, 0, plot.width(), plot.height())
    _paint_grid(painter, scene, inside)
    _paint_traces(painter, scene, inside, cache, lines)
    _paint_gaps(painter, scene, inside, cache)
    if not scene.scrolling:
        _paint_cursor(painter, scene, inside, cache)
    _paint_markers(painter, scene, inside, cache)
    painter.restore()


def _paint_grid(painter: QPainter, scene: Scene, inside: QRectF) -> None:
    painter.setPen(QPen(QColor(scene.theme.grid), 1, Qt.PenStyle.DotLine))
    for second in range(1, math.ceil(scene.page_s)):
        _paint_upright(painter, round(second / scene.page_s * inside.width()), inside)
    if scene.highlighted is None or scene.highlighted not in scene.seen:
        return
    lane_px = inside.height() / len(scene.seen)
    band = QColor(scene.theme.warn)
    band.setAlpha(60)
    top = (scene.highlighted - scene.first_lane) * lane_px
    painter.fillRect(QRectF(0, top, inside.width(), lane_px), band)


def _paint_traces(
    painter: QPainter,
    scene: Scene,
    inside: QRectF,
    cache: TraceCache,
    lines: dict[str, TraceLines],
) -> None:
    lane_px = inside.height() / len(scene.seen)
    column_px = inside.width() / cache.n_columns
    x: Doubles = (np.arange(cache.n_columns, dtype=np.float64) + 0.5) * column_px
    joined = scene.joined(cache)
    for colour, lanes in _by_colour(scene).items():
        top, bottom = scene.ends(lanes, cache, lane_px)
        ends = segments(top, bottom, x, joined, wide=column_px > 1)
        lines.setdefault(colour, TraceLines()).draw(painter, ends, QColor(colour))


def _by_colour(scene: Scene) -> dict[str, list[int]]:
    """Lanes of each colour; bad and old ones come first, below the others."""
    groups: dict[str, list[int]] = {scene.theme.grid: [], scene.theme.faint: []}
    for lane in scene.seen:
        if scene.lanes.names[lane] in scene.bad:
            colour = scene.theme.grid
        elif scene.stale:
            colour = scene.theme.faint
        elif lane == scene.highlighted:
            colour = scene.theme.foreground
        else:
            colour = lane_colour(scene, lane)
        groups.setdefault(colour, []).append(lane)
    return {colour: lanes for colour, lanes in groups.items() if lanes}


def lane_colour(scene: Scene, lane: int) -> str:
    """Colour of a lane's shaft."""
    return scene.theme.classes[scene.lanes.colours[lane] % len(scene.theme.classes)]


def _paint_gaps(painter: QPainter, scene: Scene, inside: QRectF, cache: TraceCache) -> None:
    gap = cache.gap[scene.slots(cache)].copy()
    gap[scene.blank(cache)] = False
    if not gap.any():
        return
    edges = np.flatnonzero(np.diff(gap.astype(np.int8), prepend=0, append=0))
    column_px = inside.width() / cache.n_columns
    brush = QBrush(QColor(scene.theme.warn), Qt.BrushStyle.BDiagPattern)
    for start, stop in edges.reshape(-1, 2).tolist():
        width = max((stop - start) * column_px, _MIN_GAP_PX)
        painter.fillRect(QRectF(start * column_px, 0, width, inside.height()), brush)


def _paint_cursor(painter: QPainter, scene: Scene, inside: QRectF, cache: TraceCache) -> None:
    x = (scene.place(cache.newest, cache) + 1) * inside.width() / cache.n_columns
    painter.setPen(QPen(QColor(scene.theme.foreground), 1))
    _paint_upright(painter, x, inside)


def _paint_upright(painter: QPainter, x: float, inside: QRectF) -> None:
    painter.drawLine(QPointF(x, 0), QPointF(x, inside.height()))


def _paint_markers(painter: QPainter, scene: Scene, inside: QRectF, cache: TraceCache) -> None:
    if scene.pages is None:
        return
    metrics = painter.fontMetrics()
    pen = QPen(QColor(scene.theme.warn), 1, Qt.PenStyle.DashLine)
    blank = set(scene.blank(cache).tolist())
    ground = QColor(scene.theme.background)
    ground.setAlpha(210)
    free = [-1.0] * _MARKER_ROWS  # right end of the texts in each row
    placed = [
        (scene.place(column, cache), text) for column, text in scene.pages.markers(scene.page_s)
    ]
    for place, text in sorted(placed):
        if place in blank:
            continue
        x = (place + 0.5) * inside.width() / cache.n_columns
        painter.setPen(pen)
        _paint_upright(painter, x, inside)
        row = next((row for row, end in enumerate(free) if x >= end), None)
        if row is None:
            continue
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, metrics.height() * 9)
        width = metrics.horizontalAdvance(shown) + 6
        left = min(x, inside.width() - width)
        box = QRectF(left, row * metrics.height(), width, metrics.height())
        painter.fillRect(box, ground)
        painter.setPen(QColor(scene.theme.foreground))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, shown)
        free[row] = left + width + 2


def placed_labels(scene: Scene, lane_px: float, text_px: float) -> list[int]:
    """Lanes whose labels fit without touching.

    The search result comes first, then the first contact of each shaft, bad ones, the others.
    """
    lanes = scene.lanes

    def rank(lane: int) -> int:
        if lane == scene.highlighted:
            return 0
        if lane == scene.first_lane or lanes.colours[lane] != lanes.colours[lane - 1]:
            return 1
        return 2 if lanes.names[lane] in scene.bad else 3

    apart = max(1, math.ceil(text_px / lane_px))
    taken: list[int] = []
    free = set(scene.seen)
    for lane in sorted(scene.seen, key=rank):
        if lane in free:
            taken.append(lane)
            free.difference_update(range(lane - apart + 1, lane + apart))
    return sorted(taken)


def paint_frame(painter: QPainter, scene: Scene, plot: QRectF, gutter_px: float) -> None:
    """Paint the labels left of the axes, and a bar in the colour of each shaft."""
    if not scene.seen:
        return
    lane_px = plot.height() / len(scene.seen)
    for lane in scene.seen:
        top = plot.top() + (lane - scene.first_lane) * lane_px
        bar = QRectF(plot.left() - _BAR_PX - 2, top, _BAR_PX, lane_px)
        painter.fillRect(bar, QColor(lane_colour(scene, lane)))
    metrics = painter.fontMetrics()
    upright = painter.font()
    struck = QFont(upright)
    struck.setStrikeOut(True)
    align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    for lane in placed_labels(scene, lane_px, metrics.height() * 0.9):
        bad = scene.lanes.names[lane] in scene.bad
        painter.setFont(struck if bad else upright)
        faint = bad or bool(scene.stale)
        painter.setPen(QColor(scene.theme.faint if faint else scene.theme.foreground))
        middle = plot.top() + (lane - scene.first_lane + 0.5) * lane_px
        room = QRectF(0, middle - metrics.height() / 2, gutter_px, metrics.height())
        name = metrics.elidedText(
            scene.lanes.names[lane], Qt.TextElideMode.ElideMiddle, int(gutter_px)
        )
        painter.drawText(room, align, name)
    painter.setFont(upright)


def paint_scales(painter: QPainter, scene: Scene, strip: QRectF, lane_px: float) -> float:
    """Paint one scale bar per kind at the right end of a strip; returns their left end, px."""
    metrics = painter.fontMetrics()
    painter.setPen(QPen(QColor(scene.theme.foreground), 2))
    right = strip.right() - 4
    for kind in dict.fromkeys(scene.lanes.kinds):
        per_uv = lane_px / scene.scales_uv[kind]
        fitting = [uv for uv in SCALES_UV if uv * per_uv <= strip.height() - 6]
        bar_uv = fitting[-1] if fitting else SCALES_UV[0]
        text = f"{bar_uv:g} µV {kind}"
        width = metrics.horizontalAdvance(text) + 4
        if right - width - 10 < strip.left() + strip.width() / 3:
            break
        box = QRectF(right - width, strip.top(), width, strip.height())
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        x, length = right - width - 6, bar_uv * per_uv
        middle = strip.center().y()
        painter.drawLine(QPointF(x, middle - length / 2), QPointF(x, middle + length / 2))
        right = x - 12
    return right
