"""The widget that paints the contacts: panes fitted to its size, one disc per contact."""

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

from rtbrain.types import Montage
from rtbrain.view.electrodes.layout import (
    NAME_PITCH,
    PAD_PX,
    PlacedPane,
    arrange_panes,
    place_panes,
)
from rtbrain.view.theme import Theme, ToolTips, paint_text, scaled_font

_REACH_PX = 6.0
_HALO_PX = 4.0
_UNPLACED_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class ContactStyle:
    """How one contact is drawn."""

    colour: str
    crossed: bool
    tip: str
    old: bool = False


class ElectrodeMap(QWidget):
    """Contacts in their panes; hovering describes one, a click or the arrow keys choose one."""

    selected = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._montage: Montage | None = None
        self.shades: Sequence[ContactStyle] = ()
        self._chosen = -1
        self.fitted: list[PlacedPane] = []
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        ToolTips(self, self._tip_at)
        self.setAccessibleName("Map of the contacts")

    def set_montage(self, montage: Montage) -> None:
        """Start over with these contacts."""
        self._montage, self.shades, self._chosen = montage, (), -1
        self._fit()

    def shade(self, shades: Sequence[ContactStyle]) -> None:
        """Set the style of each row of the montage; repaints if any is new."""
        if shades != self.shades:
            self.shades = shades
            self.update()

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
        """Position of a contact in the first pane that shows it, px; None if none does."""
        names = () if self._montage is None else self._montage.names
        row = names.index(label) if label in names else -1
        for fitted in self.fitted:
            for place in np.flatnonzero(fitted.pane.rows == row):
                return QPointF(*fitted.px[place].tolist())
        return None

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Room for three small panes."""
        return QSize(240, 120)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Fit the panes to the new size."""
        super().resizeEvent(event)
        self._fit()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Choose the contact under the mouse."""
        row = self._row_at(event.position())
        if row is not None:
            self._select(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Choose the next or the previous contact."""
        step = {Qt.Key.Key_Right: 1, Qt.Key.Key_Left: -1}.get(Qt.Key(event.key()))
        if step is None or self._montage is None:
            super().keyPressEvent(event)
            return
        last = self._montage.n_channels - 1
        self._select(min(last, max(0, self._chosen + step)))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the panes."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.background))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._font)
        for fitted in self.fitted:
            self._paint_frame(painter, fitted)
            if self.shades:
                self._paint_contacts(painter, fitted)
            taken = self._paint_chosen(painter, fitted)
            self._paint_shafts(painter, fitted, taken)
        painter.end()

    def _select(self, row: int) -> None:
        if self._montage is not None:
            self._chosen = row
            self.update()
            self.selected.emit(self._montage.names[row])

    def _tip_at(self, point: QPointF) -> str:
        row = self._row_at(point)
        return "" if row is None or row >= len(self.shades) else self.shades[row].tip

    def _row_at(self, point: QPointF) -> int | None:
        """Contact nearest to a point and within reach of it."""
        near: list[tuple[float, int]] = []
        for fitted in self.fitted:
            away = np.hypot(*(fitted.px - (point.x(), point.y())).T)
            place = int(np.argmin(away))
            if away[place] <= fitted.radius_px + _REACH_PX:
                near.append((float(away[place]), int(fitted.pane.rows[place])))
        return min(near)[1] if near else None

    def _paint_frame(self, painter: QPainter, fitted: PlacedPane) -> None:
        pane, room = fitted.pane, fitted.room
        paint_text(painter, room, pane.title, self._theme.faint, Qt.AlignmentFlag.AlignHCenter)
        inside = room.adjusted(0, QFontMetricsF(self._font).lineSpacing(), 0, 0)
        at = Qt.AlignmentFlag
        beside, stacked = (at.AlignLeft, at.AlignRight), (at.AlignTop, at.AlignBottom)
        sides = [side | at.AlignVCenter for side in beside]
        sides += [side | at.AlignHCenter for side in stacked]
        for edge, side in zip(pane.edges, sides, strict=False):
            painter.drawText(inside, side, edge)

    def _paint_contacts(self, painter: QPainter, fitted: PlacedPane) -> None:
        theme, radius = self._theme, fitted.radius_px
        outline = QPen(QColor(theme.background), 1)
        hollow = QPen(QColor(theme.faint), 1)
        old = any(shade.old for shade in self.shades)
        arm, crossed = radius * 0.8, []
        for place in np.argsort(fitted.pane.depth, kind="stable").tolist():
            shade = self.shades[int(fitted.pane.rows[place])]
            if shade.crossed:
                crossed.append(place)
                continue
            painter.setPen(outline if shade.colour else hollow)
            painter.setBrush(QColor(shade.colour) if shade.colour else Qt.BrushStyle.NoBrush)
            painter.drawEllipse(QPointF(*fitted.px[place].tolist()), radius, radius)
        painter.setPen(QPen(QColor(theme.faint if old else theme.bad), max(1.5, radius / 2.5)))
        # Last, so that a good contact never hides a bad one.
        for x, y in fitted.px[crossed].tolist():
            painter.drawLine(QPointF(x - arm, y - arm), QPointF(x + arm, y + arm))
            painter.drawLine(QPointF(x - arm, y + arm), QPointF(x + arm, y - arm))

    def _paint_chosen(self, painter: QPainter, fitted: PlacedPane) -> list[QRectF]:
        """Ring the chosen contact and name it; returns the box of its name."""
        (places,) = np.nonzero(fitted.pane.rows == self._chosen)
        if not places.size or self._montage is None:
            return []
        x, y = fitted.px[places[0]].tolist()
        reach = fitted.radius_px + 3
        painter.setPen(QPen(QColor(self._theme.foreground), 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QPointF(x, y), reach, reach)
        name = self._montage.names[self._chosen]
        metrics = QFontMetricsF(self._font)
        box = QRectF(0, 0, metrics.horizontalAdvance(name) + 6, metrics.lineSpacing())
        box.moveCenter(QPointF(x, y - reach - box.height() / 2 - 2))
        box.moveLeft(min(max(box.left(), 0.0), self.width() - box.width()))
        if box.top() < 0:
            box.moveTop(y + reach + 2)
        painter.fillRect(box, QColor(self._theme.foreground))
        painter.setPen(QColor(self._theme.background))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, name)
        return [box]

    def _paint_shafts(self, painter: QPainter, fitted: PlacedPane, taken: list[QRectF]) -> None:
        """Name each shaft beside its first contact, if there is room."""
        metrics = QFontMetricsF(self._font)
        for shaft, place in fitted.pane.shafts:
            name = shaft
            x, y = fitted.px[place].tolist()
            if fitted.pane.left_of:
                room_px = NAME_PITCH * fitted.px_per_unit - 2 * fitted.radius_px - 3
                name = metrics.elidedText(shaft, Qt.TextElideMode.ElideRight, room_px)
            box = QRectF(0, 0, metrics.horizontalAdvance(name) + 2, metrics.height())
            if fitted.pane.left_of:
                box.moveRight(x - fitted.radius_px - 3)
                box.moveTop(y - box.height() / 2)
            else:
                box.moveCenter(QPointF(x, y - fitted.radius_px - box.height() / 2))
                box.moveLeft(min(max(box.left(), 0.0), self.width() - box.width()))
            if box.left() >= 0 and not any(box.intersects(other) for other in taken):
                self._paint_haloed(painter, box, name)
                taken.append(box)

    def _paint_haloed(self, painter: QPainter, box: QRectF, text: str) -> None:
        """Paint text with a halo, so that it is legible on top of contacts."""
        metrics = QFontMetricsF(self._font)
        left = box.center().x() - metrics.horizontalAdvance(text) / 2
        path = QPainterPath()
        path.addText(left, box.top() + metrics.ascent(), self._font, text)
        halo = QPen(QColor(self._theme.background), _HALO_PX)
        halo.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(path, halo)
        painter.fillPath(path, QColor(self._theme.foreground))

    @property
    def _font(self) -> QFont:
        return scaled_font(self, self._theme, 0.9)

    def _fit(self) -> None:
        """Fit the panes: projections side by side or in a column, on one scale."""
        self.fitted = []
        self.update()
        if self._montage is None or self.width() < 1 or self.height() < 1:
            return
        letter = QFontMetricsF(self._font).lineSpacing()
        whole = QRectF(self.rect()).adjusted(PAD_PX, 0, -PAD_PX, -2)
        projections, schematic = arrange_panes(self._montage, whole.width(), whole.height())
        rooms = QRectF(whole)
        if projections and schematic:
            rooms.setHeight(whole.height() * (1 - _UNPLACED_SHARE))
            whole.setTop(rooms.bottom())
        self.fitted = place_panes(projections, rooms, letter) if projections else []
        self.fitted += place_panes(schematic, whole, letter) if schematic else []
