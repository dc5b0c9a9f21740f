"""Recordings in XDF files: one regular numeric stream, and the marker streams as its events."""

import math
import shutil
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from rtbrain.channels import kind_of, read_channels
from rtbrain.errors import RecordingError, one_line
from rtbrain.processes import scratch_folder
from rtbrain.recording.recording import Event, Recording, parse_number
from rtbrain.recording.trigger_log import trigger_events
from rtbrain.recording.xdf.chunks import VALUE_FORMATS
from rtbrain.recording.xdf.clocks import place_events, repair_stamps
from rtbrain.recording.xdf.index import Stream, choose_streams, index_chunks, raise_ambiguous
from rtbrain.recording.xdf.samples import (
    MAX_TEXTS,
    NumericSamples,
    read_texts,
    to_recorder_clock,
)
from rtbrain.stream.triggers import is_one_hot, marker_texts
from rtbrain.stream_names import TRIGGERS_TYPE, is_status, require_plausible
from rtbrain.types import CONTACT_KINDS, Floats, Montage, Times
from rtbrain.units import microvolts_per, parse_position, place_channels, to_microvolts

Texts = list[tuple[float, str]]
_MOST_CHANNELS = 64  # of markers
_MOST_CODES = 64  # of a stream that is not called one of markers
_MARKER_WORDS = ("mark", "event", "trig", "stim", "annot")
_GZIP = b"\x1f\x8b"
_GZIP_FORMAT = zlib.MAX_WBITS | 16
_COPIED_BYTES = 2**20
# Signals shrink by less: what grows by more is no recording.
_MOST_GROWTH, _GROWTH_FREE_BYTES = 100, 2**27


def _montage(path: Path, stream: Stream, notes: list[str]) -> tuple[Montage, Times, dict[str, Any]]:
    """Montage of the header, factors to µV [n_channels], and fields of a recording."""
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
    known = dict(zip(names, zip(table.kinds, units, strict=False), strict=False))
    others = {
        name: unit if microvolts_per(unit) is None else "µV"
        for name, (kind, unit) in known.items()
        if unit and kind not in CONTACT_KINDS
    }
    status = zip(names, (_text(node, "status") for node in nodes), strict=False)
    bad = tuple(name for name, text in status if text.lower() == "bad")
    per_unit = dict(zip(names, table.factors.tolist(), strict=True))
    return (
        montage,
        table.factors,
        {"unitless": table.unitless, "units": others, "bad": bad, "microvolts": per_unit},
    )


def _text(node: Element, path: str) -> str:
    return node.findtext(path, "").strip()


def read_numbers(path: Path, stream: Stream, notes: list[str]) -> NumericSamples:
    """Values of a stream, [n_samples, n_channels], with their stamps on the recorder's clock."""
    value_format = stream.text("channel_format")
    dtype = VALUE_FORMATS.get(value_format)
    if dtype is None:
        raise RecordingError(
            f"{path}: stream {stream.shown} has format {value_format!r}, expected one of "
            f"{', '.join(name for name, code in VALUE_FORMATS.items() if code)}"
        )
    samples = NumericSamples(path, stream.pieces, stream.n_channels, dtype, stream.period_s)
    _note_broken(path, stream, samples.n_broken, notes)
    if samples.n_odd_stamps:
        notes.append(
            f"{path.name}: {samples.n_odd_stamps} stamps of stream {stream.shown} are no times: "
            "those samples follow the ones before them"
        )
    to_recorder_clock(samples.stamps, stream.offset_times, stream.offset_values)
    return samples


def read_stamped_texts(path: Path, stream: Stream, notes: list[str]) -> Texts:
    """Texts of a stream, with their stamps on the recorder's clock."""
    found, n_broken = read_texts(path, stream.pieces, stream.n_channels, stream.period_s)
    _note_broken(path, stream, n_broken, notes)
    if len(found) == MAX_TEXTS:
        notes.append(f"{path.name}: of stream {stream.shown} only {MAX_TEXTS} events are read")
    stamps = np.array([stamp for stamp, _ in found], np.float64)
    to_recorder_clock(stamps, stream.offset_times, stream.offset_values)
    return [(stamp, text) for stamp, (_, text) in zip(stamps.tolist(), found, strict=True)]


def _is_output(stream: Stream) -> bool:
    """Whether a decoder or a recorder sent it: decodes, detections, triggers, status."""
    content = stream.text("type")
    known = is_status(content) or content in {"Decode", TRIGGERS_TYPE}
    return known or stream.text("desc/rtbrain/origin") == "decoder"


def _codes(path: Path, stream: Stream, notes: list[str]) -> Texts:
    """Markers that are numbers; of measurements at irregular times none, and a note."""
    content = stream.text("type")
    by_type, by_name = (
        any(word in stream.text(key).lower() for word in _MARKER_WORDS) for key in ("type", "name")
    )
    may_be = kind_of(content) not in CONTACT_KINDS and stream.n_channels <= _MOST_CHANNELS
    may_be &= VALUE_FORMATS.get(stream.text("channel_format")) is not None
    if may_be:
        samples = read_numbers(path, stream, notes)
        n_read = min(samples.stamps.size, MAX_TEXTS)
        values = samples.read(0, n_read)
        codes = np.unique(values)
        whole = bool(np.all(codes == np.rint(codes)))
        may_be = by_type or (whole and (by_name or codes.size <= _MOST_CODES))
    if not may_be:
        notes.append(
            f"{path.name}: stream {stream.shown} (type {content!r}, {stream.n_channels} channels) "
            "has no regular rate and is neither a signal nor markers: it is left out"
        )
        return []
    if n_read < samples.stamps.size:
        notes.append(f"{path.name}: of stream {stream.shown} only {MAX_TEXTS} events are read")
    labels = [_text(node, "label") for node in stream.header.findall("desc/channels/channel")]
    if stream.n_channels > 1 and not is_one_hot(content):
        notes.append(
            f"{path.name}: markers of stream {stream.shown} are its first channel of "
            f"{stream.n_channels}"
        )
    texts = marker_texts(values, content, labels)
    return list(zip(samples.stamps[:n_read].tolist(), texts, strict=True))


def _durations(stream: Stream, n_events: int) -> list[float]:
    """How long events last, as our own exports say in the header; 0 s in all other files."""
    stated = [parse_number(word) for word in stream.text("desc/durations").split()]
    known = len(stated) == n_events and all(0 <= one < math.inf for one in stated)
    return stated if known else [0.0] * n_events


def _note_broken(path: Path, stream: Stream, n_broken: int, notes: list[str]) -> None:
    if n_broken:
        notes.append(
            f"{path.name}: {n_broken} chunks of stream {stream.shown} are damaged and left out"
        )


def read_xdf(path: Path, stream: str | None) -> Recording:
    """Open an XDF file, compressed or not; its stamps are kept as they were taken.

    Clock offsets and clock resets are corrected, so that all streams share one time. Stamps are
    not smoothed: a gap stays a gap. Those that show no time are put right, and noted. Only headers
    and stamps are read until samples are needed. Streams of one sender that was started anew are
    one recording with a gap.
    """
    with ExitStack() as opened:
        recording = _read(opened.enter_context(plain_file(path)), stream)
        return replace(recording, closer=opened.pop_all().close)


@contextmanager
def plain_file(path: Path) -> Iterator[Path]:
    """The file itself, or an expanded copy where it is compressed."""
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
    except OSError as error:
        raise RecordingError(
            f"{path} cannot be read: {error.strerror}: name an XDF file"
        ) from error
    if not packed:
        yield path
        return
    with scratch_folder("rtbrain-xdf-") as folder:
        plain = folder / path.with_suffix(".xdf").name
        _expand(path, plain)
        yield plain


def _expand(path: Path, plain: Path) -> None:
    most = _MOST_GROWTH * path.stat().st_size + _GROWTH_FREE_BYTES
    most = min(most, shutil.disk_usage(plain.parent).free)
    unpacker = zlib.decompressobj(_GZIP_FORMAT)
    try:
        with path.open("rb") as packed, plain.open("wb") as out:
            while block := packed.read(_COPIED_BYTES):
                while block:
                    out.write(unpacker.decompress(block, _COPIED_BYTES))
                    block = unpacker.unconsumed_tail
                    if unpacker.eof:  # another member may follow
                        block, unpacker = unpacker.unused_data, zlib.decompressobj(_GZIP_FORMAT)
                    if out.tell() > most:
                        raise RecordingError(
                            f"{path} expands to more than {most / 2**20:.0f} MiB: make room, or "
                            "expand it with gzip and name the result"
                        )
    except (OSError, zlib.error) as error:
        raise RecordingError(f"{path} cannot be expanded: {one_line(error)}") from error


def _read(path: Path, wanted: str | None) -> Recording:
    index = index_chunks(path)
    streams = list(index.streams.values())
    notes = index.notes(path.name)
    chosen = choose_streams(path, streams, wanted, notes)
    montage, factors, fields = _montage(path, chosen[0], notes)
    # What a program reports of itself is no event of the session, nor are decodes.
    marked = [one for one in streams if one.may_mark and not _is_output(one)]
    parts = [part for one in chosen if (part := read_numbers(path, one, notes)).stamps.size]
    if not parts:
        raise RecordingError(f"{path}: stream {chosen[0].shown} holds no sample that can be read")
    clocks = [repair_stamps(path.name, part.stamps, montage.sfreq_hz, notes) for part in parts]
    stamps = parts[0].stamps
    if len(parts) > 1:
        parts.sort(key=lambda part: float(part.stamps[0]))
        if any(after.stamps[0] <= before.stamps[-1] for before, after in pairwise(parts)):
            raise_ambiguous(path, chosen, "overlap in time")
        stamps = np.concatenate([part.stamps for part in parts])
        notes.append(
            f"{path.name}: stream {chosen[0].shown} was started anew: its {len(parts)} pieces "
            "follow one another with their gaps; --stream and a number takes one of them"
        )
    along = clocks[0] if len(parts) == 1 else np.copy
    events: list[Event] = []
    origin_s = float(stamps[0])
    for one in marked:
        if of_one := (read_stamped_texts if one.is_text else _codes)(path, one, notes):
            times = np.array([time_s for time_s, _ in of_one])
            placed = place_events(path.name, one.shown, times, stamps, along, notes) - origin_s
            texts = (text for _, text in of_one)
            lasting_s = _durations(one, len(of_one))
            events += [
                Event(at_s, lasts_s, text, stream=one.text("name"))
                for at_s, lasts_s, text in zip(placed.tolist(), lasting_s, texts, strict=False)
            ]
    triggers: list[Event] = []
    logs = [one for one in streams if one.is_text and one.text("type") == TRIGGERS_TYPE]
    for one in logs:
        if of_one := read_stamped_texts(path, one, notes):
            times = np.array([time_s for time_s, _ in of_one])
            placed = place_events(path.name, one.shown, times, stamps, along, notes) - origin_s
            lines = (text for _, text in of_one)
            read, n_unread = trigger_events(zip(placed.tolist(), lines, strict=True))
            triggers += read
            if n_unread:
                notes.append(f"{path.name}: {n_unread} lines of stream {one.shown} are no triggers")
    stamps -= origin_s
    return Recording(
        montage,
        stamps.size,
        partial(_samples, parts, factors),
        stamps,
        events=tuple(sorted(events, key=lambda event: event.onset_s)),
        triggers=tuple(triggers),
        notes=tuple(notes),
        **fields,
    )


def _samples(parts: list[NumericSamples], factors: Times, start: int, stop: int) -> Floats:
    """Samples of streams that follow one another, in µV."""
    pieces, first = [], 0
    for part in parts:
        begin, end = max(start - first, 0), min(stop - first, part.stamps.size)
        if begin < end:
            pieces.append(part.read(begin, end))
        first += part.stamps.size
    whole = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return to_microvolts(whole.T, factors)
