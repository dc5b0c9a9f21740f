"""Keys of the whole console, whatever has the focus: Esc stops outputs, Space starts nothing."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractButton

_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
_PRESSES = (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride)


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
        application = QCoreApplication.instance()
        if application is not None:
            application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Take Esc before anything else does, and Space and Enter on buttons."""
        if event.type() not in _PRESSES or not isinstance(event, QKeyEvent):
            return False
        if event.key() == Qt.Key.Key_Escape:
            return self._escape()
        if not isinstance(watched, QAbstractButton):
            return False
        if event.key() == Qt.Key.Key_Space:
            return True
        if event.key() in _ENTER and event.type() == QEvent.Type.KeyPress:
            if not event.isAutoRepeat():
                watched.click()
            return True
        return False
