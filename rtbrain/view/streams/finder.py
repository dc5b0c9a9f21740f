"""Finds the window's streams and opens them, in threads: the window itself never waits."""

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pylsl

from rtbrain.errors import RtbrainError, StreamLostError, list_words
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.decodes import decoder_contacts
from rtbrain.stream.lsl.inlet import ANSWER_S, fetch_full_info, make_inlet
from rtbrain.stream.lsl.resolve import StreamWatcher
from rtbrain.stream_names import (
    is_manual_marks,
    is_recorder_status,
    is_status,
    markers_name,
    recorder_name,
    sender_of,
    status_name,
)
from rtbrain.view.streams.inlets import DecodeInlet, SignalInlet, TextInlet, ViewInlet

_LOOK_EVERY_S = 0.1
# In looks rather than seconds: the finder does not look while it opens a stream.
_GONE_AFTER_LOOKS = 30
# Markers may be rare, so a silent stream of them is healthy. With more outlets than ports in
# liblsl's range (32, two per outlet), a live one answers one query in seven (measured).
_SILENT_GONE_AFTER_LOOKS = 300
_CLOCK_EVERY_S = 5.0
_JOIN_S = 1.0
_MAX_MARKERS = 8
_FORGET_S = 60.0
_BRAIN_TYPES = frozenset({"eeg", "ieeg", "seeg", "ecog", "dbs", "lfp"})
# Share of its contacts that a decoder needs in a signal, unless its recipe says otherwise.
_MIN_SHARE = 0.3


def choose_streams(
    infos: Sequence[Any],
    stream: str | None,
    decode: str | None,
    foreign: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Any], dict[str, str]]:
    """Stream of each role, and why a role has none; ``foreign`` maps refused decodes to reasons."""
    texts = [info for info in infos if info.channel_format() == pylsl.cf_string]
    decodes = [info for info in infos if info.type() == "Decode" and info not in texts]
    refused = frozenset[str]().union(*map(status_stream_names, foreign))
    texts = [info for info in texts if info.channel_count() == 1 and info.name() not in refused]
    decoder = None if decode is None else sender_of(decode)
    if decoder is not None:
        decodes = [info for info in decodes if sender_of(info.name()) == decoder]
    refusals = [foreign[info.name()] for info in decodes if info.name() in foreign]
    decodes = [info for info in decodes if info.name() not in foreign]
    if len(decodes) == 1:
        decoder = sender_of(decodes[0].name())
    signals = _signals(infos, stream)
    candidates = {"signal": signals, "decode": decodes, **_status_streams(texts, decoder)}
    signal = signals[0].name() if len(signals) == 1 else stream
    for info in texts:
        if is_manual_marks(info.name()):
            # Several windows send under one name; their source_id tells them apart.
            key = f"markers:{info.name()}:{info.source_id()}"
            candidates.setdefault(key, []).append(info)
        elif signal is not None and info.name() == markers_name(signal):
            candidates.setdefault(f"markers:{info.name()}", []).append(info)
    chosen = {key: found[0] for key, found in candidates.items() if len(found) == 1}
    problems = {
        key: f"{len(found)} streams: {', '.join(sorted(info.name() for info in found)[:4])}"
        for key, found in candidates.items()
        if len(found) > 1
    }
    if refusals and not decodes:
        problems["decode"] = "; ".join(sorted(refusals))
    return chosen, problems


def _signals(infos: Sequence[Any], stream: str | None) -> list[Any]:
    numeric = [
        info
        for info in infos
        if info.channel_format() != pylsl.cf_string
        and info.nominal_srate() > 0
        and info.type() not in {"Decode", "Markers"}
    ]
    if stream is not None:
        return [info for info in numeric if info.name() == stream]
    return [info for info in numeric if info.type().lower() in _BRAIN_TYPES] or numeric


def _status_streams(texts: Sequence[Any], decoder: str | None) -> dict[str, list[Any]]:
    records = [info for info in texts if is_recorder_status(info.name())]
    statuses = [info for info in texts if is_status(info.name()) and info not in records]
    if decoder is not None:
        statuses = [info for info in statuses if info.name() == status_name(decoder)]
    return {"status": statuses, "record": records}


def status_stream_names(name: str) -> frozenset[str]:
    """Names of the status streams of a decoder and of the recorder it starts."""
    decoder = sender_of(name)
    return frozenset((status_name(decoder), status_name(recorder_name(decoder))))


def explain_mismatch(name: str, contacts: Sequence[str], signal: Sequence[str], named: bool) -> str:
    """Why a decoder does not read a signal; empty if it does, or if either is unknown.

    Every contact must be in the signal; of a decoder that was named, 30 % must. A pair such as
    ``A1-A2`` is in the signal if both of its contacts are.
    """
    if not contacts or not signal:
        return ""
    channels = set(signal)
    absent = [
        contact
        for contact in contacts
        if contact not in channels and not any(channels.issuperset(p) for p in pairs_in(contact))
    ]
    if not absent or (named and len(absent) <= (1 - _MIN_SHARE) * len(contacts)):
        return ""
    are = "are" if len(absent) > 1 else "is"
    return f"{name} reads other channels: {list_words(absent)} {are} not in this signal"


def pairs_in(label: str) -> list[tuple[str, str]]:
    """Two contacts that a label such as ``A1-A2`` may name, by each of its hyphens."""
    parts = label.split("-")
    return [("-".join(parts[:cut]), "-".join(parts[cut:])) for cut in range(1, len(parts))]


class DecoderContacts:
    """Contacts that each decoder reads, from the full header of its decode stream.

    Each header is fetched in a daemon thread of its own, so that a sender that does not answer
    delays only those who wait for `complete`, and by 3 s at most.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contacts: dict[str, tuple[str, ...]] = {}
        self._fetching: set[str] = set()
        self._t_seen: dict[str, float] = {}

    def look(self, decodes: Sequence[Any]) -> None:
        """Fetch the headers of new streams, and forget streams that are long gone."""
        now = time.monotonic()
        self._t_seen |= {info.uid(): now for info in decodes}
        self._t_seen = {uid: t for uid, t in self._t_seen.items() if now - t < _FORGET_S}
        with self._lock:
            self._contacts = {uid: it for uid, it in self._contacts.items() if uid in self._t_seen}
            new = [i for i in decodes if i.uid() not in self._contacts.keys() | self._fetching]
            self._fetching |= {info.uid() for info in new}
        for info in new:
            threading.Thread(target=self._fetch, args=(info,), daemon=True).start()

    def complete(self, decodes: Sequence[Any]) -> bool:
        """Whether every one of these streams has answered or failed to."""
        with self._lock:
            return all(info.uid() in self._contacts for info in decodes)

    def foreign(self, decodes: Sequence[Any], signal: Sequence[str], named: bool) -> dict[str, str]:
        """Names of the decodes of other channels, and why, as `explain_mismatch`."""
        with self._lock:
            known = [(info.name(), self._contacts.get(info.uid(), ())) for info in decodes]
        reasons = [(name, explain_mismatch(name, them, signal, named)) for name, them in known]
        # A decoder that ended is announced for a while beside its successor of the same name.
        fitting = {name for name, reason in reasons if not reason}
        return {name: reason for name, reason in reasons if name not in fitting}

    def _fetch(self, found: Any) -> None:
        contacts: tuple[str, ...] = ()
        with suppress(StreamLostError):  # opening the stream fails likewise, and reports it
            contacts = decoder_contacts(fetch_full_info(make_inlet(found, 1), found, ANSWER_S))
        with self._lock:
            self._contacts[found.uid()] = contacts
            self._fetching.discard(found.uid())


class StreamFinder:
    """Finds and closes streams, and measures their clocks, in one daemon thread.

    Each stream is opened in a daemon thread of its own, so that one behind a firewall, which only
    answers queries, does not delay the others. `opened` passes them to the session.
    """

    def __init__(self, stream: str | None, decode: str | None, clock: Callable[[], float]) -> None:
        self.opened: queue.Queue[tuple[str, ViewInlet]] = queue.Queue()
        self.connecting: frozenset[str] = frozenset()
        self.problems: dict[str, str] = {}
        self.foreign: frozenset[str] = frozenset()
        self._stream, self._decode, self._clock = stream, decode, clock
        self._watcher = StreamWatcher()
        self._contacts = DecoderContacts()
        self._labels: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._open: dict[str, ViewInlet] = {}
        self._retired: list[ViewInlet] = []
        self._failures: dict[str, tuple[str, str]] = {}  # uid and reason
        self._counter: SampleCounter | None = None
        self._clock_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rtbrain-view-finder", daemon=True)
        self._thread.start()

    def release(self, key: str, *, lost: bool = True) -> None:
        """Close a stream that is lost or belongs to another signal, and look for another."""
        with self._lock:
            inlet = self._open.pop(key, None)
            if inlet is not None:
                self._retired.append(inlet)
                if lost:
                    self._watcher.put_off(inlet.uid)

    def close(self) -> None:
        """Stop the thread, then close every stream; safe to call twice."""
        self._stop.set()
        # If a sender that does not answer holds up the thread, the thread closes what it opens.
        self._thread.join(_JOIN_S)
        with self._lock:
            inlets = [*self._open.values(), *self._retired]
            self._open.clear()
            self._retired.clear()
        for inlet in inlets:
            inlet.close()

    def is_announced(self, inlet: ViewInlet) -> bool:
        """Whether the sender has answered one of the latest queries."""
        limit = _GONE_AFTER_LOOKS if inlet.nominal_hz > 0 else _SILENT_GONE_AFTER_LOOKS
        return self._watcher.n_misses(inlet.uid) < limit

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            self._close_retired()
            chosen, ambiguous = self._choose(self._watcher.look())
            with self._lock:
                # A failure is forgotten once its stream may be tried again or is gone.
                self._failures = {
                    key: (uid, reason)
                    for key, (uid, reason) in self._failures.items()
                    if self._watcher.is_put_off(uid)
                }
                failures = {key: reason for key, (_, reason) in self._failures.items()}
            self.problems = {**failures, **ambiguous}
            for key, found in self._due(chosen):
                with self._lock:
                    self.connecting |= {key}
                threading.Thread(target=self._connect, args=(key, found), daemon=True).start()
            self._measure_clocks()

    def _choose(self, infos: list[Any]) -> tuple[dict[str, Any], dict[str, str]]:
        decodes = [info for info in infos if info.type() == "Decode"]
        self._contacts.look(decodes)
        with self._lock:
            labels = self._labels
        foreign = self._contacts.foreign(decodes, labels, self._decode is not None)
        self.foreign = frozenset[str]().union(*map(status_stream_names, foreign))
        chosen, problems = choose_streams(infos, self._stream, self._decode, foreign)
        if not self._contacts.complete(decodes) or ("signal" in chosen and not labels):
            # It is not known yet which decoder reads the signal.
            for key in ("decode", "status", "record"):
                chosen.pop(key, None)
        return chosen, problems

    def _due(self, chosen: dict[str, Any]) -> list[tuple[str, Any]]:
        """Streams to open now."""
        with self._lock:
            taken = self.connecting | self._open.keys()
        new = {key: found for key, found in chosen.items() if key not in taken}
        markers = [key for key in (*taken, *new) if key.startswith("markers:")]
        for key in markers[_MAX_MARKERS:]:
            new.pop(key, None)
        return [(key, found) for key, found in new.items() if self._watcher.is_settled(found.uid())]

    def _connect(self, key: str, found: Any) -> None:
        try:
            inlet = self._make_inlet(key, found)
        except RtbrainError as error:
            with self._lock:
                self.connecting -= {key}
                self._failures[key] = (found.uid(), str(error))
                self._watcher.put_off(found.uid())
            return
        with self._lock:
            self.connecting -= {key}
            self._failures.pop(key, None)
            self._open[key] = inlet
            if isinstance(inlet, SignalInlet):
                self._labels = inlet.montage.names
        self.opened.put((key, inlet))
        if self._stop.is_set():
            self.release(key)
            self._close_retired()

    def _make_inlet(self, key: str, found: Any) -> ViewInlet:
        if key == "signal":
            inlet = SignalInlet(found, self._clock, self._counter)
            self._counter = inlet.counter
            return inlet
        return (DecodeInlet if key == "decode" else TextInlet)(found, self._clock)

    def _close_retired(self) -> None:
        with self._lock:
            inlets, self._retired = self._retired, []
        for inlet in inlets:
            inlet.close()

    def _measure_clocks(self) -> None:
        now = time.monotonic()
        with self._lock:
            inlets = list(self._open.values())
        unknown = any(math.isnan(inlet.clock_offset_s) for inlet in inlets)
        if now < self._clock_at + (1.0 if unknown else _CLOCK_EVERY_S):
            return
        self._clock_at = now
        for inlet in inlets:
            inlet.measure_clock()
