"""What the window shows: signal, decodes, events and markers, read from LSL at each poll.

The session is an LSL client only. Threads find and open the streams (`StreamFinder`); a poll reads
what has arrived and returns. Its memory is bounded.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from rtbrain.errors import plain_text
from rtbrain.marks import MANUAL_MARK, OPERATOR_MARK, REPEAT_REQUEST
from rtbrain.stream.lsl.decodes import (
    MAX_TEXT_CHARS,
    DecodeHeader,
    ReceivedDecode,
    ReceivedDetection,
    StatusEvent,
    parse_detection,
    parse_status_line,
)
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.stream_names import decode_name, sender_of, status_name
from rtbrain.types import Chunk, Montage
from rtbrain.units import WrongUnit
from rtbrain.view.streams.choice import explain_mismatch, status_stream_names
from rtbrain.view.streams.finder import StreamFinder
from rtbrain.view.streams.inlets import (
    DecodeInlet,
    SignalInlet,
    StreamHealth,
    StreamStates,
    ViewInlet,
)
from rtbrain.view.streams.texts import TextInlet

# A stream that is silent and no longer announced is gone, even if its connection is intact.
_GONE_S = 3.0
_MAX_BAD = 4096


@dataclass(frozen=True, slots=True, eq=False)
class SessionUpdate:
    """Result of one poll."""

    now: float  # LSL clock, s
    chunks: Sequence[Chunk] = ()  # µV, rows in the order of the session's montage
    decodes: Sequence[ReceivedDecode] = ()  # in order of arrival
    events: Sequence[StatusEvent] = ()  # of the decoder
    markers: Sequence[tuple[float, str]] = ()  # s on the LSL clock, and text
    new_montage: bool = False  # the session's montage has changed: start over
    other_decoder: bool = False  # the decoder so far reads other channels: discard what it reported
    detections: Sequence[ReceivedDetection] = ()  # that the decoder sent
    recorder_events: Sequence[StatusEvent] = ()  # field ``recorder``: name of its status stream
    marker_streams: Sequence[str] = ()  # name of the stream of each marker
    new_senders: Set[str] = frozenset()  # decode, status: another process sends than before


class ViewSession:
    """The streams of a window, which may come and go at any time.

    `stream` and `decode` name the signal and the decoder, and `source_id` one of several signals
    of a name; None selects the only one. `scale` is a further factor on the signal, but for the
    codes of the channels that `trigger` names. `bad` maps bad channels to their reasons; `feeds`
    holds the state of each stream.
    """

    def __init__(
        self,
        *,
        stream: str | None,
        decode: str | None,
        source_id: str | None = None,
        markers: str | None = None,
        scale: float = 1.0,
        trigger: str | None = None,
        clock: Callable[[], float] = lsl_clock,
    ) -> None:
        self.montage: Montage | None = None
        self.decode: DecodeHeader | None = None
        self.bad: dict[str, str] = {}
        self._clock = clock
        self._names_decoder = decode is not None
        self._reported_bad: dict[str, str] = {}
        self._marked: dict[str, str] = {}
        self._inlets: dict[str, ViewInlet] = {}
        self._senders: dict[str, str] = {}
        self._new_senders: set[str] = set()
        requested = {} if stream is None else {"signal": stream}
        requested |= {} if markers is None else {f"markers:{markers}": markers}
        if decode is not None:
            decoder = sender_of(decode)
            requested |= {"decode": decode_name(decoder), "status": status_name(decoder)}
        self._states = StreamStates(requested)
        self._finder = StreamFinder(
            stream,
            decode,
            clock,
            source_id=source_id,
            markers=markers,
            scale=scale,
            triggers=() if trigger is None else (trigger,),
        )
        self.feeds: tuple[StreamHealth, ...] = self._update_states(clock())

    def poll(self) -> SessionUpdate:
        """Read what has arrived since the last poll; never waits."""
        self._new_senders = set()
        new_montage = self._adopt_opened()
        other_decoder = self._release_foreign()
        chunks: list[Chunk] = []
        decodes: list[ReceivedDecode] = []
        detections: list[ReceivedDetection] = []
        events: list[StatusEvent] = []
        recorders: list[StatusEvent] = []
        markers: list[tuple[float, str]] = []
        senders: list[str] = []
        for key, inlet in self._inlets.items():
            if isinstance(inlet, SignalInlet):
                chunks += inlet.pull()
            elif isinstance(inlet, DecodeInlet):
                decodes += inlet.pull()
            elif isinstance(inlet, TextInlet) and key.startswith("markers:"):
                texts = [(t, plain_text(text, MAX_TEXT_CHARS)) for t, text in inlet.pull()]
                # A window's request to decoders is not an event in the signal.
                markers += [one for one in texts if one[1] != REPEAT_REQUEST]
                senders += [inlet.name] * (len(markers) - len(senders))
            elif isinstance(inlet, TextInlet) and key == "events":
                parsed = [parse_detection(t, line) for t, line in inlet.pull()]
                detections += [found for found in parsed if found is not None]
            elif isinstance(inlet, TextInlet) and key.startswith("record:"):
                recorders += [_of_recorder(t, line, inlet.name) for t, line in inlet.pull()]
            elif isinstance(inlet, TextInlet):
                events += [parse_status_line(t, line, inlet.name) for t, line in inlet.pull()]
        for event in events:
            self._note_quality(event)
        for event in (*events, *recorders):
            self._states.note_end(event)
        if events:
            self._merge_bad()
        now = self._clock()
        self.feeds = self._update_states(now)
        self._release_lost(now)
        return SessionUpdate(
            now,
            chunks,
            decodes,
            events,
            markers,
            new_montage,
            other_decoder,
            detections,
            recorders,
            senders,
            self._new_senders,
        )

    def mark(self, label: str, bad: bool) -> None:
        """Mark a channel as bad, or as good again."""
        if bad:
            self._marked[label] = OPERATOR_MARK
        else:
            self._marked.pop(label, None)
        self._merge_bad()

    @property
    def marked(self) -> frozenset[str]:
        """Channels that the operator marked as bad."""
        return frozenset(self._marked)

    @property
    def wrong_unit(self) -> WrongUnit | None:
        """What is wrong with the unit of the signal; None if its amplitude is a brain's."""
        signal = self._inlets.get("signal")
        return signal.wrong_unit if isinstance(signal, SignalInlet) else None

    @property
    def unit_judged(self) -> bool:
        """Whether enough of the signal came to know."""
        signal = self._inlets.get("signal")
        return isinstance(signal, SignalInlet) and signal.unit_judged

    @property
    def choices(self) -> tuple[StreamSummary, ...]:
        """Signals to choose from; empty unless there are several and none was named."""
        return self._finder.choices

    def choose(self, signal: StreamSummary) -> None:
        """Show one of the `choices`, now and when it returns."""
        self._finder.choose(signal)
        self._states.request("signal", signal.name)

    def look_again(self) -> None:
        """Ask the network anew for streams."""
        self._finder.look_again()

    def close(self) -> None:
        """Close every stream; safe to call twice."""
        self._inlets.clear()
        self._finder.close()

    def _adopt_opened(self) -> bool:
        """Take over the streams that were opened; returns whether the montage changed."""
        new_montage = False
        for _ in range(self._finder.opened.qsize()):
            key, inlet = self._finder.opened.get_nowait()
            self._inlets[key] = inlet
            if key in ("decode", "status") and self._senders.get(key) != inlet.uid:
                self._senders[key] = inlet.uid
                self._new_senders.add(key)
            if isinstance(inlet, SignalInlet) and not same_montage(self.montage, inlet.montage):
                self.montage = inlet.montage
                names = inlet.montage.names
                self._marked = {name: mark for name, mark in self._marked.items() if name in names}
                new_montage = True
            elif isinstance(inlet, DecodeInlet):
                self.decode = inlet.header
            elif key == "status":
                # Another run of the decoder reports its bad channels again.
                self._reported_bad.clear()
            self._merge_bad()
        return new_montage

    def _release_foreign(self) -> bool:
        """Release decodes and status of a decoder of other channels; returns whether any were."""
        decode, foreign = self.decode, set(self._finder.foreign)
        names = () if self.montage is None else self.montage.names
        keys = []
        if decode is not None and explain_mismatch(
            decode.name, decode.contacts, names, self._names_decoder
        ):
            self.decode = None
            foreign |= status_stream_names(decode.name)
            keys.append("decode")
        senders = ("status", "record", "events")
        keys += [
            key
            for key, inlet in self._inlets.items()
            if key.split(":")[0] in senders and inlet.name in foreign
        ]
        if "status" in keys:
            self._reported_bad.clear()
            self._merge_bad()
        for key in keys:
            self._states.forget(key)
            if self._inlets.pop(key, None) is not None:
                self._finder.release(key, lost=False)
        return bool(keys)

    def _release_lost(self, now: float) -> None:
        for key, inlet in list(self._inlets.items()):
            silent = now - inlet.t_arrived > _GONE_S
            if inlet.lost or (silent and not self._finder.is_announced(inlet)):
                del self._inlets[key]
                self._finder.release(key)

    def _note_quality(self, event: StatusEvent) -> None:
        bad, channel = event.fields.get("bad"), event.fields.get("channel")
        if event.event == "summary" and isinstance(bad, dict):
            first = list(bad.items())[:_MAX_BAD]
            self._reported_bad = {str(label): str(reason) for label, reason in first}
        elif event.event == "channel_bad" and isinstance(channel, str):
            if len(self._reported_bad) < _MAX_BAD:
                self._reported_bad[channel] = str(event.fields.get("reason", "bad"))
        elif event.event == "channel_good" and isinstance(channel, str):
            self._reported_bad.pop(channel, None)
            if str(event.fields.get("reason", "")).startswith(MANUAL_MARK):
                self._marked.pop(channel, None)  # withdrawn in another window

    def _merge_bad(self) -> None:
        self.bad = {**self._reported_bad, **self._marked}

    def _update_states(self, now: float) -> tuple[StreamHealth, ...]:
        finder = self._finder
        return self._states.update(self._inlets, finder.connecting, finder.problems, now)


def _of_recorder(t: float, line: str, name: str) -> StatusEvent:
    """Event of a recorder, whose field ``stream`` is a stream that it records."""
    event = parse_status_line(t, line)
    return StatusEvent(t, event.event, {**event.fields, "recorder": name})


def same_montage(old: Montage | None, new: Montage) -> bool:
    """Whether two montages have the same channels, rate and positions."""
    if old is None or (old.names, old.kinds, old.sfreq_hz) != (new.names, new.kinds, new.sfreq_hz):
        return False
    if old.positions is None or new.positions is None:
        return old.positions is new.positions
    return old.space == new.space and np.array_equal(old.positions, new.positions, equal_nan=True)
