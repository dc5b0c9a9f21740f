"""The window as a process: until it is closed, or until a picture of it is saved."""

import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QMessageLogContext, QSettings, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from rtbrain.errors import SettingsError
from rtbrain.view.heap import keep_to_one_heap
from rtbrain.view.marks import MarkOutlet
from rtbrain.view.session import Session
from rtbrain.view.traces import MakeChain
from rtbrain.view.window import Window

__all__ = ["Picture", "run_window"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to be taken of the window.

    Attributes
    ----------
    path : Path
        PNG file.
    after_s : float
        When, s after the window opened.
    width_px, height_px : int
        How large.
    """

    path: Path
    after_s: float
    width_px: int
    height_px: int


def run_window(
    stream: str | None,
    decode: str | None,
    *,
    make_chain: MakeChain,
    theme: str | None,
    picture: Picture | None,
) -> None:
    """Show the window until it is closed, by the user or by SIGINT or SIGTERM.

    Parameters
    ----------
    stream, decode : str or None
        Names of the signal and of the decodes; None takes the only one.
    make_chain : callable
        Makes what the traces go through for a reference and a notch.
    theme : str or None
        ``dark`` or ``light``; None takes the one remembered.
    picture : Picture or None
        Taken once, and then the window is closed; nothing is remembered of such a window.

    Raises
    ------
    SettingsError
        The picture cannot be written.
    """
    keep_to_one_heap()
    if picture is not None:
        qInstallMessageHandler(_complain)
    application = QApplication.instance() or QApplication(["rtbrain view"])
    with ExitStack() as stack:
        if picture is None:
            settings = QSettings("rtbrain", "view")
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = QSettings(str(folder / "view.ini"), QSettings.Format.IniFormat)
        session = Session(stream=stream, decode=decode)
        stack.callback(session.close)
        window = Window(session, MarkOutlet(), settings, make_chain=make_chain, theme=theme)
        failed: list[SettingsError] = []
        if picture is not None:
            scale = window.devicePixelRatioF()
            window.resize(round(picture.width_px / scale), round(picture.height_px / scale))
            QTimer.singleShot(
                round(1000 * picture.after_s), lambda: _take(window, picture.path, failed)
            )
        # Python hears of signals between the polls of the window.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: window.close())
        window.show()
        application.exec()
        if failed:
            raise failed[0]


def _complain(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    """Say what Qt complains of, but not that there is no screen."""
    if "propagateSizeHints" not in text:
        print(text, file=sys.stderr)


def _take(window: Window, path: Path, failed: list[SettingsError]) -> None:
    try:
        window.save_picture(path)
    except SettingsError as error:
        failed.append(error)
    window.close()
