"""The strip below the traces: which contacts are bad and why, in one line."""

from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QMenu

from rtbrain.view.icons import paint_icon
from rtbrain.view.texts import say
from rtbrain.view.theme import Foot, Theme, paint_text, set_tip
from rtbrain.view.traces.bad import BadContact

_ICON_PX, _PAD_PX, _GAP_PX, _NAME_GAP_PX = 13, 10, 16, 5
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class BadStrip(Foot):
    """Bad contacts with their reasons; a click lists all, and a click there shows one."""

    chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.bad: Sequence[BadContact] = ()
        self._n_all, self._checked = 0, False
        self.shown: list[str] = []  # as painted

    def show_bad(self, bad: Sequence[BadContact], n_all: int, *, checked: bool) -> None:
        """Show the bad ones of so many contacts; `checked`: a decoder judges them."""
        if (bad, n_all, checked) != (self.bad, self._n_all, self._checked):
            self.bad, self._n_all, self._checked = bad, n_all, checked
            set_tip(self, "\n".join(map(str, bad)))
            self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """List all bad contacts."""
        if self.bad:
            self.menu().popup(event.globalPosition().toPoint())

    def menu(self) -> QMenu:
        """Menu of all bad contacts, not yet shown; each chooses its contact."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for bad in self.bad:
            action = menu.addAction(str(bad).replace("&", "&&"))
            action.triggered.connect(lambda checked=False, name=bad.name: self.chosen.emit(name))
        return menu

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the line."""
        theme = self._theme
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(theme.bg0))
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.drawLine(0, 0, self.width(), 0)
            self.shown = []
            if self._n_all:
                self._paint_line(painter)

    def _paint_line(self, painter: QPainter) -> None:
        theme, side = self._theme, self._theme.px(_ICON_PX)
        icon = QRectF(_PAD_PX + 1, (self.height() - side) / 2 + 0.5, side, side)
        line = QRectF(icon.right() + 8, 1, 0, self.height() - 1)
        line.setRight(self.width() - _PAD_PX)
        if not self.bad:
            paint_icon(painter, icon, "fine" if self._checked else "unchecked", theme)
            said = say("signal.none_bad", n_all=self._n_all)
            self._paint(painter, line, said if self._checked else say("signal.no_check"), 400)
            return
        paint_icon(painter, icon, "look", theme)
        said = say("signal.n_bad", n=len(self.bad), n_all=self._n_all)
        self._paint(painter, line, said, 600, theme.warn)
        names, reasons = QFontMetricsF(theme.font(12, 600)), QFontMetricsF(theme.font(12))
        gaps = _NAME_GAP_PX + _GAP_PX
        widths = [
            names.horizontalAdvance(bad.name) + reasons.horizontalAdvance(bad.reason) + gaps
            for bad in self.bad
        ]
        left_out = say("signal.left_out") if self._checked else ""
        needed = reasons.horizontalAdvance(left_out)
        if left_out and sum(widths) + needed <= line.width():  # names and reasons go first
            painter.setFont(theme.font(12))
            paint_text(painter, line, left_out, theme.text2, _RIGHT)
        fitting = self._n_fitting(widths, line.width(), reasons)
        for bad in self.bad[:fitting]:
            self._paint(painter, line, bad.name, 600, gap=_NAME_GAP_PX)
            self._paint(painter, line, bad.reason, 400)
        if fitting < len(self.bad):
            self._paint(painter, line, say("signal.more_bad", n=len(self.bad) - fitting), 400)

    def _n_fitting(self, widths: Sequence[float], room: float, metrics: QFontMetricsF) -> int:
        """How many contacts fit, with room for how many more there are."""
        if sum(widths) <= room + _GAP_PX:
            return len(widths)
        room -= metrics.horizontalAdvance(say("signal.more_bad", n=len(widths)))
        n = 0
        while n < len(widths) and sum(widths[: n + 1]) <= room:
            n += 1
        return n

    def _paint(
        self,
        painter: QPainter,
        line: QRectF,
        text: str,
        weight: int,
        ink: str = "",
        gap: int = _GAP_PX,
    ) -> None:
        """Paint a text at the left end of what is left of the line, and shorten it."""
        theme = self._theme
        painter.setFont(theme.font(12, weight))
        ink = ink or (theme.text if weight > 400 else theme.text2)
        width = paint_text(painter, line, text, ink, _LEFT)
        self.shown.append(text)
        line.setLeft(min(line.left() + width + gap, line.right()))
