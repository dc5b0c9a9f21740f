"""The window as a process: until it is closed, or until a picture of it is saved."""

import ctypes
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QMessageLogContext, QSettings, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from rtbrain.errors import SettingsError
from rtbrain.view.marks import MarkOutlet
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.traces.panel import BuildChain
from rtbrain.view.window import MainWindow

_M_ARENA_MAX = -8  # glibc's malloc.h


@dataclass(frozen=True, slots=True)
class Screenshot:
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
    make_chain: BuildChain,
    theme: str | None,
    picture: Screenshot | None,
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
    limit_malloc_arenas()
    if picture is not None:
        qInstallMessageHandler(_complain)
    application = QApplication.instance() or QApplication(["rtbrain view"])
    with ExitStack() as stack:
        if picture is None:
            settings = QSettings("rtbrain", "view")
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = QSettings(str(folder / "view.ini"), QSettings.Format.IniFormat)
        session = ViewSession(stream=stream, decode=decode)
        stack.callback(session.close)
        window = MainWindow(session, MarkOutlet(), settings, make_chain=make_chain, theme=theme)
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


def _take(window: MainWindow, path: Path, failed: list[SettingsError]) -> None:
    try:
        window.save_picture(path)
    except SettingsError as error:
        failed.append(error)
    window.close()


def limit_malloc_arenas() -> None:
    """Have glibc give every thread memory from one heap; elsewhere nothing is done.

    By default threads get heaps of their own, eight a core. Those of liblsl, which come and go
    with each stream on the network, leave holes in all of them, and none is given back: resident
    memory rises though nothing more is used. To be called before there are other threads: a heap
    that is there stays in use.
    """
    # Other C libraries of Linux have no such call.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
