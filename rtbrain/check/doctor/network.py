"""Streams on the network, as they come and go: headers, markers and clocks, read in threads."""

import math
import re
import socket
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import pylsl

from rtbrain.channels import place_of, read_channels
from rtbrain.errors import MontageError, StreamError, plain_text
from rtbrain.stream.lsl.header import channel_texts
from rtbrain.stream.lsl.inlet import (
    ANSWER_S,
    fetch_full_info,
    is_marker_stream,
    make_inlet,
    marker_labels,
    measure_clock,
    open_inlet,
    pull_texts,
)
from rtbrain.stream.lsl.resolve import StreamWatcher
from rtbrain.stream_names import is_status
from rtbrain.types import CONTACT_KINDS, TRIGGER_KIND

_MAX_STREAMS = 64
_MAX_OPENING = 8
_MAX_CODES = 64
_RECENT_S = 10.0
_BUFFER = 20  # hundreds of markers
_CLOCK_EVERY_S = 1.0
# Answers of the last of these count: a clock that falls silent keeps its last offset in liblsl.
_CLOCK_SILENT_S = 8.0
_GONE_LOOKS = 20  # 0.1 s apart or more
_MAX_TEXT = 60
_PORT = re.compile(r"<v4data_port>(\d+)<")


@dataclass(frozen=True, slots=True)
class FoundStream:
    """A stream that is there, and what it says of itself; texts without control characters."""

    uid: str
    name: str
    type: str
    source_id: str
    host: str
    n_channels: int
    sfreq_hz: float  # 0: irregular
    is_markers: bool
    is_text: bool
    answered: bool  # whether its header came
    problem: str  # why it did not
    labels: tuple[str, ...]
    unit: str  # empty: none is stated
    n_contacts: int
    n_shafts: int
    triggers: tuple[str, ...]  # labels of its trigger channels
    origin: str
    port: int
    is_local: bool
    offset_s: float  # of its clock
    uncertainty_s: float
    clock_silent_s: float  # since its clock answered last
    codes: dict[str, int]  # of markers: how often each was heard
    last: str
    n_recent: int  # in the last 10 s

    @property
    def is_signal(self) -> bool:
        """Whether it can be decoded."""
        return self.sfreq_hz > 0 and not self.is_text and self.type != "Decode"


class _Probe:
    """One stream, and the inlet that asks for its header, its clock and its markers."""

    def __init__(self, info: Any) -> None:
        self.info = info
        self.is_markers = is_marker_stream(info) and not is_status(info.type())
        self.full: Any = None
        self.problem = ""
        self.inlet: Any = None
        self.texts: tuple[str, ...] = ()
        self.codes: Counter[str] = Counter()
        self.last = ""
        self.recent: deque[float] = deque(maxlen=1000)
        self.offset_s = self.uncertainty_s = math.nan
        self._answer: tuple[float, float] | None = None
        self.clock_at_s = self.found_s = time.monotonic()
        self._measured_s = 0.0
        self._labels: tuple[str, ...] = ()
        self._units: tuple[str, ...] = ()
        self._kinds: tuple[str, ...] = ()
        self.origin = ""
        self.port = 0
        self.begun = False

    def open(self) -> None:
        """Ask for the header, and open markers; for a thread of its own."""
        try:
            inlet = make_inlet(self.info, _BUFFER if self.is_markers else 1)
            full = fetch_full_info(inlet, self.info, ANSWER_S)
            labels = [plain_text(text) for text in channel_texts(full, "label")]
            units = channel_texts(full, "unit")
            types = channel_texts(full, "type")
            if self.info.nominal_srate() > 0 and len(labels) == self.info.channel_count():
                table = read_channels(len(labels), labels, types, units, self.info.type())
                self._labels, self._kinds = table.names, table.kinds
            else:
                self._labels = tuple(labels)
            stated = {plain_text(unit).strip() for unit, kind in self._stated(units)} - {""}
            self._units = tuple(sorted(stated))
            self.origin = plain_text(full.desc().child("rtbrain").child_value("origin"))
            self.port = _port_of(full)
            if self.is_markers:
                open_inlet(inlet, self.info, ANSWER_S)
                self.texts = marker_labels(inlet, self.info)
            self.full, self.inlet = full, inlet
        except (StreamError, MontageError) as error:
            self.problem = str(error)

    def _stated(self, units: tuple[str, ...]) -> list[tuple[str, str]]:
        if len(self._kinds) != len(units):
            return [(unit, "") for unit in units]
        pairs = list(zip(units, self._kinds, strict=True))
        return [(unit, kind) for unit, kind in pairs if kind in CONTACT_KINDS] or pairs

    def poll(self) -> list[tuple[float, str]]:
        """Read the clock and the markers that have come; never waits."""
        now = time.monotonic()
        if self.inlet is None:
            return []
        if now >= self._measured_s + _CLOCK_EVERY_S:
            self._measured_s = now
            answer = measure_clock(self.inlet)
            if answer is not None and answer != self._answer:
                self._answer, self.clock_at_s = answer, now
                self.offset_s, self.uncertainty_s = answer
        if not self.is_markers:
            return []
        try:
            texts = pull_texts(self.inlet, self.info, labels=self.texts)
        except StreamError:
            return []
        for _, text in texts:
            self.last = plain_text(text, _MAX_TEXT)
            self.recent.append(now)
            if self.last in self.codes or len(self.codes) < _MAX_CODES:
                self.codes[self.last] += 1
        return texts

    def found(self) -> FoundStream:
        info, now = self.info, time.monotonic()
        contacts = [
            label
            for label, kind in zip(self._labels, self._kinds, strict=False)
            if kind in CONTACT_KINDS
        ]
        shafts = {place.shaft for label in contacts if (place := place_of(label)) is not None}
        triggers = [
            label
            for label, kind in zip(self._labels, self._kinds, strict=False)
            if kind == TRIGGER_KIND
        ]
        return FoundStream(
            uid=info.uid(),
            name=plain_text(info.name()),
            type=plain_text(info.type()),
            source_id=plain_text(info.source_id()),
            host=plain_text(info.hostname()),
            n_channels=int(info.channel_count()),
            sfreq_hz=float(info.nominal_srate()),
            is_markers=self.is_markers,
            is_text=self.is_markers and info.channel_format() == pylsl.cf_string,
            answered=self.full is not None,
            problem=self.problem,
            labels=self._labels,
            unit=self._units[0] if len(self._units) == 1 else "mixed" * bool(self._units),
            n_contacts=len(contacts),
            n_shafts=len(shafts),
            triggers=tuple(triggers),
            origin="" if self.origin in {"decoder", "amplifier"} else self.origin,
            port=self.port,
            is_local=info.hostname() == socket.gethostname(),
            offset_s=self.offset_s,
            uncertainty_s=self.uncertainty_s,
            clock_silent_s=now - self.clock_at_s,
            codes=dict(self.codes),
            last=self.last,
            n_recent=sum(at > now - _RECENT_S for at in self.recent),
        )


def _port_of(full: Any) -> int:
    """Port of the data of a stream, by its header; 0 where that says none."""
    found = _PORT.search(full.as_xml())
    return int(found[1]) if found else 0


class Network:
    """The streams that are there now, asked in threads of their own; `look` never waits.

    Of more than 64 streams the rest are left out.
    """

    def __init__(self) -> None:
        self.looked_s = 0.0
        self.error = ""
        self._watcher = StreamWatcher()
        self._probes: dict[str, _Probe] = {}
        self._opening: set[str] = set()
        self._lock = threading.Lock()

    def look(self) -> tuple[FoundStream, ...]:
        """Streams now, in order of name."""
        infos = {info.uid(): info for info in self._watcher.look()}
        self.error, self.looked_s = self._watcher.error, time.monotonic()
        for uid in [uid for uid in self._probes if uid not in infos]:
            if self._watcher.n_misses(uid) >= _GONE_LOOKS:
                del self._probes[uid]
        for uid, info in infos.items():
            if uid not in self._probes and len(self._probes) < _MAX_STREAMS:
                self._probes[uid] = _Probe(info)
        for uid, probe in self._probes.items():
            if not probe.begun and len(self._opening) < _MAX_OPENING:
                probe.begun = True
                with self._lock:
                    self._opening.add(uid)
                threading.Thread(target=self._open, args=(uid, probe), daemon=True).start()
            probe.poll()
        found = [probe.found() for probe in self._probes.values()]
        return tuple(sorted(found, key=lambda one: (one.name, one.source_id, one.uid)))

    def info(self, uid: str) -> Any:
        """The stream as liblsl found it; None where it has gone."""
        probe = self._probes.get(uid)
        return None if probe is None else probe.info

    def again(self) -> None:
        """Ask those again that did not answer."""
        for probe in self._probes.values():
            if probe.problem:
                probe.begun, probe.problem = False, ""

    def close(self) -> None:
        """Let go of all streams."""
        self._probes.clear()

    def _open(self, uid: str, probe: _Probe) -> None:
        probe.open()
        with self._lock:
            self._opening.discard(uid)
