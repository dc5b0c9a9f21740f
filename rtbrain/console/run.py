"""Runs the console until it is closed; a second one for a folder shows the window of the first."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from PySide6.QtCore import QObject, QSettings, Signal
from PySide6.QtWidgets import QApplication

from rtbrain.console.folder import Session
from rtbrain.console.window import SessionWindow
from rtbrain.errors import OutputError, SettingsError, StreamError
from rtbrain.files import claimed
from rtbrain.live.control import send_command, serve_commands
from rtbrain.processes import handle_end
from rtbrain.view.run import limit_malloc_arenas

_SHOW = "show"
_ANSWER_S = 3.0
_SIZE_PX = (1280, 800)


def run_session(folder: Path, *, theme: str | None = None) -> bool:
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
    with sole_console(folder, doorbell.ring) as sole:
        if not sole:
            return False
        window = SessionWindow(Session(folder), QSettings("rtbrain", "session"), theme=theme)
        doorbell.rung.connect(window.come_forward)
        doorbell.rung.connect(doorbell.answer)
        sys.excepthook = window.note_unexpected(sys.excepthook)
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


@contextmanager
def sole_console(folder: Path, show: Callable[[], bool]) -> Iterator[bool]:
    """Be the only console of a folder while the block runs, or have the other one show itself.

    It yields whether this is the only one. `show` is called, in another thread, whenever a further
    one asks; it returns whether the window is shown.

    Raises
    ------
    SettingsError
        There is one that does not answer, or one of another user.
    """
    name = f"console {folder.expanduser().resolve()}"

    def answer(line: str) -> dict[str, object]:
        return {"shown": True} if line == _SHOW and show() else {"error": "its window hangs"}

    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder.expanduser(), "session"))
            stack.enter_context(serve_commands(name, answer, "console"))
        except SettingsError:
            try:
                send_command(name, _SHOW, "console")
            except (StreamError, OutputError) as error:
                raise SettingsError(
                    f"{folder}: a console has it open that does not answer, or is another user's: "
                    "end that one; what it started goes on"
                ) from error
            yield False
            return
        yield True
