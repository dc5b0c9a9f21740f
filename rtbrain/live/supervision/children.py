"""The decoder and the recorder as child processes: started, asked to end, listened to.

Nothing here loads the libraries of either.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rtbrain.live.screen import sentence
from rtbrain.processes import start_command

_POLL_EVERY_S = 0.5
_RECORDER_END_S = 2.0
_DECODER_END_S = 5.0
_POLL_S = 0.02
_HANGS_S = 10.0
# Signs that a decoder gives: it has found its stream, and later that it decodes on.
FOUND, ALIVE = b"f", b"a"
_ENDS = (".xdf", ".json")
# Events of the recorder that concern whoever decodes.
_ALARMS = {
    "disk_low",
    "disk_full",
    "disk_slow",
    "write_error",
    "write_resumed",
    "split_failed",
    "stream_lost",
    "stream_refused",
    "stream_unreachable",
    "amplitude",
    "expected_missing",
    "expected_recorded",
    "stopped",
}


class RecorderProcess:
    """`rtbrain record` as a child process; the parent goes on whatever happens to it.

    It is in a session of its own, so that Ctrl-C ends the decoder first and the recorder records
    what that still sends; and it ends by itself when its parent is gone.
    """

    def __init__(self, out: Path, flags: Sequence[str], report: Callable[..., None]) -> None:
        self._report = report
        # A file, not a pipe: a parent that hangs must not hold up what the recorder writes. It is
        # closed by end().
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._read = 0
        self._rest = b""
        self._poll_at = 0.0
        self._ending = False
        self.ended: int | None = None  # code that it ended with
        self._process = start_command(
            ["record", str(out), *flags, "--parent", str(os.getpid())],
            stdout=subprocess.DEVNULL,
            stderr=self._output,
            own_session=True,
        )
        report("record_started", file=out.name)

    def poll(self) -> None:
        """Pass on its alarms, and report once that it has ended; returns at once."""
        now = time.monotonic()
        if now < self._poll_at:
            return
        self._poll_at = now + _POLL_EVERY_S
        code = self._process.poll()
        self._pass_on()
        if code is not None and self.ended is None:
            self.ended = code
            self._report("record_failed", code=code)

    def end(self) -> None:
        """Ask it to end, and wait for that up to 2 s; it never ends the decoder."""
        self._ending = True
        self._process.terminate()
        _wait(self._process, _RECORDER_END_S)
        self._pass_on()
        if self._process.poll() is None:
            # It ends by itself, for its parent is gone soon: killed, it would lose its footers.
            self._report("recorder", said="still writing; it ends when the disk lets it")
        self._output.close()

    def _pass_on(self) -> None:
        # The child moves the position of the file.
        new = os.pread(self._output.fileno(), 1 << 20, self._read)
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._pass_on_line(line.decode("utf-8", "replace"))

    def _pass_on_line(self, line: str) -> None:
        """Report an alarm; what is no event is an error message, as of any command."""
        if line.startswith("rtbrain: "):
            self._report("recorder", said=line.removeprefix("rtbrain: "))
            return
        with contextlib.suppress(ValueError, AttributeError):
            fields = json.loads(line)
            event = fields.pop("event", "")
            # At the end our own streams are gone, which is no alarm.
            if event in _ALARMS and not (self._ending and event == "stream_lost"):
                self._report("recorder", said=sentence(event, fields))


class DecoderProcess:
    """`rtbrain decode --supervised` as a child: it loads its libraries, and waits for its turn."""

    def __init__(self, arguments: Sequence[str], *, spare: bool = False) -> None:
        self._began_s = time.monotonic()
        self._process = start_command(
            [*arguments, "--supervised", *(["--spare"] if spare else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
        )
        self.found = os.name != "posix"  # where a pipe cannot be read without waiting
        self._decodes = False
        self._looked_s = self._alive_s = self._began_s
        if not self.found and (signs := self._process.stdout) is not None:
            os.set_blocking(signs.fileno(), False)

    def hangs(self) -> bool:
        """Whether it decoded, and gave no sign for 10 s; to be asked several times a second."""
        now, said = time.monotonic(), b""
        if os.name == "posix" and (signs := self._process.stdout) is not None:
            with contextlib.suppress(BlockingIOError):
                said = os.read(signs.fileno(), 4096)
        self.found |= FOUND in said
        self._decodes |= ALIVE in said
        # Where this process itself was stopped for a while, so was the decoder.
        if said or now - self._looked_s > 1.0:
            self._alive_s = now
        self._looked_s = now
        return self._decodes and now - self._alive_s > _HANGS_S

    def begin(self, **turn: object) -> None:
        """Let it decode."""
        self._began_s = time.monotonic()
        self.write(turn)

    def write(self, words: Mapping[str, object]) -> None:
        """Pass on its turn, or an event."""
        if (pipe := self._process.stdin) is not None:
            with contextlib.suppress(OSError):  # it has ended, which is seen later
                pipe.write(json.dumps(words).encode() + b"\n")
                pipe.flush()

    @property
    def ended(self) -> int | None:
        """Code that it ended with, if it has."""
        return self._process.poll()

    @property
    def seconds(self) -> float:
        """Since it began, s."""
        return time.monotonic() - self._began_s

    def end(self) -> None:
        """Ask it to end, and see to that within 5 s."""
        self._process.terminate()
        _wait(self._process, _DECODER_END_S)
        self.kill()

    def kill(self) -> None:
        """End it at once; safe to call twice."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def end_in_words(code: int) -> str:
    """How a process ended, from its return code."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def free_recording(out: Path) -> Path:
    """OUT.xdf, or OUT-2.xdf, OUT-3.xdf and so on: the first that would overwrite nothing.

    Nor one of the files OUT_001.xdf and so on that it may be split into.
    """
    number, path = 1, out
    while path.exists() or path.with_suffix(".json").exists() or _was_split(path):
        number += 1
        path = out.with_stem(f"{out.stem}-{number}")
    return path


def _was_split(path: Path) -> bool:
    return any(path.with_stem(f"{path.stem}_001").with_suffix(end).exists() for end in _ENDS)


def _wait(process: subprocess.Popen[bytes], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(_POLL_S)
