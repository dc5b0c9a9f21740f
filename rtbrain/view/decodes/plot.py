"""The decode plot: probabilities of the last minute, the threshold, detections and cues."""

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from rtbrain.types import Floats, Mask, Times
from rtbrain.view.decodes.curves import Lane, Scale, dash_pen, paint_curve
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.frame import HEAD_PX, PAD_PX, paint_frame, paint_line
from rtbrain.view.decodes.history import InvalidSpan
from rtbrain.view.decodes.overlays import (
    Canvas,
    paint_cues,
    paint_detections,
    paint_drift,
    paint_hatch,
    paint_name,
    paint_scale,
    paint_threshold,
    paint_time,
    span_text,
)
from rtbrain.view.decodes.words import explain, number
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, ToolTips

# Lengths at 100 %: the gutter of the labels is that of the signal's plot.
GUTTER_PX = 58
_RIGHT, _LANE, _BELOW = 45, 18, 19
_LOW_PX = 170  # a plot that is lower has one lane for detections and cues
_LEAST_LANE = 30
_GRAB_PX = 8
_STEP = 0.01
_NO_PAGE = (np.empty(0), np.empty((0, 0), np.float32), np.empty(0, np.bool_))


class DecodePlot(QWidget):
    """What the decoder said over the last minute, and what came of it.

    Attributes
    ----------
    band_s : float
        Time that the plot of the signal below shows, s; NaN for no band.
    preview : tuple of float or None
        Threshold up and down to show instead of the decoder's, until it reports the same.
    """

    threshold_moved = Signal(float)  # while it is dragged
    threshold_chosen = Signal(float)  # when it is let go

    def __init__(self, decoding: Decoding, theme: Theme, *, movable: bool = False) -> None:
        super().__init__()
        self.decoding, self._theme, self._movable = decoding, theme, movable
        self.band_s = math.nan
        self.preview: tuple[float, float] | None = None
        self.spans: list[InvalidSpan] = []
        self.shown: list[int] = []
        self._now, self._held = 0.0, False
        self._scales: dict[int, Scale] = {}
        self._page: tuple[Times, Floats, Mask] = _NO_PAGE
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(movable)
        ToolTips(self, self.tip_at)

    def take(self, update: SessionUpdate) -> None:
        """Take the result of a poll."""
        self.decoding.take(update)

    def draw(self, now: float) -> None:
        """Redraw at a time, s on the LSL clock."""
        self._now, decoding = now, self.decoding
        threshold = decoding.threshold
        if self.preview is not None and threshold is not None and threshold.up == self.preview[0]:
            self.preview = None  # the decoder has taken it
        if decoding.history is None:
            self._clear()
        else:
            self._page = decoding.history.page(now, decoding.page_s)
            self.spans = decoding.history.spans(now, decoding.page_s)
            self.shown = decoding.shown(now)
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size in a window of 1280 x 800."""
        return QSize(self._theme.px(952), self._theme.px(192))

    def _clear(self) -> None:
        self._page = _NO_PAGE
        self.spans, self.shown = [], []
        self._scales.clear()

    @property
    def _one_lane(self) -> bool:
        return self.height() < self._theme.px(_LOW_PX)

    @property
    def area(self) -> QRectF:
        """Where the curves are, px."""
        px = self._theme.px
        top = px(HEAD_PX) + px(_LANE) * (1 if self._one_lane else 2) + px(5)
        left, right = px(GUTTER_PX) + 1, self.width() - px(_RIGHT)
        return QRectF(left, top, max(1, right - left), max(1, self.height() - top - px(_BELOW)))

    @property
    def lanes(self) -> list[tuple[Lane, list[int]]]:
        """Parts of the plot and the outputs in each: one for all classes, else one an output."""
        decoding, area = self.decoding, self.area
        if decoding.info is None or decoding.is_probability:
            # Two classes add up to 1, so that one curve says it all.
            two = decoding.info is not None and len(decoding.info.labels) == 2
            return [(Lane(area, 0.0, 1.0, self.decoding.page_s), self.shown[: 1 if two else None])]
        outputs = self.shown[: max(1, int(area.height() / self._theme.px(_LEAST_LANE)))]
        gap = self._theme.px(4)
        height = (area.height() - gap * (len(outputs) - 1)) / max(1, len(outputs))
        lanes = []
        for place, output in enumerate(outputs):
            box = QRectF(area.left(), area.top() + place * (height + gap), area.width(), height)
            scale = self._scales.setdefault(output, Scale())
            low, high = scale.fit(self._page[1][:, output], self._levels() if place == 0 else ())
            lanes.append((Lane(box, low, high, self.decoding.page_s), [output]))
        return lanes

    def _levels(self) -> tuple[float, ...]:
        """Threshold up and down of the target, if there is one."""
        threshold = self.decoding.threshold
        if threshold is None:
            return ()
        return self.preview or (threshold.up, threshold.down)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the plot."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme, px, decoding, area = self._theme, self._theme.px, self.decoding, self.area
        paint_frame(painter, QRectF(self.rect()), theme)
        self._head(painter)
        canvas = Canvas(painter, theme, area, self._now, self.decoding.page_s)
        lanes, (t, values, drifting) = self.lanes, self._page
        paint_time(canvas, self.band_s, self.height() - px(4))
        for lane, _ in lanes:
            paint_scale(canvas, lane, share=decoding.info is None or decoding.is_probability)
        paint_hatch(canvas, decoding, self.spans)
        y = px(HEAD_PX) + px(_LANE) * 0.5
        y_cues = y if self._one_lane else y + px(_LANE)
        paint_cues(canvas, decoding, y_cues, labelled=not self._one_lane)
        paint_detections(canvas, decoding, y)
        lines = decoding.info is not None and decoding.info.hop_s is not None
        for lane, outputs in lanes:
            for slot, output in reversed(list(enumerate(outputs))):  # the target over the others
                place = slot if len(lanes) == 1 else int(lane is not lanes[0][0])
                paint_curve(painter, lane, t, values[:, output], theme, place, lines=lines)
        if levels := self._levels():
            share = decoding.is_probability
            paint_threshold(canvas, lanes[0][0], *levels, share=share, held=self._held)
        for lane, outputs in lanes:
            if decoding.info is not None and not decoding.is_probability:
                paint_name(canvas, lane, decoding.info.labels[outputs[0]])
        paint_drift(canvas, t, drifting)
        painter.end()

    def _head(self, painter: QPainter) -> None:
        theme, px, info = self._theme, self._theme.px, self.decoding.info
        font, bold, y, seconds = (
            theme.font(12),
            theme.font(12, 600),
            px(19),
            f"{self.decoding.page_s:g}",
        )
        parts = [(f"{say('decode.head')}   ", bold, theme.text)]
        if info is None:
            parts.append((say("decode.subtitle_none", seconds=seconds), font, theme.text2))
        else:
            key = "decode.subtitle" if self.decoding.is_probability else "decode.subtitle_value"
            before, after = say(key, target="\n", seconds=seconds).split("\n")
            target = self.decoding.target_label[:40]
            parts += [(before, font, theme.text2), (target, bold, theme.accent)]
            parts.append((after, font, theme.text2))
        right = self.width() - px(PAD_PX)
        x = paint_line(painter, QPointF(px(PAD_PX), y), right - px(PAD_PX), parts)
        x = self._legend(painter, x + px(18), y, right)
        text = say("decode.band", seconds=f"{self.band_s:g}")
        wide = QFontMetricsF(font).horizontalAdvance(text)
        if math.isfinite(self.band_s) and right - wide > x + px(12):
            at = QPointF(right - wide, y)
            paint_line(painter, at, wide + 1, [(text, font, theme.text2)])

    def _legend(self, painter: QPainter, x: float, y: float, right: float) -> float:
        """Dashes and names of the other classes; returns where it ends, px."""
        info, theme, px = self.decoding.info, self._theme, self._theme.px
        if info is None or not self.decoding.is_probability or len(info.labels) < 3:
            return x
        font = theme.font(12)
        for slot, output in enumerate(self.shown[1:], 1):
            if x + px(60) > right:
                return x
            painter.setPen(dash_pen(theme, slot))
            painter.drawLine(QPointF(x, y - px(4)), QPointF(x + px(20), y - px(4)))
            parts = [(info.labels[output], font, theme.text2)]
            room = min(px(120), right - x - px(26))
            x = paint_line(painter, QPointF(x + px(26), y), room, parts, middle=True) + px(14)
        n_more = len(info.labels) - len(self.shown)
        if n_more > 0 and x + px(50) < right:
            parts = [(say("decode.more", n=n_more), font, theme.text2)]
            x = paint_line(painter, QPointF(x, y), right - x, parts)
        return x

    def tip_at(self, point: QPointF) -> str:
        """What is under the mouse."""
        area, decoding = self.area, self.decoding
        if not area.left() <= point.x() <= area.right():
            return say("decode.tip_movable") if self._movable and self._grabs(point) else ""
        t = self._now - (area.right() - point.x()) / area.width() * self.decoding.page_s
        for span in self.spans:
            if span.start <= t <= span.stop and area.contains(point):
                why = span_text(decoding, span)
                if not span.silent and span.reason:
                    why = f"{why}: {explain(decoding, span.reason)[0]}"
                ago = {"from_s": self._now - span.start, "to_s": max(0.0, self._now - span.stop)}
                return say("decode.tip_span", reason=why, **{k: f"{v:.1f}" for k, v in ago.items()})
        near_s = _GRAB_PX / area.width() * self.decoding.page_s
        for found in decoding.detections:
            if abs(found.t - t) < near_s and point.y() < area.top():
                value = number(found.value, decoding.is_probability)
                ago_s = f"{self._now - found.t:.1f}"
                tip = say("decode.tip_detection", label=found.label, ago=ago_s, value=value)
                notes = [] if found.calibrated else [say("decode.tip_uncalibrated")]
                notes += [] if found.sent else [say("decode.tip_unsent")]
                return "; ".join([tip, *notes])
        return say("decode.tip", seconds=f"{self.decoding.page_s:g}")

    def _grabs(self, point: QPointF) -> bool:
        levels = self._levels()
        if not self._movable or not levels:
            return False
        lane = self.lanes[0][0]
        near = abs(point.y() - lane.y(levels[0])) <= self._theme.px(_GRAB_PX)
        return near and point.x() >= lane.box.left()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Take hold of the threshold, where it may be moved."""
        self._held = event.button() == Qt.MouseButton.LeftButton and self._grabs(event.position())
        if not self._held:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Move the threshold."""
        if not self._held:
            vertical = Qt.CursorShape.SizeVerCursor
            self.setCursor(
                vertical if self._grabs(event.position()) else Qt.CursorShape.ArrowCursor
            )
            return
        threshold = self.decoding.threshold
        if threshold is not None:
            up = self._value_at(event.position().y())
            self.preview = (up, max(threshold.down - threshold.up + up, _STEP))
            self.threshold_moved.emit(up)
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Let go of the threshold."""
        if self._held and self.preview is not None:
            self.threshold_chosen.emit(self.preview[0])
        self._held = False
        self.update()

    def _value_at(self, y: float) -> float:
        """Threshold at a height: of probabilities in hundredths."""
        lane = self.lanes[0][0]
        share = min(1.0, max(0.0, (lane.box.bottom() - y) / lane.box.height()))
        value = lane.low + share * (lane.high - lane.low)
        if not self.decoding.is_probability:
            return float(f"{value:.3g}")
        return min(1 - _STEP, max(_STEP, round(value / _STEP) * _STEP))
