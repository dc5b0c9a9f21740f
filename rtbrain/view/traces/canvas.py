"""The widget that shows the traces, what happened above them and the time below them."""

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QWidget

from rtbrain.view.texts import is_by_hand, reason_text, say
from rtbrain.view.theme import Theme, ToolTips
from rtbrain.view.traces.frame import (
    AXIS_PX,
    GUTTER_PX,
    LANE_PX,
    marker_tip,
    paint_axis,
    paint_gutter,
    paint_lanes,
    paint_old,
    paint_scales,
)
from rtbrain.view.traces.paint import TraceLines, paint_page
from rtbrain.view.traces.scene import Scene

_PAD_PX = 6
# Windows lower than this have one lane for markers and detections.
_LOW_PX = 760


class TraceCanvas(QWidget):
    """Paints a `Scene`, all traces of one colour by one call."""

    label_clicked = Signal(int, bool)  # lane, and whether to mark it as bad
    wheeled = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.scene = Scene(theme)
        self._lines: dict[str, TraceLines] = {}
        self._labelled: object = None
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(240, 120)
        ToolTips(self, self.tip_at)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self.scene.theme = theme
        self._lines.clear()
        self.update()

    def refresh(self) -> None:
        """Repaint what moves, and the labels only if they have changed."""
        scene = self.scene
        labelled = (scene.theme, scene.lanes, scene.seen, dict(scene.bad), scene.chosen)
        if labelled != self._labelled:
            self._labelled = labelled
            self.update()
        else:
            left = int(self.plot.left()) - 2
            self.update(left, 0, self.width() - left, self.height())

    @property
    def shares_lane(self) -> bool:
        """Whether markers and detections are in one lane, for want of height."""
        return self.window().height() < _LOW_PX

    @property
    def plot(self) -> QRectF:
        """Inside of the axes, px."""
        theme = self.scene.theme
        left, top = theme.px(GUTTER_PX), theme.px(LANE_PX) * (1 if self.shares_lane else 2)
        height = self.height() - top - theme.px(AXIS_PX)
        return QRectF(left, top, max(1, self.width() - left - _PAD_PX), max(1, height))

    def lane_at(self, y: float) -> int | None:
        """Lane at a height, px from the top."""
        plot, seen = self.plot, self.scene.seen
        if not seen or not plot.top() <= y < plot.bottom():
            return None
        return seen[int((y - plot.top()) / plot.height() * len(seen))]

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the scene."""
        scene, plot, theme = self.scene, self.plot, self.scene.theme
        with QPainter(self) as painter:
            painter.fillRect(event.rect(), QColor(theme.bg0))
            painter.setPen(QPen(QColor(theme.grid), 1))
            painter.drawLine(plot.topLeft(), plot.topRight())
            paint_page(painter, scene, plot, self._lines)
            if event.rect().left() < plot.left() - 2:
                paint_gutter(painter, scene, plot)
            paint_lanes(painter, scene, plot, self.shares_lane)
            paint_axis(painter, scene, plot)
            paint_scales(painter, scene, plot)
            if scene.old_s:
                paint_old(painter, scene, plot)
            elif scene.cache is None:
                painter.setFont(theme.font(13))
                painter.setPen(QColor(theme.text2))
                painter.drawText(plot, Qt.AlignmentFlag.AlignCenter, say("signal.none"))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Emit clicks on a label."""
        lane = self.lane_at(event.position().y())
        if lane is not None and event.position().x() < self.plot.left():
            self.label_clicked.emit(lane, event.button() == Qt.MouseButton.RightButton)
        else:
            super().mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Emit turns of the wheel, down positive."""
        turned = event.angleDelta().y()
        if turned:
            self.wheeled.emit(-1 if turned > 0 else 1)
        event.accept()

    def tip_at(self, point: QPointF) -> str:
        """Tool tip of what is at a point, px: all markers of a group, or a channel."""
        plot = self.plot
        if point.y() < plot.top() and point.x() >= plot.left():
            return marker_tip(self.scene, plot, point.x())
        lane = self.lane_at(point.y())
        return "" if lane is None else self.tip(lane)

    def tip(self, lane: int) -> str:
        """Tool tip of a channel."""
        scene = self.scene
        name, kind = scene.lanes.names[lane], scene.lanes.kinds[lane]
        bad = scene.bad.get(name)
        quality = say("signal.bad", reason=reason_text(bad)) if bad else say("signal.good")
        if bad and is_by_hand(bad) and not bad.endswith("operator"):
            quality = say("signal.bad", reason=bad)  # somebody else, by name
        uv = f"{scene.scales_uv[kind]:g}"
        return say("signal.lane_tip", name=name, kind=kind, quality=quality, uv=uv)
