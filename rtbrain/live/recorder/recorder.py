"""A recording under way: what the taps tell goes into the file, and what happens is told."""

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

# Warned of with ten minutes to go at the measured rate: time to save or to stop in order.
FLOOR_S = 600.0
FLOOR_BYTES = 256 * 1024**2
_LOOK_EVERY_S = 1.0
_TELL_EVERY_S = 10.0
# A rate measured over less is that of the headers.
_MEASURED_S = 10.0
_ENOUGH_AGAIN = 1.1
# A kill costs what came since the last flush: half a second leaves time to write within one.
_FLUSH_EVERY_S = 0.5
_TRY_AGAIN_S = 1.0
_ALARM_EVERY_S = 10.0
_SLOW_S = 1.0
_TAPS_END_S = 0.3
_MAX_UNREACHABLE = 256
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskGuard:
    """Tells ``disk`` (free bytes) every 10 s, and ``disk_low`` when it falls under the floor.

    The floor is what ten minutes take at the measured rate, and 256 MiB at least.
    """

    def __init__(
        self,
        folder: Path,
        tell: Callable[..., None],
        *,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._tell = tell
        self._free_bytes = free_bytes
        self._clock = clock
        self._start = clock()
        self._look_at = self._tell_at = self._start
        self._low = False

    def look(self, n_written: int) -> None:
        """Look at the disk, if that is due."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY_S
        try:
            free = self._free_bytes(self._folder)
        except OSError:
            return  # writing fails as well then, and that is told
        passed_s = now - self._start
        rate = n_written / passed_s if passed_s >= _MEASURED_S else 0.0
        floor = max(FLOOR_BYTES, rate * FLOOR_S)
        left = {"minutes_left": round(free / rate / 60, 1)} if rate else {}
        if now >= self._tell_at:
            self._tell_at = now + _TELL_EVERY_S
            self._tell("disk", free_bytes=free, **left)
        if free < floor and not self._low:
            self._low = True
            self._tell("disk_low", free_bytes=free, floor_bytes=round(floor), **left)
        elif free > _ENOUGH_AGAIN * floor:
            self._low = False


@dataclass(slots=True)
class RecordedStream:
    """A stream of the file."""

    name: str
    stream_id: int
    identity: str
    tap: RawInlet | None
    n_lost_connections: int = 0


class Recorder:
    """Moves samples from taps to a writer; a disk that fails never ends it."""

    def __init__(
        self,
        writer: XdfWriter,
        taps: RawInlets,
        guard: DiskGuard,
        tell: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entries: list[RecordedStream] = []
        self._writer = writer
        self._taps = taps
        self._guard = guard
        self._tell = tell
        self._clock = clock
        self._flush_at = clock() + _FLUSH_EVERY_S
        self._alarm_at: float | None = None
        self._unreachable: deque[str] = deque(maxlen=_MAX_UNREACHABLE)  # names

    @property
    def failing(self) -> bool:
        """Whether the disk takes nothing now."""
        return self._alarm_at is not None

    @property
    def counts(self) -> Mapping[int, StreamCounts]:
        """What became of each stream's samples, by its number in the file."""
        return self._writer.counts

    def recorded_now(self) -> list[tuple[str, str]]:
        """Name and source id of each stream that is being recorded."""
        taps = [entry.tap for entry in self.entries if entry.tap is not None]
        return [(tap.row.name, tap.row.source_id) for tap in taps]

    @property
    def n_bytes(self) -> int:
        """Bytes in the file."""
        return self._writer.n_bytes

    def step(self) -> None:
        """Take what has come, write it when that is due, and look at the disk."""
        self._take_all(self._taps.poll())
        if self._clock() >= self._flush_at:
            self._flush()
        self._guard.look(self._writer.n_bytes)

    def close(self) -> bool:
        """Write the last samples and the footers; whether all that came is in the file."""
        self._take_all(self._taps.end(_TAPS_END_S))
        try:
            self._writer.close()
        except OSError as error:
            self._alarm(error)
        dropped = sum(count.n_dropped for count in self.counts.values())
        return dropped == 0 and not self.failing

    def _take_all(self, told: list[tuple[RawInlet, RawInletEvent]]) -> None:
        for tap, event in told:
            self._take(tap, event)

    def _take(self, tap: RawInlet, event: RawInletEvent) -> None:
        entry = next((entry for entry in self.entries if entry.tap is tap), None)
        if isinstance(event, RawHeader):
            self._add(tap, event.xml)
        elif isinstance(event, RawInletRefused):
            self._tell("stream_refused", stream=tap.row.name, reason=event.reason)
        elif isinstance(event, RawInletLost):
            self._lose(tap, entry, event.reason)
        elif entry is None:
            return  # its header was refused
        elif isinstance(event, RawSamples):
            self._writer.samples(entry.stream_id, event.values, event.stamps)
        elif isinstance(event, ClockOffset):
            self._writer.clock_offset(entry.stream_id, event.time_s, event.offset_s)

    def _add(self, tap: RawInlet, xml: bytes) -> None:
        header = repair_header(xml)
        row = tap.row
        try:
            entry = self._returned(tap, header)
            again = entry is not None
            if entry is None:
                stream_id = self._writer.add_stream(header)
                self.entries.append(
                    RecordedStream(row.name, stream_id, header_identity(header), tap)
                )
        except StreamError as error:
            self._tell("stream_refused", stream=row.name, reason=str(error))
            tap.end()
            return
        repaired = "" if header == xml else "control characters in its header were replaced"
        self._tell(
            "stream_added",
            stream=row.name,
            type=row.stream_type,
            source_id=row.source_id,
            channels=row.n_channels,
            rate_hz=row.sfreq_hz,
            note=repaired,
            **({"again": True} if again else {}),
        )

    def _returned(self, tap: RawInlet, header: bytes) -> RecordedStream | None:
        """Entry of a stream that is back with the header it had."""
        parse_stream_header(header)
        identity = header_identity(header)
        for entry in self.entries:
            if entry.tap is None and entry.identity == identity:
                entry.tap = tap
                return entry
        return None

    def _lose(self, tap: RawInlet, entry: RecordedStream | None, reason: str) -> None:
        if entry is not None:
            entry.tap = None
            entry.n_lost_connections += 1
            count = self.counts[entry.stream_id]
            n_samples = count.n_written + count.n_waiting
            self._tell("stream_lost", stream=entry.name, samples=n_samples, reason=reason)
        elif tap.row.name not in self._unreachable:
            # It is tried again every few seconds: said once.
            self._unreachable.append(tap.row.name)
            self._tell("stream_unreachable", stream=tap.row.name, reason=reason)

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
            self._tell("write_resumed", **self._backlog())
        if took_s > _SLOW_S:
            self._tell("disk_slow", seconds=round(took_s, 2))

    def _alarm(self, error: OSError) -> None:
        self._alarm_at = self._clock() + _ALARM_EVERY_S
        event = "disk_full" if error.errno in _FULL else "write_error"
        self._tell(event, reason=error.strerror or str(error), **self._backlog())

    def _backlog(self) -> dict[str, int]:
        counts = self.counts.values()
        return {
            "waiting_samples": sum(count.n_waiting for count in counts),
            "dropped_samples": sum(count.n_dropped for count in counts),
        }
