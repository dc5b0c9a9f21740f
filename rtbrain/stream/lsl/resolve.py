"""Which LSL streams are there, and the one that is meant: the one place that asks."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pylsl

from rtbrain.errors import StreamError, quote
from rtbrain.processes import lsl_scope_hint
from rtbrain.stream_names import is_of_decoder

_POLL_S = 0.02
_LOOK_EVERY_S = 0.1
_FORGET_S = 1.5
# liblsl's answers flicker: a live stream may be absent from a round of them.
_FLICKER_S = 1.0
# On one machine a single stream answers at once and all others to the query of 0.5 s later (0.2 s
# by our own settings; measured): a second match needs that time to show itself.
_SETTLE_S = 1.0
# A stream that was lost is still announced for as long as this.
_PUT_OFF_S = _FORGET_S + _FLICKER_S
_RETRY_S = 0.5
# No multiple of 0.5, nor of the 0.2 of our own settings, where liblsl may begin another wave of
# queries and wait 5 s for it.
_AGAIN_S = 0.7
_MAX_REFUSED = 256
_MAX_MISSES = 1000
_UID = re.compile(r"[0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class _Sighting:
    info: Any
    t_first: float
    t_last: float
    n_misses: int = 0


class StreamWatcher:
    """Watches which LSL streams are there.

    liblsl queries the network in a thread of its own; `look` takes what has answered, never waits,
    and may be called as often as one likes. Memory is bounded, and any thread may call. `error` is
    why liblsl cannot look for streams now; it is tried again.
    """

    def __init__(self) -> None:
        self.error = ""
        self._resolver: Any = None
        self._sightings: dict[str, _Sighting] = {}
        self._put_off: dict[str, float] = {}
        self._refused: deque[str] = deque(maxlen=_MAX_REFUSED)
        self._look_at = 0.0
        self._lock = threading.Lock()

    def look(self) -> list[Any]:
        """Streams that are there, each a `pylsl.StreamInfo` without desc.

        Those that were refused, or put off in the last 2.5 s, are left out.
        """
        with self._lock:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at = now + _LOOK_EVERY_S
                self._take(self._results(now), now)
            return [
                one.info
                for uid, one in self._sightings.items()
                if now - one.t_last < _FLICKER_S
                and uid not in self._put_off
                and uid not in self._refused
            ]

    def is_settled(self, uid: str) -> bool:
        """Whether a stream has been there long enough for a second match to have shown itself."""
        return self.seen_s(uid) >= _SETTLE_S

    def seen_s(self, uid: str) -> float:
        """How long a stream has been there, s; below 0 where it is not.

        One that has ended may be among those there for 2.5 s more.
        """
        one = self._sightings.get(uid)
        return -1.0 if one is None else time.monotonic() - one.t_first

    def n_misses(self, uid: str) -> int:
        """How many looks in a row, 0.1 s apart or more, a stream has not been seen."""
        one = self._sightings.get(uid)
        return _MAX_MISSES if one is None else one.n_misses

    def put_off(self, uid: str) -> None:
        """Leave a stream out for 2.5 s, for it was lost or did not answer."""
        with self._lock:
            self._put_off[uid] = time.monotonic() + _PUT_OFF_S

    def is_put_off(self, uid: str) -> bool:
        """Whether a stream was put off in the last 2.5 s."""
        return self._put_off.get(uid, 0.0) > time.monotonic()

    def refuse(self, uid: str) -> None:
        """Leave a stream out for good; the newest 256 of them are remembered."""
        with self._lock:
            self._refused.append(uid)

    def _results(self, now: float) -> list[Any]:
        try:
            if self._resolver is None:
                self._resolver = pylsl.ContinuousResolver(forget_after=_FORGET_S)
            self.error = ""
            return list(self._resolver.results())
        except RuntimeError as error:  # liblsl has no room, no socket, or a fault of its own
            self.error = str(error)
            self._look_at = now + _RETRY_S
            return []

    def _take(self, infos: list[Any], now: float) -> None:
        there = {info.uid(): info for info in infos}
        before = self._sightings
        missed = {
            uid: _Sighting(one.info, one.t_first, one.t_last, one.n_misses + 1)
            for uid, one in before.items()
            if uid not in there and one.n_misses < _MAX_MISSES
        }
        seen = {
            uid: _Sighting(info, _first(before.get(uid), now), now) for uid, info in there.items()
        }
        self._sightings = missed | seen
        self._put_off = {uid: t for uid, t in self._put_off.items() if t > now}


def _first(before: _Sighting | None, now: float) -> float:
    """Since when a stream is there: from now on where it was away for longer than a flicker."""
    return now if before is None or now - before.t_last >= _FLICKER_S else before.t_first


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """A stream as its sender announces it; as text, the part of a message that names it.

    `sfreq_hz` is the nominal rate in Hz, 0 for an irregular stream.
    """

    name: str
    stream_type: str
    source_id: str
    host: str
    n_channels: int
    sfreq_hz: float

    def __str__(self) -> str:
        rate = f"at {self.sfreq_hz:g} Hz" if self.sfreq_hz > 0 else "irregular"
        return (
            f"{quote(self.name)} (type {quote(self.stream_type)}, source_id "
            f"{quote(self.source_id)}, on {quote(self.host)}, {self.n_channels} "
            f"channel{'s' * (self.n_channels != 1)} {rate})"
        )


def all_streams(timeout_s: float, watcher: StreamWatcher | None = None) -> list[Any]:
    """Streams seen within `timeout_s`, each a `pylsl.StreamInfo`; below 1 s some may be missed."""
    watcher = watcher or StreamWatcher()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        watcher.look()
        time.sleep(_POLL_S)
    there = watcher.look()
    _require_look(watcher, there)
    return there


def list_streams(watcher: StreamWatcher | None = None) -> list[StreamSummary]:
    """Streams seen within 1 s, in order of name."""
    return _summaries(all_streams(1.0, watcher))


def find_matching(
    properties: Mapping[str, str],
    timeout_s: float,
    stop: Callable[[], bool] = lambda: False,
    watcher: StreamWatcher | None = None,
    on_match: Callable[[Any], None] = lambda info: None,
) -> tuple[list[Any], list[Any]]:
    """Streams that have every property, and all streams that were seen.

    Matching is done here and not in liblsl's XPath query, so no name needs escaping, and the
    streams that do not match are known for the message. `on_match` is called with one that matches,
    again and again until all have had time to show themselves.
    """
    watcher = watcher or StreamWatcher()
    deadline = time.monotonic() + timeout_s
    seen: dict[str, Any] = {}
    while True:
        there = watcher.look()
        seen |= {info.uid(): info for info in there}
        matching = [info for info in there if has_properties(info, properties)]
        if matching:
            on_match(matching[0])
        settled = any(watcher.is_settled(info.uid()) for info in matching)
        if stop() or settled or (not matching and time.monotonic() >= deadline):
            break
        time.sleep(_POLL_S)
    _require_look(watcher, seen)
    return matching, list(seen.values())


def resolve_one(
    properties: Mapping[str, str],
    timeout_s: float,
    stop: Callable[[], bool] = lambda: False,
    watcher: StreamWatcher | None = None,
    on_match: Callable[[Any], None] = lambda info: None,
) -> Any:
    """The only stream that has every property, as a `pylsl.StreamInfo` without desc."""
    matching, seen = find_matching(properties, timeout_s, stop, watcher, on_match)
    if not matching:
        raise StreamError(
            f"no LSL stream with {_describe(properties)} within {timeout_s:g} s: {_advice(seen)}"
        )
    if len(matching) > 1:
        raise ambiguous_stream_error(properties, _summaries(matching))
    return matching[0]


def resolve_again(found: Any, timeout_s: float = _AGAIN_S) -> Any | None:
    """A stream that is known, where it is now; None where it does not answer in time.

    It is asked for by itself every 0.5 s, and the first answer counts: after a cut of the network
    that is earlier than a `StreamWatcher` sees it, and no stream that answered before the cut is
    taken for one that answers now.
    """
    uid = found.uid()
    if not _UID.fullmatch(uid):  # it comes from the network, and goes into a query
        return None
    try:
        return next(iter(pylsl.resolve_bypred(f"uid='{uid}'", 1, timeout_s)), None)
    except RuntimeError:  # liblsl has no room, no socket, or a fault of its own
        return None


def ambiguous_stream_error(
    properties: Mapping[str, str], rows: Sequence[StreamSummary]
) -> StreamError:
    """Error for several streams of which any might be meant."""
    listed = ", ".join(map(str, rows))
    return StreamError(
        f"{len(rows)} LSL streams have {_describe(properties)}: {listed}; pass the source_id of "
        "the one that is meant, or stop the other"
    )


def stream_properties(
    name: str | None, stream_type: str | None, source_id: str | None
) -> dict[str, str]:
    """Those properties that are not None, under liblsl's names."""
    properties = {"name": name, "type": stream_type, "source_id": source_id}
    return {key: value for key, value in properties.items() if value is not None}


def stream_summary(info: Any) -> StreamSummary:
    """Summary of a stream that was found, a `pylsl.StreamInfo`."""
    return StreamSummary(
        info.name(),
        info.type(),
        info.source_id(),
        info.hostname(),
        int(info.channel_count()),
        float(info.nominal_srate()),
    )


def _require_look(watcher: StreamWatcher, seen: Collection[object]) -> None:
    if watcher.error and not seen:
        raise StreamError(f"liblsl cannot look for streams now: {watcher.error}")


def has_properties(info: Any, properties: Mapping[str, str]) -> bool:
    """Whether a stream has every property."""
    return all(getattr(info, key)() == value for key, value in properties.items())


def _advice(there: list[Any]) -> str:
    # The decoder that asks has sent some of these itself.
    choices = [info for info in there if not is_of_decoder(info.name(), info.type())]
    if not choices:
        return f"there are no other streams; start the sender{lsl_scope_hint()}"
    listed = ", ".join(map(str, _summaries(choices)))
    return f"there are {listed}; start the sender, or ask for one of these{lsl_scope_hint()}"


def _describe(properties: Mapping[str, str]) -> str:
    return " and ".join(f"{key} {quote(value)}" for key, value in properties.items()) or "any name"


def _summaries(infos: list[Any]) -> list[StreamSummary]:
    return sorted(map(stream_summary, infos), key=lambda row: (row.name, row.source_id, row.host))
