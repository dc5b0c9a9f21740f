"""Recordings in XDF files: one regular numeric stream, the string streams beside it as events.

References
----------
XDF specification, https://github.com/sccn/xdf/wiki/Specifications
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.errors import RecordingError
from rtbrain.recording.recording import Event, Recording
from rtbrain.recording.xdf.chunks import VALUE_FORMATS
from rtbrain.recording.xdf.index import StreamIndex, XdfIndex, index_xdf
from rtbrain.recording.xdf.samples import (
    NumericSamples,
    read_texts,
    to_recorder_clock,
)
from rtbrain.stream_names import is_status
from rtbrain.types import Floats, Montage, Times
from rtbrain.units import microvolts_per, parse_position

_RATE_TOLERANCE = 0.01
_RATE_SAMPLES = 2**20
Texts = list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class XdfStream:
    """One stream, however it is read."""

    info: dict[str, Any]
    n_samples: int

    def text(self, *keys: str) -> str:
        """Text at the end of a path through the header; empty where the path ends."""
        return _text(self.info, *keys)

    @property
    def is_text(self) -> bool:
        """Whether its samples are strings: markers."""
        return self.text("channel_format") == "string"

    @property
    def has_events(self) -> bool:
        """Whether its samples are events of the session, not what a program says of itself."""
        return self.is_text and not is_status(self.text("name"))

    @property
    def n_channels(self) -> int:
        """Values a sample."""
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


def _text(node: Any, *keys: str) -> str:
    for key in keys:
        node = node[key] if isinstance(node, dict) and key in node else None
        if isinstance(node, list):
            node = node[0] if node else None
    return node.strip() if isinstance(node, str) else ""


def _listed(streams: list[XdfStream]) -> str:
    return ", ".join(
        f"{stream.shown} (source id {stream.text('source_id')!r}, type {stream.text('type')!r}, "
        f"{stream.text('channel_count')} channels, {stream.sfreq_hz:g} Hz)"
        for stream in streams
    )


def choose_stream(
    path: Path, streams: list[XdfStream], wanted: str | None, notes: list[str]
) -> XdfStream:
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


def montage_of_stream(
    path: Path, stream: XdfStream, notes: list[str]
) -> tuple[Montage, Times, tuple[str, ...]]:
    """Montage from the header, and what each channel is multiplied by to be in µV."""
    n_channels = stream.n_channels
    desc = (stream.info.get("desc") or [None])[0] or {}
    group = (desc.get("channels") or [None])[0] or {}
    nodes = [node for node in group.get("channel", []) if isinstance(node, dict)]
    names = tuple(_text(node, "label") for node in nodes)
    if not any(names):
        notes.append(f"{path.name} has no channel labels: channels are named 1 to {n_channels}")
        names = tuple(str(number) for number in range(1, n_channels + 1))
        nodes = [{}] * n_channels
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
    factors = np.array([[microvolts_per(unit) or 1.0] for unit in units])
    positions = _positions(nodes)
    space = _text(desc, "montage", "space")
    if positions is not None and not space:
        notes.append(f"{path.name} does not name the space of its positions: they are not used")
        positions = None
    space = space if positions is not None else ""
    return Montage(names, kinds, stream.sfreq_hz, positions, space or None), factors, unknown


def _positions(nodes: list[dict[str, Any]]) -> Floats | None:
    places = [parse_position([_text(node, "location", axis) for axis in "XYZ"]) for node in nodes]
    positions = np.stack(places)
    return None if np.isnan(positions).all() else positions


class _IndexedFile:
    """A file whose samples stay in it until they are read."""

    def __init__(self, path: Path, index: XdfIndex, notes: list[str]) -> None:
        self.streams = [XdfStream(one.info, one.n_samples) for one in index.streams.values()]
        self._indexed = {id(one.info): one for one in index.streams.values()}
        self._path = path
        self._notes = notes

    def signal(self, stream: XdfStream) -> NumericSamples:
        """Values [n_samples, n_channels], with their stamps on the recorder's clock."""
        one = self._indexed[id(stream.info)]
        value_format = stream.text("channel_format")
        dtype = VALUE_FORMATS.get(value_format)
        if dtype is None:
            raise RecordingError(
                f"{self._path}: stream {stream.shown} has format {value_format!r}, expected one of "
                f"{', '.join(name for name, code in VALUE_FORMATS.items() if code)}"
            )
        samples = NumericSamples(self._path, one.pieces, stream.n_channels, dtype, stream.period_s)
        self._tell_broken(stream, samples.n_broken)
        self._correct(samples.stamps, one)
        return samples

    def texts(self, stream: XdfStream) -> Texts:
        one = self._indexed[id(stream.info)]
        found, n_broken = read_texts(self._path, one.pieces, stream.n_channels, stream.period_s)
        self._tell_broken(stream, n_broken)
        stamps = np.array([stamp for stamp, _ in found], np.float64)
        self._correct(stamps, one)
        return [(stamp, text) for stamp, (_, text) in zip(stamps.tolist(), found, strict=True)]

    def _correct(self, stamps: Times, one: StreamIndex) -> None:
        to_recorder_clock(stamps, one.offset_times, one.offset_values)

    def _tell_broken(self, stream: XdfStream, n_broken: int) -> None:
        if n_broken:
            self._notes.append(
                f"{self._path.name}: {n_broken} chunks of stream {stream.shown} are damaged and "
                "left out"
            )


def read_xdf(path: Path, stream: str | None) -> Recording:
    """Open an XDF file; its stamps are kept as they were taken.

    Clock offsets and clock resets are corrected, so that all streams share one time. Stamps are
    not smoothed: a gap stays a gap. Only headers and stamps are read until samples are needed.
    """
    index = index_xdf(path)
    notes = index.notes(path.name)
    file = _IndexedFile(path, index, notes)
    chosen = choose_stream(path, file.streams, stream, notes)
    montage, factors, unitless = montage_of_stream(path, chosen, notes)
    events = [event for one in file.streams if one.has_events for event in file.texts(one)]
    samples = file.signal(chosen)
    stamps = samples.stamps
    if not stamps.size:
        raise RecordingError(f"{path}: stream {chosen.shown} holds no sample that can be read")
    _note_rate(stamps, montage.sfreq_hz, notes)
    origin_s = float(stamps[0])
    stamps -= origin_s

    def read(start: int, stop: int) -> Floats:
        microvolts = np.multiply(samples.read(start, stop).T, factors, dtype=np.float64)  # [C, T]
        data: Floats = microvolts.astype(np.float32)
        return data

    return Recording(
        montage,
        stamps.size,
        read,
        stamps,
        events=_events(events, origin_s),
        notes=tuple(notes),
        unitless=unitless,
    )


def _note_rate(stamps: Times, sfreq_hz: float, notes: list[str]) -> None:
    if stamps.size < 2:
        return
    # The median: a gap is no matter of the rate.
    period_s = float(np.median(np.diff(stamps[:_RATE_SAMPLES])))
    if period_s > 0 and abs(period_s * sfreq_hz - 1) > _RATE_TOLERANCE:
        notes.append(
            f"samples were stamped at about {1 / period_s:.4g} Hz, the header says "
            f"{sfreq_hz:.4g} Hz: they are played at the header's rate"
        )


def _events(texts: Texts, origin_s: float) -> tuple[Event, ...]:
    events = [Event(stamp - origin_s, 0.0, text) for stamp, text in texts]
    return tuple(sorted(events, key=lambda event: event.onset_s))
