"""A session that plays a signal without LSL, for the tests of the whole window."""

from collections.abc import Callable

import numpy as np

from rtbrain.marks import OPERATOR_MARK
from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDecode, StatusEvent
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.types import Chunk, Montage
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 512.0
MONTAGE = montage_of(16, SFREQ_HZ)
SIGNAL = brain_like(16, 4096, SFREQ_HZ)
NAN = float("nan")


class Playing:
    """A session that plays a signal as fast as it is polled, until it is stopped."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.montage: Montage | None = None
        self.decode: DecodeHeader | None = None
        self.bad: dict[str, str] = {}
        self.choices: tuple[StreamSummary, ...] = ()
        self.chosen: list[StreamSummary] = []
        self.wrong_unit, self.unit_judged = None, True
        self.feeds = self.all_feeds("absent")
        self.events: list[StatusEvent] = []
        self.playing = False
        self.closed = False
        self._clock = clock
        self._at = 0
        self._new = False

    @staticmethod
    def feed(kind: str, state: str) -> StreamHealth:
        return StreamHealth(
            f"test-{kind}", kind, state, "synthetic", 512.0, 512.0, 1, 0, 0.0, 0.0, NAN
        )

    @classmethod
    def all_feeds(cls, signal: str, others: str = "absent") -> tuple[StreamHealth, ...]:
        rest = (cls.feed(kind, others) for kind in ("decode", "status", "record"))
        return (cls.feed("signal", signal), *rest)

    @property
    def marked(self) -> frozenset[str]:
        return frozenset(label for label, why in self.bad.items() if why == OPERATOR_MARK)

    def mark(self, label: str, bad: bool) -> None:
        kept = {name: why for name, why in self.bad.items() if name != label}
        self.bad = kept | ({label: OPERATOR_MARK} if bad else {})

    def choose(self, signal: StreamSummary) -> None:
        self.chosen.append(signal)

    def look_again(self) -> None:
        self.looked = True

    def start(self) -> None:
        self.montage, self.playing, self._new = MONTAGE, True, True
        self.decode = DecodeHeader("test-decode", ("rest", "speech"), "probability", 0.25)
        self.feeds = self.all_feeds("live", "live")

    def poll(self) -> SessionUpdate:
        now, new, events = self._clock(), self._new, tuple(self.events)
        self._new = False
        self.events.clear()
        if not self.playing:
            return SessionUpdate(now, events=events, new_montage=new)
        n_samples = 17
        rows = np.arange(self._at, self._at + n_samples)
        stamps = now - (n_samples - 1 - np.arange(n_samples)) / SFREQ_HZ
        chunk = Chunk(np.take(SIGNAL, rows, axis=1, mode="wrap"), stamps, self._at)
        self._at += n_samples
        values = np.array([0.25, 0.75], np.float32)
        row = ReceivedDecode(now, now, values, True, 1.0, 0.2, 0.01)
        return SessionUpdate(now, (chunk,), (row,), events, ((now, "go"),), new)

    def close(self) -> None:
        self.closed = True
