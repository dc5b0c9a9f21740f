"""The widget that paints the traces and handles the mouse."""

from PySide6 import QtCore, QtGui, QtWidgets

from rtbrain.view.theme import Theme, paint_text, scaled_font
from rtbrain.view.traces.paint import TraceLines, paint_frame, paint_page, paint_scales
from rtbrain.view.traces.scene import Lanes, Scene

_LABEL_CHARS = 14
_PAD_PX = 4


class TraceCanvas(QtWidgets.QWidget):
    """Paints a `Scene`, all traces of one colour by one call."""

    label_clicked = QtCore.Signal(int)
    wheeled = QtCore.Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.scene = Scene(theme)
        self._lines: dict[str, TraceLines] = {}
        self._gutter: tuple[Lanes | None, float] = (None, 0.0)
        self.setAttribute(QtCore.Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(240, 160)
        self.installEventFilter(self)
        self.restyle(theme)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self.scene.theme = theme
        self._lines.clear()
        self.setFont(scaled_font(self, theme))
        self._gutter = (None, self.fontMetrics().horizontalAdvance("A10"))
        self.update()

    @property
    def gutter_px(self) -> float:
        """Width of the labels, px."""
        lanes = self.scene.lanes
        if self._gutter[0] is not lanes:
            metrics = self.fontMetrics()
            names = lanes.names or ("A10",)
            widest = max(metrics.horizontalAdvance(name[:_LABEL_CHARS]) for name in names)
            self._gutter = (lanes, _PAD_PX + float(widest))
        return self._gutter[1]

    @property
    def plot(self) -> QtCore.QRectF:
        """Inside of the axes, px."""
        left = self.gutter_px + 8
        width = max(1.0, self.width() - left - _PAD_PX)
        height = max(1.0, self.height() - self._strip_px - _PAD_PX)
        return QtCore.QRectF(left, _PAD_PX, width, height)

    @property
    def _strip_px(self) -> float:
        return max(2.0 * self.fontMetrics().height(), 32.0)

    def lane_at(self, y: float) -> int | None:
        """Lane at a height, px from the top."""
        plot, seen = self.plot, self.scene.seen
        if not seen or not plot.top() <= y < plot.bottom():
            return None
        return seen[int((y - plot.top()) / plot.height() * len(seen))]

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:  # noqa: N802
        """Paint the scene."""
        del event
        scene, plot = self.scene, self.plot
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing, False)
        painter.fillRect(self.rect(), QtGui.QColor(scene.theme.background))
        paint_page(painter, scene, plot, self._lines)
        painter.setPen(QtGui.QPen(QtGui.QColor(scene.theme.grid), 1))
        painter.drawRect(plot)
        paint_frame(painter, scene, plot, self.gutter_px)
        self._paint_strip(painter, plot)
        if scene.stale:
            self._paint_stale(painter, plot)
        painter.end()

    def _paint_strip(self, painter: QtGui.QPainter, plot: QtCore.QRectF) -> None:
        strip = QtCore.QRectF(plot.left(), plot.bottom() + 2, plot.width(), self._strip_px - 2)
        scene = self.scene
        right = strip.right()
        if scene.seen:
            right = paint_scales(painter, scene, strip, plot.height() / len(scene.seen))
        room = QtCore.QRectF(strip.left(), strip.top(), right - strip.left(), strip.height())
        align = QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignVCenter
        paint_text(painter, room, scene.message, scene.theme.faint, align)

    def _paint_stale(self, painter: QtGui.QPainter, plot: QtCore.QRectF) -> None:
        theme = self.scene.theme
        painter.setFont(scaled_font(self, theme, 1.6, bold=True))
        align = QtCore.Qt.AlignmentFlag.AlignCenter | QtCore.Qt.TextFlag.TextWordWrap
        within = plot.adjusted(plot.width() / 12, 0, -plot.width() / 12, 0)
        box = painter.boundingRect(within, align, self.scene.stale).adjusted(-12, -6, 12, 6)
        painter.fillRect(box, QtGui.QColor(theme.background))
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.warn), 2))
        painter.drawRect(box)
        painter.setPen(QtGui.QColor(theme.foreground))
        painter.drawText(box, align, self.scene.stale)
        painter.setFont(self.font())

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:  # noqa: N802
        """Emit clicks on a label."""
        lane = self.lane_at(event.position().y())
        if lane is not None and event.position().x() < self.plot.left():
            self.label_clicked.emit(lane)
        else:
            super().mousePressEvent(event)

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:  # noqa: N802
        """Emit turns of the wheel, down positive."""
        turned = event.angleDelta().y()
        if turned:
            self.wheeled.emit(-1 if turned > 0 else 1)
        event.accept()

    def eventFilter(self, watched: QtCore.QObject, event: QtCore.QEvent) -> bool:  # noqa: N802
        """Show a tool tip for the channel under the mouse.

        A filter, because overriding `event` makes PySide6 6.11 crash on a numpy exception that is
        raised while painting, instead of reporting it.
        """
        if not (isinstance(event, QtGui.QHelpEvent) and event.type() == QtCore.QEvent.Type.ToolTip):
            return super().eventFilter(watched, event)
        lane = self.lane_at(event.pos().y())
        tip = "" if lane is None else self.tip(lane)
        QtWidgets.QToolTip.showText(event.globalPos(), tip, self)
        return True

    def tip(self, lane: int) -> str:
        """Tool tip of a channel."""
        name, kind = self.scene.lanes.names[lane], self.scene.lanes.kinds[lane]
        bad = self.scene.bad.get(name)
        quality = f"bad: {bad}" if bad else "good"
        scale_uv = self.scene.scales_uv[kind]
        return f"{name} ({kind}), {quality}; {scale_uv:g} µV per lane; click the label to change"
