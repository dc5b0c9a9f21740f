"""The window's open LSL streams and their states: opened by the finder, read by the session."""

import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rtbrain.errors import StreamLostError, plain_text
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent, decode_header, received_decodes
from rtbrain.stream.lsl.inlet import (
    ANSWER_S,
    LslSource,
    fetch_full_info,
    liblsl_errors,
    make_inlet,
    measure_clock,
    open_inlet,
)
from rtbrain.stream_names import is_manual_marks, sender_of
from rtbrain.types import Chunk
from rtbrain.units import AmplitudeCheck, WrongUnit, wrong_unit

_BUFFER_S = 30
_DECODE_BUFFER = 360  # hundreds of samples, as liblsl counts irregular streams
MAX_NAME_CHARS = 200
# 4 s of signal per poll after a pause: the window catches up and still redraws.
_MAX_CHUNKS = 16
_MAX_DECODES = 256
_MAX_TIMES = 256
_RATE_OVER_S = 10.0
_STALL_S = 1.5
_STALL_HOPS = 2.5
_MAX_GONE = 2
# Further from 0 than Unix time in 3000 years, no stamp is a time; it may also be NaN.
_LATEST_S = 1e11
# Kinds of streams whose sender announces its end.
_ANNOUNCED = frozenset({"decode", "status", "record"})
_ENDS = frozenset({"stopping", "stopped"})


class ViewInlet:
    """One open stream, and the figures of its health."""

    def __init__(self, found: Any, clock: Callable[[], float], inlet: Any) -> None:
        self.uid: str = found.uid()
        self.name = plain_text(found.name(), MAX_NAME_CHARS)
        self.source_id = plain_text(found.source_id(), MAX_NAME_CHARS)
        self.origin = ""
        self.nominal_hz = float(found.nominal_srate())
        self.lost = False
        self.received = self._left_out = 0
        self.t_arrived = clock()
        self.t_last = math.nan
        self.clock_offset_s = self.clock_uncertainty_s = math.nan
        self._found, self._clock, self._inlet = found, clock, inlet
        self._times: deque[float] = deque(maxlen=_MAX_TIMES)

    @property
    def effective_hz(self) -> float:
        """Samples per second over the last 10 s; NaN if there are too few."""
        recent = [t for t in self._times if t > self._times[-1] - _RATE_OVER_S]
        spanned_s = recent[-1] - recent[0] if recent else 0.0
        return (len(recent) - 1) / spanned_s if spanned_s > 0 else math.nan

    @property
    def counted(self) -> tuple[int, int]:
        """Samples received, and lost or left out."""
        return self.received, self._left_out

    def measure_clock(self) -> None:
        """Update the offset of the sender's clock; returns at once."""
        measured = None if self._inlet is None else measure_clock(self._inlet)
        if measured is not None:
            self.clock_offset_s, self.clock_uncertainty_s = measured

    def close(self) -> None:
        """Close the stream; safe to call twice."""
        self._inlet = None

    def _count(self, n_samples: int, t_last: float) -> None:
        self.received += n_samples
        self.t_arrived = self._clock()
        self.t_last = t_last


class SignalInlet(ViewInlet):
    """The signal, its samples numbered by a counter that outlives the connection."""

    def __init__(
        self,
        found: Any,
        clock: Callable[[], float],
        counter: SampleCounter | None,
        *,
        scale: float = 1.0,
        triggers: Sequence[str] = (),
    ) -> None:
        if counter is not None and counter.sfreq_hz != float(found.nominal_srate()):
            counter = None
        self._source = LslSource(
            found, max_buffer_s=_BUFFER_S, counter=counter, scale=scale, triggers=triggers
        )
        # This inlet is never opened for data: it only measures the clock.
        super().__init__(found, clock, make_inlet(found, 1))
        self.montage = self._source.montage
        self.origin = self._source.origin
        self.counter = self._source.counter
        first = self._source.pull(0.0)  # opens the connection, which takes a second
        self._pending = [] if first is None or not first.n_samples else [first]
        self.wrong_unit: WrongUnit | None = None
        self._amplitude = AmplitudeCheck(self.montage)
        self._report = self.counter.report
        self._report_at = self.t_arrived = clock()

    @property
    def unit_judged(self) -> bool:
        """Whether `wrong_unit` is known."""
        return self._amplitude.done

    @property
    def effective_hz(self) -> float:
        """Rate fitted by the counter; NaN before 1 s of samples."""
        return self._report.effective_rate_hz

    @property
    def counted(self) -> tuple[int, int]:
        """Samples received and lost since the stream was first found."""
        return self._report.received, self._report.lost

    def pull(self) -> list[Chunk]:
        """Chunks that have arrived; never waits."""
        chunks, self._pending = self._pending, []
        try:
            while len(chunks) < _MAX_CHUNKS:
                chunk = self._source.pull(0.0)
                if chunk is None or not chunk.n_samples:
                    break
                chunks.append(chunk)
        except StreamLostError:
            self.lost = True
        if chunks:
            self._count(sum(chunk.n_samples for chunk in chunks), float(chunks[-1].timestamps[-1]))
        for chunk in chunks:
            if (found := self._amplitude(chunk)) is not None:
                self.wrong_unit = wrong_unit(self._source.factors, found[1])
        # Losses count at once: the alarm of a silence ends with their number.
        if any(chunk.gap for chunk in chunks) or self._clock() >= self._report_at + 1:
            self._report = self.counter.report
            self._report_at = self._clock()
        return chunks

    def close(self) -> None:
        """Close the stream; safe to call twice."""
        super().close()
        self._source.close()


class DecodeInlet(ViewInlet):
    """The decodes."""

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        buffer = _BUFFER_S if found.nominal_srate() > 0 else _DECODE_BUFFER
        super().__init__(found, clock, make_inlet(found, buffer))
        info = fetch_full_info(self._inlet, found, ANSWER_S)
        self.header = decode_header(info)
        self.origin = plain_text(info.desc().child("rtbrain").child_value("origin"))
        open_inlet(self._inlet, found, ANSWER_S)

    def pull(self) -> list[ReceivedDecode]:
        """Decodes that have arrived; never waits."""
        try:
            with liblsl_errors(self._found, "answer"):
                values, stamps = self._inlet.pull_chunk(max_samples=_MAX_DECODES, as_numpy=True)
        except StreamLostError:
            self.lost = True
            return []
        found = received_decodes(values, stamps, len(self.header.labels), self._clock())
        decodes = [decode for decode in found if is_time(decode.t_stop)]
        self._left_out += len(found) - len(decodes)
        if decodes:
            self._times.extend(decode.t_stop for decode in decodes)
            self._count(len(decodes), decodes[-1].t_stop)
        return decodes


def is_time(stamp: float) -> bool:
    """Whether a time stamp is one, s; False for NaN."""
    return abs(stamp) < _LATEST_S


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """State of a stream that the window expects."""

    name: str  # as announced; before that, as requested
    kind: str  # signal, decode, status, markers or record
    # absent, connecting, live, stalled (nothing for 1.5 s), lost, or ended, as its sender announced
    state: str
    origin: str = ""  # replay, synthetic, fault injection, as its header says
    nominal_hz: float = 0.0  # 0: irregular
    effective_hz: float = math.nan
    received: int = 0  # samples
    lost: int = 0
    clock_offset_s: float = math.nan  # of the sender's clock
    clock_uncertainty_s: float = math.nan
    t_last: float = math.nan  # newest time stamp, s, LSL clock
    source_id: str = ""
    problem: str = ""  # why no stream was accepted


def feed_of(feeds: Sequence[StreamHealth], kind: str) -> StreamHealth:
    """First stream of a kind."""
    return next(feed for feed in feeds if feed.kind == kind)


class StreamStates:
    """States of the streams of a session, whether open, expected or gone.

    `requested` maps a kind to the name that was asked for; a role's key is its kind, or
    ``markers:…`` for each of any number of marker streams.
    """

    def __init__(self, requested: Mapping[str, str]) -> None:
        self._requested = dict(requested)
        self._last: dict[str, StreamHealth] = {}
        self._had_signal = False
        self._ends: dict[str, str] = {}

    def note_end(self, event: StatusEvent) -> None:
        """Note that a decoder or recorder ends; one that failed reports its end too.

        It says that it is ``stopping`` before it is, for its last line may come too late.
        """
        sender = sender_of(str(event.fields.get("recorder") or event.fields["stream"]))
        if event.event == "failed":
            self._ends[sender] = "lost"
        elif event.event in _ENDS:
            self._ends.setdefault(sender, "ended")
        else:
            self._ends.pop(sender, None)

    def request(self, kind: str, name: str) -> None:
        """Note the name that a person chose."""
        self._requested[kind] = name

    def forget(self, key: str) -> None:
        """Forget a stream, as if it had never been open."""
        self._last.pop(key, None)

    def update(
        self,
        inlets: Mapping[str, ViewInlet],
        connecting: Collection[str],
        problems: Mapping[str, str],
        now: float,
    ) -> tuple[StreamHealth, ...]:
        """States now: signal, decode, status, record, then the markers."""
        for key, inlet in inlets.items():
            self._last[key] = made = _health(key, inlet, now)
            if key == "signal" and made.state == "connecting" and self._had_signal:
                self._last[key] = replace(made, state="lost")  # until samples come
            self._had_signal |= key == "signal" and made.state == "live"
        for key, feed in self._last.items():
            if key not in inlets:
                end = self._ends.get(sender_of(feed.name)) if feed.kind in _ANNOUNCED else None
                self._last[key] = replace(feed, state=end or "lost")
        senders = {sender_of(feed.name) for feed in self._last.values()}
        self._ends = {sender: end for sender, end in self._ends.items() if sender in senders}
        self._forget(inlets, "markers:", lambda feed: not is_manual_marks(feed.name))
        self._forget(inlets, "record:", lambda feed: feed.state != "ended")
        known = sorted({*self._last, *self._requested})
        records = [key for key in known if key.startswith("record:")]
        keys = ["signal", "decode", "status", *(records or ["record"])]
        keys += [key for key in known if key.startswith("markers:")]
        expected = []
        for key in keys:
            name = self._requested.get(key, "")
            last = self._last.get(key) or StreamHealth(name, key.split(":")[0], "absent")
            waits = key in connecting and key not in inlets
            waits &= key != "signal" or not self._had_signal  # which stays lost meanwhile
            state = "connecting" if waits else last.state
            problem = "" if key in inlets else problems.get(key, "")
            expected.append(replace(last, state=state, problem=problem))
        return tuple(expected)

    def _forget(
        self, inlets: Mapping[str, ViewInlet], kind: str, is_loss: Callable[[StreamHealth], bool]
    ) -> None:
        """Forget streams of a kind that are gone; the last ones whose end is a loss are kept."""
        gone = [
            key
            for key, feed in self._last.items()
            if key.startswith(kind) and (feed.state == "lost" or key not in inlets)
        ]
        losses = [key for key in gone if is_loss(self._last[key])]
        for key in {*gone} - {*losses[-_MAX_GONE:]}:
            del self._last[key]


def _health(key: str, inlet: ViewInlet, now: float) -> StreamHealth:
    return StreamHealth(
        inlet.name,
        key.split(":")[0],
        _state(inlet, now),
        "" if inlet.origin in {"decoder", "amplifier"} else inlet.origin,
        inlet.nominal_hz,
        inlet.effective_hz,
        *inlet.counted,
        inlet.clock_offset_s,
        inlet.clock_uncertainty_s,
        inlet.t_last,
        inlet.source_id,
    )


def _state(inlet: ViewInlet, now: float) -> str:
    if inlet.lost:
        return "lost"
    if inlet.nominal_hz <= 0:
        return "live"
    if not inlet.received and now - inlet.t_arrived <= _STALL_S:
        return "connecting"
    limit_s = max(_STALL_S, _STALL_HOPS / inlet.nominal_hz)
    return "stalled" if now - inlet.t_arrived > limit_s else "live"
