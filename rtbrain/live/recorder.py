"""A recording in progress: samples from inlets into the file, events to whoever listens."""

import errno
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rtbrain.errors import StreamError
from rtbrain.recording.xdf.chunks import header_identity, parse_stream_header, repair_header
from rtbrain.recording.xdf.writer import StreamCounts, XdfWriter
from rtbrain.stream.lsl.raw_inlet import (
    ClockOffset,
    RawHeader,
    RawInlet,
    RawInletEvent,
    RawInletLost,
    RawInletRefused,
    RawInlets,
    RawSamples,
)

# A warning ten minutes ahead at the measured rate leaves time to make room, or to stop in order.
FLOOR_S = 600.0
FLOOR_BYTES = 256 * 1024**2
_CHECK_EVERY_S = 1.0
_REPORT_EVERY_S = 10.0
# Over a shorter time the headers dominate the rate.
_MEASURED_S = 10.0
_ENOUGH_AGAIN = 1.1
# A kill costs the samples since the last flush.
_FLUSH_EVERY_S = 0.5
_TRY_AGAIN_S = 1.0
_ALARM_EVERY_S = 10.0
_SLOW_S = 1.0
_INLETS_END_S = 0.3
_MAX_UNREACHABLE = 256
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskGuard:
    """Reports ``disk`` (free bytes) every 10 s, and ``disk_low`` when it falls under the floor.

    The floor is what ten minutes take at the measured rate, and 256 MiB at least.
    """

    def __init__(
        self,
        folder: Path,
        report: Callable[..., None],
        *,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._report = report
        self._free_bytes = free_bytes
        self._clock = clock
        self._start = clock()
        self._check_at = self._report_at = self._start
        self._low = False

    def check(self, n_written: int) -> None:
        """Check the disk, if that is due."""
        now = self._clock()
        if now < self._check_at:
            return
        self._check_at = now + _CHECK_EVERY_S
        try:
            free = self._free_bytes(self._folder)
        except OSError:
            return  # writing fails as well then, and that is reported
        passed_s = now - self._start
        rate = n_written / passed_s if passed_s >= _MEASURED_S else 0.0
        floor = max(FLOOR_BYTES, rate * FLOOR_S)
        left = {"minutes_left": round(free / rate / 60, 1)} if rate else {}
        if now >= self._report_at:
            self._report_at = now + _REPORT_EVERY_S
            self._report("disk", free_bytes=free, **left)
        if free < floor and not self._low:
            self._low = True
            self._report("disk_low", free_bytes=free, floor_bytes=round(floor), **left)
        elif free > _ENOUGH_AGAIN * floor:
            self._low = False


@dataclass(slots=True)
class RecordedStream:
    """A stream of the file."""

    name: str
    stream_id: int
    identity: str
    inlet: RawInlet | None
    n_lost_connections: int = 0


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
        self._inlets = inlets
        self._guard = guard
        self._report = report
        self._clock = clock
        self._flush_at = clock() + _FLUSH_EVERY_S
        self._alarm_at: float | None = None
        self._unreachable: deque[str] = deque(maxlen=_MAX_UNREACHABLE)  # names

    @property
    def failing(self) -> bool:
        """Whether nothing can be written now."""
        return self._alarm_at is not None

    @property
    def counts(self) -> Mapping[int, StreamCounts]:
        """Counts of each stream's samples, by its number in the file."""
        return self._writer.counts

    def recorded_now(self) -> list[tuple[str, str]]:
        """Name and source id of each stream that is being recorded."""
        inlets = [entry.inlet for entry in self.entries if entry.inlet is not None]
        return [(inlet.row.name, inlet.row.source_id) for inlet in inlets]

    @property
    def n_bytes(self) -> int:
        """Bytes in the file."""
        return self._writer.n_bytes

    def step(self) -> None:
        """Take new samples, write them when that is due, and check the disk."""
        self._take_all(self._inlets.poll())
        if self._clock() >= self._flush_at:
            self._flush()
        self._guard.check(self._writer.n_bytes)

    def close(self) -> bool:
        """Write the last samples and the footers; whether every sample is in the file."""
        self._take_all(self._inlets.end(_INLETS_END_S))
        try:
            self._writer.close()
        except OSError as error:
            self._alarm(error)
        dropped = sum(count.n_dropped for count in self.counts.values())
        return dropped == 0 and not self.failing

    def _take_all(self, events: list[tuple[RawInlet, RawInletEvent]]) -> None:
        for inlet, event in events:
            self._take(inlet, event)

    def _take(self, inlet: RawInlet, event: RawInletEvent) -> None:
        entry = next((entry for entry in self.entries if entry.inlet is inlet), None)
        if isinstance(event, RawHeader):
            self._add(inlet, event.xml)
        elif isinstance(event, RawInletRefused):
            self._report("stream_refused", stream=inlet.row.name, reason=event.reason)
        elif isinstance(event, RawInletLost):
            self._lose(inlet, entry, event.reason)
        elif entry is None:
            return  # its header was refused
        elif isinstance(event, RawSamples):
            self._writer.samples(entry.stream_id, event.values, event.stamps)
        elif isinstance(event, ClockOffset):
            self._writer.clock_offset(entry.stream_id, event.time_s, event.offset_s)

    def _add(self, inlet: RawInlet, xml: bytes) -> None:
        header = repair_header(xml)
        row = inlet.row
        try:
            entry = self._returned(inlet, header)
            again = entry is not None
            if entry is None:
                stream_id = self._writer.add_stream(header)
                self.entries.append(
                    RecordedStream(row.name, stream_id, header_identity(header), inlet)
                )
        except StreamError as error:
            self._report("stream_refused", stream=row.name, reason=str(error))
            inlet.end()
            return
        repaired = "" if header == xml else "control characters in its header were replaced"
        self._report(
            "stream_added",
            stream=row.name,
            type=row.stream_type,
            source_id=row.source_id,
            channels=row.n_channels,
            rate_hz=row.sfreq_hz,
            note=repaired,
            **({"again": True} if again else {}),
        )

    def _returned(self, inlet: RawInlet, header: bytes) -> RecordedStream | None:
        """Entry of a stream that is back with the header it had."""
        parse_stream_header(header)
        identity = header_identity(header)
        for entry in self.entries:
            if entry.inlet is None and entry.identity == identity:
                entry.inlet = inlet
                return entry
        return None

    def _lose(self, inlet: RawInlet, entry: RecordedStream | None, reason: str) -> None:
        if entry is not None:
            entry.inlet = None
            entry.n_lost_connections += 1
            count = self.counts[entry.stream_id]
            n_samples = count.n_written + count.n_waiting
            self._report("stream_lost", stream=entry.name, samples=n_samples, reason=reason)
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
        event = "disk_full" if error.errno in _FULL else "write_error"
        self._report(event, reason=error.strerror or str(error), **self._backlog())

    def _backlog(self) -> dict[str, int]:
        counts = self.counts.values()
        return {
            "waiting_samples": sum(count.n_waiting for count in counts),
            "dropped_samples": sum(count.n_dropped for count in counts),
        }
