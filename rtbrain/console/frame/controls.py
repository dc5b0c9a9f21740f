"""Buttons that show their key, and the keys that every window of the console follows."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import (
    QCoreApplication,
    QEvent,
    QObject,
    QPointF,
    QRectF,
    QSize,
    Qt,
    QUrl,
)
from PySide6.QtGui import (
    QColor,
    QDesktopServices,
    QFontMetricsF,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QAbstractButton, QPushButton, QStyle, QStyleOptionButton

from rtbrain.console.page import Action
from rtbrain.view.icons import icon_pixmap
from rtbrain.view.theme import Theme, set_tip

_BUTTON_PX = 36
_PAD_PX, _GAP_PX = 16, 8
_FRAME_PX = 6  # of borders and padding, above and below

_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_PRESSES = (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride)


class KeyButton(QPushButton):
    """Button with its key in a box at the right; `icon_kind` is painted at the left."""

    def __init__(self, theme: Theme, height_px: int = _BUTTON_PX, icon_kind: str = "") -> None:
        super().__init__()
        self._theme, self._height_px, self._icon_kind = theme, height_px, icon_kind
        self._label, self._key = "", ""
        self.call: Callable[[], object] = lambda: None
        self.restyle(theme)

    def show_action(self, action: Action, *, primary: bool = False) -> None:
        """Show an action; the button keeps its place and the focus."""
        self._label = action.text
        self._key = QKeySequence(action.key).toString().replace("+", " ") if action.key else ""
        self.call = action.call
        self.setAccessibleName(action.text)
        self.setEnabled(action.enabled)
        set_tip(self, action.reason)
        if self.property("primary") != primary:
            self.setProperty("primary", primary)
            self.style().unpolish(self)
            self.style().polish(self)
        self.updateGeometry()
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        # The sheet of the window gives all buttons one least height, which counts before hints.
        self.setStyleSheet(f"min-height: {theme.px(self._height_px) - _FRAME_PX}px;")
        self.updateGeometry()

    def label(self) -> str:
        """Its text, without the key."""
        return self._label

    def sizeHint(self) -> QSize:  # noqa: N802
        """Room for icon, text and key."""
        width = 2 * _PAD_PX + self._width(self._label, 13.5, 600)
        if self._key:
            width += _GAP_PX + self._width(self._key, 11) + 10
        if self._icon_kind:
            width += 16 + _GAP_PX
        return QSize(round(width), self._theme.px(self._height_px))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As much: no text is cut."""
        return self.sizeHint()

    def _width(self, text: str, px: float, weight: int = 400) -> float:
        return QFontMetricsF(self._theme.font(px, weight)).horizontalAdvance(text)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint frame, icon, text and key."""
        theme = self._theme
        with QPainter(self) as painter:
            option = QStyleOptionButton()
            self.initStyleOption(option)
            self.style().drawControl(
                QStyle.ControlElement.CE_PushButtonBevel, option, painter, self
            )
            primary = bool(self.property("primary")) and self.isEnabled()
            ink = theme.on_accent if primary else theme.text if self.isEnabled() else theme.faint
            wanted = self.sizeHint().width() - 2 * _PAD_PX
            x = max(float(_PAD_PX), (self.width() - wanted) / 2)
            middle = self.height() / 2
            if self._icon_kind:
                pixmap = icon_pixmap(self._icon_kind, 16, theme, self.devicePixelRatioF(), ink)
                painter.drawPixmap(QPointF(x, middle - 8), pixmap)
                x += 16 + _GAP_PX
            painter.setPen(QColor(ink))
            painter.setFont(theme.font(13.5, 600))
            width = self._width(self._label, 13.5, 600)
            painter.drawText(
                QRectF(x, 0, width + 2, self.height()), Qt.AlignmentFlag.AlignVCenter, self._label
            )
            if self._key:
                box = QRectF(x + width + _GAP_PX, middle - 9, self._width(self._key, 11) + 10, 18)
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                painter.setPen(QPen(QColor(ink), 1))
                painter.drawRoundedRect(box, 3, 3)
                painter.setFont(theme.font(11))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._key)


class ConsoleKeys(QObject):
    """A filter over all windows of the console, dialogs and menus too.

    Parameters
    ----------
    escape : callable
        Stops outputs; returns whether there were any. Where there were none, Esc closes what it
        closes elsewhere.
    """

    def __init__(self, parent: QObject, escape: Callable[[], bool]) -> None:
        super().__init__(parent)
        self._escape = escape
        self._taken = False  # an Esc that Qt has offered as a shortcut, and has yet to press
        application = QCoreApplication.instance()
        if application is not None:
            application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take Esc before anything else does, and Space and Enter on buttons."""
        if event.type() not in _PRESSES or not isinstance(event, QKeyEvent):
            return False
        if event.key() == Qt.Key.Key_Escape:
            # What it stopped as a shortcut may have stopped by the time it is pressed.
            taken = self._escape() or self._taken
            self._taken = taken and event.type() != QEvent.Type.KeyPress
            return taken
        if not isinstance(watched, QAbstractButton):
            return False
        if event.key() == Qt.Key.Key_Space:
            return True
        if event.key() in _ENTER and event.type() == QEvent.Type.KeyPress:
            if not event.isAutoRepeat():
                watched.click()
            return True
        return False


def open_in_desktop(path: Path) -> None:
    """Open a file or folder as the desktop does."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))
