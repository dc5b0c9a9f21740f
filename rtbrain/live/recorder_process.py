"""The recorder that a decoder starts: a process of its own, so that neither ends the other."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtbrain.config import DecodeSettings
from rtbrain.live.screen import sentence
from rtbrain.processes import start_command
from rtbrain.stream.lsl.decodes import parse_status_line
from rtbrain.stream_names import recorder_name

_POLL_EVERY_S = 0.5
_END_S = 2.0
_POLL_S = 0.02
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

    def __init__(self, out: Path, flags: list[str], report: Callable[..., None]) -> None:
        self._report = report
        # A file, not a pipe: a decoder that hangs must not hold up what the recorder writes. It is
        # closed by end().
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._read = 0
        self._rest = b""
        self._poll_at = 0.0
        self._end_reported = False
        self._ending = False
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
        self._pass_on()
        code = self._process.poll()
        if code is not None and not self._end_reported:
            self._end_reported = True
            self._report("record_failed", code=code)

    def end(self) -> None:
        """Ask it to end, and wait for that up to 2 s; it never ends the decoder."""
        self._ending = True
        self._process.terminate()
        deadline = time.monotonic() + _END_S
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL_S)
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
        event = parse_status_line(0.0, line)
        # At the end our own streams are gone, which is no alarm.
        if event.event in _ALARMS and not (self._ending and event.event == "stream_lost"):
            self._report("recorder", said=sentence(event.event, event.fields))
        elif line.startswith("rtbrain: "):
            self._report("recorder", said=line.removeprefix("rtbrain: "))


@contextmanager
def recorder_process(
    out: Path | None,
    settings: DecodeSettings,
    about: dict[str, str],
    report: Callable[..., None],
) -> Iterator[Callable[[], None]]:
    """Record a live session while the block runs."""
    if out is None:
        yield lambda: None
        return
    if settings.stream.fieldtrip or settings.stream.mne_client:
        report("recorder", said="the signal is no LSL stream: only decodes and status are recorded")
    child = RecorderProcess(out, record_flags(settings, about), report)
    try:
        yield child.poll
    finally:
        child.end()


def record_flags(settings: DecodeSettings, about: dict[str, str]) -> list[str]:
    """Flags of `rtbrain record` for a live session."""
    name, stream = settings.outlet.name, settings.stream
    flags = ["--name", recorder_name(name), "--decodes", name]
    if stream.name is not None:
        flags += ["--stream", stream.name]
    elif stream.source_id is not None:
        flags += ["--source-id", stream.source_id]
    elif stream.type is not None:
        flags += ["--type", stream.type]
    # Where no stream of markers is named, whichever there are: a session is scored against them.
    flags += ["--markers", stream.markers] if stream.markers else ["--type", "Markers"]
    for key, text in about.items():
        flags += ["--note", f"{key}={text}"]
    paths: dict[str, Any] = {"bundle": True, "outputs": {"log"}}  # a file that is shared holds none
    plain = settings.model_dump(mode="json", exclude=paths, exclude_none=True)
    return [*flags, "--note", f"settings={json.dumps(plain)}"]
