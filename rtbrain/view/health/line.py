"""The status line, which becomes the alarm line in the same place: nothing moves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QPushButton, QWidget

from rtbrain.view.alarms.conditions import Alarm, plain
from rtbrain.view.health.cells import Cell
from rtbrain.view.health.pill import paint_pill, pill_width
from rtbrain.view.health.sentence import fit_sentence
from rtbrain.view.icons import paint_icon
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, ToolTips, set_tip

_EDGE_PX, _PAD_PX, _GAP_PX, _ICON_PX = 8, 14, 6, 12
_LABEL_PX, _VALUE_PX, _NOTE_PX, _CLOCK_PX, _ELAPSED_PX = 11.5, 14, 12.5, 18, 24
_LEAST_PX, _SHORT_PX = 64, 120  # of an elided name; the second while cells can be left out
_NARROW_PX, _WIDE_PX = 1280, 1600
_ALARM_ICON_PX, _TITLE_PX = 24, 19
_TIGHT_PX = 1000  # lines narrower than this have neither clock nor key beside an alarm
_BESIDE_PX, _SMALL_TITLE_PX = 240, 15  # least room of a sentence beside its title; else below
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class LineText:
    """All that the line shows."""

    recording: str = "none"  # state of the pill
    cells: tuple[Cell, ...] = ()
    alarm: Alarm | None = None
    waiting: tuple[Alarm, ...] = ()
    over: str = ""  # what has just ended
    clock: str = ""
    elapsed: str = ""  # time of the recording, large, in place of the clock


class StatusLine(QWidget):
    """Pill, cells and clock; or pill, the alarm, and the buttons that see it and show the next."""

    seen = Signal()
    turned = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme, self.shown = theme, LineText()
        self._placed: list[tuple[Cell, QRectF]] = []
        self._widths: dict[str, float] = {}
        self.next, self.see = QPushButton(self), QPushButton(self)
        self.see.clicked.connect(lambda checked=False: self.seen.emit())
        self.next.clicked.connect(lambda checked=False: self.turned.emit())
        ToolTips(self, self._tip_at)
        self.restyle(theme)

    def show_text(self, text: LineText) -> None:
        """Show this, if it is new."""
        if not text.elapsed:
            text = replace(text, clock=f"{datetime.now():%H:%M:%S}")
        if text == self.shown:
            return
        before, self.shown = self.shown, text
        if text.alarm is not None:
            words = f"{text.alarm.title}. {plain(text.alarm.sentence)}"
            self.setAccessibleName(words)
        if (text.alarm, text.waiting) != (before.alarm, before.waiting):
            self._place_buttons()
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self._widths.clear()
        self._place_buttons()
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Place the cells anew."""
        super().resizeEvent(event)
        self._widths.clear()
        self._place_buttons()

    @property
    def names(self) -> list[str]:
        """Keys of the cells that have room."""
        return [cell.key for cell, _ in self._placed]

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the line."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            shown, theme = self.shown, self._theme
            ground = self._ground
            painter.fillRect(self.rect(), QColor(getattr(theme, ground) if ground else theme.bg2))
            middle = self.height() / 2
            left = paint_pill(painter, theme.px(_EDGE_PX), middle, shown.recording, theme, ground)
            left = self._paint_clock(painter, left, ground)
            self._placed = []
            if shown.alarm is not None:
                self._paint_alarm(painter, left, shown.alarm)
            elif shown.over:
                painter.setFont(theme.font(_VALUE_PX, 600))
                painter.setPen(QColor(theme.text))
                box = QRectF(
                    left + theme.px(24), 0, self._right - left - theme.px(48), self.height()
                )
                painter.drawText(box, _MIDDLE, shown.over)
            else:
                self._placed = self._lay_out(left)
                for cell, box in self._placed:
                    self._paint_cell(painter, cell, box)
            # Yellow on a light ground has no edge of its own.
            painter.setPen(QPen(QColor(theme.warn if ground == "medium" else theme.line), 1))
            for y in (0.5, self.height() - 0.5) if ground else (self.height() - 0.5,):
                painter.drawLine(QPointF(0, y), QPointF(self.width(), y))

    @property
    def _ground(self) -> str:
        """Field of a theme that is behind an alarm; empty without one."""
        alarm = self.shown.alarm
        return "" if alarm is None else "alarm" if alarm.high else "medium"

    @property
    def _tight(self) -> bool:
        """Whether an alarm needs the room of the clock and of the key."""
        return self.shown.alarm is not None and self.width() < self._theme.px(_TIGHT_PX)

    @property
    def _right(self) -> float:
        """Where the clock begins, px; the end of the line where there is none."""
        if self.shown.elapsed or self._tight:
            return float(self.width())
        clock = QFontMetricsF(self._theme.font(_CLOCK_PX, 600)).horizontalAdvance("00:00:00")
        return self.width() - clock - self._theme.px(16)

    def _paint_clock(self, painter: QPainter, left: float, ground: str) -> float:
        """Paint the clock at the end, or the time of the recording; gives where cells may begin."""
        theme, shown = self._theme, self.shown
        painter.setPen(QColor(getattr(theme, f"on_{ground}") if ground else theme.text))
        if shown.elapsed:
            if ground or shown.over:
                return left
            x, font = left + theme.px(_PAD_PX), theme.font(_ELAPSED_PX, 600)
            painter.setFont(font)
            painter.setPen(QColor(theme.text if shown.recording != "none" else theme.text2))
            painter.drawText(QRectF(x, 0, self.width() - x, self.height()), _MIDDLE, shown.elapsed)
            return x + QFontMetricsF(font).horizontalAdvance("00:00:00") + theme.px(4)
        if self._tight:
            return left
        painter.setFont(theme.font(_CLOCK_PX, 600))
        box = QRectF(self._right, 0, self.width() - self._right, self.height())
        painter.drawText(box, _MIDDLE, shown.clock)
        return left

    # The cells

    def _lay_out(self, left: float) -> list[tuple[Cell, QRectF]]:
        """Cells that have room, and their boxes: names are elided first, then cells are left out.

        A cell never becomes narrower, so that those behind it stay where they are.
        """
        theme = self._theme
        cells = [
            cell
            for cell in self.shown.cells
            if not cell.wide_only or self.width() >= theme.px(_WIDE_PX)
        ]
        room = self._right - theme.px(_PAD_PX) - left - theme.px(_EDGE_PX)
        widths = {cell.key: max(self._width(cell), self._widths.get(cell.key, 0)) for cell in cells}
        narrow = self.width() < theme.px(_NARROW_PX)
        self._elide(cells, widths, room, _SHORT_PX if narrow else _LEAST_PX)
        for cell in reversed(cells.copy()):
            if sum(widths.values()) > room and cell.may_go:
                del widths[cell.key]
                cells.remove(cell)
        self._elide(cells, widths, room, _LEAST_PX)
        least = theme.px(_ICON_PX) + 2 * theme.px(_PAD_PX)
        # At worst a cell is its icon alone: from the right, those that are fine first.
        leftmost_last = sorted(range(len(cells)), key=lambda n: (bool(cells[n].level), -n))
        for cell in (cells[n] for n in leftmost_last):
            excess = sum(widths.values()) - room
            widths[cell.key] -= max(0.0, min(excess, widths[cell.key] - least))
        self._widths |= widths if sum(widths.values()) <= room else {}
        placed, x = [], left + theme.px(_EDGE_PX)
        for cell in cells:
            placed.append((cell, QRectF(x, 0, widths[cell.key], self.height())))
            x += widths[cell.key]
        return placed

    def _elide(
        self, cells: Sequence[Cell], widths: dict[str, float], room: float, least_px: float
    ) -> None:
        """Make cells narrower until they fit, at most so that names keep their least width."""
        for cell in sorted(cells, key=lambda cell: -cell.elides):
            excess = sum(widths.values()) - room
            if excess > 0 and cell.elides:
                least = min(widths[cell.key], self._width(cell, self._theme.px(least_px)))
                widths[cell.key] = max(least, widths[cell.key] - excess)

    def _width(self, cell: Cell, least: float = math.inf) -> float:
        theme = self._theme
        label = QFontMetricsF(theme.font(_LABEL_PX)).horizontalAdvance(cell.label)
        label += theme.px(_ICON_PX) + theme.px(_GAP_PX) if cell.icon else 0
        value = QFontMetricsF(theme.font(_VALUE_PX, 600)).horizontalAdvance(cell.value)
        note = self._note_width(cell)
        if cell.elides_note:
            note = min(note, least)
        else:
            value = min(value, least)
        return math.ceil(max(label, value + note)) + 2 * theme.px(_PAD_PX)

    def _note_width(self, cell: Cell) -> float:
        font = self._theme.font(_NOTE_PX, 600 if cell.level else 400)
        note = QFontMetricsF(font).horizontalAdvance(cell.note)
        return note + self._theme.px(4) if cell.note else 0.0

    def _paint_cell(self, painter: QPainter, cell: Cell, box: QRectF) -> None:
        theme = self._theme
        pad, x = theme.px(_PAD_PX), box.left() + theme.px(_PAD_PX)
        label_y, value_y = self.height() * 0.28, self.height() * 0.67
        if cell.icon:
            size = theme.px(_ICON_PX)
            paint_icon(painter, QRectF(x, label_y - size / 2, size, size), cell.icon, theme)
            x += size + theme.px(_GAP_PX)
        width = box.width() - 2 * pad
        right = box.left() + pad + width
        self._write(painter, x, label_y, right - x, cell.label, _LABEL_PX, 400, theme.text2)
        x = box.left() + pad
        ink = {"fix": theme.bad, "look": theme.warn}.get(cell.level, theme.text2)
        note = self._note_width(cell)
        room = width if cell.elides_note else min(width, max(width - note, theme.px(24)))
        strong = ink if cell.level and not cell.note else theme.faint if cell.empty else theme.text
        x += self._write(painter, x, value_y, room, cell.value, _VALUE_PX, 600, strong)
        if cell.note:
            x += theme.px(4)
            weight = 600 if cell.level else 400
            self._write(painter, x, value_y, right - x + 1, cell.note, _NOTE_PX, weight, ink)
        painter.setPen(QPen(QColor(theme.line), 1))
        painter.drawLine(QPointF(box.right(), 0), QPointF(box.right(), box.height()))

    def _write(
        self,
        painter: QPainter,
        x: float,
        middle: float,
        room: float,
        text: str,
        px: float,
        weight: int,
        ink: str,
    ) -> float:
        """Write text round a height, elided in the middle to its room; returns its width, px."""
        font = self._theme.font(px, weight)
        metrics = QFontMetricsF(font)
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, room + 1)
        shown = shown if metrics.horizontalAdvance(shown) <= room + 1 else ""
        painter.setFont(font)
        painter.setPen(QColor(ink))
        height = metrics.height()
        painter.drawText(QRectF(x, middle - height / 2, room + 2, height), _MIDDLE, shown)
        return metrics.horizontalAdvance(shown)

    # The alarm

    def _paint_alarm(self, painter: QPainter, left: float, alarm: Alarm) -> None:
        theme, middle = self._theme, self.height() / 2
        ground, ink = getattr(theme, self._ground), getattr(theme, f"on_{self._ground}")
        size, x = theme.px(_ALARM_ICON_PX), left + theme.px(18)
        kind = "alarm" if alarm.high else "look"
        paint_icon(painter, QRectF(x, middle - size / 2, size, size), kind, theme, ink, ground)
        x += size + theme.px(10)
        room = self._buttons_left - x - theme.px(16)
        title = QFontMetricsF(theme.font(_TITLE_PX, 800)).horizontalAdvance(alarm.title)
        beside = room - title - theme.px(17)
        if beside >= theme.px(_BESIDE_PX):
            self._write(painter, x, middle, room, alarm.title, _TITLE_PX, 800, ink)
            x, room, n_lines = x + title + theme.px(17), beside, 2
        else:
            y, middle, n_lines = self.height() * 0.3, self.height() * 0.72, 1
            self._write(painter, x, y, room, alarm.title, _SMALL_TITLE_PX, 800, ink)
        sentence = fit_sentence(alarm.sentence, room, n_lines, ink, theme)
        painter.save()
        painter.translate(x, middle - sentence.size().height() / 2)
        sentence.drawContents(painter)
        painter.restore()

    def _place_buttons(self) -> None:
        """Style the buttons for the ground and put them left of the clock."""
        shown, theme, ground = self.shown, self._theme, self._ground
        waiting = shown.waiting
        key = "" if self._tight else f"   {say('pill.seen_key')}"
        self.see.setText(f"{say('pill.seen')}{key}")
        self.see.setVisible(bool(ground))
        self.next.setVisible(bool(ground and waiting))
        if not ground:
            return
        back, ink = getattr(theme, ground), getattr(theme, f"on_{ground}")
        common = f"border: {theme.px(1)}px solid {ink}; border-radius: 3px; padding: 0 12px;"
        common += f"min-height: 0; font-size: {theme.px(13)}px;"
        focus = f"QPushButton:focus {{ border: 2px solid {ink}; padding: 0 11px; }}"
        self.see.setStyleSheet(
            f"QPushButton {{ background: {ink}; color: {back}; {common} }}"
            f"QPushButton:focus {{ border: 2px solid {back}; }}"
        )
        self.next.setStyleSheet(
            f"QPushButton {{ background: transparent; color: {ink}; {common} }} {focus}"
        )
        if waiting:
            more = "" if self.width() < theme.px(_NARROW_PX) else f"   {waiting[0].short}"
            self.next.setText(f"+{len(waiting)}{more}")
            set_tip(self.next, waiting[0].title)
        height, right = theme.px(28), self._right - theme.px(14)
        for button in (self.see, self.next):
            if not button.isHidden():
                width = button.sizeHint().width()
                right -= width
                top = round((self.height() - height) / 2)
                button.setGeometry(round(right), top, width, height)
                right -= theme.px(10)
        self._buttons_left = right
        self.update()

    def _tip_at(self, point: QPointF) -> str:
        shown = self.shown
        if point.x() < self._theme.px(_EDGE_PX) + pill_width(shown.recording, self._theme):
            return next((cell.tip for cell in shown.cells if cell.key == "recording"), "")
        if shown.alarm is not None:
            return f"{shown.alarm.title}. {plain(shown.alarm.sentence)}"
        return next((cell.tip for cell, box in self._placed if box.contains(point)), "")
