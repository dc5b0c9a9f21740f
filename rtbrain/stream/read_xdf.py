"""Recordings in XDF files: one regular numeric stream, the string streams beside it as events.

References
----------
XDF specification, https://github.com/sccn/xdf/wiki/Specifications
"""

import struct
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import numpy as np

from rtbrain.errors import RecordingError
from rtbrain.stream.quiet import quietly
from rtbrain.stream.recording import Event, Recording
from rtbrain.stream.units import in_microvolts
from rtbrain.types import Floats, Montage, Times

__all__ = ["read_xdf"]

# What pyxdf raises where a file is truncated or is none of its own.
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


def read_xdf(path: Path, stream: str | None) -> Recording:
    """Open an XDF file; it is read whole, its stamps are kept as they were taken.

    Clock offsets and clock resets are corrected for, so that all streams share one time. Stamps
    are not smoothed: a gap stays a gap.

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
    notes: list[str] = []
    streams = _loaded(path, notes)
    chosen = _chosen(path, streams, stream, notes)
    stamps = np.asarray(chosen["time_stamps"], np.float64)
    montage, factors = _montage(path, chosen, notes)
    values = np.asarray(chosen["time_series"])
    data: Floats = np.multiply(values.T, factors, dtype=np.float64).astype(np.float32)  # [C, T]
    _note_rate(stamps, montage.sfreq_hz, notes)

    def read(start: int, stop: int) -> Floats:
        return data[:, start:stop].copy()

    events = _events(streams, float(stamps[0]))
    return Recording(
        montage, data.shape[1], read, stamps - stamps[0], events=events, notes=tuple(notes)
    )


def _loaded(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    import pyxdf

    # Opened here: pyxdf leaves a file that it refuses open.
    with quietly("pyxdf") as lines, path.open("rb") as file:
        if file.read(4) != b"XDF:":
            raise RecordingError(f"{path} is no XDF file: it does not begin with 'XDF:'")
        file.seek(0)
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


def _text(node: Any, *keys: str) -> str:
    """Text at the end of a path through pyxdf's lists and dictionaries; empty where it ends."""
    for key in keys:
        node = node[key] if isinstance(node, dict) and key in node else None
        if isinstance(node, list):
            node = node[0] if node else None
    return node.strip() if isinstance(node, str) else ""


def _is_text(stream: dict[str, Any]) -> bool:
    return _text(stream, "info", "channel_format") == "string"


def _shown(stream: dict[str, Any]) -> str:
    return repr(_text(stream, "info", "name"))


def _listed(streams: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{_shown(stream)} (source id {_text(stream, 'info', 'source_id')!r}, type "
        f"{_text(stream, 'info', 'type')!r}, {_text(stream, 'info', 'channel_count')} channels, "
        f"{float(_text(stream, 'info', 'nominal_srate') or 0):g} Hz)"
        for stream in streams
    )


def _chosen(
    path: Path, streams: list[dict[str, Any]], wanted: str | None, notes: list[str]
) -> dict[str, Any]:
    empty = [stream for stream in streams if not len(stream["time_stamps"])]
    if empty:
        names = ", ".join(map(_shown, empty))
        notes.append(f"{path.name}: streams without samples are passed over: {names}")
    fit = [
        stream
        for stream in streams
        if len(stream["time_stamps"])
        and not _is_text(stream)
        and float(_text(stream, "info", "nominal_srate") or 0) > 0
    ]
    if not fit:
        there = _listed(streams) or "no stream at all"
        raise RecordingError(
            f"{path} holds no regular numeric stream with samples, there is {there}"
        )
    if wanted is not None:
        named = [stream for stream in fit if _text(stream, "info", "name") == wanted]
        fit_by_id = [stream for stream in fit if _text(stream, "info", "source_id") == wanted]
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


def _montage(path: Path, stream: dict[str, Any], notes: list[str]) -> tuple[Montage, Times]:
    """Montage from the header, and what each channel is multiplied by to be in µV."""
    n_channels = int(_text(stream, "info", "channel_count"))
    desc = (stream["info"].get("desc") or [None])[0] or {}
    group = (desc.get("channels") or [None])[0] or {}
    nodes = [node for node in group.get("channel", []) if isinstance(node, dict)]
    names = tuple(_text(node, "label") for node in nodes)
    if not any(names):
        notes.append(f"{path.name} has no channel labels: channels are named 1 to {n_channels}")
        names = tuple(str(number) for number in range(1, n_channels + 1))
        nodes = [{}] * n_channels
    if len(names) != n_channels or not all(names):
        raise RecordingError(
            f"{path}: stream {_shown(stream)} has {n_channels} channels, but its header labels "
            f"{sum(map(bool, names))}"
        )
    content = _text(stream, "info", "type") or "misc"
    kinds = tuple((_text(node, "type") or content).lower() for node in nodes)
    units = [_text(node, "unit") for node in nodes]
    unknown = [name for name, unit in zip(names, units, strict=True) if not in_microvolts(unit)]
    if unknown:
        notes.append(
            f"{path.name} gives no unit of voltage for {', '.join(unknown)}: taken as microvolts"
        )
    factors = np.array([[in_microvolts(unit) or 1.0] for unit in units])
    positions = _positions(nodes)
    space = _text(desc, "montage", "space")
    if positions is not None and not space:
        notes.append(f"{path.name} does not name the space of its positions: they are not used")
        positions = None
    rate = float(_text(stream, "info", "nominal_srate"))
    return Montage(names, kinds, rate, positions, space if positions is not None else None), factors


def _positions(nodes: list[dict[str, Any]]) -> Floats | None:
    positions = np.full((len(nodes), 3), np.nan, np.float32)
    for row, node in enumerate(nodes):
        try:
            positions[row] = [float(_text(node, "location", axis)) for axis in "XYZ"]
        except ValueError:
            continue
    return None if np.isnan(positions).all() else positions


def _note_rate(stamps: Times, sfreq_hz: float, notes: list[str]) -> None:
    if stamps.size < 2:
        return
    # The median: a gap is no matter of the rate.
    period_s = float(np.median(np.diff(stamps)))
    if period_s > 0 and abs(period_s * sfreq_hz - 1) > _RATE_TOLERANCE:
        notes.append(
            f"samples were stamped at about {1 / period_s:.4g} Hz, the header says "
            f"{sfreq_hz:.4g} Hz: they are played at the header's rate"
        )


def _events(streams: list[dict[str, Any]], first_stamp_s: float) -> tuple[Event, ...]:
    events = [
        Event(float(stamp) - first_stamp_s, 0.0, str(text[0]))
        for stream in streams
        if _is_text(stream)
        for stamp, text in zip(stream["time_stamps"], stream["time_series"], strict=True)
    ]
    return tuple(sorted(events, key=lambda event: event.onset_s))
