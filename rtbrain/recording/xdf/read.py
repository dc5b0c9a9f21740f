"""Recordings in XDF files: one regular numeric stream, the string streams beside it as events.

References
----------
XDF specification, https://github.com/sccn/xdf/wiki/Specifications
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError
from rtbrain.recording.recording import Event, Recording, capture_warnings
from rtbrain.recording.xdf.index import StreamIndex, XdfIndex, index_xdf
from rtbrain.recording.xdf.samples import (
    NUMERIC_FORMATS,
    NumericSamples,
    read_texts,
    to_recorder_clock,
)
from rtbrain.stream_names import is_status
from rtbrain.types import Floats, Montage, Times
from rtbrain.units import microvolts_per

# Whole files up to this size are pyxdf's to read, which holds all samples in memory.
_SMALL_BYTES = 2**28
# What pyxdf raises where a file is none of its own.
_UNREADABLE = (
    ArithmeticError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    ParseError,
    struct.error,
)
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
    positions = np.full((len(nodes), 3), np.nan, np.float32)
    for row, node in enumerate(nodes):
        try:
            positions[row] = [float(_text(node, "location", axis)) for axis in "XYZ"]
        except ValueError:
            continue
    return None if np.isnan(positions).all() else positions


class _Signal(NamedTuple):
    """Stamps on the recorder's clock, and a reader of values [n_samples, n_channels]."""

    stamps: Times
    read: Callable[[int, int], npt.NDArray[Any]]
    close: Callable[[], None] | None


class _Whole:
    """A file that pyxdf has read into memory."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        loaded = _loaded(path, notes)
        self.streams = [XdfStream(one["info"], len(one["time_stamps"])) for one in loaded]
        self._loaded = {id(one["info"]): one for one in loaded}

    def signal(self, stream: XdfStream) -> _Signal:
        one = self._loaded[id(stream.info)]
        values = np.asarray(one["time_series"])
        stamps = np.array(one["time_stamps"], np.float64)
        return _Signal(stamps, lambda start, stop: values[start:stop], None)

    def texts(self, stream: XdfStream) -> Texts:
        one = self._loaded[id(stream.info)]
        pairs = zip(one["time_stamps"], one["time_series"], strict=True)
        return [(float(stamp), str(texts[0])) for stamp, texts in pairs]


class _InPlace:
    """A file whose samples stay in it until they are asked for."""

    def __init__(self, path: Path, index: XdfIndex, notes: list[str]) -> None:
        self.streams = [XdfStream(one.info, one.n_samples) for one in index.streams.values()]
        self._indexed = {id(one.info): one for one in index.streams.values()}
        self._path = path
        self._notes = notes

    def signal(self, stream: XdfStream) -> _Signal:
        one = self._indexed[id(stream.info)]
        value_format = stream.text("channel_format")
        if value_format not in NUMERIC_FORMATS:
            raise RecordingError(
                f"{self._path}: stream {stream.shown} has format {value_format!r}, there are "
                f"{', '.join(NUMERIC_FORMATS)}"
            )
        samples = NumericSamples(
            self._path, one.pieces, stream.n_channels, value_format, stream.period_s
        )
        self._tell_broken(stream, samples.n_broken)
        self._correct(samples.stamps, one)
        return _Signal(samples.stamps, samples.read, samples.close)

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

    Clock offsets and clock resets are corrected for, so that all streams share one time. Stamps
    are not smoothed: a gap stays a gap. Small files are read by pyxdf; of large ones, and of
    those that end within a chunk, only headers and stamps are read before samples are asked for.
    """
    index = index_xdf(path)
    notes = index.notes(path.name)
    small = index.n_bytes <= _SMALL_BYTES and not index.damages
    file = _Whole(path, notes) if small else _InPlace(path, index, notes)
    chosen = choose_stream(path, file.streams, stream, notes)
    montage, factors, unitless = montage_of_stream(path, chosen, notes)
    events = [event for one in file.streams if one.has_events for event in file.texts(one)]
    stamps, values, close = file.signal(chosen)
    if not stamps.size:
        if close is not None:
            close()
        raise RecordingError(f"{path}: stream {chosen.shown} holds no sample that can be read")
    _note_rate(stamps, montage.sfreq_hz, notes)
    origin_s = float(stamps[0])
    stamps -= origin_s

    def read(start: int, stop: int) -> Floats:
        microvolts = np.multiply(values(start, stop).T, factors, dtype=np.float64)  # [C, T]
        data: Floats = microvolts.astype(np.float32)
        return data

    return Recording(
        montage,
        stamps.size,
        read,
        stamps,
        events=_events(events, origin_s),
        notes=tuple(notes),
        closer=close,
        unitless=unitless,
    )


def _loaded(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    import pyxdf

    # Opened here: pyxdf leaves a file that it refuses open.
    with capture_warnings("pyxdf") as lines, path.open("rb") as file:
        try:
            streams, _ = pyxdf.load_xdf(
                file, synchronize_clocks=True, handle_clock_resets=True, dejitter_timestamps=False
            )
        except _UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise RecordingError(f"{path} cannot be read as XDF: {reason}") from error
    # Said of every stream whose stamps are not to be smoothed: it says nothing of the file.
    usual = "Segments and clock-segments differ"
    notes += [f"{path.name}: {line}" for line in lines if usual not in line]
    return list(streams)


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
