"""The widget that paints the contacts: circles, squares where bad, a ring where chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QWidget

from rtbrain.channels import places_of
from rtbrain.channels.labels import Place
from rtbrain.types import Montage
from rtbrain.view.electrodes.layout import PITCH_PX, Drawing, draw_contacts
from rtbrain.view.icons import paint_icon
from rtbrain.view.theme import Theme, ToolTips, contrast, paint_text

_REACH_PX = 6.0
_HALO_PX = 4.0
_PAD_PX = 8
_MAX_NAME_PX = 64.0
# Circles smaller than this have no room for a number.
_NUMBER_PX = 8.0
_CENTRE = Qt.AlignmentFlag.AlignCenter


@dataclass(frozen=True, slots=True)
class ContactStyle:
    """How one contact is drawn."""

    tip: str
    bad: bool = False
    by_hand: bool = False
    fill: str = ""  # colour of its power; empty: that of a good contact


class ElectrodeMap(QWidget):
    """Contacts by shaft or from above; a click or the arrow keys choose one."""

    selected = Signal(str)
    marked = Signal(str)  # right click: bad by hand, or no longer

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._montage: Montage | None = None
        self.styles: Sequence[ContactStyle] = ()
        self.old = False
        self.from_above = False
        self._chosen = -1
        self._places: Sequence[Place | None] = ()
        self.drawings: list[Drawing] = []
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        ToolTips(self, self._tip_at)

    def set_montage(self, montage: Montage) -> None:
        """Start over with these contacts."""
        self._montage, self.styles, self._chosen = montage, (), -1
        self._places = places_of(montage.names)
        self._fit()

    def style_contacts(self, styles: Sequence[ContactStyle], *, old: bool) -> None:
        """Set the style of each row of the montage; repaints if any is new."""
        if (styles, old) != (self.styles, self.old):
            self.styles, self.old = styles, old
            self.update()

    def show_from_above(self, from_above: bool) -> None:
        """Show contacts at their positions, or by shaft."""
        if from_above != self.from_above:
            self.from_above = from_above
            self._fit()

    def choose(self, label: str) -> None:
        """Ring a contact, without emitting `selected`."""
        names = () if self._montage is None else self._montage.names
        self._chosen = names.index(label) if label in names else -1
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self._fit()

    def place_of(self, label: str) -> QPointF | None:
        """Position of a contact, px; None if it is not shown."""
        names = () if self._montage is None else self._montage.names
        row = names.index(label) if label in names else -1
        for drawing in self.drawings:
            for place in np.flatnonzero(drawing.rows == row):
                return QPointF(*drawing.px[place].tolist())
        return None

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Room for a few shafts."""
        return QSize(160, 60)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Fit the contacts to the new size."""
        super().resizeEvent(event)
        self._fit()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Choose the contact under the mouse, or mark it."""
        row = self._row_at(event.position())
        if row is not None and self._montage is not None:
            self._select(row)
            if event.button() == Qt.MouseButton.RightButton:
                self.marked.emit(self._montage.names[row])

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Choose the next or the previous contact."""
        step = {Qt.Key.Key_Right: 1, Qt.Key.Key_Left: -1}.get(Qt.Key(event.key()))
        if step is None or self._montage is None:
            super().keyPressEvent(event)
            return
        last = self._montage.n_channels - 1
        self._select(min(last, max(0, self._chosen + step)))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the contacts."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(self._theme.bg0))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for drawing in self.drawings:
                if drawing.head is not None:
                    self._paint_head(painter, drawing.head)
                taken = self._paint_contacts(painter, drawing) if self.styles else []
                self._paint_shafts(painter, drawing, taken)

    def _select(self, row: int) -> None:
        if self._montage is not None:
            self._chosen = row
            self.update()
            self.selected.emit(self._montage.names[row])

    def _tip_at(self, point: QPointF) -> str:
        row = self._row_at(point)
        return "" if row is None or row >= len(self.styles) else self.styles[row].tip

    def _row_at(self, point: QPointF) -> int | None:
        """Contact nearest to a point and within reach of it."""
        near: list[tuple[float, int]] = []
        for drawing in self.drawings:
            away = np.hypot(*(drawing.px - (point.x(), point.y())).T)
            place = int(np.argmin(away))
            if away[place] <= drawing.radius_px + _REACH_PX:
                near.append((float(away[place]), int(drawing.rows[place])))
        return min(near)[1] if near else None

    def _paint_head(self, painter: QPainter, head: QRectF) -> None:
        """Outline with a nose, and left and right."""
        theme, middle = self._theme, head.center().x()
        nose = QPainterPath(QPointF(middle - 8, head.top() + 2))
        nose.lineTo(middle, head.top() - 7)
        nose.lineTo(middle + 8, head.top() + 2)
        painter.setPen(QPen(QColor(theme.line), 1.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPath(nose)
        painter.setBrush(QColor(theme.bg1))
        painter.drawEllipse(head)
        painter.setPen(QPen(QColor(theme.line), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(middle, head.top()), QPointF(middle, head.bottom()))
        painter.setFont(theme.font(11))
        for letter, x in (("L", head.left() + 6), ("R", head.right() - 6)):
            box = QRectF(x - 8, head.top(), 16, theme.px(16))
            paint_text(painter, box, letter, theme.text2, _CENTRE)

    def _paint_contacts(self, painter: QPainter, drawing: Drawing) -> list[QRectF]:
        """Paint good contacts, then bad ones on top with their labels; returns those boxes."""
        bad = [self.styles[int(row)].bad for row in drawing.rows]
        painter.setFont(self._theme.font(min(11.0, 1.15 * drawing.radius_px / self._theme.scale)))
        for place in np.argsort(bad, kind="stable").tolist():
            at = QPointF(*drawing.px[place].tolist())
            row = int(drawing.rows[place])
            style = self.styles[row]
            if style.bad:
                self._paint_bad(painter, at, drawing, style)
            else:
                self._paint_good(painter, at, drawing, row)
            if row == self._chosen:
                painter.setPen(QPen(QColor(self._theme.accent), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                reach = drawing.radius_px + 3
                painter.drawEllipse(at, reach, reach)
        return self._paint_labels(painter, drawing)

    def _paint_good(self, painter: QPainter, at: QPointF, drawing: Drawing, row: int) -> None:
        theme, style, radius = self._theme, self.styles[row], drawing.radius_px
        fill = style.fill or (theme.bg2 if drawing.numbered else theme.text2)
        pen = QPen(QColor(theme.ctl), 1)
        if self.old:
            pen = QPen(QColor(theme.faint), 1, Qt.PenStyle.DashLine)
            fill = ""
        painter.setPen(pen)
        painter.setBrush(QColor(fill) if fill else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(at, radius, radius)
        place = self._places[row]
        if not drawing.numbered or radius < _NUMBER_PX or place is None:
            return
        ink = theme.faint if self.old else theme.text
        if style.fill and not self.old:
            ink = max((theme.bg0, theme.text), key=lambda one: contrast(one, style.fill))
        elif row == self._chosen:
            ink = theme.accent
        painter.setPen(QColor(ink))
        box = QRectF(at.x() - radius, at.y() - radius, 2 * radius, 2 * radius)
        painter.drawText(box, _CENTRE, f"{place.number}")

    def _paint_bad(
        self, painter: QPainter, at: QPointF, drawing: Drawing, style: ContactStyle
    ) -> None:
        ink = self._ink(style)
        if drawing.numbered:
            side = 2 * drawing.radius_px
            box = QRectF(at.x() - side / 2, at.y() - side / 2, side, side)
            painter.fillRect(box, QColor(self._theme.bg0))
            paint_icon(painter, box, "square", self._theme, ink)
            return
        arm = max(3.5, drawing.radius_px * 0.9)
        painter.setPen(QPen(QColor(ink), 2))
        for sign in (1, -1):
            slant = QPointF(arm, sign * arm)
            painter.drawLine(at - slant, at + slant)

    def _ink(self, style: ContactStyle) -> str:
        return self._theme.text if style.by_hand else self._theme.warn

    def _paint_labels(self, painter: QPainter, drawing: Drawing) -> list[QRectF]:
        """Whole labels of bad contacts below them, where there is room."""
        theme, taken = self._theme, list[QRectF]()
        painter.setFont(theme.font(11, 600))
        metrics = QFontMetricsF(painter.font())
        if self._montage is None or (drawing.numbered and drawing.room_px < metrics.height() - 1):
            return []
        for (x, y), row in zip(drawing.px.tolist(), drawing.rows.tolist(), strict=True):
            style = self.styles[row]
            if style.bad:
                name = self._montage.names[row]
                box = QRectF(0, 0, metrics.horizontalAdvance(name) + 2, metrics.height())
                box.moveCenter(QPointF(x, y + drawing.radius_px + 1 + metrics.height() / 2))
                box.moveLeft(min(max(box.left(), 0.0), self.width() - box.width()))
                if not any(box.intersects(other) for other in taken):
                    self._paint_haloed(painter, box, name, self._ink(style))
                    taken.append(box)
        return taken

    def _paint_shafts(self, painter: QPainter, drawing: Drawing, taken: list[QRectF]) -> None:
        """Name each shaft, where there is room."""
        theme = self._theme
        painter.setFont(theme.font(12 if drawing.numbered else 11, 600))
        metrics = QFontMetricsF(painter.font())
        for shaft, at in drawing.shafts:
            name = shaft
            if drawing.numbered:
                name = metrics.elidedText(shaft, Qt.TextElideMode.ElideMiddle, drawing.name_px)
            box = QRectF(0, 0, metrics.horizontalAdvance(name) + 1, metrics.height())
            box.moveCenter(at)
            if drawing.numbered:
                box.moveRight(at.x())
            else:
                box.moveLeft(min(max(box.left(), 0.0), self.width() - box.width()))
            if not any(box.intersects(other) for other in taken):
                self._paint_haloed(painter, box, name, theme.text)
                taken.append(box)

    def _paint_haloed(self, painter: QPainter, box: QRectF, text: str, ink: str) -> None:
        """Paint text with a halo, so that it is legible on top of contacts."""
        font: QFont = painter.font()
        metrics = QFontMetricsF(font)
        left = box.center().x() - metrics.horizontalAdvance(text) / 2
        path = QPainterPath()
        path.addText(left, box.top() + metrics.ascent(), font, text)
        halo = QPen(QColor(self._theme.bg0), _HALO_PX)
        halo.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(path, halo)
        painter.fillPath(path, QColor(ink))

    def _fit(self) -> None:
        """Place the contacts in the room there is."""
        self.drawings = []
        self.update()
        if self._montage is None or self.width() < 1 or self.height() < 1:
            return
        metrics = QFontMetricsF(self._theme.font(12, 600))
        shafts = {place.shaft for place in self._places if place} | set(self._montage.kinds[:1])
        widest = max(map(metrics.horizontalAdvance, shafts))
        room = QRectF(self.rect()).adjusted(_PAD_PX, 4, -_PAD_PX, -4)
        self.drawings = draw_contacts(
            self._montage,
            room,
            min(widest, self._theme.px(_MAX_NAME_PX)) + 12,
            from_above=self.from_above,
            max_pitch_px=self._theme.px(PITCH_PX),
        )
