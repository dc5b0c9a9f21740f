"""The rail at the left of the console: the five steps and their states."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QVBoxLayout, QWidget

from rtbrain.console.folder import Session
from rtbrain.console.page import Page
from rtbrain.view.icons import paint_icon
from rtbrain.view.theme import Theme, paint_text

RAIL_PX = 220
_STEP_PX, _LEAST_STEP_PX, _HEAD_PX = 62, 48, 54


class Rail(QWidget):
    """Steps, one button each; `chosen` passes on which."""

    chosen = Signal(str)

    def __init__(self, session: Session, pages: Sequence[Page], theme: Theme) -> None:
        super().__init__()
        self._session, self._theme = session, theme
        self.steps = {page.step: _Step(number, page) for number, page in enumerate(pages, 1)}
        self._layout = QVBoxLayout(self)
        self._layout.setSpacing(0)
        for name, step in self.steps.items():
            step.clicked.connect(lambda _=False, name=name: self.chosen.emit(name))
            self._layout.addWidget(step)
        self._layout.addStretch(1)
        self.restyle(theme)

    def add_below(self, widget: QWidget) -> None:
        """Show a widget at the foot."""
        self._layout.addWidget(widget)

    def show_step(self, name: str) -> None:
        """Show which step is open."""
        for step, button in self.steps.items():
            button.setChecked(step == name)

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.setFixedWidth(theme.px(RAIL_PX))
        self._layout.setContentsMargins(0, theme.px(_HEAD_PX), 1, 0)
        for step in self.steps.values():
            step.restyle(theme)

    def draw(self) -> None:
        """Show the states of the steps."""
        for step in self.steps.values():
            step.draw()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the name of the session and its folder."""
        theme, about = self._theme, self._session.settings
        with QPainter(self) as painter:
            painter.setFont(theme.font(13, 700))
            width = self.width() - 24
            paint_text(
                painter,
                QRectF(14, theme.px(10), width, theme.px(20)),
                f"{about.code} · {about.session}",
                theme.text,
            )
            painter.setFont(theme.font(12))
            box = QRectF(14, theme.px(29), width, theme.px(18))
            paint_text(painter, box, _short(self._session), theme.text2)
            painter.setPen(QColor(theme.line))
            painter.drawLine(self.width() - 1, 0, self.width() - 1, self.height())


class _Step(QAbstractButton):
    def __init__(self, number: int, page: Page) -> None:
        super().__init__()
        self._number, self._page, self._theme = number, page, page.theme
        self._state = page.state()
        self.setCheckable(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        self.setAccessibleName(page.title)

    def restyle(self, theme: Theme) -> None:
        self._theme = theme
        self.updateGeometry()
        self.update()

    def draw(self) -> None:
        state = self._page.state()
        if state != self._state:
            self._state = state
            self.update()

    def nextCheckState(self) -> None:  # noqa: N802
        """Leave it to the rail, which shows the step that is open."""

    def sizeHint(self) -> QSize:  # noqa: N802
        return QSize(self._theme.px(RAIL_PX), self._theme.px(_STEP_PX))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        return QSize(self._theme.px(RAIL_PX), self._theme.px(_LEAST_STEP_PX))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        theme, here = self._theme, self.isChecked()
        icon, line = self._state
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            if here:
                painter.fillRect(self.rect(), QColor(theme.bg2))
                painter.fillRect(0, 0, 3, self.height(), QColor(theme.accent))
            top = (self.height() - theme.px(_STEP_PX)) / 2
            box = QRectF(17, top + theme.px(11), theme.px(22), theme.px(22))
            if here or icon == "unchecked":
                painter.setPen(Qt.PenStyle.NoPen if here else QPen(QColor(theme.ctl), 1.2))
                painter.setBrush(QColor(theme.accent) if here else Qt.BrushStyle.NoBrush)
                painter.drawEllipse(box)
                painter.setFont(theme.font(12, 700))
                painter.setPen(QColor(theme.on_accent if here else theme.text2))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(self._number))
            else:
                paint_icon(painter, box, icon, theme)
            x = box.right() + 12
            painter.setFont(theme.font(14, 600))
            room = QRectF(x, top + theme.px(10), self.width() - x - 8, theme.px(20))
            paint_text(
                painter,
                room,
                self._page.title,
                theme.text if here or icon == "fine" else theme.text2,
            )
            painter.setFont(theme.font(12))
            room.moveTop(top + theme.px(30))
            paint_text(painter, room, line, theme.text2)
            if self.hasFocus():
                painter.setPen(QPen(QColor(theme.accent), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(
                    QRectF(QPointF(5, 2), QPointF(self.width() - 3, self.height() - 3))
                )


def _short(session: Session) -> str:
    text, home = str(session.folder), str(session.folder.home())
    return f"~{text.removeprefix(home)}" if text.startswith(f"{home}/") else text
