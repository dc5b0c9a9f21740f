"""Looks for the window's streams and opens them, in threads: the window itself never waits."""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pylsl

from rtbrain.errors import RtbrainError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.watch import StreamWatcher
from rtbrain.stream_names import (
    is_manual_marks,
    is_recorder_status,
    is_status,
    markers_name,
    sender_of,
    status_name,
)
from rtbrain.view.streams.inlets import DecodeInlet, SignalInlet, TextInlet, ViewInlet
from rtbrain.view.streams.matching import DecodeHeaders, status_stream_names

_LOOK_EVERY_S = 0.1
# Looks and not seconds: while a stream is being opened nobody looks.
_GONE_AFTER_LOOKS = 30
# Markers may be rare: a silent stream of them is well. Where there are more outlets than ports in
# liblsl's range (32, two an outlet) a live one answers one query in seven (measured).
_SILENT_GONE_AFTER_LOOKS = 300
_CLOCK_EVERY_S = 5.0
_END_S = 1.0
_BRAIN_TYPES = frozenset({"eeg", "ieeg", "seeg", "ecog", "dbs", "lfp"})
_MAX_MARKERS = 8


def choose_streams(
    infos: Sequence[Any],
    stream: str | None,
    decode: str | None,
    foreign: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Any], dict[str, str]]:
    """Which stream is which."""
    texts = [info for info in infos if info.channel_format() == pylsl.cf_string]
    theirs = frozenset[str]().union(*map(status_stream_names, foreign))
    texts = [info for info in texts if info.channel_count() == 1 and info.name() not in theirs]
    decodes = [info for info in infos if info.type() == "Decode" and info not in texts]
    asked = None if decode is None else sender_of(decode)
    if asked is not None:
        decodes = [info for info in decodes if sender_of(info.name()) == asked]
    refused = [foreign[info.name()] for info in decodes if info.name() in foreign]
    decodes = [info for info in decodes if info.name() not in foreign]
    candidates = {"signal": _signals(infos, stream), "decode": decodes}
    base = sender_of(decodes[0].name()) if len(decodes) == 1 else asked
    records = [info for info in texts if is_recorder_status(info.name())]
    statuses = [info for info in texts if is_status(info.name()) and info not in records]
    if base is not None:
        statuses = [info for info in statuses if info.name() == status_name(base)]
    candidates |= {"status": statuses, "record": records}
    signals = candidates["signal"]
    name = signals[0].name() if len(signals) == 1 else stream
    for info in texts:
        if is_manual_marks(info.name()):
            # Windows send under one name, and are told apart by their source_id.
            key = f"markers:{info.name()}:{info.source_id()}"
            candidates.setdefault(key, []).append(info)
        elif name is not None and info.name() == markers_name(name):
            candidates.setdefault(f"markers:{info.name()}", []).append(info)
    chosen = {key: found[0] for key, found in candidates.items() if len(found) == 1}
    troubles = {
        key: f"{len(found)} streams: {', '.join(sorted(info.name() for info in found)[:4])}"
        for key, found in candidates.items()
        if len(found) > 1
    }
    if refused and not decodes:
        troubles["decode"] = "; ".join(sorted(refused))
    return chosen, troubles


def _signals(infos: Sequence[Any], stream: str | None) -> list[Any]:
    numbers = [
        info
        for info in infos
        if info.channel_format() != pylsl.cf_string
        and info.nominal_srate() > 0
        and info.type() not in {"Decode", "Markers"}
    ]
    if stream is not None:
        return [info for info in numbers if info.name() == stream]
    return [info for info in numbers if info.type().lower() in _BRAIN_TYPES] or numbers


class StreamFinder:
    """Finds and closes streams, and measures their clocks, in one daemon thread.

    Each is opened in a daemon thread of its own: one behind a firewall, which answers queries and
    nothing else, must not hold up the others.
    """

    def __init__(self, stream: str | None, decode: str | None, clock: Callable[[], float]) -> None:
        self.opened: queue.Queue[tuple[str, ViewInlet]] = queue.Queue()
        self.connecting: frozenset[str] = frozenset()
        self.troubles: dict[str, str] = {}
        self.foreign: frozenset[str] = frozenset()
        self._stream, self._decode, self._clock = stream, decode, clock
        self._watcher = StreamWatcher()
        self._headers = DecodeHeaders()
        self._labels: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._held: dict[str, ViewInlet] = {}
        self._retired: list[ViewInlet] = []
        self._refused: dict[str, tuple[str, str]] = {}
        self._counter: SampleCounter | None = None
        self._clock_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rtbrain-view-finder", daemon=True)
        self._thread.start()

    def release(self, key: str, *, lost: bool = True) -> None:
        """Close a stream that is lost, or of another signal, and look for one anew."""
        with self._lock:
            link = self._held.pop(key, None)
            if link is not None:
                self._retired.append(link)
            if link is not None and lost:
                self._watcher.put_off(link.uid)

    def close(self) -> None:
        """End the thread, then close every stream; safe to call twice."""
        self._stop.set()
        # A sender that does not answer holds the thread up: what it then opens it closes itself.
        self._thread.join(_END_S)
        with self._lock:
            links = [*self._held.values(), *self._retired]
            self._held.clear()
            self._retired.clear()
        for link in links:
            link.close()

    def announced(self, link: ViewInlet) -> bool:
        """Whether this run of the sender has answered one of the last queries."""
        limit = _GONE_AFTER_LOOKS if link.nominal_hz > 0 else _SILENT_GONE_AFTER_LOOKS
        return self._watcher.n_misses(link.uid) < limit

    def _work(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            self._close_retired()
            chosen, ambiguous = self._choose(self._watcher.look())
            with self._lock:
                # What is announced no more, after its time out, has no trouble any more.
                self._refused = {
                    key: (uid, why)
                    for key, (uid, why) in self._refused.items()
                    if self._watcher.is_put_off(uid)
                }
                refused = {key: why for key, (_, why) in self._refused.items()}
            self.troubles = {**refused, **ambiguous}
            for key, found in self._due(chosen):
                with self._lock:
                    self.connecting |= {key}
                threading.Thread(target=self._open, args=(key, found), daemon=True).start()
            self._measure_clocks()

    def _choose(self, infos: list[Any]) -> tuple[dict[str, Any], dict[str, str]]:
        decodes = [info for info in infos if info.type() == "Decode"]
        self._headers.look(decodes)
        with self._lock:
            labels = self._labels
        foreign = self._headers.foreign(decodes, labels, self._decode is not None)
        self.foreign = frozenset[str]().union(*map(status_stream_names, foreign))
        chosen, troubles = choose_streams(infos, self._stream, self._decode, foreign)
        if not self._headers.complete(decodes) or ("signal" in chosen and not labels):
            # Which decoder is the signal's is not known yet.
            for key in ("decode", "status", "record"):
                chosen.pop(key, None)
        return chosen, troubles

    def _due(self, chosen: dict[str, Any]) -> list[tuple[str, Any]]:
        with self._lock:
            taken = self.connecting | self._held.keys()
        free = [key for key in chosen if key not in taken]
        n_markers = sum(key.startswith("markers:") for key in taken)
        due = []
        for key in free:
            n_markers += key.startswith("markers:")
            if key.startswith("markers:") and n_markers > _MAX_MARKERS:
                continue
            if self._watcher.is_settled(chosen[key].uid()):
                due.append((key, chosen[key]))
        return due

    def _open(self, key: str, found: Any) -> None:
        link: ViewInlet | None = None
        why = ""
        try:
            link = self._link(key, found)
        except RtbrainError as error:
            why = str(error)
        with self._lock:
            self.connecting -= {key}
            self._refused = {k: said for k, said in self._refused.items() if k != key}
            if link is None:
                self._refused[key] = (found.uid(), why)
                self._watcher.put_off(found.uid())
                return
            self._held[key] = link
            if isinstance(link, SignalInlet):
                self._labels = link.montage.names
        self.opened.put((key, link))
        if self._stop.is_set():
            self.release(key)
            self._close_retired()

    def _link(self, key: str, found: Any) -> ViewInlet:
        if key == "signal":
            link = SignalInlet(found, self._clock, self._counter)
            self._counter = link.counter
            return link
        return (DecodeInlet if key == "decode" else TextInlet)(found, self._clock)

    def _close_retired(self) -> None:
        with self._lock:
            links, self._retired = self._retired, []
        for link in links:
            link.close()

    def _measure_clocks(self) -> None:
        now = time.monotonic()
        with self._lock:
            links = list(self._held.values())
        unknown = any(link.clock_offset_s != link.clock_offset_s for link in links)
        if now < self._clock_at + (1.0 if unknown else _CLOCK_EVERY_S):
            return
        self._clock_at = now
        for link in links:
            link.measure_clock()
