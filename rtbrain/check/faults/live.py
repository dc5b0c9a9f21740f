"""The world over LSL: a sender whose every sample is known, and `rtbrain decode` as a process.

The sender lives in the process of the matrix, so that what it sent is known to the sample.
"""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import numpy as np

from rtbrain.check.faults.rig import SIGNAL_S, Rig, StatusListener, World, patient_samples
from rtbrain.errors import StreamError, StreamLostError
from rtbrain.outlet import SignalOutlet
from rtbrain.processes import last_line, resident_kib, running_command, start_child
from rtbrain.stream.lsl.decodes import DecodeListener
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Floats, Ints, Montage

_PUSH_S = 0.02
_POLL_S = 0.02
START_S = 120.0  # longest from a process's start to what it is started for


class LslSender:
    """Streams over LSL of one name: a `Sender`.

    ``samples(montage, numbers)`` makes what is sent, float32 [n_channels, n_samples], µV.
    """

    def __init__(
        self,
        name: str,
        montage: Montage,
        samples: Callable[[Montage, Ints], Floats],
        true_hz: float | None = None,
    ) -> None:
        self.start_s = lsl_clock()
        self.last_stamp = float("nan")
        self.n_left_out = 0  # samples that were due while it hung
        self._name = name
        self._montage = montage
        self._samples = samples
        self._true_hz = true_hz
        self._hanging = threading.Event()
        self._done = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, montage: Montage | None = None, *, source_id: str | None = None) -> None:
        """Announce a stream and send; or send again after `hang`."""
        if self._hanging.is_set():
            self._hanging.clear()
            return
        montage, source_id = montage or self._montage, source_id or self._name
        outlet = SignalOutlet(self._name, montage, source_id=source_id, origin="synthetic")
        thread = threading.Thread(target=self._send, args=(outlet, montage), daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> float:
        """End all streams."""
        now_s = lsl_clock()
        self._done.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._done.clear()
        self._hanging.clear()
        return now_s

    def hang(self) -> float:
        """As when the amplifier hangs: the stream is there, but sends nothing."""
        now_s = lsl_clock()
        self._hanging.set()
        return now_s

    def _send(self, outlet: SignalOutlet, montage: Montage) -> None:
        sfreq_hz = self._true_hz or montage.sfreq_hz

        def due() -> int:
            return int((lsl_clock() - self.start_s) * sfreq_hz)

        sent = due()
        while not self._done.wait(_PUSH_S):
            numbers = np.arange(sent, due())
            sent += numbers.size
            if self._hanging.is_set():
                self.n_left_out += numbers.size
            elif numbers.size:
                stamps = self.start_s + numbers / sfreq_hz
                outlet.push(Chunk(self._samples(montage, numbers), stamps))
                self.last_stamp = float(stamps[-1])
        outlet.close()


def patient_sender(rig: Rig, name: str, true_hz: float | None = None) -> LslSender:
    """Sender of the patient's signal, which is made before its time begins."""
    rig.signal(SIGNAL_S)
    return LslSender(name, rig.montage, partial(patient_samples, rig), true_hz)


@contextmanager
def sending(sender: LslSender) -> Iterator[LslSender]:
    """Let a sender send until the block ends."""
    sender.begin()
    try:
        yield sender
    finally:
        sender.end()


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until a condition holds; False if it did not in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def listen_to(name: str) -> tuple[StatusListener, DecodeListener]:
    """Listener to a decoder or recorder, and the inlets that it reads."""
    inlets = DecodeListener(name)

    def run(stop: Callable[[], bool]) -> None:
        while True:
            inlets.look()
            listener.events += inlets.pull_events()
            with contextlib.suppress(StreamLostError):
                listener.decodes += inlets.pull()
            if stop():
                return
            time.sleep(_POLL_S)

    listener = StatusListener(lsl_clock, run)
    return listener, inlets


def new_stream_name() -> str:
    """Name that no other stream has."""
    return f"rtbrain-fault-{uuid4().hex[:8]}"


def decode_command(rig: Rig, name: str, kind: str = "linear") -> tuple[list[str], Path]:
    """Arguments of `rtbrain decode` for a stream, and the file of its messages."""
    arguments = ["decode", "--bundle", str(rig.bundle(kind)), "--stream", name, "--name", name]
    return [*arguments, "--set", f"stream.timeout_s={START_S}"], rig.folder / f"{name}.log"


@contextmanager
def lsl_world(
    rig: Rig,
    kind: str = "linear",
    *,
    source_ids: Sequence[str] = (),
    true_hz: float | None = None,
    accept_other_source: bool = False,
) -> Iterator[World]:
    """World of a decoder from its first valid decodes on."""
    name = new_stream_name()
    sender, (listener, _) = patient_sender(rig, name, true_hz), listen_to(name)
    for source_id in source_ids or (name,):
        sender.begin(source_id=source_id)
    arguments, log = decode_command(rig, name, kind)
    if accept_other_source:
        arguments += ["--set", "stream.accept_other_source=true"]
    try:
        with running_command(arguments, log) as process:

            def stall(duration_s: float) -> None:
                process.send_signal(signal.SIGSTOP)
                listener.during(duration_s)
                process.send_signal(signal.SIGCONT)

            listener.until(
                lambda: len(listener.valid_after(0.0)) > 3 or process.poll() is not None, START_S
            )
            if process.poll() == 2:
                raise StreamError(last_line(log))
            if not listener.valid_after(0.0):
                code = process.poll()
                raise RuntimeError(f"no valid decode, exit code {code}: {last_line(log)}")
            yield World(
                kind,
                sender,
                listener,
                *rig.decoder(kind).waits_s,
                stall,
                lambda: resident_kib(process.pid),
                lambda: 0,
                slack=1,
                tolerance=1e-4,
                delivery_s=0.5,
            )
    finally:
        sender.end()


@contextmanager
def running_script(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process of its own until the block ends, from its first line on."""
    process = start_child(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdout is not None:
            process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()
