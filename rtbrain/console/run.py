"""Runs the console until it is closed; a second one for a folder shows the window of the first."""

import sys
import threading
from pathlib import Path

from PySide6.QtCore import QObject, QSettings, Signal
from PySide6.QtWidgets import QApplication

from rtbrain.console.folder import open_session
from rtbrain.console.frame.tour import set_up_tour
from rtbrain.console.sole import sole_console
from rtbrain.console.window import SessionWindow
from rtbrain.processes import handle_end
from rtbrain.view.marks import MarkOutlet, window_identity
from rtbrain.view.run import collect_garbage_here, limit_malloc_arenas

_ANSWER_S = 3.0
_SIZE_PX = (1280, 800)


def run_session(folder: Path, *, theme: str | None = None, tour: bool = False) -> bool:
    """Show the console of a session until it is closed; False where it is shown already.

    Raises
    ------
    SettingsError
        The folder is not a session's, is of another version, cannot be written, or another user or
        a console that hangs has it open.
    """
    limit_malloc_arenas()
    application = QApplication.instance() or QApplication([sys.argv[0]])
    doorbell = _Doorbell()
    with sole_console(folder, doorbell.ring) as sole, collect_garbage_here():
        if not sole:
            return False
        settings = QSettings("rtbrain", "session")
        marks = MarkOutlet("rtbrain-session", window=window_identity(settings))
        session = open_session(folder)
        if tour:
            set_up_tour(session)
        window = SessionWindow(session, settings, theme=theme, marks=marks, tour=tour)
        doorbell.rung.connect(window.come_forward)
        doorbell.rung.connect(doorbell.answer)
        sys.excepthook = window.guard.note_unexpected(sys.excepthook)
        handle_end(lambda *_: window.leave())
        window.resize(*_SIZE_PX)
        window.show()
        application.exec()
    return True


class _Doorbell(QObject):
    """Passes a call on to the thread of the window, and waits until that has answered it."""

    rung = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._answered = threading.Event()

    def ring(self) -> bool:
        self._answered.clear()
        self.rung.emit()
        return self._answered.wait(_ANSWER_S)

    def answer(self) -> None:
        self._answered.set()
