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

from rtbrain.errors import StreamError, StreamLostError
from rtbrain.offline.fault_matrix import Decoder
from rtbrain.stream.contract import StreamContract
from rtbrain.stream.ledger import Ledger
from rtbrain.stream.lsl_connect import StreamRow
from rtbrain.stream.supervisor import SupervisedSource
from rtbrain.stream.wanted import Candidate
from rtbrain.types import Chunk, Decode, Floats, Montage, Window

__all__ = ["START_S", "Clock", "Observed", "Sender", "World", "watch"]

START_S = 100.0
_HOP_S = 0.02


@dataclass(slots=True)
class Clock:
    """Seconds that pass only when somebody lets them."""

    now_s: float = START_S

    def __call__(self) -> float:
        """Read the clock, s."""
        return self.now_s


@dataclass(frozen=True, slots=True)
class Sender:
    """A stream that is there for a while.

    Attributes
    ----------
    montage : Montage
        As its header says.
    from_s, to_s : float
        When it is there, virtual s.
    uid, source_id, host : str
        What tells it from others.
    silent_end : bool
        Whether it ends without a word, as when a cable is pulled; else the connection breaks.
    true_hz : float or None
        Rate at which it sends; None: the one that its header says.
    """

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
        row = StreamRow(
            "sEEG", "EEG", self.source_id, self.host, montage.n_channels, montage.sfreq_hz
        )
        return Candidate(self.uid, row, "float32", self)


class World:
    """Senders of one signal, seen by a supervised source: a `Wanted`.

    Parameters
    ----------
    clock : Clock
        The virtual clock.
    montage : Montage
        Of the signal.
    signal : ndarray, float32 [n_channels, n_samples]
        Microvolts; its first sample is at `START_S`.
    senders : sequence of Sender
        All there ever are.
    """

    def __init__(
        self, clock: Clock, montage: Montage, signal: Floats, senders: Sequence[Sender]
    ) -> None:
        self.clock = clock
        self.montage = montage
        self._signal = signal
        self._senders = senders

    def only(self, timeout_s: float, stop: Callable[[], bool]) -> Candidate:
        """The one sender there is now; a StreamError where there is none, or several."""
        there = self.all(stop)
        if len(there) != 1:
            raise self.several(there)
        return there[0]

    def all(self, stop: Callable[[], bool]) -> list[Candidate]:
        """Every sender there is now."""
        now_s = self.clock()
        return [each.candidate() for each in self._senders if each.from_s <= now_s < each.to_s]

    def several(self, candidates: Sequence[Candidate]) -> StreamError:
        """What is said of several senders."""
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

    def __init__(self, world: World, sender: Sender) -> None:
        self.montage = sender.montage
        self.notes: tuple[str, ...] = ()
        self.ledger = Ledger(sender.montage.sfreq_hz)
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
        self._waiting.extend(self.ledger.take(data, stamps, now_s))
        if self._waiting:
            return self._waiting.popleft()
        return Chunk(data[:, :0], stamps[:0], self.ledger.next_sample)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class Observed:
    """What was seen from outside.

    Attributes
    ----------
    decodes : list of (seconds, Decode)
        With the virtual time at which each was ready.
    events : list of (seconds, name, fields)
        As the status stream would tell them.
    chunks : list of Chunk
        What the source gave.
    windows : list of Window
        What was cut, with data of its own.
    """

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


def watch(world: World, decoder: Decoder, contract: StreamContract, until_s: float) -> Observed:
    """Decode whatever the world sends until a virtual time.

    Parameters
    ----------
    world : World
        Its clock is advanced.
    decoder : Decoder
        For the contract's channels.
    contract : StreamContract
        What the decoder needs.
    until_s : float
        Virtual time of the end, s.
    """
    seen, clock = Observed(), world.clock

    def on_event(event: str, **fields: object) -> None:
        seen.events.append((clock(), event, fields))

    source = SupervisedSource(
        wanted=world, contract=contract, montage=world.montage, on_event=on_event, clock=clock
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
