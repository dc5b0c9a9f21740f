"""A world of streams on a virtual clock, in which senders come, go and change, and a decoder.

The supervised source that looks into this world is the one that runs live; only the clock and
the network are made up. Its search has a thread of its own, so a row takes the real time that
looking for a stream takes, and no more.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rtbrain.check.faults.matrix import DecoderParts
from rtbrain.errors import StreamError, StreamLostError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.stream.supervise.query import Candidate
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.types import Chunk, Decode, Floats, Montage, Window

START_S = 100.0


_HOP_S = 0.02


@dataclass(slots=True)
class VirtualClock:
    """Seconds that pass only when somebody lets them."""

    now_s: float = START_S

    def __call__(self) -> float:
        """Read the clock, s."""
        return self.now_s


@dataclass(frozen=True, slots=True)
class SimulatedSender:
    """A stream that is there for a while."""

    montage: Montage
    from_s: float
    to_s: float
    uid: str
    source_id: str = "amplifier"
    host: str = "bedside"
    silent_end: bool = False
    true_hz: float | None = None

    def candidate(self) -> Candidate:
        """What a search finds of it."""
        montage = self.montage
        row = StreamSummary(
            "sEEG", "EEG", self.source_id, self.host, montage.n_channels, montage.sfreq_hz
        )
        return Candidate(self.uid, row, "float32", self)


class SimulatedNetwork:
    """Senders of one signal, seen by a supervised source: a `Wanted`."""

    def __init__(
        self,
        clock: VirtualClock,
        montage: Montage,
        signal: Floats,
        senders: Sequence[SimulatedSender],
    ) -> None:
        self.clock = clock
        self.montage = montage
        self._signal = signal
        self._senders = senders

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one sender there is now; a StreamError where there is none, or several."""
        there = self.all(stop)
        if len(there) != 1:
            raise self.ambiguous_error(there)
        return there[0]

    def all(self, stop: Callable[[], bool]) -> list[Candidate]:
        """Every sender there is now."""
        now_s = self.clock()
        return [each.candidate() for each in self._senders if each.from_s <= now_s < each.to_s]

    def ambiguous_error(self, candidates: Sequence[Candidate]) -> StreamError:
        """Error for several senders."""
        return StreamError(f"{len(candidates)} streams: {[str(one.row) for one in candidates]}")

    def connect(self, candidate: Candidate) -> "_Inlet":
        """Inlet of a sender."""
        return _Inlet(self, candidate.handle)

    def samples(self, montage: Montage, first: int, stop: int) -> Floats:
        """Signal of these labels; one that is not of the patient is a sine of its own."""
        rows = []
        for name in montage.names:
            if name in self.montage.names:
                rows.append(self._signal[self.montage.rows([name])[0], first:stop])
            else:
                rows.append(50 * np.sin(np.arange(first, stop) / 7).astype(np.float32))
        return np.stack(rows)


class _Inlet:
    """An inlet that pulls from the world as the one over LSL pulls from the network."""

    def __init__(self, world: SimulatedNetwork, sender: SimulatedSender) -> None:
        self.montage = sender.montage
        self.notes: tuple[str, ...] = ()
        self.counter = SampleCounter(sender.montage.sfreq_hz)
        self._world = world
        self._sender = sender
        self._next: int | None = None
        self._waiting: deque[Chunk] = deque()

    def pull(self, timeout_s: float) -> Chunk | None:
        now_s, sfreq_hz = self._world.clock(), self._sender.true_hz or self.montage.sfreq_hz
        gone = now_s >= self._sender.to_s
        made = round((min(now_s, self._sender.to_s) - START_S) * sfreq_hz)
        if self._next is None:
            self._next = made
        if gone and not self._sender.silent_end and made <= self._next:
            raise StreamLostError(f"stream {self._sender.uid} was there and is gone")
        first, self._next = self._next, max(made, self._next)
        data = self._world.samples(self.montage, first, self._next)
        stamps = START_S + np.arange(first, self._next) / sfreq_hz
        self._waiting.extend(self.counter.take(data, stamps, now_s))
        if self._waiting:
            return self._waiting.popleft()
        return Chunk(data[:, :0], stamps[:0], self.counter.next_sample)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class ReceivedRun:
    """What was seen from outside."""

    decodes: list[tuple[float, Decode]] = field(default_factory=list)
    events: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)

    def event(self, name: str, after_s: float = 0.0) -> tuple[float, dict[str, Any]] | None:
        """Time and fields of the first event of that name from a time on."""
        return next(
            ((at, fields) for at, what, fields in self.events if what == name and at >= after_s),
            None,
        )

    def valid_between(self, from_s: float, to_s: float) -> list[Decode]:
        """Valid decodes that were ready in that time, later than `from_s`."""
        return [one for at, one in self.decodes if from_s < at < to_s and one.quality.valid]


def run_decoder(
    world: SimulatedNetwork, decoder: DecoderParts, requirements: StreamRequirements, until_s: float
) -> ReceivedRun:
    """Decode whatever the world sends until a virtual time."""
    seen, clock = ReceivedRun(), world.clock

    def on_event(event: str, **fields: object) -> None:
        seen.events.append((clock(), event, fields))

    source = SupervisedSource(
        query=world,
        requirements=requirements,
        montage=world.montage,
        on_event=on_event,
        clock=clock,
    )
    try:
        while clock() < until_s:
            chunk = source.pull(_HOP_S)
            clock.now_s += _HOP_S
            if chunk is None:
                break
            if chunk.n_samples:
                seen.chunks.append(chunk)
            for window in decoder.cut(chunk):
                seen.windows.append(replace(window, data=window.data.copy()))
                seen.decodes.append((clock(), decoder.readout(decoder.encode(window))))
    finally:
        source.close()
    return seen
