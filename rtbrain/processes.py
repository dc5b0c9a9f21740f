"""Processes: other commands of rtbrain as children, signals, displays, and how far LSL sees."""

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import IO
from uuid import uuid4

import psutil

from rtbrain.errors import RtbrainError, SettingsError

_END_S = 5.0


def start_command(
    arguments: Sequence[str],
    *,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start ``rtbrain ARGUMENTS`` as a child; Ctrl-C does not reach one in its own session."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "rtbrain.apps.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=own_session,
    )


@contextmanager
def running_command(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``rtbrain ARGUMENTS`` until the block ends; its output goes to the file `log`."""
    with log.open("wb") as output:
        process = start_command(arguments, stdout=output, stderr=output)
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
    """Last line that a command wrote to its log."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def require_running(processes: Mapping[Path, subprocess.Popen[bytes]]) -> None:
    """Refuse to go on once a command has ended, with the last line of its log, the key."""
    for log, process in processes.items():
        if process.poll() is not None:
            raise RtbrainError(f"{log.stem} ended early: {last_line(log)}")


def stop_after(
    stopping: Callable[[], bool],
    duration_s: float | None,
    clock: Callable[[], float],
) -> Callable[[], bool]:
    """Condition to stop: `stopping`, or a duration in s since now by the clock."""
    if duration_s is None:
        return stopping
    end = clock() + duration_s
    return lambda: stopping() or clock() >= end


def stop_on_signals(parent: int | None = None) -> Callable[[], bool]:
    """Take SIGINT, SIGTERM, SIGHUP and the end of the parent, if named, as a request to end.

    SIGHUP comes where the terminal is closed, or the connection to it ends.
    """
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), lambda number, frame: stop.set())
    return lambda: stop.is_set() or (parent is not None and os.getppid() != parent)


def interrupt_on_sigterm() -> None:
    """Let SIGTERM act as Ctrl-C does, so that child processes end with this one."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def require_display() -> None:
    """Refuse to open a window where there is no display: Qt would abort the process."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise SettingsError("no display: use --headless-png OUT.png, or set DISPLAY")


def use_lsl_scope(scope: str) -> None:
    """Set how far LSL sees; an `LSLAPICFG` set by the user wins."""
    if not _set_by_user():
        os.environ["LSLAPICFG"] = str(_lsl_settings(scope))


def default_lsl_scope() -> None:
    """Let LSL see this machine only, unless the user or the settings said otherwise."""
    os.environ.setdefault("LSLAPICFG", str(_lsl_settings("machine")))


@contextmanager
def private_lsl_session(folder: Path) -> Iterator[None]:
    """Let LSL in this block and in children that start in it see no other streams.

    An `LSLAPICFG` set by the user wins. liblsl reads its settings once, at its first call.
    """
    if _set_by_user():
        yield
        return
    before = os.environ.get("LSLAPICFG")
    settings = folder / "lsl.cfg"
    ours = _lsl_settings("machine").read_text(encoding="utf-8")
    settings.write_text(f"{ours}\n[lab]\nSessionID = {uuid4().hex}\n", encoding="utf-8")
    os.environ["LSLAPICFG"] = str(settings)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LSLAPICFG"]
        else:
            os.environ["LSLAPICFG"] = before


def _set_by_user() -> bool:
    current = os.environ.get("LSLAPICFG", "")
    return bool(current) and Path(current).parent != _lsl_settings("machine").parent


def _lsl_settings(scope: str) -> Path:
    return Path(str(resources.files("rtbrain.configs"))) / f"lsl-{scope}.cfg"


def resident_kib(pid: int | None = None) -> float:
    """Resident memory of a process, KiB; of this one, without its garbage, by default."""
    if pid is None:
        gc.collect()
    return float(psutil.Process(pid).memory_info().rss) / 1024


def process_usage(pid: int) -> tuple[float, float]:
    """CPU time, s, and resident memory, MiB, of a process."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss / 2**20
