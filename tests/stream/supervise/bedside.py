"""A supervised source over streams that come and go without sockets, on a virtual clock."""

import math
import threading
import time

import numpy as np

from rtbrain.errors import StreamError, StreamLostError
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.stream.supervise.query import Candidate
from rtbrain.stream.supervise.requirements import StreamRequirements
from rtbrain.stream.supervise.source import SupervisedSource
from rtbrain.stream.supervise.states import StreamState
from rtbrain.types import Chunk
from tests.conftest import montage_of

SFREQ_HZ = 512.0
MONTAGE = montage_of(4, SFREQ_HZ)
REQUIREMENTS = StreamRequirements(SFREQ_HZ, MONTAGE.names)
DEADLINE_S = 10.0


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


class FakeInlet:
    """An inlet whose samples the test gives."""

    notes = ("the header gives no unit",)

    def __init__(self, world, uid, montage):
        self.world, self.uid, self.montage = world, uid, montage
        self.given = []
        self.gone = self.closed = False
        self.opened_in = None

    def open(self):
        self.opened_in = threading.current_thread().name
        if self.world.hang.is_set():
            self.world.go.wait(DEADLINE_S)

    def pull(self, timeout_s, at_least=1):
        assert not self.closed
        if self.gone:
            raise StreamLostError(f"stream {self.uid} was there and is gone")
        if self.given:
            given = self.given.pop(0)
            (chunk,) = self.counter.take(given.data, given.timestamps, given.timestamps[-1])
            return chunk
        empty = np.empty((self.montage.n_channels, 0), np.float32)
        return Chunk(empty, np.empty(0))

    def close(self):
        self.closed = True


class World:
    """Streams that come and go, without sockets."""

    def __init__(self):
        self.there, self.source_ids, self.seen_s = {}, {}, {}
        self.n_looks = 0
        self.inlets = []
        self.hang, self.go = threading.Event(), threading.Event()

    def put(self, uid, montage=MONTAGE, silent=False, source_id="amplifier"):
        self.there[uid] = montage
        self.source_ids[uid] = source_id
        self.silent = silent

    def _candidates(self):
        rows = [
            (
                uid,
                StreamSummary(
                    "fake", "EEG", self.source_ids[uid], f"on-{uid}", m.n_channels, m.sfreq_hz
                ),
            )
            for uid, m in list(self.there.items())
        ]
        return [
            Candidate(uid, row, "float32", None, self.seen_s.get(uid, math.inf))
            for uid, row in rows
        ]

    def only(self, timeout_s, stop):
        found = self._candidates()
        if not found:
            raise StreamError("no stream: there are none")
        if len(found) > 1:
            raise self.ambiguous_error(found)
        return found[0]

    def all(self):
        self.n_looks += 1
        return self._candidates()

    def again(self, candidate, timeout_s):
        return next((one for one in self._candidates() if one.uid == candidate.uid), None)

    def ambiguous_error(self, candidates):
        return StreamError("several: " + ", ".join(str(one.row) for one in candidates))

    def connect(self, candidate):
        if candidate.uid not in self.there or self.silent:
            raise StreamLostError("does not answer")
        self.inlets.append(FakeInlet(self, candidate.uid, self.there[candidate.uid]))
        return self.inlets[-1]


class Bedside:
    """A supervised source, what it told and what it gave."""

    def __init__(self, **kwargs):
        self.world, self.clock, self.told = World(), Clock(), []
        fields = {"requirements": REQUIREMENTS, "montage": MONTAGE} | kwargs
        self.source = SupervisedSource(
            query=self.world, on_event=self.tell, clock=self.clock, **fields
        )

    def tell(self, event, **fields):
        self.told.append((event, fields))

    @property
    def events(self):
        return [event for event, _ in self.told]

    def fields(self, event):
        return next(fields for name, fields in reversed(self.told) if name == event)

    def until(self, condition):
        """Pull until something is so; chunks with samples come back."""
        end, chunks = time.monotonic() + DEADLINE_S, []
        while not condition():
            assert time.monotonic() < end, self.told
            chunk = self.source.pull(0.01)
            if chunk.n_samples:
                chunks.append(chunk)
        return chunks

    def wait(self, seconds):
        """Let time pass while the loop pulls, as it does every 0.1 s."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.source.pull(0.1)
            self.clock.now += min(0.1, end - self.clock.now)

    def until_state(self, state):
        return self.until(lambda: self.source.state is state)

    def give(self, first, n_samples=20, inlet=None):
        """Samples into the newest inlet, numbered from its start, stamped by their number."""
        inlet = inlet or self.world.inlets[-1]
        montage = inlet.montage
        numbers = first + np.arange(n_samples)
        data = np.tile(numbers.astype(np.float32), (montage.n_channels, 1))
        inlet.given.append(Chunk(data, 1000 + numbers / SFREQ_HZ))

    def live(self):
        self.world.put("a")
        assert self.source.connect(1.0)
        self.until_state(StreamState.WARMING)
        self.give(0)
        (chunk,) = self.until_state(StreamState.LIVE)
        return chunk

    def lose(self):
        self.world.there.clear()
        self.world.inlets[-1].gone = True
        self.until_state(StreamState.LOST)
