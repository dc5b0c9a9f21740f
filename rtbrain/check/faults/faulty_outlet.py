"""A signal outlet that goes wrong as the user chose: `rtbrain simulate --fault`."""

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console

from rtbrain.check.faults.grammar import OUTLET_FAULT_KINDS, Fault
from rtbrain.check.faults.injection import FaultInjection
from rtbrain.errors import MontageError, SettingsError, StreamError
from rtbrain.outlet.lsl import MarkerOutlet, SignalOutlet
from rtbrain.recording.playing import drain_outlet, iterate_chunks, wait_for_listener
from rtbrain.recording.replay import play
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.supervised_markers import SupervisedMarkers
from rtbrain.stream_names import markers_name
from rtbrain.synthetic.follower import Follower
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Chunk, Montage

_RESOLVE_S, _PULL_S = 2.0, 0.1
_AWAY_S = 1.0  # that a stream is gone before it comes back changed


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """How the stream is from some second on."""

    start_s: float
    montage: Montage
    rows: tuple[int, ...]
    n_outlets: int


def outlet_plan(faults: Sequence[Fault], montage: Montage) -> tuple[Phase, ...]:
    """Phases of the stream, the first from second 0; faults of samples make none."""
    phases = [Phase(0.0, montage, tuple(range(montage.n_channels)), 1)]
    for start_s, fault in sorted(_moments(faults), key=lambda moment: moment[0]):
        last = phases[-1]
        if start_s < last.start_s:
            raise SettingsError(
                f"fault {fault.kind} at second {start_s:g}: the stream is "
                f"away until second {last.start_s:g}; let it begin later"
            )
        if fault.kind == "duplicate-source":
            n_outlets = 2 if start_s == fault.start_s else 1
            phases.append(replace(last, start_s=start_s, n_outlets=n_outlets))
            continue
        away_s = fault.amount if fault.kind == "vanish" else _AWAY_S
        phases.append(replace(last, start_s=start_s, n_outlets=0))
        changed, rows = _changed(fault, last)
        phases.append(Phase(start_s + away_s, changed, rows, last.n_outlets))
    return tuple(phases)


def _moments(faults: Sequence[Fault]) -> Iterator[tuple[float, Fault]]:
    for fault in faults:
        if fault.kind in OUTLET_FAULT_KINDS:
            yield fault.start_s, fault
            if np.isfinite(fault.stop_s):
                yield fault.stop_s, fault


def _changed(fault: Fault, last: Phase) -> tuple[Montage, tuple[int, ...]]:
    montage, names = last.montage, last.montage.names
    if fault.kind == "rate":
        return replace(montage, sfreq_hz=fault.amount), last.rows
    if fault.kind == "rename":
        (row,) = montage.rows(fault.channels)
        renamed = (*names[:row], fault.new_name, *names[row + 1 :])
        return replace(montage, names=renamed), last.rows
    if fault.kind == "add":
        return _with_zeros(montage, fault.new_name), (-1, *last.rows)
    kept = names
    if fault.kind == "permute":
        kept = names[::-1]
    if fault.kind == "remove":
        gone = {names[row] for row in montage.rows(fault.channels)}
        kept = tuple(name for name in names if name not in gone)
    if not kept:
        raise MontageError("fault remove: it leaves no channel; name fewer")
    return montage.pick(kept), tuple(last.rows[row] for row in montage.rows(kept))


def _with_zeros(montage: Montage, name: str) -> Montage:
    positions = montage.positions
    if positions is not None:
        unknown = np.full((1, 3), np.nan, np.float32)
        positions = np.concatenate([unknown, positions])
    kinds = (montage.kinds[0], *montage.kinds)
    return replace(montage, names=(name, *montage.names), kinds=kinds, positions=positions)


class PhaseOutput:
    """Makes a phase's chunks from the signal's: its channels and its rate.

    At another rate each sample takes the value of the newest one of the signal, without a
    filter: held where the rate is higher, skipped where it is lower.
    """

    def __init__(self, phase: Phase, *, sfreq_hz: float, pace_hz: float) -> None:
        self._rows = np.asarray(phase.rows)
        self._ratio = phase.montage.sfreq_hz / sfreq_hz
        self._pace_hz = pace_hz
        self._n_seen = 0

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk as it is sent; its numbers mean nothing."""
        data = np.where((self._rows < 0)[:, None], np.float32(0), chunk.data[self._rows])
        stamps = chunk.timestamps
        if self._ratio != 1:
            first, self._n_seen = self._n_seen, self._n_seen + chunk.n_samples
            wanted = np.arange(np.ceil(first * self._ratio), np.ceil(self._n_seen * self._ratio))
            places = wanted / self._ratio - first
            # Places are never before the chunk but by rounding.
            held = np.clip(np.floor(places + 1e-9).astype(int), 0, max(chunk.n_samples - 1, 0))
            data = data[:, held]
            stamps = stamps[held] + (places - held) / self._pace_hz
        return Chunk(np.ascontiguousarray(data), stamps)


class FaultyOutlet:
    """Sends a signal with faults over LSL; no fault changes the name or the source_id.

    Faults go by the signal's own time; at a `speed` above 1 the announced rates are that much
    higher. MontageError if a fault names a channel that does not exist, SettingsError if faults of
    the stream overlap.
    """

    def __init__(
        self,
        name: str,
        montage: Montage,
        faults: Sequence[Fault],
        *,
        source_id: str,
        origin: str,
        speed: float,
        mains_hz: float,
    ) -> None:
        self._name, self._source_id, self._origin = name, source_id, origin
        self._speed = speed
        self._sfreq_hz = montage.sfreq_hz
        self._injection = FaultInjection(
            montage, faults, mains_hz=mains_hz, pace_hz=montage.sfreq_hz * speed
        )
        self._phase, *self._to_come = outlet_plan(faults, montage)
        self._outlets: list[SignalOutlet] = []
        self._enter()

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is connected."""
        return any(outlet.has_listeners for outlet in self._outlets)

    def wait_for_listeners(self, timeout_s: float) -> bool:
        """Wait until somebody is connected; False if nobody was in time."""
        return any(outlet.wait_for_listeners(timeout_s) for outlet in self._outlets)

    def push(self, chunk: Chunk) -> None:
        """Send a chunk, numbered from 0 since the start, or what the faults leave of it."""
        start = 0
        while start < chunk.n_samples:
            while self._next_begin() <= chunk.first_sample + start:
                self._next_phase()
            stop = min(chunk.n_samples, self._next_begin() - chunk.first_sample)
            piece = replace(
                chunk,
                data=chunk.data[:, start:stop],
                timestamps=chunk.timestamps[start:stop],
                first_sample=chunk.first_sample + start,
                gap=chunk.gap if start == 0 else 0,
            )
            self._send(self._injection(piece))
            start = stop

    def finish(self) -> None:
        """Send what was held back, at the end of the signal."""
        self._send(self._injection.flush())

    def close(self) -> None:
        """End the stream; safe to call twice."""
        for outlet in self._outlets:
            outlet.close()
        self._outlets = []

    def _next_begin(self) -> int:
        """First sample of the next phase."""
        return round(self._to_come[0].start_s * self._sfreq_hz) if self._to_come else sys.maxsize

    def _send(self, chunks: list[Chunk]) -> None:
        for chunk in chunks if self._outlets else ():
            sent = self._rebound(chunk)
            for outlet in self._outlets:
                outlet.push(sent)

    def _next_phase(self) -> None:
        last, self._phase = self._phase, self._to_come.pop(0)
        n_outlets = self._phase.n_outlets
        if n_outlets == 0 or self._phase.montage is not last.montage:
            self.close()
        for outlet in self._outlets[n_outlets:]:
            outlet.close()
        self._outlets = self._outlets[:n_outlets]
        self._enter()

    def _enter(self) -> None:
        montage = self._phase.montage
        if not self._outlets:
            self._rebound = PhaseOutput(
                self._phase, sfreq_hz=self._sfreq_hz, pace_hz=self._sfreq_hz * self._speed
            )
        announced = replace(montage, sfreq_hz=montage.sfreq_hz * self._speed)
        while len(self._outlets) < self._phase.n_outlets:
            self._outlets.append(
                SignalOutlet(self._name, announced, source_id=self._source_id, origin=self._origin)
            )


@contextmanager
def receive_markers(name: str) -> Iterator[Callable[[], list[str]]]:
    """Texts of the marker stream of this name since the last call, whenever it is there."""
    texts: queue.SimpleQueue[str] = queue.SimpleQueue()
    ended = threading.Event()

    def listen() -> None:
        source = None
        while not ended.is_set():
            try:
                source = source or SupervisedMarkers(
                    name, timeout_s=_RESOLVE_S, on_event=lambda *_, **__: None, stop=ended.is_set
                )
                for _, text in source.pull(_PULL_S):
                    texts.put(text)
            except StreamError:
                ended.wait(_PULL_S)
        if source is not None:
            source.close()

    thread = threading.Thread(target=listen, name="rtbrain-cues", daemon=True)
    thread.start()
    try:
        yield lambda: [texts.get() for _ in range(texts.qsize())]
    finally:
        ended.set()
        thread.join(2 * _RESOLVE_S)


def stream_patient(
    patient: Patient,
    source: SyntheticSource,
    faults: Sequence[Fault],
    name: str,
    speed: float,
    wait: bool,
    start_sample: int,
    stopping: Callable[[], bool],
    follower: Follower | None = None,
) -> None:
    """Stream a patient, with faults, and the markers of its task, until its end.

    One who follows the cues of others sends no markers from their first on.
    """
    console = Console(stderr=True)
    identity = f"{name}-{patient.family}-{patient.seed}"
    signal = FaultyOutlet(
        name,
        patient.montage,
        faults,
        source_id=identity,
        origin="fault injection" if faults else "synthetic",
        speed=speed,
        mains_hz=patient.mains_hz,
    )
    markers = MarkerOutlet(markers_name(name), source_id=markers_name(identity))

    def push(chunk: Chunk) -> None:
        first = start_sample + chunk.first_sample
        own = follower is None or not follower.following
        for sample, text in patient.markers(first, first + chunk.n_samples) if own else ():
            markers.push(text, float(chunk.timestamps[sample - first]))
        signal.push(chunk)

    console.print(
        f"streaming [bold]{name}[/] ({patient.n_channels} channels, {patient.sfreq_hz:g} Hz) "
        f"and [bold]{markers_name(name)}[/]; Ctrl-C ends it"
    )
    try:
        if wait:
            wait_for_listener(signal, stopping)
        n_samples = play(
            iterate_chunks(source),
            push,
            speed=speed,
            clock=lsl_clock,
            wait=time.sleep,
            stop=stopping,
        )
        signal.finish()
        drain_outlet(signal, stopping)
    finally:
        signal.close()
        markers.close()
    console.print(f"{n_samples} samples sent, {n_samples / patient.sfreq_hz:.1f} s of signal")
