"""Runs the console until it is closed; a second one for a folder shows the window of the first."""

import sys
from pathlib import Path

from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from rtbrain.console.folder import Session
from rtbrain.console.window import SessionWindow
from rtbrain.processes import handle_end


def run_session(folder: Path, *, theme: str | None = None) -> None:
    """Show the console of a session until it is closed.

    Raises
    ------
    SettingsError
        The folder is not a session's, is of another version, or cannot be written.
    """
    session = Session(folder)
    application = QApplication.instance() or QApplication([sys.argv[0]])
    window = SessionWindow(session, QSettings("rtbrain", "session"), theme=theme)
    handle_end(lambda *_: window.close())
    window.resize(1280, 800)
    window.show()
    application.exec()
