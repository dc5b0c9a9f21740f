"""`rtbrain loopback`: from a decision through an output and back, and whether one is lost."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pylsl
from rich.console import Console

from rtbrain.check.loopback.receivers import (
    PULSE_S,
    Drives,
    LoopbackPath,
    LoopbackRow,
    Receiver,
    datagrams,
    lsl_field,
    named,
    receiving,
    report,
)
from rtbrain.check.trigger_device import TriggerDevice
from rtbrain.config import OscSettings, SerialSettings, UdpSettings
from rtbrain.errors import OutputError, SettingsError
from rtbrain.files import require_writable_file
from rtbrain.outlet import DetectionOutlet, Triggers
from rtbrain.outlet.datagrams import open_osc, open_udp
from rtbrain.outlet.serial_port import WireOutput, open_serial
from rtbrain.outlet.trigger_log import TriggerRow
from rtbrain.outlet.trigger_worker import TriggerOutput
from rtbrain.stage import Sink
from rtbrain.stream.lsl.inlet import make_inlet, open_inlet
from rtbrain.stream.lsl.resolve import resolve_one
from rtbrain.types import Detection, Quality

_FIND_S = 10.0
_LABEL = "loopback"


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

    Latencies count from the decision. Without `port`, the serial device is the simulated one; with
    it, a device as in docs/outputs.md, or for ``byte`` a port whose output is wired to its input.

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
            receiver = Receiver()
            with _opened(path, port, drives, receiver) as sink:
                t_sent = _play(sink, receiver, n_triggers, rate_hz)
                numbered = {float(n): at for n, at in enumerate(t_sent, 1)}
                rows.append(receiver.row(named(path, port, drives), numbered))
    finally:  # also what was measured before an output failed
        title = f"{n_triggers} triggers, {rate_hz:g} a second: ms from the decision to the receiver"
        about = {"triggers": n_triggers, "rate_hz": rate_hz}
        report(rows, title, about, out, console or Console())
    return tuple(rows)


def _play(
    sink: Sink[Detection], receiver: Receiver, n_triggers: int, rate_hz: float
) -> list[float]:
    """Push detections at a steady rate: when each was decided."""
    t_sent: list[float] = []
    began = time.monotonic()
    for number in range(n_triggers):
        time.sleep(max(0.0, began + number / rate_hz - time.monotonic()))
        now = float(pylsl.local_clock())
        t_sent.append(now)
        sink.push(Detection(_LABEL, float(number + 1), now, now, now, 1.0, np.nan))
    receiver.wait_for(n_triggers)
    return t_sent


@contextmanager
def _opened(
    path: LoopbackPath, port: str | None, drives: Drives, receiver: Receiver
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
            stack.enter_context(receiving(partial(lsl_field, inlet, found, "value"), receiver))
            yield outlet
            return
        log = _Log(receiver)
        output: TriggerOutput
        read: Callable[[], Iterable[float]] | None = None
        if path != LoopbackPath.SERIAL:
            to, read = stack.enter_context(datagrams(path))
            osc = path == LoopbackPath.OSC
            output = open_osc(OscSettings(to=to)) if osc else open_udp(UdpSettings(to=to))
        elif port is None:
            device = stack.enter_context(TriggerDevice())
            device.on_edge = lambda at, code: receiver(device.fired[-1]) if code else None
            output = open_serial(SerialSettings(port=device.port, pulse_s=PULSE_S))
        else:
            output = open_serial(SerialSettings(port=port, drives=drives, pulse_s=PULSE_S))
            if isinstance(output, WireOutput):
                read = partial(_bytes, output, count(1))
            else:
                log.receives = True
        gate = Triggers([output], log, lambda event, **fields: None)
        stack.callback(gate.close)
        if read is not None:
            stack.enter_context(receiving(read, receiver))
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

    def __init__(self, receiver: Receiver) -> None:
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


def _bytes(output: WireOutput, counted: Iterator[int]) -> Iterable[float]:
    return [next(counted) for byte in output.port.read() if byte]
