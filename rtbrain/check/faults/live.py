"""A live session under faults: a sender whose every sample is known, a decoder, and ears.

The sender lives in the process of the matrix, so that what it sent is known to the sample; the
decoder is `rtbrain decode` in a process of its own.
"""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from rtbrain.check.faults.matrix import Rig
from rtbrain.decoder import read_bundle
from rtbrain.errors import StreamError, StreamLostError
from rtbrain.outlet import SignalOutlet
from rtbrain.processes import last_line, running_command
from rtbrain.stream.lsl.decodes import DecodeListener, ReceivedDecode, StatusEvent
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Floats, Montage

SIGNAL_S = 120.0


_PUSH_S = 0.02


_POLL_S = 0.02


_START_S = 60.0


class LiveSender:
    """The patient's signal over LSL, in as many runs as asked for, on one time base."""

    def __init__(self, rig: Rig, name: str, true_hz: float | None = None) -> None:
        self.name = name
        self._montage = rig.montage
        self._true_hz = true_hz
        self._signal = rig.signal(SIGNAL_S)
        self.start_s = lsl_clock()
        self.last_stamp = float("nan")
        self._silent = threading.Event()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, montage: Montage | None = None, *, source_id: str | None = None) -> None:
        """Announce the stream with these channels, the patient's by default, and send."""
        montage = montage or self._montage
        outlet = SignalOutlet(
            self.name, montage, source_id=source_id or self.name, origin="synthetic"
        )
        self._done.clear()
        self._silent.clear()
        self._thread = threading.Thread(target=self._send, args=(outlet, montage), daemon=True)
        self._thread.start()

    def end(self) -> float:
        """End the stream; the LSL time at which that began, s."""
        at = lsl_clock()
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None
        return at

    def set_silent(self, silent: bool) -> None:
        """Keep the stream but send nothing, as when the amplifier hangs; or send again."""
        if silent:
            self._silent.set()
        else:
            self._silent.clear()

    def _send(self, outlet: Any, montage: Montage) -> None:
        sfreq_hz = self._true_hz or montage.sfreq_hz

        def due() -> int:
            return int((lsl_clock() - self.start_s) * sfreq_hz)

        sent = due()
        while not self._done.wait(_PUSH_S):
            numbers = np.arange(sent, due())
            sent += numbers.size
            if numbers.size and not self._silent.is_set():
                stamps = self.start_s + numbers / sfreq_hz
                outlet.push(Chunk(self.samples(montage, numbers), stamps))
                self.last_stamp = float(stamps[-1])
        outlet.close()

    def samples(self, montage: Montage, numbers: np.ndarray[Any, Any]) -> Floats:
        """Signal of these labels; a label that is not the patient's gets a sine of its own."""
        numbers = numbers % self._signal.shape[1]
        sine = (50 * np.sin(numbers / 7)).astype(np.float32)
        rows = [
            self._signal[self._montage.names.index(name), numbers]
            if name in self._montage.names
            else sine
            for name in montage.names
        ]
        return np.stack(rows)


class StatusListener:
    """Keeps every decode and status event of a decoder or recorder."""

    def __init__(self, name: str) -> None:
        self.decodes: list[ReceivedDecode] = []
        self.events: list[StatusEvent] = []
        self._listener = DecodeListener(name)

    @property
    def has_status_inlet(self) -> bool:
        """Whether the status stream was found; events before that were missed."""
        return self._listener.hears_status

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Listen until a condition holds; False if it did not in time."""
        end = time.monotonic() + timeout_s
        while True:
            self._listen()
            if condition():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)

    def during(self, duration_s: float) -> None:
        """Listen for a while."""
        self.until(lambda: False, duration_s)

    def event(self, name: str, after_s: float = 0.0) -> StatusEvent | None:
        """First event of that name after a time."""
        return next((one for one in self.events if one.event == name and one.t > after_s), None)

    def valid_after(self, at_s: float) -> list[ReceivedDecode]:
        """Valid decodes of windows that end after a time."""
        return [one for one in self.decodes if one.valid and one.t_stop > at_s]

    def _listen(self) -> None:
        self._listener.look()
        self.events += self._listener.pull_events()
        with contextlib.suppress(StreamLostError):
            self.decodes += self._listener.pull()


@dataclass(frozen=True, slots=True)
class FaultSession:
    """A session that decodes."""

    sender: LiveSender
    ears: StatusListener
    process: subprocess.Popen[bytes]
    window_s: float
    hop_s: float


def new_stream_name() -> str:
    """Name that no other stream has."""
    return f"rtbrain-fault-{uuid4().hex[:8]}"


def decode_command(rig: Rig, name: str, kind: str = "linear") -> tuple[list[str], Path]:
    """Arguments of `rtbrain decode` for a stream, and where its words go."""
    settings = rig.folder / f"{name}.yaml"
    settings.write_text(
        f"stream: {{name: {name}, timeout_s: {_START_S}}}\noutlet: {{name: {name}}}\n",
        encoding="utf-8",
    )
    arguments = ["decode", "--bundle", str(rig.bundle(kind)), "--config", str(settings)]
    return arguments, rig.folder / f"{name}.log"


@contextmanager
def fault_session(
    rig: Rig, kind: str = "linear", true_hz: float | None = None
) -> Iterator[FaultSession]:
    """Sender, decoder and listener, from the first valid decodes on."""
    window = read_bundle(rig.bundle(kind)).recipe.window
    name = new_stream_name()
    sender, ears = LiveSender(rig, name, true_hz), StatusListener(name)
    sender.begin()
    arguments, log = decode_command(rig, name, kind)
    try:
        with running_command(arguments, log) as process:
            if not ears.until(lambda: len(ears.valid_after(0.0)) > 3, _START_S):
                raise StreamError(f"no valid decode within {_START_S:g} s: {last_line(log)}")
            yield FaultSession(
                sender, ears, process, window.length_s, window.hop_s or window.length_s
            )
    finally:
        sender.end()
