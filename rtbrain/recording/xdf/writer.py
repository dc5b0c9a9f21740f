"""Streams into one XDF file, which can be read whatever becomes of the process or the disk.

References
----------
XDF 1.0 specification, https://github.com/sccn/xdf/wiki/Specifications
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError, StreamError
from rtbrain.recording.xdf import chunks
from rtbrain.recording.xdf.chunks import HeaderFacts, parse_stream_header
from rtbrain.recording.xdf.disk import AtomicAppender, Disk, LocalDisk
from rtbrain.types import Times

# What may wait in memory for a disk that takes nothing; older samples are then dropped.
MAX_WAITING_BYTES = 256 * 1024**2
# Of a backlog, so much is written at a time: it fills what little space is left.
_BATCH_BYTES = 1024**2
_BOUNDARY_EVERY_S = 10.0


@dataclass(slots=True)
class StreamCounts:
    """What became of a stream's samples.

    Attributes
    ----------
    facts : HeaderFacts
        What its header says.
    n_written : int
        Samples in the file.
    n_waiting : int
        Samples in memory, to be written.
    n_dropped : int
        Samples that the disk did not take in time.
    n_bytes : int
        Their bytes in the file.
    first_stamp, last_stamp : float
        Of the samples in the file, s; NaN where there are none.
    """

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
    """Make a new file and its writer.

    Raises
    ------
    SettingsError
        The file exists, or cannot be made or written to.
    """
    disk = LocalDisk(path)
    try:
        return XdfWriter(disk)
    except OSError as error:
        disk.close()
        raise SettingsError(f"{path} cannot be written to: {error.strerror or error}") from error


class XdfWriter:
    """Writes any number of streams into one file.

    What is given to it waits in memory until `flush`, which puts it on the disk; whenever the
    process is killed, the file reads as it was at the last flush that returned. A flush that
    fails keeps all for the next one.

    Parameters
    ----------
    disk : Disk
        An empty file.
    held_bytes : int
        What may wait in memory; beyond that, the oldest samples are dropped and counted.
    clock : callable
        Monotonic seconds; tells when a boundary is due.

    Attributes
    ----------
    counts : dict of int to StreamCount
        What became of each stream, by its number in the file.

    Raises
    ------
    OSError
        The beginning of the file cannot be written.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        held_bytes: int = MAX_WAITING_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts: dict[int, StreamCounts] = {}
        self._whole = AtomicAppender(disk)
        self._closed = False
        self._held_bytes = held_bytes
        self._clock = clock
        self._waiting: deque[_Piece] = deque()
        self._n_waiting_bytes = 0
        self._whole.add(chunks.MAGIC + chunks.file_header())
        self._boundary_at = clock() + _BOUNDARY_EVERY_S

    @property
    def n_bytes(self) -> int:
        """Bytes that are in the file for good."""
        return self._whole.length

    @property
    def n_waiting_bytes(self) -> int:
        """Bytes that wait in memory."""
        return self._n_waiting_bytes

    def add_stream(self, header: bytes) -> int:
        """Begin a stream.

        Parameters
        ----------
        header : bytes
            Its header, XML as liblsl gives it; written byte for byte.

        Returns
        -------
        int
            Its number in the file.

        Raises
        ------
        StreamError
            The header is no XML that readers take, or its samples could not be written.
        """
        stream_id = len(self.counts) + 1
        count = StreamCounts(parse_stream_header(header))
        self.counts[stream_id] = count
        self._wait(_Piece(chunks.stream_header(stream_id, header), count))
        return stream_id

    def samples(self, stream_id: int, values: npt.NDArray[Any], stamps: Times) -> None:
        """Take samples, in the order in which they came.

        Parameters
        ----------
        stream_id : int
            Of the stream.
        values : ndarray [n_samples, n_channels]
            Numbers in the stream's format, or objects: bytes, or text.
        stamps : ndarray, float64 [n_samples]
            As the sender stamped them, s.

        Raises
        ------
        StreamError
            Their shape or format is not what the header says.
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
        """Take a measurement of the sender's clock.

        Parameters
        ----------
        stream_id : int
            Of the stream.
        time_s : float
            When, s, on this machine's clock.
        offset_s : float
            What is to be added to the sender's stamps, s.
        """
        count = self.counts[stream_id]
        # The file tells the moment on the sender's clock, as the stamps are.
        measured = (time_s - offset_s, offset_s)
        count.offsets.append(measured)
        self._wait(_Piece(chunks.clock_offset(stream_id, *measured), count))

    def flush(self) -> None:
        """Put all that waits on the disk.

        Raises
        ------
        OSError
            The disk does not take it: the file is whole up to what it took, the rest waits.
        """
        if self._clock() >= self._boundary_at:
            # Alone, so that a reader which looks for boundaries finds none in a torn batch.
            self._whole.add(chunks.boundary())
            self._boundary_at = self._clock() + _BOUNDARY_EVERY_S
        while self._waiting:
            self._write(self._next_batch())

    def close(self) -> None:
        """Write what waits and the footers, and let go of the file; safe to call twice.

        Raises
        ------
        OSError
            Not all could be written; what was not is counted as dropped.
        """
        if self._closed:
            return
        self._closed = True
        failed = None
        try:
            self.flush()
        except OSError as error:
            failed = error
            self._drop_waiting()
        try:
            footers = [
                chunks.stream_footer(
                    stream_id, count.n_written, count.first_stamp, count.last_stamp, count.offsets
                )
                for stream_id, count in self.counts.items()
                if count.n_bytes
            ]
            if footers:
                self._whole.add(b"".join(footers))
        finally:
            self._whole.close()
        if failed is not None:
            raise failed

    def _wait(self, piece: _Piece) -> None:
        self._waiting.append(piece)
        self._n_waiting_bytes += len(piece.data)
        if self._n_waiting_bytes > self._held_bytes:
            self._make_room()

    def _make_room(self) -> None:
        """Drop the oldest samples until a tenth of the room is free; never a header."""
        goal = self._held_bytes - self._held_bytes // 10
        kept: deque[_Piece] = deque()
        for piece in self._waiting:
            if piece.n_samples and self._n_waiting_bytes > goal:
                self._drop(piece)
            else:
                kept.append(piece)
        self._waiting = kept

    def _drop_waiting(self) -> None:
        for piece in self._waiting:
            self._drop(piece)
        self._waiting.clear()

    def _drop(self, piece: _Piece) -> None:
        self._n_waiting_bytes -= len(piece.data)
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
        self._whole.add(b"".join(piece.data for piece in batch))
        for piece in batch:
            self._waiting.popleft()
            self._n_waiting_bytes -= len(piece.data)
            count = piece.count
            count.n_bytes += len(piece.data)
            if piece.n_samples:
                if not count.n_written:
                    count.first_stamp = piece.first_stamp
                count.last_stamp = piece.last_stamp
                count.n_written += piece.n_samples
                count.n_waiting -= piece.n_samples
