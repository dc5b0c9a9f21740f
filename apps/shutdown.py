"""SIGINT and SIGTERM as a question that loops ask."""

import signal
import threading
from collections.abc import Callable


def stop_on_signals() -> Callable[[], bool]:
    """Ask for a clean end on SIGINT and SIGTERM.

    Returns
    -------
    callable
        Whether an end was asked for.
    """
    asked = threading.Event()

    def ask(number: int, frame: object) -> None:
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return asked.is_set


def end_on_sigterm() -> None:
    """Let SIGTERM unwind as Ctrl-C does, so that whoever started processes ends them."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
