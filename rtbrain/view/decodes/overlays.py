"""What stands around the curves of the decode plot: axes, hatches, detections, cues, threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from rtbrain.types import Mask, Times
from rtbrain.view.decodes.curves import Lane, dash_pen
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.frame import PAD_PX, face, paint_line
from rtbrain.view.decodes.history import InvalidSpan
from rtbrain.view.decodes.words import number
from rtbrain.view.icons import hatch_brush, paint_icon
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme

_GRID_S = 10.0
_REFRACTORY_ALPHA = 0.42
_BAND_ALPHA = 0.10
_TAG = (38, 17)
_SMALL = 11


@dataclass(frozen=True, slots=True)
class Canvas:
    """A painter, and where times are."""

    painter: QPainter
    theme: Theme
    area: QRectF
    now: float
    page_s: float

    def x(self, t: float) -> float:
        """Where a time on the LSL clock is, px."""
        return self.area.right() + (t - self.now) * self.area.width() / self.page_s

    def box(self, start: float, stop: float) -> QRectF:
        """Part of the plot between two times."""
        left, right = max(self.area.left(), self.x(start)), min(self.area.right(), self.x(stop))
        return QRectF(left, self.area.top(), max(0.0, right - left), self.area.height())

    def text(self, x: float, y: float, text: str, ink: str, align: float = 0.0) -> None:
        """A small text with its middle at a height; `align` 0 begins, 0.5 centres, 1 ends at x."""
        font = face(self.theme, _SMALL)
        width = font.width(text)
        at = QPointF(x - align * width, y + font.metrics.capHeight() / 2)
        paint_line(self.painter, at, width + 1, [(text, font, ink)])

    def width(self, text: str) -> float:
        """Width of a small text, px."""
        return face(self.theme, _SMALL).width(text)


def paint_head(
    canvas: Canvas, decoding: Decoding, shown: Sequence[int], band_s: float, width: float
) -> None:
    """What the plot shows, names of the other classes, and what the band is."""
    theme, px, info = canvas.theme, canvas.theme.px, decoding.info
    font, bold, y = face(theme, 12), face(theme, 12, 600), px(19)
    seconds = f"{canvas.page_s:g}"
    parts = [(f"{say('decode.head')}   ", bold, theme.text)]
    if info is None:
        parts.append((say("decode.subtitle_none", seconds=seconds), font, theme.text2))
    else:
        key = "decode.subtitle" if decoding.is_probability else "decode.subtitle_value"
        before, after = say(key, target="\n", seconds=seconds).split("\n")
        target = (decoding.target_label[:40], bold, theme.accent)
        parts += [(before, font, theme.text2), target, (after, font, theme.text2)]
    right = width - px(PAD_PX)
    x = paint_line(canvas.painter, QPointF(px(PAD_PX), y), right - px(PAD_PX), parts) + px(18)
    if info is not None and decoding.is_probability and len(info.labels) > 2:
        x = _paint_legend(canvas, [info.labels[i] for i in shown[1:]], x, y, right)
        if (n_more := len(info.labels) - len(shown)) and x + px(50) < right:
            more = [(say("decode.more", n=n_more), font, theme.text2)]
            x = paint_line(canvas.painter, QPointF(x, y), right - x, more)
    text = say("decode.band", seconds=f"{band_s:g}")
    if math.isfinite(band_s) and right - font.width(text) > x + px(12):
        at = QPointF(right - font.width(text), y)
        paint_line(canvas.painter, at, right - at.x() + 1, [(text, font, theme.text2)])


def _paint_legend(canvas: Canvas, labels: Sequence[str], x: float, y: float, right: float) -> float:
    """Dashes and names of the classes beside the target; returns where they end, px."""
    painter, theme, px = canvas.painter, canvas.theme, canvas.theme.px
    for slot, label in enumerate(labels, 1):
        if x + px(60) > right:
            return x
        painter.setPen(dash_pen(theme, slot))
        painter.drawLine(QPointF(x, y - px(4)), QPointF(x + px(20), y - px(4)))
        room = min(px(120), right - x - px(26))
        parts = [(label, face(theme, 12), theme.text2)]
        x = paint_line(painter, QPointF(x + px(26), y), room, parts, middle=True) + px(14)
    return x


def paint_lane_names(
    canvas: Canvas, y: float, y_cues: float, *, detected: bool | None, cued: bool
) -> None:
    """Names of the two lanes, faint where one is empty; `detected` is None without a threshold."""
    theme, left = canvas.theme, canvas.area.left()
    if detected is None:
        canvas.text(left, y, say("decode.no_threshold"), theme.faint)
    else:
        ink = theme.text2 if detected else theme.faint
        canvas.text(left - theme.px(7), y, say("decode.detected"), ink, align=1)
    ink = theme.text2 if cued else theme.faint
    canvas.text(left - theme.px(7), y_cues, say("decode.cues"), ink, align=1)


def paint_time(canvas: Canvas, band_s: float, bar_y: float) -> None:
    """Grid and numbers of the time axis, and the part of it that the signal below shows."""
    painter, theme, area, px = canvas.painter, canvas.theme, canvas.area, canvas.theme.px
    if band_s > 0:  # NaN neither
        band = canvas.box(canvas.now - band_s, canvas.now)
        ground = QColor(theme.faint)
        ground.setAlphaF(_BAND_ALPHA)
        painter.fillRect(band, ground)
        painter.fillRect(QRectF(band.left(), bar_y, band.width(), px(2)), QColor(theme.text2))
    every_s = _GRID_S if canvas.page_s <= 60 else 2 * _GRID_S
    n_steps, y = int(canvas.page_s / every_s), area.bottom() + px(9)
    oldest, newest = say("decode.oldest", seconds=f"{n_steps * every_s:g}"), say("decode.newest")
    width, gap = face(theme, 11).width, px(6)
    free_from, free_to = area.left() + width(oldest) + gap, area.right() - width(newest) - gap
    for step in range(n_steps + 1):
        x = round(canvas.x(canvas.now - step * every_s)) - 0.5
        painter.setPen(QPen(QColor(theme.grid), 1))
        painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        text, half = f"{step * every_s:g}", width(f"{step * every_s:g}") / 2
        if step == 0:
            canvas.text(area.right(), y, newest, theme.text2, align=1)
        elif step == n_steps:
            canvas.text(area.left(), y, oldest, theme.text2)
        elif free_from <= x - half and x + half <= free_to:
            canvas.text(x, y, text, theme.text2, align=0.5)


def paint_scale(canvas: Canvas, lane: Lane, *, share: bool) -> None:
    """Numbers of the vertical axis."""
    theme, px, box = canvas.theme, canvas.theme.px, lane.box
    values = [lane.low, lane.high]
    if share and box.height() > px(48):
        values.insert(1, (lane.low + lane.high) / 2)
    for value in values:
        y = round(lane.y(value)) - 0.5
        canvas.painter.setPen(QPen(QColor(theme.grid), 1))
        canvas.painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
        inside = 0 if share else px(6) if value == lane.high else -px(6)
        text = f"{value:g}" if share else f"{value:.3g}"
        canvas.text(box.left() - px(7), y + inside, text, theme.text2, align=1)


def paint_name(canvas: Canvas, lane: Lane, name: str) -> None:
    """Name of a lane that has others beside it, over its curve."""
    theme, px, box = canvas.theme, canvas.theme.px, lane.box
    font = face(theme, _SMALL, 600)
    width = min(font.width(name), box.width() / 3)
    ground = QRectF(box.left(), box.top() + 1, width + px(9), px(15))
    canvas.painter.fillRect(ground, QColor(theme.bg0))
    at = QPointF(box.left() + px(6), box.top() + px(13))
    paint_line(canvas.painter, at, width + 1, [(name, font, theme.text2)], middle=True)


def span_text(decoding: Decoding, span: InvalidSpan) -> str:
    """What is written over a stretch without a valid decode."""
    gap_s = decoding.gap_s(span.start, span.stop)
    if gap_s > 0:
        return say("decode.gap", length=f"{1e3 * gap_s:.0f} ms" if gap_s < 1 else f"{gap_s:.1f} s")
    return say("decode.no_decode" if span.silent else "decode.not_valid")


def paint_hatch(canvas: Canvas, decoding: Decoding, spans: Sequence[InvalidSpan]) -> None:
    """Hatch what has no valid decode, with a word where it has room."""
    painter, theme, px = canvas.painter, canvas.theme, canvas.theme.px
    for span in spans:
        box = canvas.box(span.start, span.stop)
        painter.fillRect(box, QColor(theme.bg0))
        painter.fillRect(box, hatch_brush(theme))
        texts = (span_text(decoding, span), say("decode.not_valid"))
        text = next((one for one in texts if canvas.width(one) + px(6) < box.width()), "")
        width, middle = canvas.width(text), box.center()
        if not text:
            continue
        ground = QRectF(middle.x() - width / 2 - px(3), middle.y() - px(7), width + px(6), px(14))
        painter.fillRect(ground, QColor(theme.bg0))
        canvas.text(middle.x(), middle.y(), text, theme.text, align=0.5)


def paint_detections(canvas: Canvas, decoding: Decoding, y: float) -> None:
    """Pins, with a bar as long as none can follow; those of other outputs have their names."""
    painter, theme, area, px = canvas.painter, canvas.theme, canvas.area, canvas.theme.px
    for found in decoding.detections:
        is_target = found.label == decoding.target_label
        threshold = (decoding.thresholds or {}).get(found.label)
        ink = QColor(theme.accent if is_target else theme.text)
        pale = QColor(ink)
        pale.setAlphaF(_REFRACTORY_ALPHA)
        if threshold is not None:
            bar = canvas.box(found.t, found.t + threshold.refractory_s)
            painter.fillRect(QRectF(bar.left(), y - px(3), bar.width(), px(6)), pale)
        x = canvas.x(found.t)
        if not area.left() <= x <= area.right():
            continue
        painter.fillRect(QRectF(round(x), y, 1, area.bottom() - y), pale)
        _paint_pin(canvas, x, y, ink, full=found.sent)
        if not is_target:
            refractory_s = 0.0 if threshold is None else threshold.refractory_s
            after = max(x + px(7), canvas.x(found.t + refractory_s))
            label = found.label[:12]
            following = min(
                (one.t for one in decoding.detections if one.t > found.t), default=math.inf
            )
            if after + px(12) + canvas.width(label) < canvas.x(following):
                canvas.text(after + px(4), y, label, theme.text)


def _paint_pin(canvas: Canvas, x: float, y: float, ink: QColor, *, full: bool) -> None:
    """A pin; hollow for a detection that was not sent."""
    half = canvas.theme.px(11) / 2
    if full:
        box = QRectF(x - half, y - half, 2 * half, 2 * half)
        paint_icon(canvas.painter, box, "pin", canvas.theme, ink.name())
        return
    canvas.painter.setPen(QPen(ink, 1.4))
    canvas.painter.setBrush(QColor(canvas.theme.bg0))
    half -= 1
    corners = [QPointF(x - half, y - half), QPointF(x + half, y - half), QPointF(x, y + half)]
    canvas.painter.drawPolygon(QPolygonF(corners))


def paint_cues(canvas: Canvas, decoding: Decoding, y: float) -> None:
    """Cues as boxes, each with its class."""
    painter, theme, px = canvas.painter, canvas.theme, canvas.theme.px
    for cue in decoding.cue_spans(canvas.now):
        span = canvas.box(cue.start, cue.stop)
        box = QRectF(span.left(), y - px(6), span.width(), px(12))
        if box.width() < 1:
            continue
        painter.setPen(QPen(QColor(theme.ctl), 1))
        painter.setBrush(QColor(theme.bg2))
        painter.drawRoundedRect(box, 2, 2)
        # As many whole letters as fit: an ellipsis is as wide as two of them.
        text = cue.label
        while text and canvas.width(text) > box.width() - px(4):
            text = text[:-1]
        pad = min(px(4), (box.width() - canvas.width(text)) / 2)
        canvas.text(box.left() + pad, y, text, theme.text)


def tag_box(theme: Theme, lane: Lane, up: float, text_width: float) -> QRectF:
    """Where the threshold's number is."""
    width, height = max(theme.px(_TAG[0]), text_width + theme.px(8)), theme.px(_TAG[1])
    return QRectF(lane.box.right() + theme.px(4), lane.y(up) - height / 2, width, height)


def paint_threshold(
    canvas: Canvas, lane: Lane, up: float, down: float, *, share: bool, held: bool
) -> None:
    """The threshold, dashed, with its number; below it, dotted, where it is armed again."""
    painter, theme, px, box = canvas.painter, canvas.theme, canvas.theme.px, lane.box
    y = lane.y(up)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    if down < up:
        pen = QPen(QColor(theme.text2), 1)
        pen.setDashPattern([1, 4])
        painter.setPen(pen)
        painter.drawLine(QPointF(box.left(), lane.y(down)), QPointF(box.right(), lane.y(down)))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(QColor(theme.text), 2.4 if held else 1.4)
    pen.setDashPattern([4, 3])
    painter.setPen(pen)
    painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
    text = number(up, share)
    font = face(theme, _SMALL, 700)
    tag = tag_box(theme, lane, up, font.width(text))
    painter.setPen(QPen(QColor(theme.accent), 2) if held else Qt.PenStyle.NoPen)
    painter.setBrush(QColor(theme.text))
    painter.drawRoundedRect(tag, 3, 3)
    at = QPointF(tag.center().x() - font.width(text) / 2, y + font.metrics.capHeight() / 2)
    paint_line(painter, at, tag.width(), [(text, font, theme.bg0)])
    if down < up:
        y_label = max(lane.y(down), tag.bottom() + px(7))
        canvas.text(box.right() + px(5), y_label, say("decode.re_arm"), theme.text2)


def paint_drift(canvas: Canvas, t: Times, drifting: Mask) -> None:
    """A dashed bar along the top of the plot while the signal is unlike calibration."""
    if not drifting.any():
        return
    painter, theme, px, area = canvas.painter, canvas.theme, canvas.theme.px, canvas.area
    pen = QPen(QColor(theme.warn), px(3))
    pen.setDashPattern([2, 1])
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], drifting.view(np.int8), [0]])))
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        box = canvas.box(canvas.now + float(t[start]), canvas.now + float(t[stop - 1]))
        painter.setPen(pen)
        y = area.top() + px(2)
        painter.drawLine(QPointF(box.left(), y), QPointF(max(box.right(), box.left() + 2), y))
        text = say("decode.unlike")
        if canvas.width(text) + px(20) < box.width():
            ground = QRectF(box.left(), y + px(3), canvas.width(text) + px(22), px(15))
            painter.fillRect(ground, QColor(theme.bg0))
            icon = QRectF(box.left() + px(2), y + px(4), px(12), px(12))
            paint_icon(painter, icon, "look", theme)
            canvas.text(box.left() + px(18), y + px(10), text, theme.warn)
