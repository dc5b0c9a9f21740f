"""Runs the window until it is closed, or until a picture of it is saved."""

import ctypes
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QMessageLogContext, QSettings, QTimer, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

from rtbrain.errors import RtbrainError, StreamError, quote
from rtbrain.processes import handle_end, lsl_scope_hint, scratch_folder
from rtbrain.stream.lsl.streams import unnamed_stream_error
from rtbrain.view.marks import MarkOutlet, window_identity
from rtbrain.view.menus import save_screenshot
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.traces.panel import BuildChain
from rtbrain.view.window import MainWindow

_M_ARENA_MAX = -8  # glibc's malloc.h
_CHOICE_EVERY_MS, _GARBAGE_EVERY_MS = 200, 2000


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
    source_id: str | None = None,
    markers: str | None = None,
    scale: float = 1.0,
    make_chain: BuildChain,
    theme: str | None,
    picture: Screenshot | None,
) -> None:
    """Show the window until it is closed, by the user or a signal to end.

    Parameters
    ----------
    stream, decode : str or None
        Names of the signal and of the decoder; None selects the only one.
    source_id : str, optional
        Source id of the signal, where several have one name.
    markers : str, optional
        Name of a marker stream to show besides ``SIGNAL-markers``.
    scale : float
        Further factor on the signal, of an amplifier that states no or a wrong unit.
    make_chain : callable
        Makes the display's signal chain from a reference, a mains frequency and a montage.
    theme : str or None
        ``dark`` or ``light``; None selects the last one used.
    picture : Screenshot or None
        Saves a picture, closes the window, and leaves the user's settings untouched.

    Raises
    ------
    StreamError
        The picture would show nothing: there is no such stream, or it sent no sample.
    SettingsError
        The picture cannot be written, or several signals are there and none is named.
    """
    limit_malloc_arenas()
    if picture is not None:
        qInstallMessageHandler(_print_message)
    application = QApplication.instance() or QApplication(["rtbrain view"])
    with ExitStack() as stack:
        if picture is None:
            settings = QSettings("rtbrain", "view")
        else:
            folder = stack.enter_context(scratch_folder("rtbrain-view-"))
            settings = QSettings(str(folder / "view.ini"), QSettings.Format.IniFormat)
        stack.enter_context(collect_garbage_here())
        session = ViewSession(
            stream=stream, decode=decode, source_id=source_id, markers=markers, scale=scale
        )
        stack.callback(session.close)
        outlet = MarkOutlet(window=window_identity(settings))
        window = MainWindow(session, outlet, settings, make_chain=make_chain, theme=theme)
        failed: list[RtbrainError] = []
        if picture is not None:
            scale = window.devicePixelRatioF()
            window.resize(round(picture.width_px / scale), round(picture.height_px / scale))
            photographer = _Photographer(window, session, stream, picture, failed)
            stack.callback(photographer.stop)
        # Python handles signals between the polls of the window.
        handle_end(lambda *_: window.close())
        window.show()
        application.exec()
        if failed:
            raise failed[0]


def _print_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
    """Print Qt's messages, except the one about a missing screen."""
    if "propagateSizeHints" not in text:
        print(text, file=sys.stderr)


class _Photographer:
    """Saves a picture of the window when it is time, if it shows anything, and closes it."""

    def __init__(
        self,
        window: MainWindow,
        session: ViewSession,
        stream: str | None,
        picture: Screenshot,
        failed: list[RtbrainError],
    ) -> None:
        self._window, self._session, self._stream = window, session, stream
        self._picture, self._failed = picture, failed
        self._timers = [QTimer(interval=_CHOICE_EVERY_MS), QTimer(singleShot=True)]
        self._timers[0].timeout.connect(self._look_for_choices)
        self._timers[1].timeout.connect(self._take)
        self._timers[1].setInterval(round(1000 * picture.after_s))
        for timer in self._timers:
            timer.start()

    def stop(self) -> None:
        for timer in self._timers:
            timer.stop()

    def _look_for_choices(self) -> None:
        if self._stream is None and (choices := sorted(self._session.choices, key=str)):
            self._end(unnamed_stream_error("rtbrain view --stream", choices))

    def _take(self) -> None:
        missing = what_is_missing(self._session.feeds, self._stream, self._picture.after_s)
        if missing:
            self._end(StreamError(f"{missing}; no picture was saved"))
            return
        try:
            save_screenshot(self._window, self._picture.path)
        except RtbrainError as error:
            self._failed.append(error)
        self._window.close()

    def _end(self, error: RtbrainError) -> None:
        self.stop()
        self._failed.append(error)
        self._window.close()


def what_is_missing(feeds: Sequence[StreamHealth], stream: str | None, after_s: float) -> str:
    """Why a picture would not show the signal, nor decodes where none was named; or empty."""
    signal, decode = feed_of(feeds, "signal"), feed_of(feeds, "decode")
    if signal.received or (stream is None and decode.received):
        return ""
    what = "a signal" if stream is None else f"stream {quote(stream)}"
    if signal.state == "absent":
        absent = f"{what} was not found within {after_s:g} s: start its sender{lsl_scope_hint()}"
        return signal.problem or absent
    return f"{what} is there and sent no sample within {after_s:g} s: start its amplifier"


@contextmanager
def collect_garbage_here() -> Iterator[None]:
    """Within, Python looks for garbage in this thread alone, now and then; needs an application.

    By itself it does so in whichever thread makes objects, and Qt's may crash where another thread
    than their own deletes them.
    """
    gc.collect()
    gc.freeze()  # what libraries made is looked through no more
    gc.disable()
    timer = QTimer(interval=_GARBAGE_EVERY_MS)
    timer.timeout.connect(lambda: gc.collect())
    timer.start()
    try:
        yield
    finally:
        timer.stop()
        gc.enable()
        gc.unfreeze()


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
