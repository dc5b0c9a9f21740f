"""The log of a session: what the console did, as commands that bash runs again."""

import os
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rtbrain.errors import plain_text

# Jobs that bash waits for; the others run beside what follows.
FOREGROUND = frozenset({"fit", "report", "export"})
_MORE_S = 60  # than here, for a job that ends by itself to begin and end
_UNTIMED = FOREGROUND | {"view"}  # they need no pause after them
_ANSWERS_S = "120"
_HEAD = """#!/usr/bin/env bash
# What the session console did, as commands. Again, into a new folder: bash log.sh NEWFOLDER
# Exports go into new folders too: NEWFOLDER-NAME for NAME.
mkdir -p "${1:?name a new folder}" && cd "$1" && mkdir -p calibration decoders runs reports || exit
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
# Waits for a job, and ends it where it takes longer than so many seconds.
ended() { for _ in $(seq "$2"); do kill -0 "$1" 2>/dev/null || break; sleep 1; done
  kill "$1" 2>/dev/null; wait "$1"; }
"""


class SessionLog:
    """Appends to ``log.sh``; pauses are kept while something runs.

    Nothing is lost where the disk is full: it is written once there is room.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._waiting: list[str] = []
        self._running: set[str] = set()
        self._t_last = clock()

    def note(self, text: str) -> None:
        """Add a remark."""
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._clock()))
        self._write(f"# {clock} {plain_text(' '.join(text.split()), 500)}")

    def run(self, command: Sequence[str], note: str = "") -> None:
        """Add ``rtbrain COMMAND``, which has ended or ends at once."""
        if note:
            self.note(note)
        self._pause()
        self._write(_as_bash(command))

    def start(self, job: str, command: Sequence[str]) -> None:
        """Add a job that was started."""
        self.note(f"{job} starts")
        for word in command:  # a plan that the console wrote
            if word.endswith(".yaml") and not Path(word).is_absolute():
                with suppress(OSError):
                    text = (self._path.parent / word).read_text(encoding="utf-8").rstrip("\n")
                    self._write(f"cat > {shlex.quote(word)} <<'END-OF-PLAN'\n{text}\nEND-OF-PLAN")
        self._pause()
        line = _as_bash(command)
        self._write(line if job in FOREGROUND else f"{line} & {job}=$!")
        if job not in _UNTIMED:
            self._running.add(job)

    def joined(self, job: str) -> None:
        """Take note, without a line, of a job that an earlier console started."""
        if job not in _UNTIMED:
            self._running.add(job)
        with suppress(OSError):
            self._t_last = self._path.stat().st_mtime

    def stop(self, job: str, note: str = "") -> None:
        """Add that a job is asked to end."""
        self.note(note or f"{job} is stopped")
        self._pause()
        if job not in FOREGROUND:
            self._write(f'ended "${job}" 0')
        self._running.discard(job)

    def end(self, job: str, how: str, *, well: bool = True) -> None:
        """Add that a job has ended by itself: bash ends it then too, after a while if `well`."""
        self.note(f"{job} has ended: {how}")
        if job in self._running:
            self._pause()
            self._running.discard(job)
            self._write(f'ended "${job}" {_MORE_S if well else 0}')
        self._t_last = self._clock()

    def flush(self) -> str:
        """Write what waits; returns why it cannot be written, or nothing."""
        if not self._waiting:
            return ""
        size = 0
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(["" if size else _HEAD, *(f"{it}\n" for it in self._waiting)]))
        except OSError as error:
            with suppress(OSError):  # whole lines or none
                os.truncate(self._path, size)
            return error.strerror or str(error)
        self._waiting.clear()
        with suppress(OSError):
            self._path.chmod(0o755)
        return ""

    def _pause(self) -> None:
        now = self._clock()
        if self._running and now > self._t_last:
            self._write(f"sleep {now - self._t_last:.1f}")
        self._t_last = now

    def _write(self, line: str) -> None:
        self._waiting.append(line)
        self.flush()


def _as_bash(command: Sequence[str]) -> str:
    """``rtbrain COMMAND``, but an export goes beside the new folder, not where it went before.

    And who is commanded may start more slowly than it did.
    """
    words = [shlex.quote(word) for word in ("rtbrain", *command)]
    if command[0] == "export" and "--out" in command:
        at = command.index("--out") + 1
        words[1 + at] = f'"$PWD"-{shlex.quote(Path(command[at]).name)}'
    if command[0] == "control":
        words[2:2] = ["--wait", _ANSWERS_S]
    return " ".join(words)
