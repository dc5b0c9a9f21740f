"""Where each chunk of an XDF file lies: a pass over the file that reads no samples."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError

from rtbrain.errors import RecordingError
from rtbrain.recording.xdf.chunks import (
    BOUNDARY_UUID,
    CLOCK_OFFSET,
    MAGIC,
    SAMPLES,
    STREAM_FOOTER,
    STREAM_HEADER,
    parse_xml,
    read_length,
)

_SCANNED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ChunkSamples:
    """The samples of one chunk."""

    offset: int
    n_bytes: int
    n_samples: int


@dataclass(slots=True)
class StreamIndex:
    """What the file holds of a stream: its header, and where its samples lie."""

    header: Element
    pieces: list[ChunkSamples] = field(default_factory=list)
    offset_times: list[float] = field(default_factory=list)
    offset_values: list[float] = field(default_factory=list)

    def text(self, path: str) -> str:
        """Text of an element of the header, as ``desc/montage/space``; empty if there is none."""
        return self.header.findtext(path, "").strip()

    @property
    def n_samples(self) -> int:
        """Samples in all chunks."""
        return sum(piece.n_samples for piece in self.pieces)

    @property
    def is_text(self) -> bool:
        """Whether its samples are strings: markers."""
        return self.text("channel_format") == "string"

    @property
    def n_channels(self) -> int:
        """Values per sample."""
        return int(self.text("channel_count"))

    @property
    def sfreq_hz(self) -> float:
        """Nominal rate in Hz; 0 for an irregular stream."""
        return float(self.text("nominal_srate") or 0)

    @property
    def period_s(self) -> float:
        """Nominal period in s; 0 for an irregular stream."""
        return 1 / self.sfreq_hz if self.sfreq_hz > 0 else 0.0

    @property
    def shown(self) -> str:
        """Name, for messages."""
        return repr(self.text("name"))


@dataclass(slots=True)
class XdfIndex:
    """What a file holds."""

    streams: dict[int, StreamIndex]
    damages: list[tuple[int, int]]
    n_bytes: int

    def notes(self, name: str) -> list[str]:
        """One line for each stretch of the file that cannot be read."""
        lines = []
        for first, after in self.damages:
            if after == self.n_bytes:
                lines.append(
                    f"{name} ends within a chunk, as after a crash of its recorder: it is read to "
                    f"its last whole chunk, {after - first} of {self.n_bytes} bytes are left out"
                )
            else:
                lines.append(f"{name} is damaged: bytes {first} to {after} are left out")
        return lines


def index_xdf(path: Path) -> XdfIndex:
    """Find every chunk; damaged bytes are skipped up to the next boundary chunk.

    Memory grows with the number of chunks, not of samples.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RecordingError(f"{path} is no XDF file: it does not begin with 'XDF:'")
        index = XdfIndex({}, [], path.stat().st_size)
        at = len(MAGIC)
        while at < index.n_bytes:
            file.seek(at)
            after = _take(path, file, index)
            if after is None:
                after = _next_boundary(file, at, index.n_bytes)
                index.damages.append((at, after))
            at = after
    return index


def _take(path: Path, file: BinaryIO, index: XdfIndex) -> int | None:
    """Index the chunk that begins here; the byte after it, or None if it is no whole chunk."""
    n_bytes = read_length(file)
    end = file.tell() + (n_bytes or 0)
    if n_bytes is None or n_bytes < 2 or end > index.n_bytes:
        return None
    (tag,) = struct.unpack("<H", file.read(2))
    if tag not in {STREAM_HEADER, SAMPLES, CLOCK_OFFSET, STREAM_FOOTER}:
        return end
    if end - file.tell() < 4:
        return None
    (number,) = struct.unpack("<I", file.read(4))
    if tag == STREAM_HEADER:
        index.streams[number] = StreamIndex(_header(path, file.read(end - file.tell())))
    elif tag in {SAMPLES, CLOCK_OFFSET} and number not in index.streams:
        return None
    elif tag == SAMPLES:
        n_samples = read_length(file)
        if n_samples is None or file.tell() > end:
            return None
        index.streams[number].pieces.append(ChunkSamples(file.tell(), end - file.tell(), n_samples))
    elif tag == CLOCK_OFFSET:
        if end - file.tell() < 16:
            return None
        time_s, offset_s = struct.unpack("<dd", file.read(16))
        index.streams[number].offset_times.append(time_s)
        index.streams[number].offset_values.append(offset_s)
    return end


def _header(path: Path, header: bytes) -> Element:
    try:
        root = parse_xml(header)
    except ParseError as error:
        raise RecordingError(f"{path}: a stream's header cannot be read: {error}") from error
    if not len(root):
        raise RecordingError(f"{path}: a stream's header is empty")
    return root


def _next_boundary(file: BinaryIO, start: int, n_bytes: int) -> int:
    """Byte after the next boundary chunk's mark; the end of the file where there is none."""
    at = start
    overlap = len(BOUNDARY_UUID) - 1
    while at < n_bytes:
        file.seek(at)
        block = file.read(_SCANNED_BYTES)
        found = block.find(BOUNDARY_UUID)
        if found >= 0:
            return at + found + len(BOUNDARY_UUID)
        if len(block) <= overlap:
            break
        at += len(block) - overlap
    return n_bytes
