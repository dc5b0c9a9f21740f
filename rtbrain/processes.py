"""Processes: other commands of rtbrain as children, signals, displays, and how far LSL sees."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import IO, Any, NoReturn
from uuid import uuid4

import psutil

from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.files import write_atomically

# Ctrl-C, the request to end, and the end of the terminal, which Windows lacks.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name == "posix" else []))
INTERRUPTED = 130  # exit code
_END_S = 5.0
_LOOK_EVERY_S = 0.2
_LAST_S = 10.0  # to close files, for a process whose parent is gone
_LOWEST_PRIORITY = 19
_PARENT = "RTBRAIN_PARENT"
EXIT_CODE_FILE = "RTBRAIN_EXIT_CODE_FILE"
_detached: list[subprocess.Popen[bytes]] = []
_parents: list[int] = []  # that this process ends with
_exit_code_files: list[Path] = []  # that this process leaves its exit code in
# What still writes into the folder has a few seconds to end.
_KEEPER = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(150):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.lexists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


def start_command(
    arguments: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes] | int | None,
    stderr: IO[bytes] | int | None,
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start ``rtbrain ARGUMENTS`` as a child; Ctrl-C does not reach one in its own session."""
    return start_child(
        [sys.executable, "-m", "rtbrain.apps", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=own_session,
    )


def start_detached(
    arguments: Sequence[str], folder: Path, output: Path, exit_code: Path
) -> subprocess.Popen[bytes]:
    """Start ``rtbrain ARGUMENTS`` in a folder; it outlives this process and what started it.

    Its output goes to a file, and at its end its exit code to another; killed, it leaves none.
    """
    exit_code.unlink(missing_ok=True)
    environment = {**os.environ, EXIT_CODE_FILE: str(exit_code.absolute())}
    environment.pop(_PARENT, None)
    detached: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        new = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        detached = {"creationflags": new}
    with output.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "rtbrain.apps", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **detached,
        )
    _detached.append(child)  # nobody complains that it still runs
    return child


@contextmanager
def exit_code_file() -> Iterator[Callable[[int], None]]:
    """Leave an exit code for `start_detached`, if it started this process: 1 after an error."""
    codes = [1]
    _take_exit_code_file()
    try:
        yield codes.append
    finally:
        _leave_exit_code(codes[-1])


def _take_exit_code_file() -> None:
    named = os.environ.pop(EXIT_CODE_FILE, "")  # meant for this process, not for its children
    if named:
        _exit_code_files.append(Path(named))


def _leave_exit_code(code: int) -> None:
    for path in _exit_code_files:
        with suppress(OSError):  # a disk that is full
            write_atomically(path, str(code))


def start_child(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a process that calls `end_with_parent` first, so that it never outlives this one.

    The options are those of `subprocess.Popen`.
    """
    environment = {**(options.pop("env", None) or os.environ), _PARENT: str(os.getpid())}
    options = {"stdin": subprocess.DEVNULL, **options}
    return subprocess.Popen(command, env=environment, **options)  # noqa: S603


def at_low_priority(function: Callable[[], object]) -> None:
    """Call a function in a thread that gives way to other processes, where the system can."""

    def work() -> None:
        if sys.platform == "linux":  # elsewhere it would hold for the whole process, and for good
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        function()

    thread = threading.Thread(target=work, name="rtbrain-low", daemon=True)
    thread.start()
    thread.join()


def become(module: str, *arguments: str) -> NoReturn:
    """Go on as a Python module that calls `end_with_parent`, without the libraries loaded here."""
    if _parents:
        os.environ[_PARENT] = str(_parents[-1])
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


def end_with_parent(parent: int | None = None) -> None:
    """End this process once its parent is gone, however that ended: by SIGTERM, later at once.

    The parent is the process named, that of `start_child`, or torchrun; without one nothing
    happens. Linux could send a signal at the parent's end, but does so at the end of the thread
    that started the child.
    """
    named = os.environ.pop(_PARENT, None)  # meant for this process, not for its children
    if parent is None and named is not None:
        parent = int(named)
    elif parent is None and "TORCHELASTIC_RUN_ID" in os.environ:
        parent = os.getppid()
    if parent is not None:
        _parents.append(parent)
        threading.Thread(
            target=_end_after, args=(parent,), name="rtbrain-parent", daemon=True
        ).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_S)
    os._exit(128 + signal.SIGTERM)


@contextmanager
def scratch_folder(prefix: str = "rtbrain-", parent: Path | None = None) -> Iterator[Path]:
    """Folder for the block alone; it goes also where this process is killed."""
    folder = tempfile.mkdtemp(prefix=prefix, dir=parent)
    # It reads until this process has ended in any way, and sees to the folder then.
    keeper = subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", _KEEPER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        keeper.communicate()


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


def stop_on_signals() -> Callable[[], bool]:
    """Take each of `END_SIGNALS` as a request to end."""
    stop = threading.Event()
    handle_end(lambda number, frame: stop.set())
    return stop.is_set


def handle_end(handler: Callable[[int, Any], object]) -> None:
    """Let a function handle each of `END_SIGNALS`; under ``nohup`` not the end of the terminal."""
    for number in END_SIGNALS:
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def interrupt_on_signals() -> None:
    """Let SIGTERM and SIGHUP act as Ctrl-C does, so that a command leaves nothing behind."""

    def interrupt(number: int, frame: object) -> None:
        for each in END_SIGNALS:  # a second one must not end the tidying up
            if each != signal.SIGINT:
                signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    handle_end(interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def require_display(otherwise: str = "use --headless-png OUT.png, or ") -> None:
    """Refuse to open a window where there is no display: Qt would abort the process."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise SettingsError(f"no display: {otherwise}set DISPLAY")


def end_on_signals() -> None:
    """Let each of `END_SIGNALS` end this process at once and quietly, as nothing has begun.

    This is for the time while libraries load: an exception raised inside their imports comes out
    as any other, or not at all.
    """
    _take_exit_code_file()

    def end(number: int, frame: object) -> None:
        _leave_exit_code(INTERRUPTED)
        os._exit(INTERRUPTED)

    handle_end(end)


def use_lsl_scope(scope: str) -> None:
    """Set how far LSL sees; an `LSLAPICFG` set by the user wins."""
    if not _set_by_user():
        os.environ["LSLAPICFG"] = str(lsl_settings(scope))


def default_lsl_scope() -> None:
    """Let LSL see this machine only, unless the user or the settings said otherwise."""
    os.environ.setdefault("LSLAPICFG", str(lsl_settings("machine")))


def lsl_scope_hint() -> str:
    """How to see streams of other computers, where only those of this one are looked for."""
    if os.environ.get("LSLAPICFG") != str(lsl_settings("machine")):
        return ""
    wider = lsl_settings("site")
    return f"; only this computer was searched: for others set LSLAPICFG={wider}"


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
    ours = lsl_settings("machine").read_text(encoding="utf-8")
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
    return bool(current) and Path(current).parent != lsl_settings("machine").parent


def lsl_settings(scope: str) -> Path:
    """Our file of LSL's settings for a scope: machine, link or site."""
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
