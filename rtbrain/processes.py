"""Other commands of rtbrain as processes of a command."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from rtbrain.errors import SettingsError

_END_S = 5.0


@contextmanager
def running_command(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `rtbrain ...` until the block ends.

    Parameters
    ----------
    arguments : sequence of str
        Of the command line.
    log : Path
        Where its words go.
    """
    command = [sys.executable, "-m", "rtbrain.apps.main", *arguments]
    with log.open("wb") as words:
        process = subprocess.Popen(  # noqa: S603
            command, stdout=words, stderr=words, stdin=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def last_line(log: Path) -> str:
    """Last line that a process wrote."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")


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


def interrupt_on_sigterm() -> None:
    """Let SIGTERM unwind as Ctrl-C does, so that whoever started processes ends them."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def require_display() -> None:
    """Qt would abort the process with a page of its own where there is no display.

    Raises
    ------
    SettingsError
        There is no display.
    """
    chosen = os.environ.get("QT_QPA_PLATFORM", "")
    if sys.platform != "linux" or chosen:
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise SettingsError("no display: use --headless-png OUT.png, or set DISPLAY")


def use_lsl_scope(scope: str) -> None:
    """Let LSL see as far as the settings say; a `LSLAPICFG` that the user set wins."""
    ours = resources.files("rtbrain.configs")
    current = os.environ.get("LSLAPICFG", "")
    if not current or Path(current).parent == Path(str(ours)):
        os.environ["LSLAPICFG"] = str(ours / f"lsl-{scope}.cfg")
