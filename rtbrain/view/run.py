"""Runs the window until it is closed, or until a picture of it is saved."""

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
from rtbrain.view.menus import save_screenshot
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.traces.panel import BuildChain
from rtbrain.view.window import MainWindow

_M_ARENA_MAX = -8  # glibc's malloc.h


@dataclass(frozen=True, slots=True)
class Screenshot:
    """Picture to take of the window, a PNG file, `after_s` seconds after it opens."""

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
        Names of the signal and of the decoder; None selects the only one.
    make_chain : callable
        Makes the display's signal chain from a reference, a mains frequency and a montage.
    theme : str or None
        ``dark`` or ``light``; None selects the last one used.
    picture : Screenshot or None
        Saves a picture, closes the window, and leaves the user's settings untouched.

    Raises
    ------
    SettingsError
        The picture cannot be written.
    """
    limit_malloc_arenas()
    if picture is not None:
        qInstallMessageHandler(_print_message)
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
                round(1000 * picture.after_s), lambda: _save_and_close(window, picture.path, failed)
            )
        # Python handles signals between the polls of the window.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: window.close())
        window.show()
        application.exec()
        if failed:
            raise failed[0]


def _print_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    """Print Qt's messages, except the one about a missing screen."""
    if "propagateSizeHints" not in text:
        print(text, file=sys.stderr)


def _save_and_close(window: MainWindow, path: Path, failed: list[SettingsError]) -> None:
    try:
        save_screenshot(window, path)
    except SettingsError as error:
        failed.append(error)
    window.close()


def limit_malloc_arenas() -> None:
    """Limit glibc to one heap for all threads; does nothing on other systems.

    By default each core gets eight heaps. liblsl's threads come and go with the streams on the
    network and fragment all of them, so that resident memory grows without use. Call it before
    other threads start: a heap stays in use once it exists.
    """
    # Other C libraries on Linux have no such call.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
