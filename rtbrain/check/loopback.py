"""`rtbrain loopback`: from a decision through an output and back, and whether one is lost."""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pylsl
from rich.console import Console

from rtbrain.check.trigger_device import TriggerDevice
from rtbrain.config import OscSettings, SerialSettings, UdpSettings
from rtbrain.errors import OutputError, SettingsError
from rtbrain.extras import load_extra
from rtbrain.files import parse_json, require_writable_file, strict_json, write_atomically
from rtbrain.outlet import DetectionOutlet, Triggers
from rtbrain.outlet.datagrams import open_osc, open_udp
from rtbrain.outlet.serial_port import WireOutput, open_serial
from rtbrain.outlet.trigger_log import TriggerRow
from rtbrain.outlet.trigger_worker import TriggerOutput
from rtbrain.stage import Sink
from rtbrain.stream.lsl.inlet import make_inlet, open_inlet, pull_texts
from rtbrain.stream.lsl.resolve import resolve_one
from rtbrain.terminal import table
from rtbrain.types import Detection, Quality

Drives = Literal["device", "byte"]
_WAIT_S, _FIND_S, _SLICE_S = 2.0, 10.0, 0.1
_PULSE_S = 0.002
_LABEL = "loopback"
OnNumber = Callable[[int], None]


class LoopbackPath(StrEnum):
    """Outputs that can be tried."""

    LSL = "lsl"
    OSC = "osc"
    UDP = "udp"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class LoopbackRow:
    """What came back of the triggers at one output; latencies in ms, from the decision on."""

    path: str
    sent: int
    received: int
    dropped: int  # by rtbrain, as late
    lost: int
    doubled: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class _Receiver:
    """Notes when each trigger came back."""

    def __init__(self) -> None:
        self.received: list[tuple[int, float]] = []
        self.n_dropped = 0

    def __call__(self, number: int) -> None:
        self.received.append((number, float(pylsl.local_clock())))

    def row(self, path: str, t_sent: list[float]) -> LoopbackRow:
        numbers = [number for number, _ in self.received]
        known = set(numbers) & set(range(1, len(t_sent) + 1))
        first = dict(reversed(self.received))
        late_ms = [1e3 * (first[number] - t_sent[number - 1]) for number in known] or [np.nan]
        p50, p99, most = np.percentile(late_ms, (50, 99, 100)).tolist()
        lost, doubled = len(t_sent) - len(known) - self.n_dropped, len(numbers) - len(known)
        counts = (len(t_sent), len(numbers), self.n_dropped, lost, doubled)
        return LoopbackRow(path, *counts, p50, p99, most)


def run_loopback(
    paths: Sequence[LoopbackPath] = tuple(LoopbackPath),
    *,
    n_triggers: int = 200,
    rate_hz: float = 20.0,
    port: str | None = None,
    drives: Drives = "device",
    out: Path | None = None,
    console: Console | None = None,
) -> tuple[LoopbackRow, ...]:
    """Send triggers through each output to a receiver in this process, and print a table.

    Without `port`, the serial device is the simulated one; with it, a device as in
    docs/outputs.md, or for ``byte`` a port whose output is wired to its input.

    Raises
    ------
    RtbrainError
        An output or its receiver cannot be opened, `out` cannot be written, or ``byte`` has no
        port.
    """
    if drives == "byte" and port is None:
        raise SettingsError(
            "--drives byte without --port: the simulated port has a device: name the port whose TX "
            "is wired to its RX"
        )
    if out is not None:
        require_writable_file(out, "--json")
    rows: list[LoopbackRow] = []
    try:
        for path in paths:
            receiver = _Receiver()
            with _opened(path, port, drives, receiver) as sink:
                t_sent = _play(sink, receiver, n_triggers, rate_hz)
                rows.append(receiver.row(_named(path, port, drives), t_sent))
    finally:  # also what was measured before an output failed
        _report(rows, n_triggers, rate_hz, out, console or Console())
    return tuple(rows)


def _report(
    rows: Sequence[LoopbackRow], n_triggers: int, rate_hz: float, out: Path | None, console: Console
) -> None:
    if not rows:
        return
    shown = table(
        f"{n_triggers} triggers, {rate_hz:g} a second: ms from the decision to the receiver",
        ("output", "received", "dropped", "lost", "doubled", "p50", "p99", "max"),
        [
            (
                row.path,
                *(str(n) for n in (row.received, row.dropped, row.lost, row.doubled)),
                *(f"{ms:.2f}" for ms in (row.p50_ms, row.p99_ms, row.max_ms)),
            )
            for row in rows
        ],
    )
    console.print(shown)
    if out is not None:
        about = {"triggers": n_triggers, "rate_hz": rate_hz, "rows": [asdict(row) for row in rows]}
        write_atomically(out, strict_json(about))


def _named(path: str, port: str | None, drives: str) -> str:
    return path if path != "serial" else f"serial, {drives} at {port or 'a simulated port'}"


def _play(
    sink: Sink[Detection], receiver: _Receiver, n_triggers: int, rate_hz: float
) -> list[float]:
    """Push detections at a steady rate: when each was decided."""
    t_sent: list[float] = []
    began = time.monotonic()
    for number in range(n_triggers):
        time.sleep(max(0.0, began + number / rate_hz - time.monotonic()))
        now = float(pylsl.local_clock())
        t_sent.append(now)
        sink.push(Detection(_LABEL, float(number + 1), now, now, now, 1.0, np.nan))
    end = time.monotonic() + _WAIT_S
    while len(receiver.received) + receiver.n_dropped < n_triggers and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)  # for one that comes twice
    return t_sent


@contextmanager
def _opened(
    path: LoopbackPath, port: str | None, drives: Drives, receiver: _Receiver
) -> Iterator[Sink[Detection]]:
    """What detections are pushed into, while `receiver` receives what comes back."""
    with ExitStack() as stack:
        if path == LoopbackPath.LSL:
            name = f"loopback-{uuid.uuid4().hex[:8]}"
            outlet = DetectionOutlet(name, source_id=name, bundle_id="")
            stack.callback(outlet.close)
            found = resolve_one({"source_id": name}, _FIND_S)
            inlet = make_inlet(found, 10)
            open_inlet(inlet, found, _FIND_S)
            stack.callback(inlet.close_stream)
            stack.enter_context(_receiving(partial(_lsl_numbers, inlet, found), receiver))
            yield outlet
            return
        log = _Log(receiver)
        output: TriggerOutput
        read: Callable[[], Iterable[int]] | None = None
        if path != LoopbackPath.SERIAL:
            ours = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            ours.bind(("127.0.0.1", 0))
            ours.settimeout(_SLICE_S)
            to = f"127.0.0.1:{ours.getsockname()[1]}"
            osc = path == LoopbackPath.OSC
            output = open_osc(OscSettings(to=to)) if osc else open_udp(UdpSettings(to=to))
            number_of = _osc_number() if osc else _json_number
            read = partial(_datagrams, ours, number_of)
        elif port is None:
            device = stack.enter_context(TriggerDevice())
            device.on_edge = lambda at, code: receiver(device.fired[-1]) if code else None
            output = open_serial(SerialSettings(port=device.port, pulse_s=_PULSE_S))
        else:
            output = open_serial(SerialSettings(port=port, drives=drives, pulse_s=_PULSE_S))
            if isinstance(output, WireOutput):
                read = partial(_bytes, output, count(1))
            else:
                log.receives = True
        gate = Triggers([output], log, lambda event, **fields: None)
        stack.callback(gate.close)
        if read is not None:
            stack.enter_context(_receiving(read, receiver))
        gate.observe(Quality(np.ones(1, np.bool_)))
        gate.arm("rtbrain loopback")
        yield _Lively(gate)


class _Lively:
    """The gate, with a sign of life before each detection, as of a session."""

    def __init__(self, gate: Triggers) -> None:
        self._gate = gate

    def push(self, item: Detection) -> None:
        self._gate.alive()
        self._gate.push(item)
        if not self._gate.armed:
            raise OutputError(f"the output failed: {self._gate.reason}")

    def close(self) -> None:
        self._gate.close()


class _Log:
    """Log that counts what was dropped, and `receives`, or not, what a device acknowledges."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver, self.receives = receiver, False

    def push(self, item: TriggerRow) -> None:
        self._receiver.n_dropped += bool(item.suppressed)
        if self.receives and item.acknowledged and item.number:
            self._receiver(item.number)

    def note(self, about: Mapping[str, object]) -> None:
        pass

    def move(self, path: Path) -> None:
        pass

    def close(self) -> None:
        pass


@contextmanager
def _receiving(read: Callable[[], Iterable[int]], receiver: OnNumber) -> Iterator[None]:
    """Receive numbers in a thread of its own while the block runs."""
    ended = threading.Event()

    def listen() -> None:
        with suppress(OutputError):  # the port is gone, as whoever sends says
            while not ended.is_set():
                for number in read():
                    receiver(number)

    thread = threading.Thread(target=listen, name="rtbrain-loopback", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _lsl_numbers(inlet: Any, found: Any) -> Iterable[int]:
    return [round(parse_json(text)["value"]) for _, text in pull_texts(inlet, found, _SLICE_S)]


def _bytes(output: WireOutput, counted: Iterator[int]) -> Iterable[int]:
    return [next(counted) for byte in output.port.read() if byte]


def _datagrams(ours: socket.socket, number_of: Callable[[bytes], int]) -> Iterable[int]:
    with suppress(TimeoutError):
        return [number_of(ours.recv(2**16))]
    return []


def _json_number(data: bytes) -> int:
    return int(parse_json(data)["number"])


def _osc_number() -> Callable[[bytes], int]:
    message = load_extra("pythonosc.osc_message", "outputs", "outputs.osc").OscMessage
    return lambda data: int(message(data).params[2])
