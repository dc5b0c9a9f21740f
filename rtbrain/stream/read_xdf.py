"""Recordings in XDF files: one regular numeric stream, the string streams beside it as events.

References
----------
XDF specification, https://github.com/sccn/xdf/wiki/Specifications
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError
from rtbrain.stream.quiet import quietly
from rtbrain.stream.read_xdf_clock import to_recorder_clock
from rtbrain.stream.read_xdf_header import XdfStream, choose, montage_of
from rtbrain.stream.read_xdf_index import StreamIndex, XdfIndex, index_xdf
from rtbrain.stream.read_xdf_samples import FORMATS, NumericSamples, read_texts
from rtbrain.stream.recording import Event, Recording
from rtbrain.types import Floats, Times

__all__ = ["read_xdf"]

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
        if value_format not in FORMATS:
            raise RecordingError(
                f"{self._path}: stream {stream.shown} has format {value_format!r}, there are "
                f"{', '.join(FORMATS)}"
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

    Parameters
    ----------
    path : Path
        The file.
    stream : str or None
        Name or source id of the stream to take; may be left out where only one can be.

    Raises
    ------
    RecordingError
        The file is foreign, or holds no such stream, or more than one.
    """
    index = index_xdf(path)
    notes = index.notes(path.name)
    small = index.n_bytes <= _SMALL_BYTES and not index.damages
    file = _Whole(path, notes) if small else _InPlace(path, index, notes)
    chosen = choose(path, file.streams, stream, notes)
    montage, factors, unitless = montage_of(path, chosen, notes)
    events = [event for one in file.streams if one.tells_events for event in file.texts(one)]
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
    with quietly("pyxdf") as lines, path.open("rb") as file:
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
