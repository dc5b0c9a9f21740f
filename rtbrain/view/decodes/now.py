"""The panel Now: the newest decode in one word and one number, and whether to believe it."""

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.frame import HEAD_PX, PAD_PX, face, paint_frame, paint_line, wrapped
from rtbrain.view.decodes.words import NowText, describe
from rtbrain.view.icons import hatch_brush, paint_icon
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, set_tip

# Sizes at 100 %: of the number at two widths of the panel, and of what is around it.
_NARROW, _WIDE = (304.0, 46.0), (420.0, 72.0)
_LEAST_HERO, _LEAST_WORD, _WORD = 30.0, 24.0, 0.8
_SIDE, _BAR, _ROW, _LIST, _FOOT_LINE = 14, 13, 18, 16, 18
_TITLE, _DETAIL = 36.0, 17


class NowPanel(QWidget):
    """Word and number of the newest decode, the target's bar, and what was detected.

    Its places are the same in every state. What is not valid has no number, and says why.
    """

    def __init__(self, decoding: Decoding, theme: Theme, *, in_console: bool = False) -> None:
        super().__init__()
        self.decoding, self._theme, self._in_console = decoding, theme, in_console
        self.shown = NowText("none")
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def take(self, update: SessionUpdate) -> None:
        """Take the result of a poll."""
        self.decoding.take(update)

    def draw(self, now: float) -> None:
        """Show how it stands at a time, s on the LSL clock."""
        shown = describe(self.decoding, now, in_console=self._in_console)
        if shown == self.shown:
            return
        if shown.word != self.shown.word or shown.detail != self.shown.detail:
            set_tip(self, "\n".join(filter(None, (f"{shown.word} {shown.number}", *shown.detail))))
        self.shown = shown
        self.setAccessibleName(" ".join(filter(None, (shown.word, shown.number, shown.label))))
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size in a window of 1280 x 800."""
        return QSize(self._theme.px(304), self._theme.px(192))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the panel."""
        px, side = self._theme.px, self._theme.px(_SIDE)
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            paint_frame(painter, QRectF(self.rect()), self._theme, self.shown.border)
            self._head(painter)
            box = QRectF(self.rect()).adjusted(side, px(HEAD_PX), -side, -px(8))
            foot = self._foot(painter, box)
            body = QRectF(box.left(), box.top(), box.width(), max(0.0, foot - box.top()))
            (self._value if self.shown.number else self._no_value)(painter, body)

    def _head(self, painter: QPainter) -> None:
        theme, shown, px = self._theme, self.shown, self._theme.px
        baseline, bold = px(19), face(theme, 12, 600)
        ink = {"fine": theme.text2, "fix": theme.bad, "look": theme.warn}.get(
            shown.icon, theme.faint
        )
        wide = bold.width(shown.label)
        right = self.width() - px(_SIDE) - wide
        font = face(theme, 12, 400 if shown.icon == "fine" else 600)
        paint_line(painter, QPointF(right, baseline), wide + 1, [(shown.label, font, ink)])
        box = QRectF(right - px(19), baseline - px(11), px(14), px(14))
        paint_icon(painter, box, shown.icon, theme)
        parts = [(say("decode.now.head"), bold, theme.text)]
        parts.append((shown.decoder, face(theme, 12), theme.text2))
        width = box.left() - px(PAD_PX) - px(8)
        paint_line(painter, QPointF(px(PAD_PX), baseline), width, parts, gap=px(10))

    def _value(self, painter: QPainter, box: QRectF) -> None:
        """Word, number, bar, its caption, and the other outputs where there is room."""
        theme, shown, px = self._theme, self.shown, self._theme.px
        ink = theme.accent if shown.above else theme.text
        if shown.state == "old":
            ink = theme.faint
        hero = self._hero(box)
        figures = face(theme, hero, 700)
        width = figures.width(shown.number)
        baseline = box.top() + px(hero) * 0.98 + px(2)
        paint_line(
            painter,
            QPointF(box.right() - width, baseline),
            width + 1,
            [(shown.number, figures, ink)],
        )
        room = box.width() - width - px(10)
        size = _WORD * hero
        while size > _LEAST_WORD:
            if face(theme, size, 700).width(shown.word) <= room:
                break
            size -= 1.0
        word = [(shown.word, face(theme, max(size, _LEAST_WORD), 700), ink)]
        paint_line(painter, QPointF(box.left(), baseline), room, word, middle=True)
        y = baseline + px(hero) * 0.26 + px(3)
        if y + px(_BAR) > box.bottom():
            return
        self._bar(painter, QRectF(box.left(), y, box.width(), px(_BAR)))
        y += px(_BAR) + px(_ROW)
        if y > box.bottom():
            return
        self._caption(painter, box, y)
        self._rows(painter, box, y + px(5))

    def _hero(self, box: QRectF) -> float:
        """Size of the number at 100 %, px: by the panel's width, if its height allows."""
        (w0, h0), (w1, h1) = _NARROW, _WIDE
        scale = self._theme.scale
        by_width = h0 + (self.width() / scale - w0) * (h1 - h0) / (w1 - w0)
        by_height = (box.height() / scale - _BAR - _ROW - 8) / 1.26
        return max(_LEAST_HERO, min(by_width, by_height, h1))

    def _bar(self, painter: QPainter, box: QRectF) -> None:
        theme, shown = self._theme, self.shown
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.fillRect(box, QColor(theme.bg2))
        if shown.state == "old":
            painter.fillRect(box, QColor(theme.bg0))
            painter.fillRect(box, hatch_brush(theme))
        elif math.isfinite(shown.level):
            width = box.width() * min(1.0, max(0.0, shown.level))
            painter.fillRect(
                QRectF(box.left(), box.top(), width, box.height()), QColor(theme.accent)
            )
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(theme.ctl), 1))
        painter.drawRect(box.adjusted(0, 0, -1, -1))
        if math.isfinite(shown.tick):
            x = box.left() + box.width() * min(1.0, max(0.0, shown.tick))
            over = self._theme.px(4)
            tick = QRectF(round(x) - 1, box.top() - over, 3, box.height() + 2 * over)
            painter.fillRect(tick.adjusted(-1, 0, 1, 0), QColor(theme.bg0))
            painter.fillRect(tick, QColor(theme.text))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)

    def _caption(self, painter: QPainter, box: QRectF, y: float) -> None:
        theme, shown, px = self._theme, self.shown, self._theme.px
        font = face(theme, 12)
        width = min(font.width(shown.threshold), box.width())
        right = [(shown.threshold, font, theme.text2)]
        paint_line(painter, QPointF(box.right() - width, y), width + 1, right)
        room, left = box.width() - width - px(10), shown.scale
        if left and font.width(left) > room:
            left = say("decode.now.probability")
        paint_line(painter, QPointF(box.left(), y), room, [(left, font, theme.text2)])

    def _rows(self, painter: QPainter, box: QRectF, top: float) -> None:
        """All outputs in one column, or in two where that is too low; none where both are."""
        theme, shown, px = self._theme, self.shown, self._theme.px
        entries = [*shown.rows, *([(-1, shown.more, "")] if shown.more else [])]
        n_fit = int((box.bottom() - top) / px(_LIST))
        n_columns = next((n for n in (1, 2) if n * n_fit >= len(entries)), 0)
        if not entries or not n_columns:
            return
        gap = px(24) if n_columns > 1 else 0
        width, n_down = (box.width() - gap) / n_columns, -(-len(entries) // n_columns)
        for place, (output, label, value) in enumerate(entries):
            x = box.left() + (place // n_down) * (width + gap)
            y = top + (place % n_down + 1) * px(_LIST) - px(3)
            first = place == 0 and shown.state != "old"
            ink = theme.accent if first else theme.text2 if output < 0 else theme.text
            font = face(theme, 12.5, 600 if first else 400)
            figures = font.width(value)
            paint_line(
                painter,
                QPointF(x, y),
                width - figures - px(8),
                [(label, font, theme.faint if shown.state == "old" else ink)],
                middle=True,
            )
            ink = theme.faint if shown.state == "old" else theme.text
            paint_line(painter, QPointF(x + width - figures, y), figures + 1, [(value, font, ink)])

    def _no_value(self, painter: QPainter, box: QRectF) -> None:
        """A title, why there is no decode, and when there will be one."""
        theme, shown, px = self._theme, self.shown, self._theme.px
        by_width = _TITLE * self.width() / theme.scale / _NARROW[0]
        size = max(_LEAST_WORD, min(by_width, box.height() / theme.scale / 2.6))
        title = face(theme, size, 700)
        while size > 18 and title.width(shown.word) > box.width():
            size -= 1
            title = face(theme, size, 700)
        y = box.top() + px(size) + px(3)
        ink = theme.text if shown.state == "invalid" else theme.text2
        paint_line(painter, QPointF(box.left(), y), box.width(), [(shown.word, title, ink)])
        y += min(px(9), max(0.0, box.bottom() - y - px(2 * _DETAIL)))
        for text, colour in zip(shown.detail, (theme.text, theme.text2), strict=True):
            font = face(theme, 13 if colour == theme.text else 12)
            for line in wrapped(text, font, box.width()):
                y += px(_DETAIL)
                if y <= box.bottom():
                    at = QPointF(box.left(), y)
                    paint_line(painter, at, box.width(), [(line, font, colour)], middle=True)
            y += px(1)

    def _foot(self, painter: QPainter, box: QRectF) -> float:
        """A line, what was detected, and when it can be next; returns the top, px."""
        theme, shown, px = self._theme, self.shown, self._theme.px
        top = box.bottom() - px(2 * _FOOT_LINE + 12)
        if not shown.first and not shown.second and shown.armed is None:
            return top if shown.number else box.bottom()
        painter.setPen(QPen(QColor(theme.line), 1))
        painter.drawLine(QPointF(box.left(), top + 0.5), QPointF(box.right(), top + 0.5))
        left, y = box.left(), top + px(_FOOT_LINE + 5)
        if shown.pin:
            side = px(14)
            paint_icon(painter, QRectF(left, y - side / 2 + px(3), side, side), "pin", theme)
            left += px(23)
        room = box.right() - left
        ink = theme.warn if shown.state == "old" else theme.text
        parts = [(shown.first, face(theme, 13, 600), ink)]
        if shown.count:
            parts.append((f" · {shown.count}", face(theme, 13), theme.text2))
        paint_line(painter, QPointF(left, y), room, parts)
        y += px(_FOOT_LINE)
        if shown.armed is not None:
            room = self._outputs(painter, box.right(), y) - left - px(8)
        font = face(theme, 12)
        wide = font.width
        second = next((t for t in shown.second if wide(t) <= room), (*shown.second, "")[-1])
        if second == "" and shown.second:
            second = shown.second[-1]
        paint_line(painter, QPointF(left, y), room, [(second, font, theme.text2)])
        return top

    def _outputs(self, painter: QPainter, right: float, y: float) -> float:
        """Whether outputs are armed, by a full or a hollow dot and in words; returns the left."""
        theme, px, armed = self._theme, self._theme.px, bool(self.shown.armed)
        text = say("decode.now.outputs_armed" if armed else "decode.now.outputs_off")
        font = face(theme, 12, 600 if armed else 400)
        ink = theme.text if armed else theme.text2
        left = right - font.width(text)
        paint_line(painter, QPointF(left, y), right - left + 1, [(text, font, ink)])
        left -= px(13)
        box = QRectF(left, y - px(9), px(9), px(9))
        paint_icon(painter, box, "dot" if armed else "ring", theme, ink)
        return left
