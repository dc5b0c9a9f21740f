"""The decode plot: probabilities of the last minute, the threshold, detections and cues."""

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QWidget

from rtbrain.types import Floats, Mask, Times
from rtbrain.view.decodes.curves import Lane, Scale, paint_curve
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.frame import HEAD_PX, paint_frame
from rtbrain.view.decodes.history import DecodeHistory, InvalidSpan
from rtbrain.view.decodes.overlays import (
    Canvas,
    paint_cues,
    paint_detections,
    paint_drift,
    paint_hatch,
    paint_head,
    paint_lane_names,
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
_RIGHT, _LANE, _LOW_LANE, _BELOW = 45, 18, 14, 19
_LOW_PX = 170  # a plot that is lower has low lanes
_LEAST_LANE = 30
_GRAB_PX = 8
_STEP = 0.01
_EVERY_S = 0.095  # steps of one pixel or two; the panel Now is drawn at once
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
        self._now, self._due, self._held = 0.0, -math.inf, False
        self._scales: dict[int, Scale] = {}
        self._page: tuple[Times, Floats, Mask] = _NO_PAGE
        self._history: DecodeHistory | None = None  # that the page is of
        self._painted: tuple[object, ...] = ()  # what the picture is of
        self._picture = QPixmap()
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(movable)
        ToolTips(self, self.tip_at)

    def take(self, update: SessionUpdate) -> None:
        """Take the result of a poll."""
        self.decoding.take(update)

    def draw(self, now: float) -> None:
        """Redraw at a time, s on the LSL clock."""
        decoding = self.decoding
        threshold = decoding.threshold
        if self.preview is not None and threshold is not None and threshold.up == self.preview[0]:
            self.preview = None  # the decoder has taken it
        if self._now <= now < self._due and (decoding.history is not None) == bool(self.shown):
            return
        self._now, self._due = now, now + _EVERY_S
        self._load()
        self.update()

    def _load(self) -> None:
        """Take the page, its stretches and the outputs to show: all of one and the same decoder."""
        decoding, history, now = self.decoding, self.decoding.history, self._now
        if history is not self._history:
            self._history = history
            self._scales.clear()
        if history is None:
            self._page, self.spans, self.shown = _NO_PAGE, [], []
        else:
            self._page = history.page(now, decoding.page_s)
            self.spans = history.spans(now, decoding.page_s)
            self.shown = decoding.shown(now)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size in a window of 1280 x 800."""
        return QSize(self._theme.px(952), self._theme.px(192))

    @property
    def _lane_px(self) -> int:
        """Height of the lane of detections and of that of cues."""
        return self._theme.px(_LOW_LANE if self.height() < self._theme.px(_LOW_PX) else _LANE)

    @property
    def area(self) -> QRectF:
        """Where the curves are, px."""
        px = self._theme.px
        top = px(HEAD_PX) + 2 * self._lane_px + px(5)
        left, right = px(GUTTER_PX) + 1, self.width() - px(_RIGHT)
        return QRectF(left, top, max(1, right - left), max(1, self.height() - top - px(_BELOW)))

    @property
    def lanes(self) -> list[tuple[Lane, list[int]]]:
        """Parts of the plot and the outputs in each: one for all classes, else one an output."""
        decoding, area = self.decoding, self.area
        if decoding.history is not self._history:  # another decoder since the last `draw`
            self._load()
        if not self.shown or decoding.is_probability:
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
        theme, decoding, lanes = self._theme, self.decoding, self.lanes
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.drawPixmap(0, 0, self._still(lanes))
            canvas = Canvas(painter, theme, self.area, self._now, decoding.page_s)
            t, values, drifting = self._page
            paint_hatch(canvas, decoding, self.spans)
            y = theme.px(HEAD_PX) + self._lane_px / 2
            paint_cues(canvas, decoding, y + self._lane_px)
            paint_detections(canvas, decoding, y)
            lines = decoding.info is not None and decoding.info.hop_s is not None
            for lane, outputs in lanes:
                for slot, output in reversed(
                    list(enumerate(outputs))
                ):  # the target over the others
                    place = slot if len(lanes) == 1 else int(lane is not lanes[0][0])
                    paint_curve(painter, lane, t, values[:, output], theme, place, lines=lines)
            if levels := self._levels():
                share = decoding.is_probability
                paint_threshold(canvas, lanes[0][0], *levels, share=share, held=self._held)
            for lane, outputs in lanes:
                if outputs and decoding.info is not None and not decoding.is_probability:
                    paint_name(canvas, lane, decoding.info.labels[outputs[0]])
            paint_drift(canvas, t, drifting)

    def _still(self, lanes: list[tuple[Lane, list[int]]]) -> QPixmap:
        """What does not move with time, painted when it changes: head, axes, names of lanes."""
        decoding, theme, ratio = self.decoding, self._theme, self.devicePixelRatioF()
        detected = None if decoding.thresholds == {} else bool(decoding.detections)
        cued = bool(decoding.cue_spans(self._now))
        key = (
            *(self.size(), ratio, theme, decoding.page_s, self.band_s, decoding.info, lanes),
            *(decoding.target, detected, cued, tuple(self.shown)),
        )
        if key != self._painted:
            self._painted = key
            self._picture = QPixmap(self.size() * ratio)
            self._picture.setDevicePixelRatio(ratio)
            with QPainter(self._picture) as painter:
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                canvas = Canvas(painter, theme, self.area, 0.0, decoding.page_s)
                paint_frame(painter, QRectF(self.rect()), theme)
                paint_head(canvas, decoding, self.shown, self.band_s, self.width())
                paint_time(canvas, self.band_s, self.height() - theme.px(4))
                share = decoding.info is None or decoding.is_probability
                for lane, _ in lanes:
                    paint_scale(canvas, lane, share=share)
                y = theme.px(HEAD_PX) + self._lane_px / 2
                paint_lane_names(canvas, y, y + self._lane_px, detected=detected, cued=cued)
        return self._picture

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
