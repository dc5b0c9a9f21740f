"""The run along its time, and its key figures, as painted by the page Review."""

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.console.review.results import KeyFigure, clock
from rtbrain.stream_names import is_manual_marks
from rtbrain.view.icons import hatch_brush, paint_icon
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, paint_text

_LANES = ("recorded", "valid", "cues", "detected", "contacts", "marks")
_LANE_PX, _HEAD_PX, _AXIS_PX, _GUTTER_PX = 24, 32, 22, 104
_CARD_PX = 92
_MAX_TICKS = 8
_TICKS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)


class RunPlot(QWidget):
    """Lanes of a run: recorded, valid decodes, cues, detections, bad contacts, marks."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._report: Mapping[str, Any] = {}
        self._title, self._classes = "", frozenset[str]()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.restyle(theme)

    def show_report(self, title: str, report: Mapping[str, Any], classes: Sequence[str]) -> None:
        """Show a run; markers that are classes are cues."""
        self._title, self._report, self._classes = title, report, frozenset(classes)
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.setFixedHeight(theme.px(_HEAD_PX + _LANE_PX * len(_LANES) + _AXIS_PX))
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Its height is fixed."""
        return QSize(600, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint head, lanes and axis."""
        theme, report = self._theme, self._report
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.setBrush(QColor(theme.bg0))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
            painter.setFont(theme.font(13, 600))
            box = QRectF(theme.px(11), theme.px(7), self.width() / 2, theme.px(18))
            x = box.left() + paint_text(painter, box, say("review.the_run"), theme.text)
            painter.setFont(theme.font(12))
            box.setLeft(x + theme.px(10))
            paint_text(painter, box, self._title, theme.text2)
            box = QRectF(
                self.width() / 2, theme.px(7), self.width() / 2 - theme.px(11), theme.px(18)
            )
            paint_text(
                painter, box, say("review.hatched"), theme.text2, Qt.AlignmentFlag.AlignRight
            )
            if report:
                self._paint_lanes(painter)

    def _x(self, second: float) -> float:
        left, right = self._theme.px(_GUTTER_PX), self.width() - self._theme.px(14)
        share = second / float(self._report["duration_s"])
        return left + (right - left) * min(1.0, max(0.0, share))

    def _paint_lanes(self, painter: QPainter) -> None:
        theme, report = self._theme, self._report
        along = report.get("along", {})
        cues = [(t, m) for t, _, m in along.get("markers", []) if m in self._classes]
        marks = [(t, m) for t, s, m in along.get("markers", []) if is_manual_marks(s)]
        for row, lane in enumerate(_LANES):
            top = theme.px(_HEAD_PX + row * _LANE_PX)
            height = theme.px(_LANE_PX)
            painter.setFont(theme.font(12))
            label = QRectF(0, top, theme.px(_GUTTER_PX - 12), height)
            align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            paint_text(painter, label, say(f"review.lanes.{lane}"), theme.text, align)
            painter.setPen(QPen(QColor(theme.grid), 1))
            bottom = top + height - 0.5
            painter.drawLine(QPointF(label.right() + 12, bottom), QPointF(self._x(1e99), bottom))
            bar = QRectF(0, top + theme.px(5), 0, height - theme.px(10))
            if lane == "recorded":
                self._bar(painter, bar, report["signal"]["gaps_s"], theme.text2)
            elif lane == "valid" and "decodes" in report:
                holes = [span[:2] for span in along.get("invalid_s", [])]
                self._bar(painter, bar, holes, theme.accent)
            elif lane == "cues":
                painter.setPen(QPen(QColor(theme.text2), 1))
                painter.setBrush(QColor(theme.bg2))
                for t, _ in cues:
                    painter.drawRoundedRect(QRectF(self._x(t), bar.top(), 4, bar.height()), 1, 1)
            elif lane == "detected":
                for t, _ in along.get("detected", []):
                    size = theme.px(9)
                    box = QRectF(self._x(t) - size / 2, top + (height - size) / 2, size, size)
                    paint_icon(painter, box, "pin", theme)
            elif lane == "contacts":
                self._paint_contacts(painter, top, height)
            else:
                self._paint_marks(painter, marks, top, height)
        self._paint_axis(painter)

    def _bar(
        self, painter: QPainter, bar: QRectF, holes: Sequence[Sequence[float]], ink: str
    ) -> None:
        bar.setLeft(self._x(0))
        bar.setRight(self._x(1e99))
        painter.fillRect(bar, QColor(ink))
        for a, b in holes:
            hole = QRectF(bar)
            hole.setLeft(self._x(a))
            hole.setRight(max(self._x(b), hole.left() + 2))
            painter.fillRect(hole, QColor(self._theme.bg0))
            painter.fillRect(hole, hatch_brush(self._theme))

    def _paint_contacts(self, painter: QPainter, top: float, height: float) -> None:
        theme = self._theme
        painter.setFont(theme.font(11))
        right = -1.0
        for contact, spans in self._report.get("contacts_bad", {}).items():
            for a, b, why in spans:
                x, line = self._x(a), top + height - theme.px(4)
                width = max(2.0, self._x(b) - x)
                painter.fillRect(QRectF(x, line, width, 2), QColor(theme.warn))
                text = f"{contact} {why}"
                needed = QFontMetricsF(painter.font()).horizontalAdvance(text)
                if x > right and x + needed < self.width():
                    box = QRectF(x, top + 2, needed + 4, height - theme.px(6))
                    right = x + paint_text(painter, box, text, theme.text2) + theme.px(8)

    def _paint_marks(
        self, painter: QPainter, marks: Sequence[tuple[float, str]], top: float, height: float
    ) -> None:
        theme, right = self._theme, -1.0
        painter.setFont(theme.font(11))
        for t, text in marks:
            x = self._x(t)
            painter.fillRect(QRectF(x, top + 4, 2, height - 8), QColor(theme.text))
            if x > right:
                box = QRectF(x + 6, top + theme.px(4), self.width() - x - 12, height)
                right = x + 6 + paint_text(painter, box, text, theme.text2) + theme.px(8)

    def _paint_axis(self, painter: QPainter) -> None:
        theme, whole = self._theme, self._report["duration_s"]
        step = next((s for s in _TICKS_S if whole / s <= _MAX_TICKS), _TICKS_S[-1])
        painter.setFont(theme.font(11))
        top = theme.px(_HEAD_PX + _LANE_PX * len(_LANES) + 2)
        for number in range(int(whole // step) + 1):
            box = QRectF(self._x(number * step) - 40, top, 80, theme.px(16))
            paint_text(
                painter, box, clock(number * step), theme.text2, Qt.AlignmentFlag.AlignHCenter
            )


class FigureCard(QWidget):
    """One key figure: its label, the number, and one line below."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme, self.shown = theme, KeyFigure("", "", "", "")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.restyle(theme)

    def show_figure(self, figure: KeyFigure) -> None:
        """Show a figure."""
        self.shown = figure
        self.setAccessibleName(" ".join((figure.label, figure.value, figure.unit, figure.line)))
        self.setToolTip(figure.line)
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.setFixedHeight(theme.px(_CARD_PX))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the card; a line that is too long for one row takes two."""
        theme, shown = self._theme, self.shown
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.setBrush(QColor(theme.bg0))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
            pad = theme.px(14)
            x, width = float(pad), self.width() - 1.5 * pad
            if shown.icon:
                size = theme.px(13)
                paint_icon(painter, QRectF(x, theme.px(11), size, size), shown.icon, theme)
                x += size + theme.px(6)
            painter.setFont(theme.font(12))
            paint_text(
                painter, QRectF(x, theme.px(9), width, theme.px(18)), shown.label, theme.text2
            )
            painter.setFont(theme.font(25, 700))
            box = QRectF(pad, theme.px(26), width, theme.px(32))
            x = pad + paint_text(painter, box, shown.value, theme.text)
            painter.setFont(theme.font(13, 600))
            box = QRectF(x + theme.px(6), theme.px(34), self.width() - x - pad, theme.px(22))
            paint_text(painter, box, shown.unit, theme.text)
            painter.setFont(theme.font(11.5))
            painter.setPen(QColor(theme.text2))
            painter.drawText(
                QRectF(pad, theme.px(59), width, theme.px(32)),
                Qt.TextFlag.TextWordWrap | Qt.AlignmentFlag.AlignTop,
                shown.line,
            )
