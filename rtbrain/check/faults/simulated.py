"""The simulated world: the live loop on a virtual clock, in a network whose streams are made up.

Everything but the clock and the network is what runs live. The search for a stream has a thread of
its own, so each step of the clock without a stream leaves that thread some real time.
"""

import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

import numpy as np

from rtbrain.build import build_live
from rtbrain.bundling import build_decoder
from rtbrain.check.faults.rig import DecoderParts, Rig, StatusListener, World, patient_samples
from rtbrain.decoder import read_bundle
from rtbrain.errors import StreamError, StreamLostError
from rtbrain.live.source import rate_check
from rtbrain.outlet import StatusReport
from rtbrain.processes import resident_kib
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent
from rtbrain.stream.lsl.resolve import StreamSummary, ambiguous_stream_error
from rtbrain.stream.supervise.query import Candidate
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.types import Chunk, Decode, Montage, Times

_START_S = 100.0
_STEP_S = 0.05
_WAIT_S = 0.02  # of real time that a step leaves to the search
_PULL_S = 0.25  # longest piece of signal in one pull
_QUEUE_S = 30.0  # what an inlet holds, as over LSL
_READY_S = 20.0
_MAX_LATENCY_S = 1.0  # as by default in a session


@dataclass(slots=True)
class VirtualClock:
    """Seconds that pass only when somebody lets them."""

    now_s: float = _START_S

    def __call__(self) -> float:
        """Read the clock, s."""
        return self.now_s


@dataclass(slots=True, eq=False)
class SimulatedStream:
    """A stream that is there for a while."""

    uid: str
    source_id: str
    montage: Montage
    to_s: float = inf
    silent: bool = False

    def candidate(self) -> Candidate:
        """What a search finds of it."""
        host, montage = socket.gethostname(), self.montage
        row = StreamSummary(
            "sEEG", "EEG", self.source_id, host, montage.n_channels, montage.sfreq_hz
        )
        return Candidate(self.uid, row, "float32", self)


class SimulatedNetwork:
    """Streams of one patient: a `Sender` to the rows, a `StreamQuery` to the supervised source."""

    def __init__(self, rig: Rig, clock: VirtualClock, true_hz: float | None, scale: float) -> None:
        self.clock = clock
        self.start_s = clock()
        self.last_stamp = float("nan")
        self.n_dropped = self.n_left_out = 0
        self._rig = rig
        self._true_hz = true_hz
        self._scale = np.float32(scale)
        self._streams: list[SimulatedStream] = []
        self.stamp: Callable[[Times], Times] = lambda times: times  # what senders' clocks show

    def begin(self, montage: Montage | None = None, *, source_id: str | None = None) -> None:
        """Add a stream."""
        uid = f"stream-{len(self._streams)}"
        self._streams.append(
            SimulatedStream(uid, source_id or "amplifier", montage or self._rig.montage)
        )

    def end(self) -> float:
        """End all streams."""
        return self._stop(silent=False)

    def hang(self) -> float:
        """As when the sender's cable is pulled: not even the end of the connection arrives."""
        return self._stop(silent=True)

    def _stop(self, silent: bool) -> float:
        now_s = self.clock()
        for stream in self._there():
            stream.silent, stream.to_s = silent, now_s
            n_made = self.n_made(stream)
            self.last_stamp = self.start_s + (n_made - 1) / self.rate_hz(stream)
        return now_s

    def rate_hz(self, stream: SimulatedStream) -> float:
        """True rate of a stream."""
        return self._true_hz or stream.montage.sfreq_hz

    def n_made(self, stream: SimulatedStream) -> int:
        """Samples of a stream that are made so far, counted since the start of the world."""
        return round((min(self.clock(), stream.to_s) - self.start_s) * self.rate_hz(stream))

    def chunk(self, stream: SimulatedStream, first: int, stop: int) -> Chunk:
        """Samples as they are sent."""
        numbers = np.arange(first, stop)
        data = self._scale * patient_samples(self._rig, stream.montage, numbers)
        return Chunk(data, self.start_s + numbers / self.rate_hz(stream), first)

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one stream there is; a StreamError where there is none, or several."""
        there = self.all()
        if len(there) != 1:
            raise self.ambiguous_error(there)
        return there[0]

    def all(self) -> list[Candidate]:
        """Every stream there is."""
        return [stream.candidate() for stream in self._there()]

    def again(self, candidate: Candidate, timeout_s: float) -> Candidate | None:
        """The stream that was connected to, if it is there."""
        return next((one for one in self.all() if one.uid == candidate.uid), None)

    def ambiguous_error(self, candidates: Sequence[Candidate]) -> StreamError:
        """The error that lists several streams."""
        return ambiguous_stream_error({"name": "sEEG"}, [one.row for one in candidates])

    def connect(self, candidate: Candidate) -> "SimulatedInlet":
        """Inlet of a stream."""
        return SimulatedInlet(self, candidate.handle)

    def _there(self) -> list[SimulatedStream]:
        return [stream for stream in self._streams if self.clock() < stream.to_s]


class SimulatedInlet:
    """Pulls from a simulated stream as the inlet over LSL pulls from the network."""

    def __init__(self, network: SimulatedNetwork, stream: SimulatedStream) -> None:
        self.montage = stream.montage
        self.notes: tuple[str, ...] = ()
        self.counter = SampleCounter(stream.montage.sfreq_hz)
        self._network = network
        self._stream = stream
        self._open, self._next = False, 0
        self._at_open: float | None = None  # until samples come
        self._waiting: deque[Chunk] = deque()

    def open(self) -> None:
        """Let samples wait here from now on."""
        if not self._open:
            self._open, self._next = True, self._network.n_made(self._stream)
            self._at_open = self._network.clock()

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next samples; an empty chunk if there are none yet."""
        network, stream = self._network, self._stream
        made = network.n_made(stream)
        self.open()
        if network.clock() >= stream.to_s and not stream.silent and made <= self._next:
            raise StreamLostError(f"stream {stream.uid} was there and is gone")
        n_dropped = max(0, made - self._next - round(_QUEUE_S * network.rate_hz(stream)))
        network.n_dropped += n_dropped
        first = self._next + n_dropped
        self._next = max(first, min(made, first + round(_PULL_S * network.rate_hz(stream))))
        sent = network.chunk(stream, first, self._next)
        if sent.n_samples and self._at_open is not None:
            self.counter.connected(self._at_open)
            self._at_open = None
        stamps = network.stamp(sent.timestamps)
        self._waiting.extend(self.counter.take(sent.data, stamps, network.clock()))
        if self._waiting:
            return self._waiting.popleft()
        return Chunk(sent.data[:, :0], sent.timestamps[:0], self.counter.next_sample)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _Outlet:
    """Takes decodes and events where a decoder would send them, as a listener receives them."""

    listener: StatusListener

    def push(self, item: Decode) -> None:
        now_s, quality = self.listener.clock(), item.quality
        latency_s = item.age_s, item.compute_s
        self.listener.decodes.append(
            ReceivedDecode(
                item.t_stop, now_s, item.values, quality.valid, quality.coverage, *latency_s
            )
        )

    def emit(self, event: str, **fields: object) -> None:
        self.listener.events.append(StatusEvent(self.listener.clock(), event, fields))

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _Stepping:
    """A source on the virtual clock, which goes on where a pull would wait, and only there."""

    source: SupervisedSource
    clock: VirtualClock

    @property
    def montage(self) -> Montage:
        return self.source.montage

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        if timeout_s > 0:
            self.clock.now_s += _STEP_S
        return self.source.pull(min(timeout_s, _WAIT_S), at_least)

    def close(self) -> None:
        self.source.close()


@contextmanager
def simulated_world(
    rig: Rig,
    kind: str = "linear",
    *,
    source_ids: Sequence[str] = ("amplifier",),
    true_hz: float | None = None,
    accept_other_source: bool = False,
    scale: float = 1.0,
    stamp: Callable[[Times], Times] = lambda times: times,
) -> Iterator[World]:
    """World of a decoder from its first valid decodes on, if any.

    `scale` multiplies the signal; ``stamp(times)`` is what the sender's clock shows.
    """
    bundle, clock = read_bundle(rig.bundle(kind)), VirtualClock()
    recipe, montage = bundle.recipe, bundle.montage
    network = SimulatedNetwork(rig, clock, true_hz, scale)
    network.stamp = stamp
    for source_id in source_ids:
        network.begin(source_id=source_id)

    listener = StatusListener(clock, lambda stop: pipeline.run(stop))
    outlet = _Outlet(listener)
    report = StatusReport(outlet)
    source = SupervisedSource(
        query=network,
        requirements=StreamRequirements(
            montage.sfreq_hz,
            montage.names,
            min_coverage=recipe.coverage_floor,
            accept_other_source=accept_other_source,
        ),
        montage=montage,
        on_event=outlet.emit,
        clock=clock,
    )
    decoder = build_decoder(bundle, montage, on_event=outlet.emit)
    pipeline = build_live(
        decoder,
        _Stepping(source, clock),
        (outlet, report),
        report,
        latest_only=True,
        coverage_floor=recipe.coverage_floor,
        clock=clock,
        refusal=rate_check(source),
        max_latency_s=_MAX_LATENCY_S,
    )

    def stall(duration_s: float) -> None:
        clock.now_s += duration_s

    try:
        source.connect(1.0)
        listener.until(lambda: len(listener.valid_after(0.0)) > 3, _READY_S)
        yield World(
            kind,
            network,
            listener,
            *DecoderParts(*decoder).waits_s,
            stall,
            resident_kib,
            lambda: network.n_dropped,
            slack=0,
            tolerance=1e-6,
            delivery_s=0.1,
        )
    finally:
        source.close()
