"""What an XDF file holds: a first pass finds where each chunk lies, and the stream that is meant.

It reads no samples.
"""

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.etree.ElementTree import Element, ParseError

from rtbrain.errors import RecordingError, list_words, plain_text
from rtbrain.recording.recording import parse_number
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
from rtbrain.recording.xdf.samples import MAX_TIME_S, ChunkSamples


@dataclass(slots=True)
class Stream:
    """What the file holds of a stream: its header, and where its samples lie."""

    header: Element
    pieces: list[ChunkSamples] = field(default_factory=list)
    offset_times: list[float] = field(default_factory=list)
    offset_values: list[float] = field(default_factory=list)
    n_odd_offsets: int = 0

    def text(self, path: str) -> str:
        """Text of an element of the header, as ``desc/montage/space``; empty if there is none."""
        return self.header.findtext(path, "").strip()

    @property
    def n_samples(self) -> int:
        """Samples, those of broken chunks among them."""
        return sum(piece.n_samples for piece in self.pieces)

    @property
    def is_text(self) -> bool:
        """Whether its samples are strings."""
        return self.text("channel_format") == "string"

    @property
    def may_mark(self) -> bool:
        """Whether it may hold markers: texts, or numbers without a regular rate."""
        return self.is_text or (self.sfreq_hz == 0 and self.n_channels > 0 and self.n_samples > 0)

    @property
    def n_channels(self) -> int:
        """Channels; 0 where the header does not say how many."""
        count = self.text("channel_count")
        return int(count) if count.isdecimal() and len(count) < 12 else 0

    @property
    def sfreq_hz(self) -> float:
        """Nominal rate in Hz; 0 for an irregular stream."""
        return max(0.0, parse_number(self.text("nominal_srate") or "0"))

    @property
    def period_s(self) -> float:
        """Nominal period in s; 0 for an irregular stream."""
        return 1 / self.sfreq_hz if self.sfreq_hz > 0 else 0.0

    @property
    def shown(self) -> str:
        """Its name in quotes, for messages."""
        return repr(self.text("name"))

    @property
    def sender(self) -> tuple[object, ...]:
        """What stays the same when its sender is started anew; empty without a source id."""
        if not self.text("source_id"):
            return ()
        channels = [
            tuple(_text(node, key) for key in ("label", "unit", "type"))
            for node in self.header.findall("desc/channels/channel")
        ]
        keys = ("name", "source_id", "type", "channel_count", "nominal_srate", "channel_format")
        return (*map(self.text, keys), tuple(channels))


@dataclass(slots=True)
class Index:
    """What a file holds."""

    streams: dict[int, Stream]
    damages: list[tuple[int, int]]
    n_bytes: int

    def notes(self, name: str) -> list[str]:
        """One line for each stretch of the file that cannot be read."""
        lines = []
        for first, after in self.damages:
            if after == self.n_bytes:
                lines.append(
                    f"{name} ends within a chunk, as while it is recorded or after a crash: it is "
                    f"read to its last whole chunk, {after - first} of {self.n_bytes} bytes are "
                    "left out"
                )
            else:
                lines.append(f"{name} is damaged: bytes {first} to {after} are left out")
        lines += [
            f"{name}: {stream.n_odd_offsets} clock offsets of stream {stream.shown} are no numbers "
            "and are left out"
            for stream in self.streams.values()
            if stream.n_odd_offsets
        ]
        return lines


def index_chunks(path: Path) -> Index:
    """Find every chunk; damaged bytes are skipped up to the next boundary chunk.

    Memory grows with the number of chunks, not of samples.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RecordingError(f"{path} is no XDF file: it does not begin with 'XDF:'")
        index = Index({}, [], path.stat().st_size)
        at = len(MAGIC)
        while at < index.n_bytes:
            file.seek(at)
            after = _take(path, file, index)
            if after is None:
                after = _next_boundary(file, at, index.n_bytes)
                index.damages.append((at, after))
            at = after
    return index


def _take(path: Path, file: BinaryIO, index: Index) -> int | None:
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
        index.streams[number] = Stream(_header(path, file.read(end - file.tell())))
    elif tag in {SAMPLES, CLOCK_OFFSET} and number not in index.streams:
        return None
    elif tag == SAMPLES:
        n_samples = read_length(file)
        if n_samples is None or file.tell() > end:
            return None
        piece = ChunkSamples(file.tell(), end - file.tell(), n_samples)
        if n_samples > piece.n_bytes:  # each takes a byte or more
            return None
        if n_samples:
            index.streams[number].pieces.append(piece)
    elif tag == CLOCK_OFFSET:
        if end - file.tell() < 16:
            return None
        time_s, offset_s = struct.unpack("<dd", file.read(16))
        if not (abs(time_s) < MAX_TIME_S and abs(offset_s) < MAX_TIME_S):
            index.streams[number].n_odd_offsets += 1
            return end
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
    # A map: the mark may lie far behind, and a file is larger than memory.
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = content.find(BOUNDARY_UUID, start, n_bytes)  # it may grow
    return found + len(BOUNDARY_UUID) if found >= 0 else n_bytes


def _listed(streams: Sequence[Stream]) -> str:
    return ", ".join(
        f"{number} {stream.shown} (source id {stream.text('source_id')!r}, type "
        f"{stream.text('type')!r}, {stream.text('channel_count')} channels, {stream.sfreq_hz:g} "
        f"Hz, created at {stream.text('created_at') or 'no stated time'})"
        for number, stream in enumerate(streams, 1)
    )


def _text(node: Element, path: str) -> str:
    return node.findtext(path, "").strip()


def choose_streams(
    path: Path, streams: Sequence[Stream], wanted: str | None, notes: list[str]
) -> list[Stream]:
    """The regular numeric stream that is meant: several where its sender was started anew.

    `wanted` is a name, a source id, its number among those that could be played, a type, or when
    it was created; by default the only one that is no decodes.
    """
    empty = [stream for stream in streams if not stream.n_samples]
    if empty:
        names = list_words([stream.shown for stream in empty])
        notes.append(f"{path.name}: streams without samples are passed over: {names}")
    fit = [
        stream
        for stream in streams
        if stream.n_samples and not stream.is_text and stream.sfreq_hz > 0 and stream.n_channels
    ]
    if not fit:
        there = _listed(streams) or "no stream at all"
        raise RecordingError(
            f"{path} holds no regular numeric stream with samples, there is {there}"
        )
    signals = [stream for stream in fit if stream.text("type") != "Decode"]
    chosen = (signals or fit) if wanted is None else _meant(fit, wanted)
    if not chosen:
        other = _meant(streams, wanted or "")
        if other and not other[0].sfreq_hz > 0:
            raise RecordingError(
                f"{path}: stream {other[0].shown} has no regular rate, a signal needs one: choose "
                f"another, there is {_listed(fit)}"
            )
        raise RecordingError(
            f"{path} has no stream {plain_text(wanted or '')!r} to play: there is {_listed(fit)}"
        )
    senders = {stream.sender for stream in chosen}
    if len(chosen) > 1 and (len(senders) > 1 or () in senders):
        raise_ambiguous(path, fit, "could be played")
    return chosen


def raise_ambiguous(path: Path, streams: Sequence[Stream], why: str) -> NoReturn:
    """Refuse to choose by oneself."""
    raise RecordingError(
        f"{path} holds {len(streams)} streams that {why}, choose with --stream (a name, a source "
        f"id, a number, a type or a time of creation): {_listed(streams)}"
    )


def _meant(streams: Sequence[Stream], wanted: str) -> list[Stream]:
    for key in ("name", "source_id"):
        if named := [stream for stream in streams if stream.text(key) == wanted]:
            return named
    if wanted.isdecimal() and len(wanted) < 5 and 1 <= int(wanted) <= len(streams):
        return [streams[int(wanted) - 1]]
    for key in ("type", "created_at", "uid"):
        if named := [one for one in streams if one.text(key).lower() == wanted.lower()]:
            return named
    return []
