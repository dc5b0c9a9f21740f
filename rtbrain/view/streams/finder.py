"""Finds the window's streams and opens them, in threads: the window itself never waits."""

import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rtbrain.errors import RtbrainError, StreamError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.decodes import decoder_contacts
from rtbrain.stream.lsl.inlet import ANSWER_S, fetch_full_info, make_inlet
from rtbrain.stream.lsl.resolve import StreamSummary, StreamWatcher, stream_summary
from rtbrain.view.streams.choice import (
    choose_streams,
    explain_mismatch,
    find_signals,
    status_stream_names,
)
from rtbrain.view.streams.inlets import DecodeInlet, SignalInlet, ViewInlet
from rtbrain.view.streams.texts import TextInlet

_LOOK_EVERY_S = 0.1
# In looks rather than seconds: the finder does not look while it opens a stream.
_GONE_AFTER_LOOKS = 30
# Markers may be rare, so a silent stream of them is healthy. With more outlets than ports in
# liblsl's range (32, two per outlet), a live one answers one query in seven (measured).
_SILENT_GONE_AFTER_LOOKS = 300
_CLOCK_EVERY_S = 5.0
_JOIN_S = 1.0
_MAX_MARKERS = 8
_MAX_RECORDERS = 8
_MAX_FETCHES = 16
_MAX_CHOICES = 12
_FORGET_S = 60.0
# So long one that was named is waited for before others are offered.
_NAMED_S = 3.0


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
            # The others wait for their turn: anyone may announce a thousand streams.
            del new[max(0, _MAX_FETCHES - len(self._fetching)) :]
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
        with suppress(StreamError):  # opening the stream fails likewise, and reports it
            contacts = decoder_contacts(fetch_full_info(make_inlet(found, 1), found, ANSWER_S))
        with self._lock:
            self._contacts[found.uid()] = contacts
            self._fetching.discard(found.uid())


class StreamFinder:
    """Finds and closes streams, and measures their clocks, in one daemon thread.

    Each stream is opened in a daemon thread of its own, so that one behind a firewall, which only
    answers queries, does not delay the others. `opened` passes them to the session.
    """

    def __init__(
        self,
        stream: str | None,
        decode: str | None,
        clock: Callable[[], float],
        *,
        source_id: str | None = None,
        markers: str | None = None,
        scale: float = 1.0,
        triggers: Sequence[str] = (),
    ) -> None:
        self.opened: queue.Queue[tuple[str, ViewInlet]] = queue.Queue()
        self.connecting: frozenset[str] = frozenset()
        self.problems: dict[str, str] = {}
        self.foreign: frozenset[str] = frozenset()
        self.choices: tuple[StreamSummary, ...] = ()
        self._wanted, self._decode, self._clock = (stream, source_id), decode, clock
        self._markers, self._scale, self._triggers = markers, scale, triggers
        self._t_start = time.monotonic()
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

    def choose(self, signal: StreamSummary) -> None:
        """Open this signal, of several."""
        self._wanted, self.choices = (signal.name, signal.source_id), ()

    def look_again(self) -> None:
        """Ask the network anew."""
        self._watcher = StreamWatcher()

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
        wanted = self._wanted
        chosen, problems = choose_streams(
            infos, wanted[0], self._decode, foreign, wanted[1], self._markers
        )
        signals = find_signals(infos, *wanted)
        with self._lock:
            offer = len(signals) > 1 and "signal" not in self._open
        if not (signals or labels) and time.monotonic() > self._t_start + _NAMED_S:
            signals, offer = find_signals(infos, None, None), True
        if self._wanted is wanted:
            self.choices = tuple(map(stream_summary, signals[:_MAX_CHOICES] if offer else ()))
        if not self._contacts.complete(decodes) or ("signal" in chosen and not labels):
            # It is not known yet which decoder reads the signal.
            unsure = ("decode", "status", "record", "events")
            chosen = {key: it for key, it in chosen.items() if key.split(":")[0] not in unsure}
        return chosen, problems

    def _due(self, chosen: dict[str, Any]) -> list[tuple[str, Any]]:
        """Streams to open now."""
        with self._lock:
            taken = self.connecting | self._open.keys()
        new = {key: found for key, found in chosen.items() if key not in taken}
        for kind, most in (("markers:", _MAX_MARKERS), ("record:", _MAX_RECORDERS)):
            there = [key for key in (*taken, *new) if key.startswith(kind)]
            for key in there[most:]:
                new.pop(key, None)
        # A recorder is one of any number; of another role, a second match must have had its time.
        return [
            (key, found)
            for key, found in new.items()
            if key.startswith("record:") or self._watcher.is_settled(found.uid())
        ]

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
            inlet = SignalInlet(
                found, self._clock, self._counter, scale=self._scale, triggers=self._triggers
            )
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
