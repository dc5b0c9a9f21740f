"""Recordings of many manufacturers' systems, read through neo: streams, segments, events.

Garcia et al. 2014, Neo, https://doi.org/10.3389/fninf.2014.00010
"""

import inspect
import io
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.channels import assign_kinds, complete_labels
from rtbrain.errors import RecordingError, list_words, plain_text
from rtbrain.extras import load_extra
from rtbrain.recording.formats import Format
from rtbrain.recording.recording import Event, Recording, capture_warnings, parsing
from rtbrain.types import CONTACT_KINDS, Floats, Montage, Times
from rtbrain.units import keep_codes, microvolts_per

# A shorter pause is jitter of the recorder's stamps.
_PAUSE_MS = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """Channels of one rate: their number in the file, rows of its table, kinds."""

    index: int
    name: str
    id: str
    channels: Any
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sfreq_hz(self) -> float:
        return float(self.channels["sampling_rate"][0])

    @property
    def n_contacts(self) -> int:
        return sum(kind in CONTACT_KINDS for kind in self.kinds)

    def __str__(self) -> str:
        name = plain_text(self.name or self.id)
        return f"{name} ({len(self.names)} channels at {self.sfreq_hz:g} Hz)"


def read_neo(path: Path, form: Format, stream: str | None) -> Recording:
    """Open a recording through neo; its segments follow each other with their pauses.

    `stream` names one of its streams by name, id or rate; behind ``@`` a segment, counted from 0,
    where the segments have no common time. Without it the stream with most contacts is taken.
    """
    rawio = load_extra("neo.rawio", "neo", f"{path.name}, a recording of {form.name},")
    with ExitStack() as opened:
        with parsing(path), capture_warnings("neo") as lines:
            raw = _opened(getattr(rawio, form.parser), path, opened)
        notes = [f"{path.name}: {line}" for line in lines]
        recording = _recording(path, raw, stream, notes)
        return replace(recording, closer=opened.pop_all().close)


def _recording(path: Path, raw: Any, stream: str | None, notes: list[str]) -> Recording:
    name, _, segment = (stream or "").rpartition("@") if "@" in (stream or "") else (stream, "", "")
    with parsing(path):
        chosen = _chosen(path, raw, name or None, notes)
        segments = list(range(raw.segment_count(0)))
        if raw.block_count() > 1:
            notes.append(
                f"{path.name} holds {raw.block_count()} sessions: the first is read; to read "
                "another, name its files"
            )
        if segment:
            if not segment.isdecimal() or int(segment) not in segments:
                raise RecordingError(f"{path} has segments 0 to {segments[-1]}, got {segment!r}")
            segments = [int(segment)]
        sizes = [int(raw.get_signal_size(0, one, chosen.index)) for one in segments]
        if min(sizes) < 0:
            raise RecordingError(f"{path} is truncated: its header lies behind its end")
        starts_s = [float(raw.get_signal_t_start(0, one, chosen.index)) for one in segments]
        stamps = _stamps(path, chosen, sizes, starts_s, notes)
        events = _events(raw, segments, starts_s[0])
    factors, offsets, unitless = _scales(chosen, notes)
    edges = np.concatenate([[0], np.cumsum(sizes)]).tolist()

    def read(start: int, stop: int) -> Floats:
        pieces = []
        for one, first, after in zip(segments, edges[:-1], edges[1:], strict=True):
            begin, end = max(start, first) - first, min(stop, after) - first
            if begin < end:
                with parsing(path, f"at samples {start} to {stop}"):
                    pieces.append(
                        raw.get_analogsignal_chunk(0, one, begin, end, stream_index=chosen.index)
                    )
        values = np.concatenate(pieces).T  # [C, T]
        scaled: Floats = (values * factors + offsets).astype(np.float32, order="C")
        return scaled

    montage = Montage(chosen.names, chosen.kinds, chosen.sfreq_hz)
    units = map(str, chosen.channels["units"])
    stated = list(zip(chosen.names, chosen.kinds, units, strict=True))
    return Recording(
        montage,
        edges[-1],
        read,
        stamps,
        events=events,
        notes=(*notes, *chosen.notes),
        unitless=unitless,
        units={
            name: unit if microvolts_per(unit) is None else "µV"
            for name, kind, unit in stated
            if kind not in CONTACT_KINDS
        },
        microvolts={name: microvolts_per(unit) or 1.0 for name, _, unit in stated},
    )


def _opened(rawio: Any, path: Path, opened: ExitStack) -> Any:
    """A parsed reader; readers of folders take the folder of a file that is named."""
    if rawio.rawmode == "one-dir":
        options: dict[str, Any] = {"dirname": str(path if path.is_dir() else path.parent)}
    else:
        options = {"filename": str(path)}
    known = inspect.signature(rawio).parameters
    if "gap_tolerance_ms" in known:
        options["gap_tolerance_ms"] = _PAUSE_MS
    if "nsx_to_load" in known:  # others of the same session have another rate
        options["nsx_to_load"] = [int(path.suffix[-1])]
    if path.suffix.lower() == ".ncs" and not path.is_dir():
        options["include_filenames"] = [path.name]
    raw = rawio(**options)
    opened.callback(_close, raw)
    raw.parse_header()
    return raw


def _close(raw: Any) -> None:
    """Close the files that a reader of neo leaves to the garbage collector."""
    for kept in vars(raw).values():
        for file in kept.values() if isinstance(kept, dict) else [kept]:
            if isinstance(file, io.IOBase):
                file.close()


def _chosen(path: Path, raw: Any, wanted: str | None, notes: list[str]) -> _Stream:
    streams = [_stream(raw, index) for index in range(raw.signal_streams_count())]
    streams = [one for one in streams if len(one.channels)]
    if not streams:
        raise RecordingError(f"{path} holds no signal that neo reads")
    fit = [one for one in streams if wanted in {None, one.name, one.id, f"{one.sfreq_hz:g}"}]
    listed = "; ".join(map(str, streams))
    if not fit:
        raise RecordingError(f"{path} has no stream {wanted!r}: there is {listed}")
    if len(fit) > 1:
        most = max(one.n_contacts for one in fit)
        fit = [one for one in fit if one.n_contacts == most]
        if len(fit) > 1:
            raise RecordingError(f"{path} holds {len(fit)} streams, choose with --stream: {listed}")
        others = [str(one) for one in streams if one is not fit[0]]
        notes.append(f"other streams are left out, --stream takes one: {list_words(others)}")
    return fit[0]


def _stream(raw: Any, index: int) -> _Stream:
    stream = raw.header["signal_streams"][index]
    table = raw.header["signal_channels"]
    channels = table[table["stream_id"] == stream["id"]]
    names, notes = complete_labels([str(name) for name in channels["name"]], len(channels))
    units = [str(unit) for unit in channels["units"]]
    kinds, left_out = assign_kinds(names, [""] * len(names), default="seeg", units=units)
    return _Stream(
        index, str(stream["name"]), str(stream["id"]), channels, kinds, names, (*notes, *left_out)
    )


def _scales(stream: _Stream, notes: list[str]) -> tuple[Times, Times, tuple[str, ...]]:
    """Factors and offsets to microvolts, float64 [n_channels, 1]; channels without a unit."""
    units = [microvolts_per(str(unit)) for unit in stream.channels["units"]]
    unitless = tuple(n for n, unit in zip(stream.names, units, strict=True) if unit is None)
    if unitless:
        notes.append(
            f"the header gives no unit of voltage for {list_words(unitless)}: values are taken as "
            "microvolts"
        )
    per = keep_codes(stream.kinds, np.array([1.0 if unit is None else unit for unit in units]))
    factors = (per * stream.channels["gain"])[:, np.newaxis]
    return factors, (per * stream.channels["offset"])[:, np.newaxis], unitless


def _stamps(
    path: Path, stream: _Stream, sizes: list[int], starts_s: list[float], notes: list[str]
) -> Times | None:
    """Stamps of segments that follow each other; None for one."""
    if len(sizes) == 1:
        return None
    ends_s = [start + size / stream.sfreq_hz for start, size in zip(starts_s, sizes, strict=True)]
    half_s = 0.5 / stream.sfreq_hz
    if any(start < end - half_s for start, end in zip(starts_s[1:], ends_s[:-1], strict=True)):
        raise RecordingError(
            f"{path} holds {len(sizes)} segments that do not follow each other in time: choose one "
            f"with --stream '{stream.name or stream.id}@0'"
        )
    lengths = ", ".join(f"{size / stream.sfreq_hz:.1f}" for size in sizes[:8])
    notes.append(f"{path.name} has {len(sizes)} stretches with pauses between them: {lengths} s")
    return np.concatenate(
        [
            start - starts_s[0] + np.arange(size) / stream.sfreq_hz
            for start, size in zip(starts_s, sizes, strict=True)
        ]
    )


def _events(raw: Any, segments: list[int], begins_s: float) -> tuple[Event, ...]:
    events = []
    for channel in range(raw.event_channels_count()):
        for segment in segments:
            times, durations, labels = raw.get_event_timestamps(0, segment, channel)
            onsets_s = raw.rescale_event_timestamp(times, "float64", channel) - begins_s
            lasting_s = np.zeros(len(onsets_s))
            if durations is not None:
                lasting_s = raw.rescale_epoch_duration(durations, "float64", channel)
            events += [
                Event(float(onset), float(lasting), str(text))
                for onset, lasting, text in zip(onsets_s, lasting_s, labels, strict=True)
            ]
    return tuple(sorted(events, key=lambda event: event.onset_s))
