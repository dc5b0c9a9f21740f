"""Paints what surrounds the traces: labels, lanes of markers and detections, time, scale bars."""

import math
import time

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from rtbrain.view.icons import paint_icon
from rtbrain.view.texts import is_by_hand, say
from rtbrain.view.theme import paint_text
from rtbrain.view.traces.scene import Scene, bar_uv, group_text

# Of both plots on the left of the window, so that their times begin at the same x, px.
GUTTER_PX = 58
LANE_PX = 17  # of markers and of detections
AXIS_PX = 18
# Every label is drawn in rows of this height.
ROW_PX = 11.5
_LABEL_PX = 48  # right end of the labels
_SIGN_PX = 10
_SHAFT_PX = 54
_TICK_PX = 44  # least distance of two times
_PIN_PX = 10
_BAR_PX = 52
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


def placed_labels(scene: Scene, lane_px: float, text_px: float) -> list[int]:
    """Lanes whose labels fit without touching: all, where lanes are as high as the text.

    The chosen contact comes first, then bad ones, the first of each shaft, the others.
    """
    lanes = scene.lanes

    def rank(lane: int) -> int:
        if lane == scene.chosen:
            return 0
        if lanes.names[lane] in scene.bad:
            return 1
        first = lane == scene.first_lane or lanes.shafts[lane] != lanes.shafts[lane - 1]
        return 2 if first else 3

    apart = max(1, math.ceil(text_px / lane_px - 0.01))
    taken: list[int] = []
    free = set(scene.seen)
    for lane in sorted(scene.seen, key=rank):
        if lane in free:
            taken.append(lane)
            free.difference_update(range(lane - apart + 1, lane + apart))
    return sorted(taken)


def paint_gutter(painter: QPainter, scene: Scene, plot: QRectF) -> None:
    """Paint the labels left of the axes, and a line along each shaft."""
    if not scene.seen:
        return
    theme, names = scene.theme, scene.lanes.names
    lane_px = plot.height() / len(scene.seen)
    _paint_shafts(painter, scene, plot, lane_px)
    upright = theme.font(11)
    struck = QFont(upright)
    struck.setStrikeOut(True)
    metrics = QFontMetricsF(upright)
    left = plot.left() - theme.px(GUTTER_PX)
    right = left + theme.px(_LABEL_PX)
    for lane in placed_labels(scene, lane_px, theme.scale * ROW_PX):
        reason = scene.bad.get(names[lane], "")
        middle = plot.top() + (lane - scene.first_lane + 0.5) * lane_px
        start = left + 2 + (theme.px(_SIGN_PX) if reason else 0)
        box = QRectF(start, middle - metrics.height() / 2, right - start, metrics.height())
        name = metrics.elidedText(names[lane], Qt.TextElideMode.ElideMiddle, box.width())
        colour = theme.faint if reason else theme.text2
        if lane == scene.chosen:
            ground = QRectF(left + 1, 0, right - left + 3, max(lane_px, theme.px(ROW_PX)))
            ground.moveCenter(QPointF(ground.center().x(), middle))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.accent))
            painter.drawRoundedRect(ground, 2, 2)
            colour = theme.on_accent
        painter.setFont(struck if reason else upright)
        painter.setPen(QColor(colour))
        painter.drawText(box, _RIGHT, name)
        if reason:
            painter.setFont(upright)
            sign = QRectF(0, box.top(), theme.px(_SIGN_PX), box.height())
            sign.moveRight(right - metrics.horizontalAdvance(name) - 2)
            painter.drawText(sign, _RIGHT, "–" if is_by_hand(reason) else "×")


def _paint_shafts(painter: QPainter, scene: Scene, plot: QRectF, lane_px: float) -> None:
    theme, numbers = scene.theme, scene.lanes.shaft_numbers
    x = plot.left() - theme.px(GUTTER_PX - _SHAFT_PX)
    start = scene.seen.start
    for lane in scene.seen:
        if lane + 1 == scene.seen.stop or numbers[lane + 1] != numbers[lane]:
            top = plot.top() + (start - scene.first_lane) * lane_px + 1
            bottom = plot.top() + (lane + 1 - scene.first_lane) * lane_px - 1
            colour = theme.trace2 if numbers[lane] % 2 else theme.trace
            painter.fillRect(QRectF(x - 1, top, 2, max(1.0, bottom - top)), QColor(colour))
            start = lane + 1


def paint_lanes(painter: QPainter, scene: Scene, plot: QRectF, shared: bool) -> None:
    """Paint the markers and the detections above the axes, in two lanes or in a shared one."""
    theme, cache = scene.theme, scene.cache
    lane_px = theme.px(LANE_PX)
    painter.setFont(theme.font(11))
    top = plot.top() - lane_px * (1 if shared else 2)
    markers = QRectF(plot.left(), top, plot.width(), lane_px)
    detected = QRectF(plot.left(), plot.top() - lane_px, plot.width(), lane_px)
    groups: list[tuple[int, list[str]]] = []
    pins: list[int] = []
    if cache is not None and scene.pages is not None:
        groups = scene.groups(cache, cache.n_columns / plot.width())
        ahead = scene.ahead(cache)
        found = scene.pages.detected(scene.page_s, ahead)
        pins = [scene.place(column, cache) for column, _ in found]
        column_px = plot.width() / cache.n_columns
        over = [(place + 0.5) * column_px for place in pins] if shared else []
        _paint_markers(painter, scene, markers, groups, column_px, over)
        for place in pins:
            box = QRectF(0, 0, theme.px(_PIN_PX), theme.px(_PIN_PX))
            box.moveCenter(QPointF(plot.left() + (place + 0.5) * column_px, detected.center().y()))
            paint_icon(painter, box, "pin", theme)
    label = QRectF(plot.left() - theme.px(GUTTER_PX), top, theme.px(_LABEL_PX), lane_px)
    paint_text(
        painter, label, say("signal.markers"), theme.text2 if groups else theme.faint, _RIGHT
    )
    painter.setPen(QPen(QColor(theme.grid), 1))
    painter.drawLine(markers.bottomLeft(), markers.bottomRight())
    if not shared:
        label.moveBottom(plot.top())
        ink = theme.text2 if pins else theme.faint
        paint_text(painter, label, say("signal.detected"), ink, _RIGHT)


def _paint_markers(
    painter: QPainter,
    scene: Scene,
    lane: QRectF,
    groups: list[tuple[int, list[str]]],
    column_px: float,
    pins: list[float],
) -> None:
    """Paint markers, and their texts where neither the next one nor a pin of this lane is, px."""
    theme = scene.theme
    lefts = [(place + 0.5) * column_px for place, _ in groups]
    half = theme.px(_PIN_PX) / 2
    for x, end, (_, texts) in zip(lefts, [*lefts, lane.width()][1:], groups, strict=True):
        painter.setPen(QPen(QColor(theme.text2), 2))
        at = lane.left() + x
        painter.drawLine(QPointF(at, lane.top() + 1), QPointF(at, lane.bottom() - 1))
        start, stop = x + 4, end - 3
        for pin in sorted(pins):
            if pin - half < start + 2 * half:
                start = max(start, pin + half + 2)
            else:
                stop = min(stop, pin - half - 2)
        if stop > start:
            room = QRectF(lane.left() + start, lane.top(), stop - start, lane.height())
            paint_text(painter, room, group_text(texts), theme.text, _LEFT)


def marker_tip(scene: Scene, plot: QRectF, x: float) -> str:
    """All texts of the group of markers under the mouse."""
    cache = scene.cache
    if cache is None:
        return ""
    column_px = plot.width() / cache.n_columns
    place = (x - plot.left()) / column_px
    before = [texts for at, texts in scene.groups(cache, 1 / column_px) if at <= place + 4]
    return "\n".join(before[-1]) if before else ""


def paint_axis(painter: QPainter, scene: Scene, plot: QRectF) -> None:
    """Paint the times below the axes: of the left end, then how far from it."""
    theme, cache = scene.theme, scene.cache
    painter.setFont(theme.font(11))
    painter.setPen(QColor(theme.text2))
    metrics = QFontMetricsF(painter.font())
    strip = QRectF(plot.left(), plot.bottom() + 1, plot.width(), theme.px(AXIS_PX) - 1)
    taken = strip.left() + 2
    if cache is not None:
        shown_s = scene.page_s
        if not scene.scrolling:
            shown_s *= scene.place(scene.head(cache), cache) / cache.n_columns
        clock = clock_text(scene.t_wall - shown_s)
        painter.drawText(strip, _LEFT, clock)
        taken += metrics.horizontalAdvance(clock)
    end = say("signal.now") if scene.scrolling else f"{scene.page_s:g} s"
    painter.drawText(strip, _RIGHT, end)
    last = strip.right() - metrics.horizontalAdvance(end)
    px_per_s = strip.width() / scene.page_s
    steps = (step for step in (1, 2, 5, 10) if step * px_per_s >= theme.px(_TICK_PX))
    step = next(steps, 10)
    for second in range(step, math.ceil(scene.page_s), step):
        text = f"{second} s"
        box = QRectF(0, strip.top(), metrics.horizontalAdvance(text) + 2, strip.height())
        box.moveCenter(QPointF(strip.left() + second * px_per_s, strip.center().y()))
        if taken + 8 < box.left() and box.right() + 8 < last:
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def clock_text(t_wall: float) -> str:
    """Time of day, such as ``14:32:04``."""
    return time.strftime("%H:%M:%S", time.localtime(t_wall))


def bars_uv(scene: Scene, plot: QRectF) -> dict[str, float]:
    """Length of the scale bar of each kind of channels, µV."""
    lane_px = plot.height() / max(1, len(scene.seen))
    room_px = min(scene.theme.px(_BAR_PX), plot.height() / 2)
    kinds = dict.fromkeys(scene.lanes.kinds)
    return {kind: bar_uv(lane_px / scene.scales_uv[kind], room_px) for kind in kinds}


def paint_scales(painter: QPainter, scene: Scene, plot: QRectF) -> None:
    """Paint one scale bar per kind into the lower right corner of the axes."""
    if not scene.seen:
        return
    theme = scene.theme
    painter.setFont(theme.font(11))
    metrics = QFontMetricsF(painter.font())
    ground = QColor(theme.bg0)
    ground.setAlpha(215)
    bars = bars_uv(scene, plot)
    lane_px = plot.height() / len(scene.seen)
    right, bottom = plot.right() - 4, plot.bottom() - 6
    for kind, uv in bars.items():
        text = f"{uv:g} µV" if len(bars) == 1 else f"{uv:g} µV {kind}"
        width = metrics.horizontalAdvance(text) + 24
        height = max(uv * lane_px / scene.scales_uv[kind], 1.0)
        box = QRectF(right - width, bottom - height - 4, width, height + 8)
        if box.height() < metrics.height():
            box.setTop(box.bottom() - metrics.height())
        if box.left() < plot.left():
            break
        painter.fillRect(box, ground)
        painter.setPen(QPen(QColor(theme.text), 2))
        x = right - 8
        painter.drawLine(QPointF(x, bottom - height), QPointF(x, bottom))
        for y in (bottom - height, bottom):
            painter.drawLine(QPointF(x - 4, y), QPointF(x + 4, y))
        box.setRight(x - 8)
        painter.drawText(box, _RIGHT, text)
        right -= width + 8


def paint_old(painter: QPainter, scene: Scene, plot: QRectF) -> None:
    """Paint the box that says since when there is no signal."""
    theme = scene.theme
    title = say("signal.no_signal_since", time=clock_text(scene.t_wall - scene.old_s))
    fonts = (theme.font(14.5, 600), theme.font(12))
    texts = (title, say("signal.grey_is_old"))
    widest = max(
        QFontMetricsF(font).horizontalAdvance(text) for font, text in zip(fonts, texts, strict=True)
    )
    box = QRectF(0, 0, min(widest + theme.px(48), plot.width() - 8), theme.px(60))
    box.moveCenter(QPointF(plot.left() + 0.75 * plot.width(), plot.center().y()))
    if scene.cache is not None and not scene.scrolling:  # where the hatching begins, and stays
        n_columns = scene.cache.n_columns
        first = (scene.head(scene.cache) - scene.ahead(scene.cache) + 1) % n_columns
        box.moveLeft(plot.left() + first / n_columns * plot.width() + theme.px(8))
    if box.right() > plot.right() - 4:
        box.moveRight(plot.right() - 4)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(theme.bad), 2))
    painter.setBrush(QColor(theme.bg0))
    painter.drawRoundedRect(box, 4, 4)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    middle = box.center().y()
    upper = QRectF(box.left(), box.top(), box.width(), middle - box.top() + theme.px(4))
    lower = QRectF(box.left(), middle, box.width(), box.bottom() - middle)
    for font, text, ink, room in zip(
        fonts, texts, (theme.text, theme.text2), (upper, lower), strict=True
    ):
        painter.setFont(font)
        paint_text(painter, room, text, ink, Qt.AlignmentFlag.AlignCenter)
