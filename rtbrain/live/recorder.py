"""A recording in progress: samples from inlets into the file, events to whoever listens."""

import errno
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rtbrain.channels import kind_of
from rtbrain.errors import StreamError
from rtbrain.live.recorder_alarms import DiskGuard
from rtbrain.marks import is_end
from rtbrain.recording.xdf.chunks import header_identity, parse_stream_header, repair_header
from rtbrain.recording.xdf.writer import StreamCounts, XdfWriter
from rtbrain.stream.lsl.header import StreamHeader
from rtbrain.stream.lsl.raw_inlet import (
    ClockOffset,
    RawHeader,
    RawInlet,
    RawInletEvent,
    RawInletLost,
    RawInletRefused,
    RawSamples,
)
from rtbrain.stream.lsl.raw_inlets import RawInlets
from rtbrain.types import CONTACT_KINDS, Chunk
from rtbrain.units import AmplitudeCheck, to_microvolts

# A kill costs the samples since the last flush.
_FLUSH_EVERY_S = 0.25
_TRY_AGAIN_S = 1.0
_ALARM_EVERY_S = 10.0
_SLOW_S = 1.0
_INLETS_END_S = 0.3
_MAX_UNREACHABLE = 256
_SILENT_S = 3.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class RecordedStream:
    """A stream of the file."""

    name: str
    stream_id: int  # 0 where it is not in this file
    header: bytes
    inlet: RawInlet | None
    n_lost_connections: int = 0
    offset: ClockOffset | None = None  # the last one
    t_last: float = -math.inf  # when samples came last, by the recorder's clock
    n_before: int = 0  # samples in the files before, and those dropped there
    n_dropped_before: int = 0
    ended: bool = False  # its last marker announced its end
    signal: StreamHeader | None = None
    amplitude: AmplitudeCheck | None = None


class Recorder:
    """Moves samples from inlets to a writer; a disk that fails never ends it."""

    def __init__(
        self,
        writer: XdfWriter,
        inlets: RawInlets,
        guard: DiskGuard,
        report: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entries: list[RecordedStream] = []
        self._writer = writer
        self._n_bytes_before = 0
        self._inlets = inlets
        self._guard = guard
        self._report = report
        self._clock = clock
        self._flush_at = clock() + _FLUSH_EVERY_S
        self._alarm_at: float | None = None
        self._failure = ""
        self._unreachable: deque[str] = deque(maxlen=_MAX_UNREACHABLE)  # names

    @property
    def failing(self) -> bool:
        """Whether nothing can be written now."""
        return self._alarm_at is not None

    @property
    def failure(self) -> str:
        """Event that says why nothing can be written now; empty while all is well."""
        return self._failure if self.failing else ""

    @property
    def counts(self) -> Mapping[int, StreamCounts]:
        """Counts of each stream's samples, by its number in the file."""
        return self._writer.counts

    def recorded_now(self) -> list[tuple[str, str]]:
        """Name and source id of each stream that is being recorded."""
        inlets = [entry.inlet for entry in self.entries if entry.inlet is not None]
        return [(inlet.row.name, inlet.row.source_id) for inlet in inlets]

    def arriving(self) -> set[str]:
        """Names of the streams that are recorded and, if of a regular rate, not silent.

        Cues that have announced their end are among them: nobody misses them.
        """
        since = self._clock() - _SILENT_S
        return {
            entry.name
            for entry in self.entries
            if entry.ended
            or (entry.inlet is not None and (entry.inlet.row.sfreq_hz <= 0 or entry.t_last > since))
        }

    def total(self, entry: RecordedStream) -> tuple[int, int]:
        """Samples of a stream in all files, and those dropped."""
        count = self.counts.get(entry.stream_id)
        n_written, n_dropped = (count.n_written, count.n_dropped) if count else (0, 0)
        return entry.n_before + n_written, entry.n_dropped_before + n_dropped

    def go_on_in(self, writer: XdfWriter) -> tuple[list[dict[str, Any]], bool]:
        """Close the file, and write what comes from now on into another.

        Returns the counts of the streams in the old file, and whether it holds all their samples.
        """
        self._close_file()
        counts = stream_counts(self)
        clean = not any(count.n_dropped for count in self.counts.values())
        totals = [self.total(entry) for entry in self.entries]
        self._n_bytes_before, self._writer = self.n_bytes, writer
        for entry, (n_samples, n_dropped) in zip(self.entries, totals, strict=True):
            entry.n_before, entry.n_dropped_before = n_samples, n_dropped
            entry.stream_id = 0
            if entry.inlet is not None:
                self._begin(entry)
        return counts, clean

    @property
    def n_bytes(self) -> int:
        """Bytes in all files."""
        return self._n_bytes_before + self._writer.n_bytes

    def step(self) -> None:
        """Take new samples, write them when that is due, and check the disk."""
        self._take_all(self._inlets.poll())
        if self._clock() >= self._flush_at:
            self._flush()
        self._guard.check(self.n_bytes)

    def close(self) -> bool:
        """Write the last samples and the footers; whether every sample is in the file."""
        self._take_all(self._inlets.end(_INLETS_END_S))
        self._close_file()
        dropped = sum(count.n_dropped for count in self.counts.values())
        return dropped == 0 and not self.failing

    def _close_file(self) -> None:
        try:
            self._writer.close()
        except OSError as error:
            self._alarm(error)

    def _begin(self, entry: RecordedStream) -> None:
        """Begin a stream in this file, so that the file can be read alone."""
        entry.stream_id = self._writer.add_stream(entry.header)
        if entry.offset is not None:
            self._writer.clock_offset(entry.stream_id, entry.offset.time_s, entry.offset.offset_s)

    def _take_all(self, events: list[tuple[RawInlet, RawInletEvent]]) -> None:
        for inlet, event in events:
            self._take(inlet, event)

    def _take(self, inlet: RawInlet, event: RawInletEvent) -> None:
        entry = next((entry for entry in self.entries if entry.inlet is inlet), None)
        if isinstance(event, RawHeader):
            self._add(inlet, event)
        elif isinstance(event, RawInletRefused):
            self._report("stream_refused", stream=inlet.row.name, reason=event.reason)
        elif isinstance(event, RawInletLost):
            self._lose(inlet, entry, event.reason)
        elif entry is None:
            return  # its header was refused
        elif isinstance(event, RawSamples):
            entry.t_last, entry.ended = self._clock(), _announces_end(event)
            self._writer.samples(entry.stream_id, event.values, event.stamps)
            self._check_amplitude(entry, event)
        elif isinstance(event, ClockOffset):
            entry.offset = event
            self._writer.clock_offset(entry.stream_id, event.time_s, event.offset_s)

    def _add(self, inlet: RawInlet, event: RawHeader) -> None:
        header = repair_header(event.xml)
        row = inlet.row
        try:
            entry = self._returned(inlet, header)
            again = entry is not None
            if entry is None:
                entry = RecordedStream(row.name, 0, header, inlet)
                self._begin(entry)
                self.entries.append(entry)
            entry.t_last, entry.signal = self._clock(), event.signal
            if event.signal is not None:
                entry.amplitude = AmplitudeCheck(event.signal.montage)
        except StreamError as error:
            self._report("stream_refused", stream=row.name, reason=str(error))
            inlet.end()
            return
        notes = [] if header == event.xml else ["control characters in its header were replaced"]
        if not row.sfreq_hz > 0 and kind_of(row.stream_type) in CONTACT_KINDS:
            notes.append("it has no regular rate: a file of it alone cannot be read as a signal")
        self._report(
            "stream_added",
            stream=row.name,
            type=row.stream_type,
            source_id=row.source_id,
            channels=row.n_channels,
            rate_hz=row.sfreq_hz,
            note="; ".join(notes),
            **({"again": True} if again else {}),
        )

    def _returned(self, inlet: RawInlet, header: bytes) -> RecordedStream | None:
        """Entry of a stream that is back with the header it had."""
        parse_stream_header(header)
        identity = header_identity(header)
        for entry in self.entries:
            if entry.inlet is None and header_identity(entry.header) == identity:
                entry.inlet = inlet
                if not entry.stream_id:  # it was away when this file began
                    self._begin(entry)
                return entry
        return None

    def _check_amplitude(self, entry: RecordedStream, samples: RawSamples) -> None:
        """Report once what says that the unit in a signal's header is wrong."""
        if entry.signal is None or entry.amplitude is None:
            return
        data = to_microvolts(samples.values.T, entry.signal.factors)
        found = entry.amplitude(Chunk(data, samples.stamps))
        if found is not None:
            reason, factor = found
            self._report("amplitude", stream=entry.name, reason=reason, factor=factor)
        if entry.amplitude.done:
            entry.amplitude = None

    def _lose(self, inlet: RawInlet, entry: RecordedStream | None, reason: str) -> None:
        if entry is not None:
            entry.inlet = None
            entry.n_lost_connections += 1
            count = self.counts[entry.stream_id]
            n_samples = entry.n_before + count.n_written + count.n_waiting
            about = {} if entry.ended else {"reason": reason}
            name = "stream_ended" if entry.ended else "stream_lost"
            self._report(name, stream=entry.name, samples=n_samples, **about)
        elif inlet.row.name not in self._unreachable:
            # It is tried again every few seconds, and reported once.
            self._unreachable.append(inlet.row.name)
            self._report("stream_unreachable", stream=inlet.row.name, reason=reason)

    def _flush(self) -> None:
        began = self._clock()
        try:
            self._writer.flush()
        except OSError as error:
            self._flush_at = self._clock() + _TRY_AGAIN_S
            if self._alarm_at is None or self._clock() >= self._alarm_at:
                self._alarm(error)
            return
        took_s = self._clock() - began
        self._flush_at = began + max(_FLUSH_EVERY_S, took_s)
        if self._alarm_at is not None:
            self._alarm_at = None
            self._report("write_resumed", **self._backlog())
        if took_s > _SLOW_S:
            self._report("disk_slow", seconds=round(took_s, 2))

    def _alarm(self, error: OSError) -> None:
        self._alarm_at = self._clock() + _ALARM_EVERY_S
        self._failure = "disk_full" if error.errno in _FULL else "write_error"
        self._report(self._failure, reason=error.strerror or str(error), **self._backlog())

    def _backlog(self) -> dict[str, int]:
        counts = self.counts.values()
        return {
            "waiting_samples": sum(count.n_waiting for count in counts),
            "dropped_samples": sum(count.n_dropped for count in counts),
        }


def _announces_end(samples: RawSamples) -> bool:
    """Whether the last of these is a marker after which none comes."""
    last = samples.values[-1, 0] if samples.values.size else None
    return isinstance(last, bytes) and is_end(last.decode("utf-8", "replace"))


def stream_counts(recorder: Recorder) -> list[dict[str, Any]]:
    """Counts of the samples of each stream of a recording."""
    return [
        {
            "name": count.facts.name,
            "channels": count.facts.n_channels,
            "format": count.facts.value_format,
            "rate_hz": count.facts.sfreq_hz,
            "samples": count.n_written,
            "dropped": count.n_dropped,
            "duration_s": round(span_s(count), 6),
            "clock_offsets": len(count.offsets),
            "lost_links": entry.n_lost_connections,
        }
        for entry in recorder.entries
        if entry.stream_id
        for count in [recorder.counts[entry.stream_id]]
    ]


def span_s(count: StreamCounts) -> float:
    """From the first sample in a file to the last, s."""
    return count.last_stamp - count.first_stamp if count.n_written else 0.0
