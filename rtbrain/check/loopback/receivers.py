"""Receivers of triggers in this process, and what they received in figures."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pylsl
from rich.console import Console

from rtbrain.errors import OutputError, StreamLostError
from rtbrain.extras import load_extra
from rtbrain.files import parse_json, strict_json, write_atomically
from rtbrain.stream.lsl.inlet import pull_texts
from rtbrain.terminal import table

Drives = Literal["device", "byte"]
SLICE_S = 0.1
PULSE_S = 0.002
_WAIT_S, _TWICE_S = 2.0, 0.1


class LoopbackPath(StrEnum):
    """Outputs that can be tried."""

    LSL = "lsl"
    OSC = "osc"
    UDP = "udp"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class LoopbackRow:
    """What came back of the triggers at one output; latencies in ms."""

    path: str
    sent: int
    received: int
    dropped: int  # by rtbrain, as late
    lost: int
    doubled: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Receiver:
    """Notes when each trigger came back, by its number or when it was decided."""

    def __init__(self) -> None:
        self.received: list[tuple[float, float]] = []
        self.n_dropped = 0

    def __call__(self, key: float) -> None:
        """Note a trigger, which has come just now."""
        self.received.append((key, float(pylsl.local_clock())))

    def wait_for(self, n_triggers: int) -> None:
        """Wait until so many came or were dropped, 2 s at most, and for one that comes twice."""
        end = time.monotonic() + _WAIT_S
        while len(self.received) + self.n_dropped < n_triggers and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(_TWICE_S)

    def row(self, path: str, since: Mapping[float, float]) -> LoopbackRow:
        """Figures of an output; `since` is, by trigger, the LSL time that latencies count from."""
        first = dict(reversed(self.received))
        known = first.keys() & since.keys()
        late_ms = [1e3 * (first[key] - since[key]) for key in known] or [np.nan]
        p50, p99, most = np.percentile(late_ms, (50, 99, 100)).tolist()
        n_received = len(self.received)
        lost, doubled = len(since) - len(known) - self.n_dropped, n_received - len(known)
        counts = (len(since), n_received, self.n_dropped, lost, doubled)
        return LoopbackRow(path, *counts, p50, p99, most)


def report(
    rows: Sequence[LoopbackRow],
    title: str,
    about: Mapping[str, object],
    out: Path | None,
    console: Console,
) -> None:
    """Print the rows as a table, and write them to `out` after what `about` says of the run."""
    if not rows:
        return
    shown = table(
        title,
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
        write_atomically(out, strict_json({**about, "rows": [asdict(row) for row in rows]}))


def named(path: str, port: str | None, drives: Drives) -> str:
    """Name of an output in the table."""
    return path if path != "serial" else f"serial, {drives} at {port or 'a simulated port'}"


@contextmanager
def receiving(
    read: Callable[[], Iterable[float]], receiver: Callable[[float], None]
) -> Iterator[None]:
    """Receive in a thread of its own while the block runs; `read` returns within 0.1 s or so."""
    ended = threading.Event()

    def listen() -> None:
        # The port is gone, as whoever sends says, or the session that sent has ended.
        with suppress(OutputError, StreamLostError):
            while not ended.is_set():
                for key in read():
                    receiver(key)

    thread = threading.Thread(target=listen, name="rtbrain-loopback", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def lsl_field(inlet: Any, found: Any, key: str) -> Iterable[float]:
    """A field of each event that has come."""
    return [float(parse_json(text)[key]) for _, text in pull_texts(inlet, found, SLICE_S)]


@contextmanager
def datagrams(kind: LoopbackPath) -> Iterator[tuple[str, Callable[[], Iterable[float]]]]:
    """The address of a port of this machine, and how to read the numbers of what comes there."""
    numbered = _osc_number() if kind == LoopbackPath.OSC else _json_number
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(SLICE_S)

        def read() -> Iterable[float]:
            with suppress(TimeoutError):
                return [numbered(ours.recv(2**16))]
            return []

        yield f"127.0.0.1:{ours.getsockname()[1]}", read


def _json_number(data: bytes) -> int:
    return int(parse_json(data)["number"])


def _osc_number() -> Callable[[bytes], int]:
    message = load_extra("pythonosc.osc_message", "outputs", "outputs.osc").OscMessage
    return lambda data: int(message(data).params[2])
