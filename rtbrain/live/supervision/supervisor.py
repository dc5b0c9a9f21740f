"""`rtbrain decode --restart`: the parent that starts the decoder and its recorder again.

The decoder and the recorder are its children, so that neither ends the other; they end with it. A
spare decoder that has loaded its libraries takes over from one that ended. The parent itself holds
none of these libraries.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rtbrain.live.screen import sentence
from rtbrain.live.supervision.children import (
    DecoderProcess,
    RecorderProcess,
    end_in_words,
    free_recording,
)
from rtbrain.processes import become, end_with_parent, stop_on_signals

_LOOK_EVERY_S = 0.05
# Loading the spare's libraries must not hold up a decoder that has just begun.
_SPARE_AFTER_S = 5.0
_USERS_MISTAKE = 2
_SHOW_CURSOR = "\x1b[?25h"
_ERASE_LINE = "\r\x1b[2K"


class Backoff:
    """How long to wait before a process is started again.

    Not at all where it ran 10 s or longer; else 1, 2, 4 and so on, at most 30 s.
    """

    def __init__(self) -> None:
        self.n_short = 0

    def wait_s(self, ran_s: float) -> float:
        """Wait after a process that ran so long, s."""
        self.n_short = 0 if ran_s >= 10 else self.n_short + 1
        return 0.0 if self.n_short < 2 else min(2.0 ** (self.n_short - 2), 30.0)


class KeptRecorder:
    """A recorder, and after its end another one, with a file of its own."""

    def __init__(self, out: Path, flags: Sequence[str], report: Callable[..., None]) -> None:
        self._out, self._flags, self._report = out, list(flags), report
        self._backoff = Backoff()
        self._child: RecorderProcess | None = None
        self._started_s = self._due_s = 0.0
        self._notes: list[str] = []
        self.path = free_recording(out)  # that it records into, or will

    def poll(self) -> None:
        """Start it if that is due, and pass on what it reports."""
        now = time.monotonic()
        if self._child is None:
            if now >= self._due_s:
                self._start(now)
            return
        self._child.poll()
        if self._child.ended:  # 0: somebody asked it to end
            self._child.end()
            self._child = None
            self._due_s = now + self._backoff.wait_s(now - self._started_s)

    def _start(self, now: float) -> None:
        self.path, self._started_s = free_recording(self._out), now
        try:
            self._child = RecorderProcess(self.path, [*self._flags, *self._notes], self._report)
        except OSError as error:
            self._report("recorder", said=f"cannot be started: {error.strerror}")
            self._due_s = now + self._backoff.wait_s(0.0)
        self._notes = ["--note", f"continues={self.path.name}"]

    def end(self) -> None:
        """Ask it to end, and wait for that up to 2 s."""
        if self._child is not None:
            self._child.end()


class KeptDecoder:
    """A decoder, and after a crash the spare that stands by."""

    def __init__(self, arguments: Sequence[str], say: Callable[[str], None]) -> None:
        self._arguments, self._say = arguments, say
        self._backoff = Backoff()
        self._began_s = time.monotonic()
        self._current: DecoderProcess | None = None
        self._spare: DecoderProcess | None = None
        self._due_s = 0.0
        self.found = False  # whether one of them has found its stream
        self.recording: str | None = None  # name of the file that is recorded into
        self._spare_due_s = self._began_s + _SPARE_AFTER_S
        self._turn: dict[str, Any] = {"restarts": 0, "reason": "", "terminal": _at_a_terminal()}

    def poll(self) -> int | None:
        """Start it if that is due; its exit code once it has ended as it was asked to.

        That is 0, or 2 at its first start: a user's mistake.
        """
        now = time.monotonic()
        if self._current is None:
            if now >= self._due_s:
                self._begin(now)
        elif (code := self._current.ended) is None:
            if self._current.hangs():
                self._say("the decoder hangs, and is ended")
                self._current.kill()
            self.found |= self._current.found
            self._see_to_spare(now)
        elif code == 0 or (code == _USERS_MISTAKE and not self._turn["restarts"]):
            return code
        else:
            self._take_leave(code, now)
        return None

    def _begin(self, now: float) -> None:
        spare, self._spare = self._spare, None
        try:
            self._current = spare or DecoderProcess(self._arguments)
        except OSError as error:
            self._due_s = now + self._backoff.wait_s(0.0)
            self._say(f"the decoder cannot be started: {error.strerror}; tried again")
            return
        self._spare_due_s = now + _SPARE_AFTER_S
        elapsed_s = now - self._began_s
        self._current.begin(**self._turn, recording=self.recording, elapsed_s=elapsed_s)

    def _take_leave(self, code: int, now: float) -> None:
        """Of a decoder that crashed."""
        ended, self._current = self._current, None
        wait_s = self._backoff.wait_s(ended.seconds if ended else 0.0)
        self._due_s = now + wait_s
        restarts, reason = self._turn["restarts"] + 1, end_in_words(code)
        self._turn |= {"restarts": restarts, "reason": reason}
        often = f" {self._backoff.n_short} times in a row" if wait_s else ""
        when = f"in {wait_s:g} s" if wait_s else "now"
        self._say(
            f"the decoder has crashed{often} ({reason}); it is started again {when}, "
            f"restart {restarts}"
        )

    def _see_to_spare(self, now: float) -> None:
        if self._spare is not None and self._spare.ended is not None:
            self._spare = None
        if self._spare is None and now >= self._spare_due_s:
            self._spare_due_s = now + 30.0
            try:
                self._spare = DecoderProcess(self._arguments, spare=True)
            except OSError:
                return  # without one, the next start takes longer

    def pass_on(self, event: str, fields: Mapping[str, object]) -> None:
        """Let the status stream hold an event of the recorder."""
        if self._current is not None:
            self._current.write({"event": event, **fields})

    def end(self) -> None:
        """End the spare, then the decoder, within 5 s."""
        if self._spare is not None:
            self._spare.kill()
        if self._current is not None:
            self._current.end()


def supervise(
    arguments: Sequence[str], record: tuple[Path, Sequence[str]] | None, state: Path
) -> None:
    """Go on as the supervisor of ``rtbrain ARGUMENTS``, and of a recorder with its file and flags.

    `state` is the file of the decoder's state, removed at an end in order. It ends this process:
    with the decoder's exit code, or with 0 when it is asked to end.
    """
    out, flags = (None, []) if record is None else (str(record[0]), list(record[1]))
    plan = json.dumps(
        {"arguments": list(arguments), "out": out, "flags": flags, "state": str(state)}
    )
    if os.name == "posix":
        become(__name__, plan)
    sys.exit(run(plan))


def run(plan: str) -> int:
    """Supervise until the decoder has ended as asked, or a signal comes; the exit code."""
    stopping, chosen = stop_on_signals(), json.loads(plan)
    decoder = KeptDecoder(chosen["arguments"], _say)
    recorder = None

    def report_recorder(event: str, **fields: object) -> None:
        report(event, **fields)
        if event == "record_started":
            decoder.recording = str(fields["file"])
        if event in ("record_started", "record_failed"):
            decoder.pass_on(event, fields)

    if chosen["out"] is not None:
        recorder = KeptRecorder(Path(chosen["out"]), chosen["flags"], report_recorder)
        decoder.recording = recorder.path.name
    code = None
    with _terminal_restored():
        try:
            while code is None and not stopping():
                code = decoder.poll()
                if recorder is not None and decoder.found:
                    recorder.poll()
                time.sleep(_LOOK_EVERY_S)
        finally:
            # In this order, the recorder records what the decoder still sends.
            decoder.end()
            if recorder is not None:
                recorder.end()
    # Also where the decoder was down just then.
    state = Path(chosen["state"])
    for path in (state, state.with_suffix(".thresholds")):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return code or 0


def _at_a_terminal() -> bool:
    return os.name == "posix" and bool(sys.stdin) and sys.stdin.isatty()


@contextlib.contextmanager
def _terminal_restored() -> Iterator[None]:
    """At the end, leave the terminal as a decoder that was killed could not."""
    if not _at_a_terminal():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        _say(_SHOW_CURSOR)


def report(event: str, **fields: object) -> None:
    """Say an event in words."""
    _say(sentence(event, fields))


def _say(text: str) -> None:
    try:
        # Over the live line of a decoder.
        print(f"{_ERASE_LINE * sys.stderr.isatty()}{text}", file=sys.stderr, flush=True)
    except OSError:
        return  # whether anyone reads it does not concern the session


if __name__ == "__main__":
    end_with_parent()
    sys.exit(run(sys.argv[1]))
