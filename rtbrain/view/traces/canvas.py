"""The widget that shows the traces, and the menus above it with their keys."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import QPointF, QRectF, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QToolButton, QWidget

from rtbrain.view.theme import Theme, ToolTips, fill, paint_text, scaled_font, set_tip
from rtbrain.view.traces.paint import TraceLines, paint_frame, paint_page, paint_scales
from rtbrain.view.traces.scene import PAGES_S, Lanes, Scene

REFERENCES = ("none", "car", "bipolar", "laplacian")
NOTCHES_HZ = (None, 50.0, 60.0)
_MODES = ("sweep", "scroll")
_ALL_KINDS = "all"
_PAGE = 10.0
_LABEL_CHARS = 14
_PAD_PX = 4


class TraceCanvas(QWidget):
    """Paints a `Scene`, all traces of one colour by one call."""

    label_clicked = Signal(int)
    wheeled = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.scene = Scene(theme)
        self._lines: dict[str, TraceLines] = {}
        self._gutter: tuple[Lanes | None, float] = (None, 0.0)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(240, 160)
        ToolTips(self, self._tip_at)
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
    def plot(self) -> QRectF:
        """Inside of the axes, px."""
        left = self.gutter_px + 8
        width = max(1.0, self.width() - left - _PAD_PX)
        height = max(1.0, self.height() - self._strip_px - _PAD_PX)
        return QRectF(left, _PAD_PX, width, height)

    @property
    def _strip_px(self) -> float:
        return max(2.0 * self.fontMetrics().height(), 32.0)

    def lane_at(self, y: float) -> int | None:
        """Lane at a height, px from the top."""
        plot, seen = self.plot, self.scene.seen
        if not seen or not plot.top() <= y < plot.bottom():
            return None
        return seen[int((y - plot.top()) / plot.height() * len(seen))]

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the scene."""
        scene, plot = self.scene, self.plot
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.fillRect(self.rect(), QColor(scene.theme.background))
        paint_page(painter, scene, plot, self._lines)
        painter.setPen(QPen(QColor(scene.theme.grid), 1))
        painter.drawRect(plot)
        paint_frame(painter, scene, plot, self.gutter_px)
        self._paint_strip(painter, plot)
        if scene.stale:
            self._paint_stale(painter, plot)
        painter.end()

    def _paint_strip(self, painter: QPainter, plot: QRectF) -> None:
        strip = QRectF(plot.left(), plot.bottom() + 2, plot.width(), self._strip_px - 2)
        scene = self.scene
        right = strip.right()
        if scene.seen:
            right = paint_scales(painter, scene, strip, plot.height() / len(scene.seen))
        room = QRectF(strip.left(), strip.top(), right - strip.left(), strip.height())
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        paint_text(painter, room, scene.message, scene.theme.faint, align)

    def _paint_stale(self, painter: QPainter, plot: QRectF) -> None:
        theme = self.scene.theme
        painter.setFont(scaled_font(self, theme, 1.6, bold=True))
        align = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        within = plot.adjusted(plot.width() / 12, 0, -plot.width() / 12, 0)
        box = painter.boundingRect(within, align, self.scene.stale).adjusted(-12, -6, 12, 6)
        painter.fillRect(box, QColor(theme.background))
        painter.setPen(QPen(QColor(theme.warn), 2))
        painter.drawRect(box)
        painter.setPen(QColor(theme.foreground))
        painter.drawText(box, align, self.scene.stale)
        painter.setFont(self.font())

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Emit clicks on a label."""
        lane = self.lane_at(event.position().y())
        if lane is not None and event.position().x() < self.plot.left():
            self.label_clicked.emit(lane)
        else:
            super().mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Emit turns of the wheel, down positive."""
        turned = event.angleDelta().y()
        if turned:
            self.wheeled.emit(-1 if turned > 0 else 1)
        event.accept()

    def _tip_at(self, point: QPointF) -> str:
        lane = self.lane_at(point.y())
        return "" if lane is None else self.tip(lane)

    def tip(self, lane: int) -> str:
        """Tool tip of a channel."""
        name, kind = self.scene.lanes.names[lane], self.scene.lanes.kinds[lane]
        bad = self.scene.bad.get(name)
        quality = f"bad: {bad}" if bad else "good"
        scale_uv = self.scene.scales_uv[kind]
        return f"{name} ({kind}), {quality}; {scale_uv:g} µV per lane; click the label to change"


class TraceControls(QWidget):
    """Menus for page, display filters and scale, and a field to find a label."""

    changed = Signal()
    chain_changed = Signal()
    scaled = Signal(int)
    fitted = Signal()
    searched = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.page = _menu([f"{page_s:g} s" for page_s in PAGES_S], "Length of the page ([ and ])")
        self.page.setCurrentIndex(PAGES_S.index(_PAGE))
        self.mode = _menu(_MODES, "Overwrite the page, or scroll it (S)")
        references = [f"ref {name}" for name in REFERENCES]
        self.reference = _menu(references, "Reference, in this view only (R)")
        notches = ["notch off" if hz is None else f"notch {hz:g} Hz" for hz in NOTCHES_HZ]
        self.notch = _menu(notches, "Mains filter, in this view only (N)")
        self.kind = _menu([_ALL_KINDS], "Channels whose scale to change")
        self.search = QLineEdit(placeholderText="find a label")
        set_tip(self.search, "Find a channel by its label (Ctrl+F, then Enter)")
        self.search.setMaximumWidth(140)
        finer = _button("+", "Larger traces (+)", lambda: self.scaled.emit(-1))
        coarser = _button("−", "Smaller traces (−)", lambda: self.scaled.emit(1))
        fit = _button("fit", "Scale that fits the signal (A)", self.fitted.emit)
        row, menus = QHBoxLayout(self), (self.page, self.mode, self.reference, self.notch)
        fill(row, *menus, self.kind, coarser, finer, fit, self.search, spacing=4)
        row.addStretch(1)
        for menu in (self.page, self.mode):
            menu.currentIndexChanged.connect(self.changed)
        for menu in (self.reference, self.notch):
            menu.currentIndexChanged.connect(self.chain_changed)
        self.search.returnPressed.connect(lambda: self.searched.emit(self.search.text()))

    @property
    def page_s(self) -> float:
        """Length of the page, s."""
        return PAGES_S[self.page.currentIndex()]

    @property
    def scrolling(self) -> bool:
        """Whether the page scrolls."""
        return self.mode.currentText() == _MODES[1]

    @property
    def chain(self) -> tuple[str, float | None]:
        """Reference, and mains frequency in Hz or None, of the display."""
        return REFERENCES[self.reference.currentIndex()], NOTCHES_HZ[self.notch.currentIndex()]

    def offer_kinds(self, kinds: tuple[str, ...]) -> None:
        """Offer these kinds of channels; one alone needs no menu."""
        self.kind.clear()
        self.kind.addItems([_ALL_KINDS, *kinds])
        self.kind.setVisible(len(kinds) > 1)

    def chosen_kinds(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Kinds whose scale to change, of those there are."""
        chosen = self.kind.currentText()
        return (chosen,) if chosen in kinds else kinds

    def reset_chain(self) -> None:
        """Reset reference and notch, without a signal."""
        for menu in (self.reference, self.notch):
            with QSignalBlocker(menu):
                menu.setCurrentIndex(0)

    def keys(self) -> list[tuple[str, str, Callable[[], object]]]:
        """Name, shortcut and effect of each key."""
        return [
            ("Longer page", "]", lambda: _turn(self.page, 1, around=False)),
            ("Shorter page", "[", lambda: _turn(self.page, -1, around=False)),
            ("Sweep or scroll", "S", lambda: _turn(self.mode, 1, around=True)),
            ("Next reference of the view", "R", lambda: _turn(self.reference, 1, around=True)),
            ("Next notch of the view", "N", lambda: _turn(self.notch, 1, around=True)),
            ("Larger traces", "+", lambda: self.scaled.emit(-1)),
            ("Larger traces", "=", lambda: self.scaled.emit(-1)),
            ("Smaller traces", "-", lambda: self.scaled.emit(1)),
            ("Scale that fits", "A", self.fitted.emit),
            ("Find a label", "Ctrl+F", self._start_search),
        ]

    def _start_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()


def _menu(texts: Sequence[str], tip: str) -> QComboBox:
    menu = QComboBox()
    menu.addItems(texts)
    set_tip(menu, tip)
    menu.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return menu


def _button(text: str, tip: str, effect: Callable[[], object]) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    set_tip(button, tip)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.clicked.connect(lambda: effect())
    return button


def _turn(menu: QComboBox, by: int, *, around: bool) -> None:
    to = menu.currentIndex() + by
    menu.setCurrentIndex(to % menu.count() if around else min(max(to, 0), menu.count() - 1))
