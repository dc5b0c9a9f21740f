"""The panel of the counts: usable blocks, what was left out and why, the last markers."""

import time
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QSizePolicy

from rtbrain.console.calibrate.counting import ENOUGH, Collected, CountedBlock
from rtbrain.console.calibrate.panels import PaintedPanel, ink_of
from rtbrain.view.icons import paint_icon
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme

_LEFT, _RIGHT = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight


class CollectedPanel(PaintedPanel):
    """How many blocks of each class are usable, what was left out and why, the last markers."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, (276, 400))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    def paint(self, painter: QPainter) -> None:
        """Paint from the top down, as much as there is room for."""
        theme, k = self.theme, self.theme.scale
        left, width = 16.0, self.width() - 32.0
        title = say("calibrate.collected")
        self.text(painter, (left, 7 * k, width, 22 * k), title, 13, 600, theme.text)
        y = self._classes(painter, left, width, 44 * k)
        y = self._advice(painter, left, width, y + 6 * k)
        outs = [block for block in self.shown.blocks if block.reason]
        n_markers = min(4, len(self.shown.markers)) if y + 190 * k < self.height() else 0
        below = (38 + 19.5 * n_markers) * k if n_markers else 0.0
        room = int((self.height() - y - below - 52 * k) / (19.5 * k))
        lines = [
            (block.t_wall, block.text, reason_words(block))
            for block in reversed(outs[-max(0, room) :] if room > 0 else [])
        ]
        y = self._list(painter, say("calibrate.left_out.title"), lines, left, width, y)
        heard = [(t, text, "") for t, text in self.shown.markers[:n_markers]]
        if n_markers:
            self._list(painter, say("calibrate.last_markers"), heard, left, width, y)

    def _classes(self, painter: QPainter, left: float, width: float, y: float) -> float:
        theme, shown, k = self.theme, self.shown, self.theme.scale
        for name in shown.classes:
            found = shown.counts.get(name, Collected(0, 0.0, 0))
            ink = theme.accent if name == shown.target else theme.text
            wanted = shown.wanted.get(name)
            of = "" if wanted is None else say("calibrate.of", n=wanted)
            box = (left, y, width, 34 * k)
            taken = self.text(painter, (left, y + 3 * k, width, 34 * k), of, 13, align=_RIGHT)
            box = (left, y, width - taken - (5 if of else 0), 36 * k)
            number = self.text(painter, box, str(found.usable), 28, 700, theme.text, _RIGHT)
            room = width - taken - number - 14
            self.text(painter, (left, y + 4 * k, room, 34 * k), name, 15.5, 600, ink)
            goal = max(wanted or 0, ENOUGH, found.usable)
            bar = QRectF(left + 0.5, y + 40.5 * k, width - 1, 11 * k)
            filled = theme.accent if name == shown.target else theme.trace2
            self.bar(painter, bar, found.usable / goal, filled)
            pen = QPen(QColor(theme.text), 1.5)
            pen.setDashPattern([2, 2])
            painter.setPen(pen)
            x = bar.left() + bar.width() * ENOUGH / goal
            painter.drawLine(QPointF(x, bar.top() - 3), QPointF(x, bar.bottom() + 3))
            line = (left, y + 56 * k, width, 20 * k)
            usable = say("calibrate.usable", time=minutes(found.usable_s))
            self.text(painter, line, usable, 12)
            out = say("calibrate.left_out.count", n=found.left_out)
            self.text(painter, line, out, 12, align=_RIGHT)
            y += 82 * k
        self.text(painter, (left, y - 2 * k, width, 20 * k), say("calibrate.least", n=ENOUGH), 11.5)
        return y + 24 * k

    def _advice(self, painter: QPainter, left: float, width: float, y: float) -> float:
        theme, k = self.theme, self.theme.scale
        icon, head, line = self.shown.advice
        self._rule(painter, left, width, y)
        paint_icon(painter, QRectF(left, y + 13 * k, 18, 18), icon, theme)
        self.text(painter, (left + 27, y + 11 * k, width - 27, 22 * k), head, 13, 600, theme.text)
        painter.setFont(theme.font(12))
        painter.setPen(QColor(theme.text2))
        box = QRectF(left + 27, y + 32 * k, width - 27, 40 * k)
        painter.drawText(box, int(_LEFT | Qt.TextFlag.TextWordWrap), line)
        return y + 76 * k

    def _list(
        self,
        painter: QPainter,
        title: str,
        lines: Sequence[tuple[float, str, str]],
        left: float,
        width: float,
        y: float,
    ) -> float:
        theme, k = self.theme, self.theme.scale
        self._rule(painter, left, width, y)
        self.text(painter, (left, y + 10 * k, width, 22 * k), title, 13, 600, theme.text)
        y += 33 * k
        for t, text, why in lines:
            x = (
                left
                + 6
                + self.text(painter, (left, y, 70 * k, 19 * k), clock(t), 12.5, 400, theme.text)
            )
            ink = ink_of(theme, self.shown, text)
            x += 8 + self.text(painter, (x, y, width - (x - left), 19 * k), text, 12.5, 400, ink)
            self.text(painter, (x, y, width - (x - left), 19 * k), why)
            y += 19.5 * k
        return y + 10 * k

    def _rule(self, painter: QPainter, left: float, width: float, y: float) -> None:
        painter.setPen(QPen(QColor(self.theme.line), 1))
        painter.drawLine(QPointF(left, y + 0.5), QPointF(left + width, y + 0.5))


def reason_words(block: CountedBlock) -> str:
    """Why a block is left out."""
    return say(f"calibrate.left_out.{block.reason}", seconds=f"{block.lost_s:.1f}")


def minutes(seconds: float) -> str:
    """A time such as 4 min 12 s."""
    whole = round(seconds)
    return say("calibrate.minutes", minutes=whole // 60, seconds=whole % 60)


def clock(t_wall: float) -> str:
    """A time of the day."""
    return time.strftime("%H:%M:%S", time.localtime(t_wall))
