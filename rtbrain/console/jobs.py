"""Jobs of a session: commands of rtbrain as processes that outlive the console."""

import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from rtbrain.errors import SettingsError, plain_text
from rtbrain.files import UNREADABLE, parse_json, write_atomically
from rtbrain.processes import EXIT_CODE_FILE, start_detached

KILLED = -9  # exit code of what ended without leaving one
_TAIL_BYTES, _TAIL_LINES = 2**14, 40
_SAME_S = 0.02  # how far two readings of when a process began may differ


class Job:
    """One job: ``rtbrain`` with the arguments `argv`, begun at `t_start` (s since 1970).

    `stopping` says that it was asked to end, `logged` that its end is in the log, `earlier` that it
    had ended before this console began.
    ``jobs/NAME.json`` says which process it is, ``NAME.log`` holds its output, ``NAME.exit`` its
    exit code.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        argv: Sequence[str],
        process: psutil.Process | None,
        t_start: float,
        child: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.name, self.argv, self.t_start = name, tuple(argv), t_start
        self.stopping = self.logged = self.earlier = False
        self._files = folder / "jobs" / name
        self._process, self._child = process, child
        self._ended = False
        self._read_at = 0, 0.0
        self._lines: tuple[tuple[str, ...], dict[str, Any]] = ((), {})

    @classmethod
    def start(cls, folder: Path, name: str, argv: Sequence[str]) -> "Job":
        """Start a job in a folder of a session; a SettingsError where it cannot be."""
        files, t_start = folder / "jobs" / name, time.time()
        about: dict[str, Any] = {"argv": list(argv), "started": t_start}
        try:
            files.parent.mkdir(exist_ok=True)
            _write(files, about)  # before there is a process: it is found without its number too
            child = start_detached(
                argv, folder, files.with_suffix(".log"), files.with_suffix(".exit")
            )
        except OSError as error:
            with suppress(OSError):
                files.with_suffix(".json").unlink()  # it never was
            raise SettingsError(f"{name} cannot be started: {error.strerror or error}") from error
        process: psutil.Process | None = None
        with suppress(psutil.NoSuchProcess):  # it has ended already
            process = psutil.Process(child.pid)
            about |= {"pid": child.pid, "created": process.create_time()}
        with suppress(OSError):  # a disk that is full now: it is found by its environment
            _write(files, about)
        return cls(folder, name, argv, process, t_start, child)

    @classmethod
    def join(cls, folder: Path, name: str) -> "Job | None":
        """A job that another console started, whether it runs still or not; None if none was."""
        files = folder / "jobs" / name
        try:
            about = parse_json(files.with_suffix(".json").read_bytes())
            argv, t_start = [str(word) for word in about["argv"]], float(about["started"])
            pid, created = int(about.get("pid", 0)), float(about.get("created", 0))
        except UNREADABLE:
            return None
        exit_code = files.with_suffix(".exit")
        process: psutil.Process | None = None
        if not pid:  # the console ended, or the disk was full, just when it was started
            process = None if exit_code.exists() else _find(exit_code)
        with suppress(psutil.Error):
            if pid:
                process = psutil.Process(pid)
                # Another one may have its number; a clock that was set moves when it began.
                same = abs(process.create_time() - created) <= _SAME_S
                process = process if same or _is_ours(process, exit_code) else None
        job = cls(folder, name, argv, process, t_start)
        job.stopping, job.logged = about.get("stopping") is True, about.get("logged") is True
        job.earlier = not job.running
        return job

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        if not self._ended:
            self._ended = not self._is_there()
        return not self._ended

    def _is_there(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        if self._process is None:
            return False
        with suppress(psutil.Error):
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while it runs, `KILLED` where it left none."""
        if self.running:
            return None
        with suppress(OSError, ValueError):
            return int(self._files.with_suffix(".exit").read_text())
        return KILLED

    @property
    def output(self) -> tuple[str, ...]:
        """Last lines of its output, without those for machines."""
        return self._read()[0]

    @property
    def progress(self) -> dict[str, Any]:
        """Last line of progress for machines: ``stage``, ``done``, ``total``, ``left_s``."""
        return self._read()[1]

    def _read(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        path = self._files.with_suffix(".log")
        try:
            about = path.stat()
            if (about.st_size, about.st_mtime) != self._read_at:
                with path.open("rb") as file:
                    file.seek(max(0, about.st_size - _TAIL_BYTES))
                    text = file.read().decode("utf-8", "replace")
                self._lines = _parse(text, self._lines[1])
                self._read_at = about.st_size, about.st_mtime
        except OSError:
            pass
        return self._lines

    def stop(self) -> None:
        """Ask it to end."""
        self.stopping = True
        with suppress(psutil.Error):
            if self.running and self._process is not None:
                self._process.terminate()
        self._remember("stopping")

    def kill(self) -> None:
        """End it at once, with what it started."""
        self.stopping = True
        if not self.running or self._process is None:
            return
        with suppress(psutil.Error):
            children = self._process.children(recursive=True)
            for process in (self._process, *children):
                with suppress(psutil.Error):
                    process.kill()
        self._remember("stopping")

    def log_end(self) -> None:
        """Remember that its end is in the log."""
        self.logged = True
        self._remember("logged")

    def _remember(self, key: str) -> None:
        """Keep a fact for the next console; on a full disk it is lost."""
        path = self._files.with_suffix(".json")
        with suppress(OSError, ValueError, TypeError):
            _write(self._files, {**parse_json(path.read_bytes()), key: True})


def last_words(job: Job) -> str:
    """The last line that a job has said, as a sentence of its own; empty where it said nothing."""
    return job.output[-1].removeprefix("rtbrain: ") if job.output else ""


def _is_ours(process: psutil.Process, exit_code: Path) -> bool:
    """Whether a process leaves its exit code in a file, by its environment."""
    with suppress(psutil.Error, OSError):
        return process.environ().get(EXIT_CODE_FILE) == str(exit_code.absolute())
    return False


def _find(exit_code: Path) -> psutil.Process | None:
    return next((one for one in psutil.process_iter() if _is_ours(one, exit_code)), None)


def _write(files: Path, about: dict[str, Any]) -> None:
    write_atomically(files.with_suffix(".json"), json.dumps(about, indent=2) + "\n")


def _parse(text: str, before: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    lines, progress = [], before
    for line in text.splitlines():
        if line.startswith("{"):
            with suppress(ValueError):
                values = parse_json(line)
                if isinstance(values, dict) and "stage" in values:
                    progress = values
                    continue
        if line.strip():
            lines.append(plain_text(line.strip(), 500))
    return tuple(lines[-_TAIL_LINES:]), progress
