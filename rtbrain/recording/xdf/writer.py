"""Streams into one XDF file that stays readable if the process is killed or the disk fails.

A reader of XDF stops at a chunk whose first byte is 0. So a batch of chunks is written with 0 as
its first byte, and that byte is corrected once the rest is on the disk: whenever the process or the
machine dies, readers find whole chunks. pyxdf would reject a whole file for one torn chunk header.
"""

import contextlib
import os
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError, StreamError
from rtbrain.files import EXISTS
from rtbrain.recording.xdf import chunks
from rtbrain.recording.xdf.chunks import HeaderFacts, parse_stream_header
from rtbrain.types import Times

# Samples wait in memory while the disk takes nothing; beyond this, the oldest are dropped.
MAX_WAITING_BYTES = 256 * 1024**2
# A backlog is written in batches of this size, to fill what little space is left.
_BATCH_BYTES = 1024**2
_BOUNDARY_EVERY_S = 10.0


class Disk(Protocol):
    """A file that can be written at any offset; each call may raise OSError."""

    def put(self, offset: int, data: bytes) -> None:
        """Write all of the data at an offset."""

    def cut(self, length: int) -> None:
        """Drop everything beyond this length."""

    def sync(self) -> None:
        """Return when everything is on the disk."""

    def close(self) -> None:
        """Close the file."""


class _LocalDisk:
    """A new file: a `Disk`."""

    def __init__(self, path: Path) -> None:
        try:
            # Open until close().
            self._file = open(path, "xb", buffering=0)  # noqa: SIM115
        except FileExistsError as error:
            raise SettingsError(f"{path} {EXISTS}: choose another name") from error
        except OSError as error:
            raise SettingsError(f"{path} cannot be made: {error.strerror}") from error

    def put(self, offset: int, data: bytes) -> None:
        self._file.seek(offset)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def cut(self, length: int) -> None:
        self._file.truncate(length)

    def sync(self) -> None:
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError("the file was removed while it was written")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class StreamCounts:
    """What became of a stream's samples; stamps are those in the file, s, NaN if there are none."""

    facts: HeaderFacts
    n_written: int = 0
    n_waiting: int = 0
    n_dropped: int = 0
    n_bytes: int = 0
    first_stamp: float = float("nan")
    last_stamp: float = float("nan")
    offsets: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A chunk that waits; `n_samples` is 0 for one that holds none."""

    data: bytes
    count: StreamCounts
    n_samples: int = 0
    first_stamp: float = float("nan")
    last_stamp: float = float("nan")


def open_xdf(path: Path) -> "XdfWriter":
    """Writer of a new file; SettingsError if the file exists or cannot be written."""
    disk = _LocalDisk(path)
    try:
        return XdfWriter(disk)
    except OSError as error:
        disk.close()
        raise SettingsError(f"{path} cannot be written to: {error.strerror or error}") from error


class XdfWriter:
    """Writes any number of streams into one file.

    Samples wait in memory until `flush` writes them. If the process is killed, the file holds what
    the last complete flush wrote; a flush that fails keeps everything for the next one.

    Beyond `max_waiting_bytes` the oldest samples in memory are dropped and counted; `clock` gives
    monotonic seconds, for the intervals between boundary chunks. OSError if the beginning of the
    file cannot be written.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: dict[int, StreamCounts] = {}
        self._disk = disk
        self.n_bytes = 0  # in the file
        self._closed = False
        self._max_waiting_bytes = max_waiting_bytes
        self._clock = clock
        self._waiting: deque[_Piece] = deque()
        self.n_waiting_bytes = 0
        self._append(chunks.MAGIC + chunks.file_header())
        self._boundary_at = clock() + _BOUNDARY_EVERY_S

    def add_stream(self, header: bytes) -> int:
        """Begin a stream by its XML header, byte for byte as liblsl gives it; return its number.

        StreamError if readers do not accept the XML, or a file cannot hold the samples.
        """
        stream_id = len(self.counts) + 1
        count = StreamCounts(parse_stream_header(header))
        self.counts[stream_id] = count
        self._wait(_Piece(chunks.of_stream(chunks.STREAM_HEADER, stream_id, header), count))
        return stream_id

    def samples(self, stream_id: int, values: npt.NDArray[Any], stamps: Times) -> None:
        """Add samples in the order of their arrival, [n_samples, n_channels].

        Values are numbers in the stream's format, or objects: bytes, or text. Stamps, float64
        [n_samples], are by the sender's clock, s. StreamError if shape or format differ from the
        header's.
        """
        count = self.counts[stream_id]
        facts = count.facts
        expected = chunks.VALUE_FORMATS[facts.value_format]
        dtype = np.dtype(object if expected is None else expected)
        if values.shape != (len(stamps), facts.n_channels) or values.dtype != dtype:
            raise StreamError(
                f"stream {facts.name!r} has {facts.n_channels} channels of {facts.value_format}, "
                f"got {values.dtype} {values.shape} with {len(stamps)} stamps"
            )
        if not len(stamps):
            return
        data = chunks.samples(stream_id, values, stamps)
        count.n_waiting += len(stamps)
        self._wait(_Piece(data, count, len(stamps), float(stamps[0]), float(stamps[-1])))

    def clock_offset(self, stream_id: int, time_s: float, offset_s: float) -> None:
        """Add what to add to the sender's stamps, s, measured at `time_s` by our clock."""
        count = self.counts[stream_id]
        # The file gives the time by the sender's clock, like the stamps.
        measured = (time_s - offset_s, offset_s)
        count.offsets.append(measured)
        content = struct.pack("<dd", *measured)
        self._wait(_Piece(chunks.of_stream(chunks.CLOCK_OFFSET, stream_id, content), count))

    def flush(self) -> None:
        """Write everything that waits to the disk.

        OSError if the disk refuses: the file is whole up to what it took, the rest waits.
        """
        if self._clock() >= self._boundary_at:
            # Alone, so that a reader which looks for boundaries finds none in a torn batch.
            self._append(chunks.boundary())
            self._boundary_at = self._clock() + _BOUNDARY_EVERY_S
        while self._waiting:
            self._write(self._next_batch())

    def close(self) -> None:
        """Write what waits and the footers, and close the file; safe to call twice.

        OSError if something could not be written; it is counted as dropped.
        """
        if self._closed:
            return
        self._closed = True
        failed = None
        try:
            self.flush()
        except OSError as error:
            failed = error
            for piece in self._waiting:
                self._drop(piece)
            self._waiting.clear()
        try:
            footers = [
                chunks.stream_footer(
                    stream_id, count.n_written, count.first_stamp, count.last_stamp, count.offsets
                )
                for stream_id, count in self.counts.items()
                if count.n_bytes
            ]
            if footers:
                self._append(b"".join(footers))
        finally:
            self._disk.close()
        if failed is not None:
            raise failed

    def _wait(self, piece: _Piece) -> None:
        self._waiting.append(piece)
        self.n_waiting_bytes += len(piece.data)
        if self.n_waiting_bytes > self._max_waiting_bytes:
            self._make_room()

    def _make_room(self) -> None:
        """Drop the oldest samples until a tenth of the room is free; never a header."""
        goal = self._max_waiting_bytes - self._max_waiting_bytes // 10
        kept: deque[_Piece] = deque()
        for piece in self._waiting:
            if piece.n_samples and self.n_waiting_bytes > goal:
                self._drop(piece)
            else:
                kept.append(piece)
        self._waiting = kept

    def _drop(self, piece: _Piece) -> None:
        self.n_waiting_bytes -= len(piece.data)
        piece.count.n_waiting -= piece.n_samples
        piece.count.n_dropped += piece.n_samples

    def _next_batch(self) -> list[_Piece]:
        batch: list[_Piece] = []
        n_bytes = 0
        for piece in self._waiting:
            if batch and n_bytes + len(piece.data) > _BATCH_BYTES:
                break
            batch.append(piece)
            n_bytes += len(piece.data)
        return batch

    def _write(self, batch: list[_Piece]) -> None:
        self._append(b"".join(piece.data for piece in batch))
        for piece in batch:
            self._waiting.popleft()
            self.n_waiting_bytes -= len(piece.data)
            count = piece.count
            count.n_bytes += len(piece.data)
            if piece.n_samples:
                if not count.n_written:
                    count.first_stamp = piece.first_stamp
                count.last_stamp = piece.last_stamp
                count.n_written += piece.n_samples
                count.n_waiting -= piece.n_samples

    def _append(self, batch: bytes) -> None:
        """Write a batch to the disk, whole or not at all."""
        try:
            self._disk.put(self.n_bytes, b"\0" + batch[1:])
            self._disk.sync()
            self._disk.put(self.n_bytes, batch[:1])
            self._disk.sync()
        except OSError:
            # Where this fails too, the 0 still ends the file for its readers.
            with contextlib.suppress(OSError):
                self._disk.cut(self.n_bytes)
            raise
        self.n_bytes += len(batch)
