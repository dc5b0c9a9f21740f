"""What the window knows: the signal, the decodes and what is told, taken from LSL at each poll.

An LSL client only. Finding and opening streams is the work of threads (`rtbrain.view.streams.finder`);
a poll takes what has arrived and returns. Whatever comes or goes, nothing here grows.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDecode, StatusEvent, parse_status_line
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import decode_name, is_manual_marks, sender_of, status_name
from rtbrain.types import OPERATOR_MARK, Chunk, Montage
from rtbrain.view.streams.finder import StreamFinder
from rtbrain.view.streams.inlets import DecodeInlet, SignalInlet, TextInlet, ViewInlet
from rtbrain.view.streams.matching import explain_mismatch, status_stream_names
from rtbrain.view.streams.records import SessionUpdate, StreamHealth

_STALL_S = 1.0
_STALL_HOPS = 2.5
# A stream that is silent and no longer announced is gone, though its connection did not break.
_GONE_S = 3.0
_MAX_BAD = 4096
_GONE_MARKERS_SHOWN = 2
# What tells its end, or ends with what does.
_TELLING = frozenset({"decode", "status", "record"})


class ViewSession:
    """The streams of a window, found whenever they come."""

    def __init__(
        self,
        *,
        stream: str | None,
        decode: str | None,
        clock: Callable[[], float] = lsl_clock,
    ) -> None:
        self.montage: Montage | None = None
        self.decode: DecodeHeader | None = None
        self.bad: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()
        self._stream, self._clock = stream, clock
        self._decode_name = None if decode is None else sender_of(decode)
        self._reported_bad: dict[str, str] = {}
        self._ends: dict[str, str] = {}
        self._by_hand: dict[str, str] = {}
        self._links: dict[str, ViewInlet] = {}
        self._last: dict[str, StreamHealth] = {}
        self._finder = StreamFinder(stream, decode, clock)
        self.feeds: tuple[StreamHealth, ...] = self._feeds(clock())

    def poll(self) -> SessionUpdate:
        """Take what has come since the last poll; never waits."""
        new_montage = self._welcome()
        other_decoder = self._part_with_foreign()
        chunks: list[Chunk] = []
        decodes: list[ReceivedDecode] = []
        events: list[StatusEvent] = []
        markers: list[tuple[float, str]] = []
        for key, link in self._links.items():
            if isinstance(link, SignalInlet):
                chunks += link.pull()
            elif isinstance(link, DecodeInlet):
                decodes += link.pull()
            elif isinstance(link, TextInlet) and key.startswith("markers:"):
                markers += link.pull()
            elif isinstance(link, TextInlet):
                events += [parse_status_line(t, line, link.name) for t, line in link.pull()]
        for event in events:
            self._note_quality(event)
            self._note_end(event)
        now = self._clock()
        self.feeds = self._feeds(now)
        self._part(now)
        return SessionUpdate(
            now,
            tuple(chunks),
            tuple(decodes),
            tuple(events),
            tuple(markers),
            new_montage,
            other_decoder,
        )

    def mark(self, label: str, bad: bool) -> None:
        """Call a channel bad, or no longer bad, by hand."""
        if bad:
            self._by_hand[label] = OPERATOR_MARK
        else:
            self._by_hand.pop(label, None)
        self._merge_bad()

    @property
    def marked(self) -> frozenset[str]:
        """Channels that were called bad by hand."""
        return frozenset(self._by_hand)

    def close(self) -> None:
        """Let go of every stream; safe to call twice."""
        self._links.clear()
        self._finder.close()

    def _welcome(self) -> bool:
        """Take over what the thread has opened; whether the montage is another one."""
        new_montage = False
        for _ in range(self._finder.opened.qsize()):
            key, link = self._finder.opened.get_nowait()
            self._links[key] = link
            if isinstance(link, SignalInlet):
                self.notes = link.notes
                if not _same(self.montage, link.montage):
                    self.montage = link.montage
                    self._by_hand = {
                        label: why
                        for label, why in self._by_hand.items()
                        if label in link.montage.names
                    }
                    new_montage = True
            elif isinstance(link, DecodeInlet):
                self.decode = link.info
            elif key == "status":
                # Another run of the decoder tells anew what it finds bad.
                self._reported_bad.clear()
            self._merge_bad()
        return new_montage

    def _part_with_foreign(self) -> bool:
        """Give back decodes and status of a decoder of other channels; whether there were any."""
        decode, foreign = self.decode, set(self._finder.foreign)
        names = () if self.montage is None else self.montage.names
        asked = self._decode_name is not None
        parted = []
        if decode is not None and explain_mismatch(decode.name, decode.contacts, names, asked):
            self.decode = None
            foreign |= status_stream_names(decode.name)
            parted.append("decode")
        for key in ("status", "record"):
            if key in self._links and self._links[key].name in foreign:
                parted.append(key)
        if "status" in parted:
            self._reported_bad.clear()
            self._merge_bad()
        for key in parted:
            self._last.pop(key, None)
            if self._links.pop(key, None) is not None:
                self._finder.release(key, lost=False)
        return bool(parted)

    def _note_end(self, event: StatusEvent) -> None:
        """Whether a decoder or recorder ends in order; one that failed tells its end as well."""
        base = sender_of(str(event.fields["stream"]))
        if event.event == "failed":
            self._ends[base] = "lost"
        elif event.event == "stopped":
            self._ends.setdefault(base, "ended")
        else:
            self._ends.pop(base, None)

    def _how_gone(self, feed: StreamHealth) -> str:
        if feed.kind not in _TELLING:
            return "lost"
        return self._ends.get(sender_of(feed.name), "lost")

    def _note_quality(self, event: StatusEvent) -> None:
        if event.event == "summary":
            bad = event.fields.get("bad")
            if isinstance(bad, dict):
                first = list(bad.items())[:_MAX_BAD]
                self._reported_bad = {str(channel): str(why) for channel, why in first}
                self._merge_bad()
            return
        channel = event.fields.get("channel")
        if not isinstance(channel, str):
            return
        if event.event == "channel_bad" and len(self._reported_bad) < _MAX_BAD:
            self._reported_bad[channel] = str(event.fields.get("reason", "bad"))
        elif event.event == "channel_good":
            self._reported_bad.pop(channel, None)
        self._merge_bad()

    def _merge_bad(self) -> None:
        self.bad = {**self._reported_bad, **self._by_hand}

    def _part(self, now: float) -> None:
        """Give back the links that are lost."""
        for key, link in list(self._links.items()):
            silent = now - link.t_arrived > _GONE_S
            if link.lost or (silent and not self._finder.announced(link)):
                del self._links[key]
                self._finder.release(key)

    def _feeds(self, now: float) -> tuple[StreamHealth, ...]:
        for key, link in self._links.items():
            self._last[key] = self._feed(key, link, now)
        for key, feed in self._last.items():
            if key not in self._links:
                self._last[key] = replace(feed, state=self._how_gone(feed))
        self._ends = {
            base: end
            for base, end in self._ends.items()
            if any(base == sender_of(feed.name) for feed in self._last.values())
        }
        gone = [
            key
            for key, feed in self._last.items()
            if key.startswith("markers:") and (feed.state == "lost" or key not in self._links)
        ]
        # A window that is closed takes its marks with it: they are nobody's loss.
        hands = [key for key in gone if is_manual_marks(self._last[key].name)]
        others = [key for key in gone if key not in hands]
        for key in hands + others[:-_GONE_MARKERS_SHOWN]:
            del self._last[key]
        keys = ["signal", "decode", "status", "record"]
        keys += sorted(key for key in self._last if key.startswith("markers:"))
        return tuple(self._expected(key) for key in keys)

    def _feed(self, key: str, link: ViewInlet, now: float) -> StreamHealth:
        return StreamHealth(
            link.name,
            key.split(":")[0],
            self._state(link, now),
            "" if link.origin in {"decoder", "amplifier"} else link.origin,
            link.nominal_hz,
            link.effective_hz,
            link.n_received,
            link.n_lost,
            link.clock_offset_s,
            link.clock_uncertainty_s,
            link.t_last,
        )

    def _state(self, link: ViewInlet, now: float) -> str:
        if link.lost:
            return "lost"
        if link.nominal_hz <= 0:
            return "live"
        if not link.received and now - link.t_arrived <= _STALL_S:
            return "connecting"
        limit_s = max(_STALL_S, _STALL_HOPS / link.nominal_hz)
        return "stalled" if now - link.t_arrived > limit_s else "live"

    def _expected(self, key: str) -> StreamHealth:
        last = self._last.get(key)
        connecting = key in self._finder.connecting
        if last is not None and key in self._links:
            return last
        if last is not None:
            return replace(last, state="connecting") if connecting else last
        asked = {
            "signal": self._stream,
            "decode": self._decode_name and decode_name(self._decode_name),
            "status": self._decode_name and status_name(self._decode_name),
        }.get(key)
        name = self._finder.troubles.get(key, asked or "")
        state = "connecting" if connecting else "absent"
        return StreamHealth(name, key, state, "", 0.0, math.nan, 0, 0, math.nan, math.nan, math.nan)


def _same(old: Montage | None, new: Montage) -> bool:
    if old is None or (old.names, old.kinds, old.sfreq_hz) != (new.names, new.kinds, new.sfreq_hz):
        return False
    if old.positions is None or new.positions is None:
        return old.positions is new.positions
    return old.space == new.space and np.array_equal(old.positions, new.positions, equal_nan=True)
