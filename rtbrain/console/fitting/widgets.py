"""What the page Fit paints: stages, verdict, scores, what is taken for what, and contacts."""

import math
from collections.abc import Callable, Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from rtbrain.console.fitting.results import Called, Chance, ScoreRow
from rtbrain.view.decodes.frame import face, paint_frame, paint_line, wrapped
from rtbrain.view.icons import hatch_brush, paint_icon
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, paint_text

_PAD, _LINE = 16, 20
_LABEL_PX = 150
_ALIGN_MIDDLE = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
_CENTRE = Qt.AlignmentFlag.AlignCenter


class Painted(QWidget):
    """A panel that paints itself; a subclass of Qt's alone, with what to paint as a function."""

    def __init__(
        self, theme: Theme, height_px: int, paint: Callable[["Painted", QPainter], None]
    ) -> None:
        super().__init__()
        self.theme, self._height_px, self._paint = theme, height_px, paint

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size at 1280 x 800."""
        return QSize(self.theme.px(300), self.theme.px(self._height_px))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As high, and narrow."""
        return QSize(self.theme.px(200), self.theme.px(self._height_px))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint it."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint(self, painter)


def paint_stages(
    widget: Painted, painter: QPainter, stages: Sequence[tuple[str, str]], end: str
) -> None:
    """Stages in a row, and at the right how long is left or was needed."""
    theme, x = widget.theme, 0.0
    painter.setFont(face(theme, 12.5).font)
    metrics = QFontMetricsF(painter.font())
    middle, side = widget.height() / 2, theme.px(14)
    for icon, text in stages:
        paint_icon(painter, QRectF(x, middle - side / 2, side, side), icon, theme)
        x += side + 6
        ink = theme.text if icon == "checking" else theme.text2
        width = metrics.horizontalAdvance(text) + 4
        paint_text(painter, QRectF(x, 0, width, widget.height()), text, ink, _ALIGN_MIDDLE)
        x += width + theme.px(20)
    box = QRectF(x, 0, max(0.0, widget.width() - x), widget.height())
    align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
    paint_text(painter, box, end, theme.text2, align)


def paint_verdict(
    widget: Painted, painter: QPainter, icon: str, word: str, lines: Sequence[str]
) -> None:
    """The verdict: one word, and what it rests on."""
    theme, px = widget.theme, widget.theme.px
    paint_frame(painter, QRectF(widget.rect()), theme)
    side, middle = px(44), widget.height() / 2
    paint_icon(painter, QRectF(px(18), middle - side / 2, side, side), icon, theme)
    left = float(px(18) + side + px(18))
    painter.setFont(face(theme, 13).font)
    paint_text(painter, QRectF(left, middle - px(36), px(180), px(18)), say("fit.ask"), theme.text2)
    painter.setFont(face(theme, 30, 700).font)
    room = QFontMetricsF(painter.font()).horizontalAdvance(word)
    if room > px(200):
        painter.setFont(face(theme, 20, 700).font)
        room = QFontMetricsF(painter.font()).horizontalAdvance(word)
    paint_text(
        painter, QRectF(left, middle - px(18), room + 4, px(44)), word, theme.text, _ALIGN_MIDDLE
    )
    left += max(room, px(120)) + px(20)
    painter.setPen(QPen(QColor(theme.line), 1))
    painter.drawLine(QPointF(left, px(16)), QPointF(left, widget.height() - px(16)))
    left += px(18)
    font, strong = face(theme, 13), face(theme, 13, 600)
    width = widget.width() - left - px(_PAD)
    pieces = [
        (piece, strong if not number else font, theme.text if number < 2 else theme.text2)
        for number, line in enumerate(lines)
        for piece in wrapped(line, font, width)
    ]
    step = min(px(_LINE), (widget.height() - px(16)) / max(1, len(pieces)))
    y = middle - step * len(pieces) / 2 + step * 0.72
    for piece in pieces:
        paint_line(painter, QPointF(left, y), width, [piece])
        y += step


def paint_head(widget: Painted, painter: QPainter, title: str, about: str) -> None:
    """Frame and head of a panel."""
    theme, px = widget.theme, widget.theme.px
    paint_frame(painter, QRectF(widget.rect()), theme)
    parts = [(title, face(theme, 12.5, 600), theme.text), (about, face(theme, 12), theme.text2)]
    paint_line(painter, QPointF(px(_PAD), px(20)), widget.width() - 2 * px(_PAD), parts, px(10))


def paint_scores(
    widget: Painted, painter: QPainter, rows: Sequence[ScoreRow], chance: Chance, about: str
) -> None:
    """Scores on held-out blocks with their intervals, above what chance gives."""
    theme, px = widget.theme, widget.theme.px
    paint_head(widget, painter, say("fit.scores"), about)
    low, high = (0.3, 1.0) if chance.score else (-0.3, 1.0)
    lowest = min([low, *(v for row in rows for v in (row.score, row.low) if math.isfinite(v))])
    low = math.floor(10 * lowest + 1e-9) / 10
    left, right = px(_LABEL_PX) + px(_PAD), widget.width() - px(40)
    top, bottom = px(40), widget.height() - px(36)

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    if math.isfinite(chance.low):
        band = QRectF(QPointF(x(chance.low), top), QPointF(x(chance.high), bottom))
        painter.fillRect(band, hatch_brush(theme))
    painter.setPen(QPen(QColor(theme.text2), 1, Qt.PenStyle.DashLine))
    painter.drawLine(QPointF(x(chance.score), top), QPointF(x(chance.score), bottom))
    painter.setPen(QPen(QColor(theme.ctl), 1))
    painter.drawLine(QPointF(left, bottom), QPointF(right, bottom))
    painter.setFont(face(theme, 11).font)
    for tick in range(round(10 * low), round(10 * high) + 1):
        at = x(tick / 10)
        painter.setPen(QPen(QColor(theme.ctl), 1))
        painter.drawLine(QPointF(at, bottom), QPointF(at, bottom + 4))
        box = QRectF(at - 20, bottom + 5, 40, px(14))
        paint_text(painter, box, f"{tick / 10:.1f}", theme.text2, _CENTRE)
    bounds = {"low": chance.low, "high": chance.high}
    text = say("fit.chance_band", **bounds) if math.isfinite(chance.low) else say("fit.chance")
    width = QFontMetricsF(painter.font()).horizontalAdvance(text) + 8
    box = QRectF(x(chance.score) - width / 2, bottom - px(18), width, px(15))
    painter.fillRect(box, QColor(theme.bg0))
    paint_text(painter, box, text, theme.text2, _CENTRE)
    step = (bottom - top - px(10)) / max(1, len(rows))
    for number, row in enumerate(rows):
        y = top + step * (number + 0.5)
        ink = QColor(theme.accent if row.chosen else theme.text2)
        painter.setFont(face(theme, 13, 600).font)
        box = QRectF(px(_PAD), y - px(17), px(_LABEL_PX) - 8, px(17))
        paint_text(painter, box, row.name, theme.text)
        painter.setFont(face(theme, 12).font)
        paint_text(painter, box.translated(0, px(17)), row.about, theme.text2)
        painter.setPen(QPen(ink, 2))
        if math.isfinite(row.low):
            end = x(row.high) if math.isfinite(row.high) else x(high)
            painter.drawLine(QPointF(x(row.low), y), QPointF(end, y))
            for at in (x(row.low), *([end] if math.isfinite(row.high) else [])):
                painter.drawLine(QPointF(at, y - 5), QPointF(at, y + 5))
        if not math.isfinite(row.score):
            continue
        painter.setBrush(ink if row.chosen else QColor(theme.bg0))
        spot = QRectF(x(row.score) - 6, y - 6, 12, 12)
        (painter.drawEllipse if row.chosen else painter.drawRect)(spot)
        painter.setFont(face(theme, 13, 700).font)
        above = QRectF(x(row.score) - px(18), y - px(26), px(36), px(17))
        painter.fillRect(above, QColor(theme.bg0))
        paint_text(painter, above, f"{row.score:.2f}", ink.name(), _CENTRE)


def paint_called(
    widget: Painted, painter: QPainter, rows: Sequence[Called], target: str | None, foot: str
) -> None:
    """Of 100 held-out windows of each class, how many were taken for which."""
    theme, px = widget.theme, widget.theme.px
    paint_head(widget, painter, say("fit.called"), say("fit.called_about"))
    left, right = px(90), widget.width() - px(_PAD)
    room = widget.height() - px(34) - px(28)
    step = room / max(1, len(rows))
    height = min(px(30), step - 6)
    for number, row in enumerate(rows):
        y, chosen = px(34) + step * number, row.label == target
        painter.setFont(face(theme, 13).font)
        ink = theme.accent if chosen else theme.text
        box = QRectF(px(_PAD), y, left - px(_PAD) - 8, height)
        paint_text(painter, box, row.label, ink, _ALIGN_MIDDLE)
        x = float(left)
        parts = [(row.label, row.right, True), *((name, n, False) for name, n in row.others)]
        total = sum(n for _, n, _ in parts) or 1
        for name, n, is_right in parts:
            width = (right - left) * n / total
            box = QRectF(x, y, max(1.0, width - 2), height)
            ground = theme.accent if chosen else theme.bg2
            painter.fillRect(box, QColor(ground) if is_right else hatch_brush(theme))
            painter.setPen(QPen(QColor(theme.accent if chosen else theme.ctl), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(box)
            painter.setFont(face(theme, 12.5, 600).font)
            text = say("fit.called_as", n=n, label=name)
            metrics = QFontMetricsF(painter.font())
            if metrics.horizontalAdvance(text) > width - 16:
                text = f"{n}"
            if metrics.horizontalAdvance(text) <= width - 6:
                on = theme.on_accent if chosen and is_right else theme.text
                where = box.adjusted(8, 0, 0, 0) if is_right else box
                if not is_right:
                    ground_box = QRectF(0, 0, metrics.horizontalAdvance(text) + 6, px(16))
                    ground_box.moveCenter(box.center())
                    painter.fillRect(ground_box, QColor(theme.bg0))
                paint_text(painter, where, text, on, _ALIGN_MIDDLE if is_right else _CENTRE)
            x += width
    painter.setFont(face(theme, 12).font)
    box = QRectF(px(_PAD), widget.height() - px(26), widget.width() - 2 * px(_PAD), px(18))
    paint_text(painter, box, foot, theme.text2)


def paint_contacts(
    widget: Painted, painter: QPainter, shares: Sequence[tuple[str, float]], text: str
) -> None:
    """Contacts that carry the decoder, by their share of the weight."""
    theme, px = widget.theme, widget.theme.px
    paint_head(widget, painter, say("fit.contacts"), say("fit.contacts_about"))
    y, left, right = px(40), px(80), widget.width() - px(60)
    largest = max((share for _, share in shares), default=1.0) or 1.0
    for name, share in shares:
        painter.setFont(face(theme, 12, 600).font)
        align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        paint_text(painter, QRectF(px(8), y, left - px(16), px(18)), name, theme.text, align)
        bar = QRectF(left, y + 3, (right - left) * share / largest, px(12))
        painter.fillRect(bar, QColor(theme.accent))
        painter.setFont(face(theme, 12).font)
        box = QRectF(right + 8, y, px(50), px(18))
        paint_text(painter, box, f"{100 * share:.0f} %", theme.text2, _ALIGN_MIDDLE)
        y += px(21)
    y += px(8)
    font = face(theme, 12)
    for line in wrapped(text, font, widget.width() - 2 * px(_PAD)):
        y += px(17)
        width = widget.width() - 2 * px(_PAD)
        paint_line(painter, QPointF(px(_PAD), y), width, [(line, font, theme.text2)])
