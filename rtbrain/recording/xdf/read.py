"""Recordings in XDF files: one regular numeric stream, and the string streams as its events.

References
----------
XDF specification, https://github.com/sccn/xdf/wiki/Specifications
"""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from rtbrain.errors import RecordingError
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.xdf.chunks import VALUE_FORMATS
from rtbrain.recording.xdf.index import StreamIndex, index_xdf
from rtbrain.recording.xdf.samples import NumericSamples, read_texts, to_recorder_clock
from rtbrain.stream_names import is_status
from rtbrain.types import Floats, Montage, Times
from rtbrain.units import microvolts_per, parse_position, place_channels, to_microvolts

_RATE_TOLERANCE = 0.01
_RATE_SAMPLES = 2**20
Texts = list[tuple[float, str]]


def _listed(streams: list[StreamIndex]) -> str:
    return ", ".join(
        f"{stream.shown} (source id {stream.text('source_id')!r}, type {stream.text('type')!r}, "
        f"{stream.text('channel_count')} channels, {stream.sfreq_hz:g} Hz)"
        for stream in streams
    )


def _choose_stream(
    path: Path, streams: list[StreamIndex], wanted: str | None, notes: list[str]
) -> StreamIndex:
    """Pick the regular numeric stream that is wanted, or the only one."""
    empty = [stream for stream in streams if not stream.n_samples]
    if empty:
        names = ", ".join(stream.shown for stream in empty)
        notes.append(f"{path.name}: streams without samples are passed over: {names}")
    fit = [
        stream
        for stream in streams
        if stream.n_samples and not stream.is_text and stream.sfreq_hz > 0
    ]
    if not fit:
        there = _listed(streams) or "no stream at all"
        raise RecordingError(
            f"{path} holds no regular numeric stream with samples, there is {there}"
        )
    if wanted is not None:
        named = [stream for stream in fit if stream.text("name") == wanted]
        fit_by_id = [stream for stream in fit if stream.text("source_id") == wanted]
        matching = named or fit_by_id
        if not matching:
            raise RecordingError(
                f"{path} has no stream {wanted!r} to play: there is {_listed(fit)}"
            )
        fit = matching
    if len(fit) > 1:
        raise RecordingError(
            f"{path} holds {len(fit)} streams that could be played, choose with --stream (a name "
            f"or a source id): {_listed(fit)}"
        )
    return fit[0]


def _montage(
    path: Path, stream: StreamIndex, notes: list[str]
) -> tuple[Montage, Times, tuple[str, ...]]:
    """Montage of the header, factors to µV [n_channels], and the channels without a unit."""
    n_channels = stream.n_channels
    nodes = stream.header.findall("desc/channels/channel")
    names = tuple(_text(node, "label") for node in nodes)
    if not any(names):
        notes.append(f"{path.name} has no channel labels: channels are named 1 to {n_channels}")
        names = tuple(str(number) for number in range(1, n_channels + 1))
        nodes = [Element("channel")] * n_channels
    if len(names) != n_channels or not all(names):
        raise RecordingError(
            f"{path}: stream {stream.shown} has {n_channels} channels, but its header labels "
            f"{sum(map(bool, names))}"
        )
    content = stream.text("type") or "misc"
    kinds = tuple((_text(node, "type") or content).lower() for node in nodes)
    units = [_text(node, "unit") for node in nodes]
    unknown = tuple(n for n, unit in zip(names, units, strict=True) if not microvolts_per(unit))
    if unknown:
        notes.append(
            f"{path.name} gives no unit of voltage for {', '.join(unknown)}: taken as microvolts"
        )
    factors = np.array([microvolts_per(unit) or 1.0 for unit in units])
    places = [[_text(node, f"location/{axis}") for axis in "XYZ"] for node in nodes]
    positions = place_channels(
        names, {name: parse_position(place) for name, place in zip(names, places, strict=True)}
    )
    space = stream.text("desc/montage/space")
    if positions is not None and not space:
        notes.append(f"{path.name} does not name the space of its positions: they are not used")
        positions = None
    return (
        Montage(names, kinds, stream.sfreq_hz, positions, None if positions is None else space),
        factors,
        unknown,
    )


def _text(node: Element, path: str) -> str:
    return node.findtext(path, "").strip()


def _signal(path: Path, stream: StreamIndex, notes: list[str]) -> NumericSamples:
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


def _texts(path: Path, stream: StreamIndex, notes: list[str]) -> Texts:
    found, n_broken = read_texts(path, stream.pieces, stream.n_channels, stream.period_s)
    _note_broken(path, stream, n_broken, notes)
    stamps = np.array([stamp for stamp, _ in found], np.float64)
    to_recorder_clock(stamps, stream.offset_times, stream.offset_values)
    return [(stamp, text) for stamp, (_, text) in zip(stamps.tolist(), found, strict=True)]


def _note_broken(path: Path, stream: StreamIndex, n_broken: int, notes: list[str]) -> None:
    if n_broken:
        notes.append(
            f"{path.name}: {n_broken} chunks of stream {stream.shown} are damaged and left out"
        )


def read_xdf(path: Path, stream: str | None) -> Recording:
    """Open an XDF file; its stamps are kept as they were taken.

    Clock offsets and clock resets are corrected, so that all streams share one time. Stamps are
    not smoothed: a gap stays a gap. Only headers and stamps are read until samples are needed.
    """
    index = index_xdf(path)
    streams = list(index.streams.values())
    notes = index.notes(path.name)
    chosen = _choose_stream(path, streams, stream, notes)
    montage, factors, unitless = _montage(path, chosen, notes)
    # What a program reports of itself is no event of the session.
    marked = [one for one in streams if one.is_text and not is_status(one.text("name"))]
    texts = [text for one in marked for text in _texts(path, one, notes)]
    samples = _signal(path, chosen, notes)
    stamps = samples.stamps
    if not stamps.size:
        raise RecordingError(f"{path}: stream {chosen.shown} holds no sample that can be read")
    _note_rate(stamps, montage.sfreq_hz, notes)
    origin_s = float(stamps[0])
    stamps -= origin_s

    def read(start: int, stop: int) -> Floats:
        return to_microvolts(samples.read(start, stop).T, factors)

    return Recording(
        montage,
        stamps.size,
        read,
        stamps,
        events=_events(texts, origin_s),
        notes=tuple(notes),
        unitless=unitless,
    )


def _note_rate(stamps: Times, sfreq_hz: float, notes: list[str]) -> None:
    if stamps.size < 2:
        return
    # The median: gaps do not change it.
    period_s = float(np.median(np.diff(stamps[:_RATE_SAMPLES])))
    if period_s > 0 and abs(period_s * sfreq_hz - 1) > _RATE_TOLERANCE:
        notes.append(
            f"samples were stamped at about {1 / period_s:.4g} Hz, the header says "
            f"{sfreq_hz:.4g} Hz: they are played at the header's rate"
        )


def _events(texts: Texts, origin_s: float) -> tuple[Event, ...]:
    events = [Event(stamp - origin_s, 0.0, text) for stamp, text in texts]
    return tuple(sorted(events, key=lambda event: event.onset_s))
