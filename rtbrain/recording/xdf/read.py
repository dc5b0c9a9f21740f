"""Recordings in XDF files: one regular numeric stream, and the string streams as its events.

A first pass over the file finds where each chunk lies; it reads no samples.
"""

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError

import numpy as np

from rtbrain.channels import read_channels
from rtbrain.errors import RecordingError, list_words
from rtbrain.recording.recording import Event, Recording, parse_number
from rtbrain.recording.xdf.chunks import (
    BOUNDARY_UUID,
    CLOCK_OFFSET,
    MAGIC,
    SAMPLES,
    STREAM_FOOTER,
    STREAM_HEADER,
    VALUE_FORMATS,
    parse_xml,
    read_length,
)
from rtbrain.recording.xdf.clocks import check_stamps, same_clock
from rtbrain.recording.xdf.samples import (
    MAX_TEXTS,
    MAX_TIME_S,
    ChunkSamples,
    NumericSamples,
    read_texts,
    to_recorder_clock,
)
from rtbrain.stream_names import is_status, require_plausible
from rtbrain.types import Floats, Montage, Times
from rtbrain.units import parse_position, place_channels, to_microvolts

Texts = list[tuple[float, str]]


@dataclass(slots=True)
class _Stream:
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
        return sum(piece.n_samples for piece in self.pieces)

    @property
    def is_text(self) -> bool:
        return self.text("channel_format") == "string"

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
        return repr(self.text("name"))


@dataclass(slots=True)
class _Index:
    """What a file holds."""

    streams: dict[int, _Stream]
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


def _index(path: Path) -> _Index:
    """Find every chunk; damaged bytes are skipped up to the next boundary chunk.

    Memory grows with the number of chunks, not of samples.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise RecordingError(f"{path} is no XDF file: it does not begin with 'XDF:'")
        index = _Index({}, [], path.stat().st_size)
        at = len(MAGIC)
        while at < index.n_bytes:
            file.seek(at)
            after = _take(path, file, index)
            if after is None:
                after = _next_boundary(file, at, index.n_bytes)
                index.damages.append((at, after))
            at = after
    return index


def _take(path: Path, file: BinaryIO, index: _Index) -> int | None:
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
        index.streams[number] = _Stream(_header(path, file.read(end - file.tell())))
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
            index.damages.append((file.tell() - 16, end))
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
        found = content.find(BOUNDARY_UUID, start)
    return found + len(BOUNDARY_UUID) if found >= 0 else n_bytes


def _listed(streams: list[_Stream]) -> str:
    return ", ".join(
        f"{stream.shown} (source id {stream.text('source_id')!r}, type {stream.text('type')!r}, "
        f"{stream.text('channel_count')} channels, {stream.sfreq_hz:g} Hz)"
        for stream in streams
    )


def _choose_stream(
    path: Path, streams: list[_Stream], wanted: str | None, notes: list[str]
) -> _Stream:
    """Pick the regular numeric stream that is wanted, or the only one."""
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
    if wanted is not None:
        named = [stream for stream in fit if stream.text("name") == wanted]
        named = named or [stream for stream in fit if stream.text("source_id") == wanted]
        if not named:
            raise RecordingError(
                f"{path} has no stream {wanted!r} to play: there is {_listed(fit)}"
            )
        fit = named
    if len(fit) > 1:
        raise RecordingError(
            f"{path} holds {len(fit)} streams that could be played, choose with --stream (a name "
            f"or a source id): {_listed(fit)}"
        )
    return fit[0]


def _montage(
    path: Path, stream: _Stream, notes: list[str]
) -> tuple[Montage, Times, tuple[str, ...]]:
    """Montage of the header, factors to µV [n_channels], and the channels without a unit."""
    n_channels = stream.n_channels
    require_plausible(n_channels, stream.sfreq_hz)
    nodes = stream.header.findall("desc/channels/channel")[: n_channels + 1]
    labels, types, units = (
        [_text(node, key) for node in nodes] for key in ("label", "type", "unit")
    )
    table = read_channels(n_channels, labels, types, units, stream.text("type"))
    names = table.names
    notes += [f"{path.name}: {note}" for note in table.notes]
    places = [[_text(node, f"location/{axis}") for axis in "XYZ"] for node in nodes]
    positions = place_channels(
        names, {name: parse_position(place) for name, place in zip(names, places, strict=False)}
    )
    space = stream.text("desc/montage/space")
    if positions is not None and not space:
        notes.append(f"{path.name} does not name the space of its positions: they are not used")
        positions = None
    montage = Montage(
        names, table.kinds, stream.sfreq_hz, positions, None if positions is None else space
    )
    return montage, table.factors, table.unitless


def _text(node: Element, path: str) -> str:
    return node.findtext(path, "").strip()


def _numbers(path: Path, stream: _Stream, notes: list[str]) -> NumericSamples:
    """Values [n_samples, n_channels], with their stamps on the recorder's clock."""
    value_format = stream.text("channel_format")
    dtype = VALUE_FORMATS.get(value_format)
    if dtype is None:
        raise RecordingError(
            f"{path}: stream {stream.shown} has format {value_format!r}, expected one of "
            f"{', '.join(name for name, code in VALUE_FORMATS.items() if code)}"
        )
    samples = NumericSamples(path, stream.pieces, stream.n_channels, dtype, stream.period_s)
    _note_broken(path, stream, samples.n_broken, notes)
    to_recorder_clock(samples.stamps, stream.offset_times, stream.offset_values)
    return samples


def _texts(path: Path, stream: _Stream, notes: list[str]) -> Texts:
    found, n_broken = read_texts(path, stream.pieces, stream.n_channels, stream.period_s)
    _note_broken(path, stream, n_broken, notes)
    if len(found) == MAX_TEXTS:
        notes.append(f"{path.name}: of stream {stream.shown} only {MAX_TEXTS} events are read")
    stamps = np.array([stamp for stamp, _ in found], np.float64)
    to_recorder_clock(stamps, stream.offset_times, stream.offset_values)
    return [(stamp, text) for stamp, (_, text) in zip(stamps.tolist(), found, strict=True)]


def _note_broken(path: Path, stream: _Stream, n_broken: int, notes: list[str]) -> None:
    if n_broken:
        notes.append(
            f"{path.name}: {n_broken} chunks of stream {stream.shown} are damaged and left out"
        )


def read_xdf(path: Path, stream: str | None) -> Recording:
    """Open an XDF file; its stamps are kept as they were taken.

    Clock offsets and clock resets are corrected, so that all streams share one time. Stamps are
    not smoothed: a gap stays a gap. Only headers and stamps are read until samples are needed.
    """
    index = _index(path)
    streams = list(index.streams.values())
    notes = index.notes(path.name)
    chosen = _choose_stream(path, streams, stream, notes)
    montage, factors, unitless = _montage(path, chosen, notes)
    # What a program reports of itself is no event of the session.
    texts_of = [one for one in streams if one.is_text]
    marked = [one for one in texts_of if not is_status(one.text("name"), one.text("type"))]
    samples = _numbers(path, chosen, notes)
    stamps = samples.stamps
    if not stamps.size:
        raise RecordingError(f"{path}: stream {chosen.shown} holds no sample that can be read")
    check_stamps(path.name, stamps, montage.sfreq_hz, notes)
    texts: Texts = []
    for one in marked:
        of_one = _texts(path, one, notes)
        if of_one and same_clock(
            path.name, one.shown, np.array([t for t, _ in of_one]), stamps, notes
        ):
            texts += of_one
    origin_s = float(stamps[0])
    events = [Event(stamp - origin_s, 0.0, text) for stamp, text in texts]
    stamps -= origin_s

    def read(start: int, stop: int) -> Floats:
        return to_microvolts(samples.read(start, stop).T, factors)

    return Recording(
        montage,
        stamps.size,
        read,
        stamps,
        events=tuple(sorted(events, key=lambda event: event.onset_s)),
        notes=tuple(notes),
        unitless=unitless,
    )
