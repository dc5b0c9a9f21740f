"""The panel Threshold: what to expect of it, as figures, curves and a slider."""

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from rtbrain.console.running.expected import (
    Expected,
    Figure,
    Point,
    figures,
    heights,
    notes,
    shown_threshold,
)
from rtbrain.view.decodes.frame import face, paint_frame, paint_line
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, paint_text, set_tip

_STEP, _LONG_STEP = 0.01, 0.05
_PAD, _LEFT, _RIGHT = 16, 60, 56
_RANGE = (0.05, 0.95)  # where nothing is known
_SHARES = (0.5, 0.25, 0.25)  # of the width, of the three figures
_CENTRE = Qt.AlignmentFlag.AlignCenter


class ThresholdSlider(QWidget):
    """Curves of what thresholds find and raise, above a slider.

    Arrow keys move it by 0.01, with Shift by 0.05. `moved` follows it, `chosen` tells where it is
    let go.
    """

    moved = Signal(float)
    chosen = Signal(float)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.expected: Expected | None = None
        self.up = 0.5
        self._held = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(say("run.threshold"))

    def show_expected(self, expected: Expected | None, up: float) -> None:
        """Show the curves of a decoder and its threshold, unless that is being dragged."""
        self.expected = expected
        if not self._held:
            self.up = up
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size at 1280 x 800."""
        return QSize(self._theme.px(600), self._theme.px(160))

    @property
    def limits(self) -> tuple[float, float]:
        """Least and highest threshold."""
        return _RANGE if self.expected is None else (self.expected.low, self.expected.high)

    @property
    def _area(self) -> QRectF:
        px = self._theme.px
        width = self.width() - px(_LEFT) - px(_RIGHT)
        return QRectF(px(_LEFT), px(6), max(1, width), max(1, self.height() - px(52)))

    def _x(self, up: float) -> float:
        (low, high), area = self.limits, self._area
        return area.left() + (up - low) / max(high - low, 1e-9) * area.width()

    def _snapped(self, up: float) -> float:
        low, high = self.limits
        up = min(max(round(up / _STEP) * _STEP, low), high)
        presets = () if self.expected is None else self.expected.presets.values()
        near = [one.up for one in presets if abs(one.up - up) <= _STEP / 2]
        return near[0] if near else round(up, 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Move by the arrow keys."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        fast = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        low, high = self.limits
        up = round(self.up / _STEP) * _STEP + step * (_LONG_STEP if fast else _STEP)
        self.up = round(min(max(up, low), high), 4)
        self.moved.emit(self.up)
        self.chosen.emit(self.up)
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Take the slider."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._held = True
            self._drag(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Move it."""
        if self._held:
            self._drag(event.position())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Let it go."""
        if self._held:
            self._held = False
            self.chosen.emit(self.up)

    def _drag(self, at: QPointF) -> None:
        (low, high), area = self.limits, self._area
        share = (at.x() - area.left()) / area.width()
        self.up = self._snapped(low + min(max(share, 0.0), 1.0) * (high - low))
        self.moved.emit(self.up)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint curves and slider."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            theme, px, area = self._theme, self._theme.px, self._area
            painter.fillRect(self.rect(), QColor(theme.bg0))
            if self.expected is not None:
                self._paint_curves(painter, self.expected)
            track = QRectF(area.left(), area.bottom() + px(14), area.width(), 6)
            painter.setPen(QPen(QColor(theme.ctl), 1))
            painter.setBrush(QColor(theme.bg2))
            painter.drawRoundedRect(track, 3, 3)
            painter.setFont(face(theme, 11).font)
            (low, high), at = self.limits, self._x(self.up)
            for tenth in range(math.ceil(10 * low - 1e-9), math.floor(10 * high + 1e-9) + 1):
                x = self._x(tenth / 10)
                if abs(x - at) > px(40):
                    box = QRectF(x - 20, track.bottom() + px(8), 40, px(14))
                    paint_text(painter, box, f"{tenth / 10:.2f}", theme.text2, _CENTRE)
            painter.setPen(QPen(QColor(theme.text), 2))
            painter.drawLine(QPointF(at, area.top()), QPointF(at, track.center().y()))
            knob = QRectF(at - 8, track.center().y() - 11, 16, 22)
            painter.setPen(QPen(QColor(theme.accent if self.hasFocus() else theme.text), 2))
            painter.setBrush(QColor(theme.text))
            painter.drawRoundedRect(knob, 3, 3)
            painter.setPen(QPen(QColor(theme.bg0), 1.4))
            top, foot = knob.top() + 6, knob.bottom() - 6
            for x in (at - 2.5, at + 2.5):
                painter.drawLine(QPointF(x, top), QPointF(x, foot))
            painter.setFont(face(theme, 11, 700).font)
            box = QRectF(at - 30, track.bottom() + px(8), 60, px(14))
            paint_text(painter, box, shown_threshold(self.up), theme.text, _CENTRE)

    def _paint_curves(self, painter: QPainter, expected: Expected) -> None:
        theme, px, area = self._theme, self._theme.px, self._area
        top = heights(expected.points)
        painter.setFont(face(theme, 11).font)
        for share, left, right in ((1.0, "100 %", f"{top:g}/h"), (0.5, "50", f"{top / 2:g}")):
            y = area.bottom() - share * area.height()
            painter.setPen(QPen(QColor(theme.grid), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            self._scale(painter, y, left, right)
        painter.setPen(QPen(QColor(theme.grid), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        self._scale(painter, area.bottom(), "0", "0")

        def y_of(per_hour: float) -> float:
            return area.bottom() - min(per_hour, top) / top * area.height()

        known = [point for point in expected.points if point.rest_s > 0]
        bounds = [(self._x(point.up), *point.interval) for point in known]
        band = [QPointF(x, y_of(high)) for x, _, high in bounds]
        band += [QPointF(x, y_of(low)) for x, low, _ in reversed(bounds)]
        painter.setPen(Qt.PenStyle.NoPen)
        ground = QColor(theme.hatch)
        ground.setAlphaF(0.35)
        painter.setBrush(ground)
        painter.drawPolygon(QPolygonF(band))
        painter.setPen(QPen(QColor(theme.text), 1.7, Qt.PenStyle.DashLine))
        rates = [QPointF(self._x(point.up), y_of(point.per_hour)) for point in known]
        painter.drawPolyline(QPolygonF(rates))
        painter.setPen(QPen(QColor(theme.accent), 1.8))
        found = [
            QPointF(
                self._x(one.up), area.bottom() - one.n_found / (one.n_events or 1) * area.height()
            )
            for one in expected.points
        ]
        painter.drawPolyline(QPolygonF(found))
        self._name(painter, say("run.curve_found"), area.top() + px(22), theme.accent)
        self._name(painter, say("run.curve_alarms"), area.top() + px(42), theme.text)

    def _scale(self, painter: QPainter, y: float, left: str, right: str) -> None:
        theme, area = self._theme, self._area
        align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        box = QRectF(0, y - 8, area.left() - 6, 16)
        paint_text(painter, box, left, theme.accent, align)
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        box = QRectF(area.right() + 6, y - 8, self.width() - area.right() - 6, 16)
        paint_text(painter, box, right, theme.text2, align)

    def _name(self, painter: QPainter, text: str, y: float, ink: str) -> None:
        theme, area = self._theme, self._area
        painter.setFont(face(theme, 11.5, 600).font)
        width = QFontMetricsF(painter.font()).horizontalAdvance(text) + 8
        box = QRectF(area.right() - width - 6, y - 8, width, 17)
        ground = QColor(theme.bg0)
        ground.setAlphaF(0.75)
        painter.fillRect(box, ground)
        paint_text(painter, box, text, ink, _CENTRE)


class ThresholdPanel(QWidget):
    """Figures, presets and slider; `moved` and `chosen` pass on thresholds, `preset` a name."""

    moved = Signal(float)
    chosen = Signal(float)
    preset = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.expected: Expected | None = None
        self.about: list[str] = []  # lines at the foot
        self.slider = ThresholdSlider(theme)
        self.slider.moved.connect(self._follow)
        self.slider.chosen.connect(self.chosen)
        self._presets = QButtonGroup(self)
        self._presets.setExclusive(False)  # none is on where the threshold is one's own
        self.buttons: dict[str, QPushButton] = {}
        head = QHBoxLayout()
        head.addStretch(1)
        for name in ("few_misses", "balanced", "few_alarms"):
            button = QPushButton(say(f"run.preset.{name}"))
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, name=name: self.preset.emit(name))
            self._presets.addButton(button)
            self.buttons[name] = button
            head.addWidget(button)
        head.setSpacing(0)
        self._top, self._foot = QWidget(), QWidget()
        for empty in (self._top, self._foot):
            empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            empty.setStyleSheet("background: transparent")
        column = QVBoxLayout(self)
        fill(column, head, self._top, self.slider, self._foot, stretched=self.slider)
        column.setContentsMargins(2, 6, 10, 4)
        self.restyle(theme)

    @property
    def up(self) -> float:
        """The threshold that is shown."""
        return self.slider.up

    @property
    def point(self) -> Point | None:
        """What is known of it."""
        return None if self.expected is None else self.expected.at(self.up)

    def show_expected(self, expected: Expected | None, up: float, about: Sequence[str]) -> None:
        """Show what a decoder is expected to do at a threshold."""
        self.expected, self.about = expected, list(about)
        self.slider.show_expected(expected, up)
        self._mark()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.slider.restyle(theme)
        self._top.setFixedHeight(theme.px(66))
        self._foot.setFixedHeight(theme.px(42))
        self.update()

    def texts(self) -> list[Figure]:
        """The figures that are shown."""
        return [] if self.point is None else figures(self.point)

    def lines(self) -> list[str]:
        """The lines at the foot that are shown."""
        known = [] if self.expected is None or self.point is None else [self.expected]
        return [line for one in known for line in notes(one, one.at(self.up), self.up)]

    def _follow(self, up: float) -> None:
        self._mark()
        self.moved.emit(up)

    def _mark(self) -> None:
        expected = self.expected
        at = "" if expected is None else expected.preset_at(self.up)
        for name, button in self.buttons.items():
            button.setChecked(name == at)
            button.setEnabled(expected is not None and name in expected.presets)
        set_tip(self, "\n".join(f"{one.label}: {one.line}" for one in self.texts()))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the head, the figures and the lines at the foot."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            theme, px = self._theme, self._theme.px
            paint_frame(painter, QRectF(self.rect()), theme)
            quiet = face(theme, 12)
            parts = [
                (say("run.threshold"), face(theme, 12.5, 600), theme.text),
                (say("run.threshold_about"), quiet, theme.text2),
            ]
            paint_line(painter, QPointF(px(_PAD), px(21)), self.width() - px(300), parts, px(10))
            top, room = self._top.y(), self.width() - 2 * px(_PAD)
            if self.expected is None:
                line = [(say("run.no_curve"), face(theme, 13), theme.text2)]
                paint_line(painter, QPointF(px(_PAD), top + px(30)), self.width() - px(32), line)
            for start, share, figure in zip((0.0, 0.5, 0.75), _SHARES, self.texts(), strict=False):
                self._paint_figure(
                    painter, QPointF(px(_PAD) + start * room, top), share * room, figure
                )
            foot = self._foot.y()
            rows = [self.lines(), self.about]
            for number, lines in enumerate(rows):
                text = "  ·  ".join(lines)
                at = QPointF(px(_PAD), foot + px(14 + 18 * number))
                parts = [(text, quiet, theme.text2)]
                paint_line(painter, at, self.width() - 2 * px(_PAD), parts)

    def _paint_figure(self, painter: QPainter, at: QPointF, width: float, figure: Figure) -> None:
        theme, px = self._theme, self._theme.px
        quiet = face(theme, 12)
        x, y = at.x(), at.y()
        paint_line(
            painter, QPointF(x, y + px(12)), width - 10, [(figure.label, quiet, theme.text2)]
        )
        parts = [
            (figure.value, face(theme, 25, 700), theme.text),
            (figure.unit, face(theme, 14, 600), theme.text),
        ]
        paint_line(painter, QPointF(x, y + px(39)), width - 10, parts, px(6))
        line = [(figure.line, quiet, theme.text2)]
        paint_line(painter, QPointF(x, y + px(58)), width - 10, line)
