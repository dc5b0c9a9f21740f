"""A recording under way: what the taps tell goes into the file, and what happens is told."""

import errno
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtbrain.outlet.xdf import StreamCount, XdfWriter
    from rtbrain.stream.tap import News, Tap, Taps

    from .recording_disk import DiskGuard

# A kill costs what came since the last flush: half a second leaves time to write within one.
_FLUSH_EVERY_S = 0.5
_TRY_AGAIN_S = 1.0
_ALARM_EVERY_S = 10.0
_SLOW_S = 1.0
_TAPS_END_S = 0.3
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(slots=True)
class Entry:
    """A stream of the file.

    Attributes
    ----------
    name : str
        Of the stream.
    stream_id : int
        Its number in the file.
    identity : str
        What of its header outlives its sender.
    tap : Tap or None
        Where its samples come from now.
    n_lost_links : int
        How often it was lost.
    """

    name: str
    stream_id: int
    identity: str
    tap: "Tap | None"
    n_lost_links: int = 0


class Recording:
    """Moves samples from taps to a writer; a disk that fails never ends it.

    Parameters
    ----------
    writer : XdfWriter
        The file.
    taps : Taps
        The streams.
    guard : DiskGuard
        Watches the free space.
    tell : callable
        ``tell(event, **fields)``, as `StatusOutlet.emit`.
    clock : callable
        Monotonic seconds.

    Attributes
    ----------
    entries : list of Entry
        Streams of the file, in its order.
    """

    def __init__(
        self,
        writer: "XdfWriter",
        taps: "Taps",
        guard: "DiskGuard",
        tell: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entries: list[Entry] = []
        self._writer = writer
        self._taps = taps
        self._guard = guard
        self._tell = tell
        self._clock = clock
        self._flush_at = clock() + _FLUSH_EVERY_S
        self._alarm_at: float | None = None
        self._told_of: set[str] = set()

    @property
    def failing(self) -> bool:
        """Whether the disk takes nothing now."""
        return self._alarm_at is not None

    @property
    def counts(self) -> Mapping[int, "StreamCount"]:
        """What became of each stream's samples, by its number in the file."""
        return self._writer.counts

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

    def _take_all(self, told: "list[tuple[Tap, News]]") -> None:
        for tap, news in told:
            self._take(tap, news)

    def _take(self, tap: "Tap", news: "News") -> None:
        from rtbrain.stream.tap import ClockOffset, Header, Lost, Refused, Samples

        entry = next((entry for entry in self.entries if entry.tap is tap), None)
        if isinstance(news, Header):
            self._add(tap, news.xml)
        elif isinstance(news, Refused):
            self._tell("stream_refused", stream=tap.row.name, why=news.why)
        elif isinstance(news, Lost):
            self._lose(tap, entry, news.why)
        elif entry is None:
            return  # its header was refused
        elif isinstance(news, Samples):
            self._writer.samples(entry.stream_id, news.values, news.stamps)
        elif isinstance(news, ClockOffset):
            self._writer.clock_offset(entry.stream_id, news.time_s, news.offset_s)

    def _add(self, tap: "Tap", xml: bytes) -> None:
        from rtbrain.errors import StreamError
        from rtbrain.outlet.xdf import identity_of, readable

        header = readable(xml)
        row = tap.row
        try:
            entry = self._returned(tap, header)
            again = entry is not None
            if entry is None:
                stream_id = self._writer.add_stream(header)
                self.entries.append(Entry(row.name, stream_id, identity_of(header), tap))
        except StreamError as error:
            self._tell("stream_refused", stream=row.name, why=str(error))
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

    def _returned(self, tap: "Tap", header: bytes) -> Entry | None:
        """Entry of a stream that is back with the header it had."""
        from rtbrain.outlet.xdf import facts_of, identity_of

        facts_of(header)
        identity = identity_of(header)
        for entry in self.entries:
            if entry.tap is None and entry.identity == identity:
                entry.tap = tap
                return entry
        return None

    def _lose(self, tap: "Tap", entry: Entry | None, why: str) -> None:
        if entry is not None:
            entry.tap = None
            entry.n_lost_links += 1
            count = self.counts[entry.stream_id]
            n_samples = count.n_written + count.n_waiting
            self._tell("stream_lost", stream=entry.name, samples=n_samples, why=why)
        elif tap.row.name not in self._told_of:
            # It is tried again every few seconds: said once.
            self._told_of.add(tap.row.name)
            self._tell("stream_unreachable", stream=tap.row.name, why=why)

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
        self._tell(event, why=error.strerror or str(error), **self._backlog())

    def _backlog(self) -> dict[str, int]:
        counts = self.counts.values()
        return {
            "waiting_samples": sum(count.n_waiting for count in counts),
            "dropped_samples": sum(count.n_dropped for count in counts),
        }
