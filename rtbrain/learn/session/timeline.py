"""What happened in a recorded session, and when: from the streams of its file."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.errors import RecordingError, list_words
from rtbrain.files import parse_json
from rtbrain.recording.xdf.streams import FileStream, open_streams
from rtbrain.stream.lsl.decodes import StatusEvent, parse_status_line, plain_values
from rtbrain.stream.supervise.states import StreamState
from rtbrain.stream_names import (
    DECODE_CHANNELS,
    TRIGGERS_TYPE,
    count_outputs,
    decode_name,
    events_name,
    is_recorder_status,
    is_status,
    sender_of,
    status_name,
    triggers_name,
)
from rtbrain.types import Doubles, Floats, Mask, Times

DECODE = "Decode"
_LEAST_GAP_S = 0.05  # stamps of a chunk may come late by less
_STATES = {state.value for state in StreamState}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the session, in s from its begin."""

    start_s: float
    stop_s: float
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedDecodes:
    """What a decoder sent, in s from the begin of the session; all arrays have one row a decode."""

    name: str
    labels: tuple[str, ...]
    about: Mapping[str, str]
    contacts: tuple[str, ...]
    sfreq_hz: float
    t_stop: Times
    values: Floats  # float32 [n_decodes, n_outputs]
    unit: str  # ``probability`` or ``value``
    valid: Mask
    coverage: Floats
    age_s: Floats
    compute_s: Floats
    drift: Floats  # NaN where it is unknown

    @property
    def hop_s(self) -> float:
        """Time from one decode to the next; infinite where they come with events."""
        return 1 / self.sfreq_hz if self.sfreq_hz else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class SessionTimeline:
    """A session in s from the first sample of its signal."""

    signal: FileStream
    duration_s: float
    n_samples: int
    n_expected: int  # by the rate of the signal's own stamps
    gaps: list[Span]
    decodes: RecordedDecodes | None
    status: list[StatusEvent]  # of the decoder, by time
    states: list[Span]  # of the decoder's stream
    bad: dict[str, list[Span]]  # contacts, with the reason
    markers: list[tuple[float, str, str]]  # s, stream, text
    detections: list[tuple[float, dict[str, Any]]]
    triggers: list[tuple[float, dict[str, Any]]]  # decisions at outputs, sent and suppressed
    streams: list[tuple[str, str, int]]  # name, type, samples
    notes: list[str] = field(default_factory=list)

    def of(self, *events: str) -> list[StatusEvent]:
        """Status events of these kinds."""
        return [one for one in self.status if one.event in events]


def read_timeline(
    path: Path, *, stream: str | None = None, name: str | None = None
) -> SessionTimeline:
    """What happened in a session.

    Parameters
    ----------
    path : Path
        XDF file of `rtbrain record` or of ``rtbrain decode --record``.
    stream : str, optional
        Name of the signal; by default the one that was decoded, or the only one.
    name : str, optional
        Name of the decoder, as ``ward`` for ``ward-decode``; by default the only one.

    Raises
    ------
    RecordingError
        The file cannot be read, or it holds no or several such streams.
    """
    with open_streams(path) as (streams, notes):
        decoder = _decoder_of(path, streams, name)
        sent = [s for s in streams if s.content == DECODE and s.name == decode_name(decoder)]
        signal = _signal_of(path, streams, stream or _decoded(sent))
        origin_s = float(signal.stamps[0])
        decodes = _decodes(sent, origin_s) if sent else None
        if n_other := sum(one.labels != sent[0].labels for one in sent):
            notes.append(f"{n_other} streams of {sent[0].name} have other outputs and are left out")
        times = signal.stamps - origin_s
        duration_s = float(times[-1]) + 1 / signal.sfreq_hz
        status = _status(streams, decoder, origin_s)
        ours = {events_name(decoder)}
        ours |= {s.name for s in streams if is_status(s.content) or s.content == TRIGGERS_TYPE}
        markers = sorted(
            (float(stamp) - origin_s, one.name, text)
            for one in streams
            if one.texts and one.name not in ours
            for stamp, text in zip(one.stamps, one.texts, strict=True)
        )
        return SessionTimeline(
            signal,
            duration_s,
            times.size,
            _n_expected(times, signal.sfreq_hz),
            _gaps(times, signal.sfreq_hz),
            decodes,
            status,
            _states(status, duration_s),
            _bad(status, duration_s),
            markers,
            _json_lines(streams, events_name(decoder), origin_s),
            _json_lines(streams, triggers_name(decoder), origin_s),
            [(one.name, one.content, one.stamps.size) for one in streams],
            [without_name(note, path) for note in notes],
        )


def without_name(text: str, path: Path) -> str:
    """A text without the name of the file, which may be that of a person."""
    text = text.removeprefix(f"{path.name}: ")
    return text.replace(str(path), "the recording").replace(path.name, "the recording")


def _decoder_of(path: Path, streams: Sequence[FileStream], name: str | None) -> str:
    decoders = (one for one in streams if one.content == DECODE)
    names = dict.fromkeys(sender_of(one.name) for one in decoders)
    if not names:  # it may have reported why it never decoded
        reports = (one for one in streams if is_status(one.content))
        names = dict.fromkeys(
            sender_of(one.name)
            for one in reports
            if not is_recorder_status(one.name, one.source_id)
        )
    if name is not None and sender_of(name) not in names:
        there = f"there is {list_words(list(names))}" if names else "there is none"
        raise RecordingError(f"{path} holds no decodes of {name!r}: {there}")
    if name is None and len(names) > 1:
        raise RecordingError(
            f"{path} holds decodes of {list_words(list(names))}: name one with --name"
        )
    return sender_of(name) if name is not None else next(iter(names), "")


def _decoded(sent: Sequence[FileStream]) -> str | None:
    return next((one.about["stream"] for one in sent if one.about.get("stream")), None)


def _signal_of(path: Path, streams: Sequence[FileStream], name: str | None) -> FileStream:
    signals = [one for one in streams if one.sfreq_hz > 0 and one.content != DECODE]
    if name is not None:
        signals = [one for one in signals if one.name == name]
    if (
        signals
        and len({(one.name, one.source_id, one.labels, one.sfreq_hz) for one in signals}) == 1
    ):
        signals.sort(key=lambda one: float(one.stamps[0]))
        stamps = np.concatenate([one.stamps for one in signals])  # its sender was started anew
        return replace(signals[0], stamps=stamps)
    if len(signals) != 1:
        there = list_words([one.name for one in streams if one.sfreq_hz > 0]) or "none"
        wanted = f"one signal {name!r}" if name is not None else "one signal"
        raise RecordingError(
            f"{path}: expected {wanted}, the streams with a regular rate are {there}: name one "
            "with --stream"
        )
    return signals[0]


def _decodes(sent: Sequence[FileStream], origin_s: float) -> RecordedDecodes:
    """Decodes of a decoder, which may have been started anew within the recording."""
    first = sent[0]
    n_outputs = count_outputs(first.labels)
    labels = first.labels[:n_outputs]
    same = [one for one in sent if one.labels == first.labels]
    rows = np.concatenate([np.asarray(one.values(), np.float32) for one in same])
    t_stop = np.concatenate([one.stamps for one in same]) - origin_s
    order = np.argsort(t_stop, kind="stable")
    rows, t_stop = rows[order], t_stop[order]
    known = dict(zip(first.labels[n_outputs:], rows[:, n_outputs:].T, strict=True))
    unknown = np.full(t_stop.size, np.nan, np.float32)
    valid, coverage, age_s, compute_s, drift = (known.get(key, unknown) for key in DECODE_CHANNELS)
    return RecordedDecodes(
        first.name,
        labels,
        first.about,
        first.contacts,
        first.sfreq_hz,
        t_stop,
        rows[:, :n_outputs],
        first.unit,
        valid == 1,
        coverage,
        age_s,
        compute_s,
        drift,
    )


def _status(streams: Iterable[FileStream], decoder: str, origin_s: float) -> list[StatusEvent]:
    events = [
        parse_status_line(float(stamp) - origin_s, text)
        for one in streams
        if one.name == status_name(decoder) and not is_recorder_status(one.name, one.source_id)
        for stamp, text in zip(one.stamps, one.texts, strict=True)
    ]
    return sorted(events, key=lambda event: event.t)


def _json_lines(
    streams: Iterable[FileStream], name: str, origin_s: float
) -> list[tuple[float, dict[str, Any]]]:
    found = []
    for one in streams:
        if one.name == name:
            for stamp, text in zip(one.stamps, one.texts, strict=True):
                try:
                    fields = plain_values(parse_json(text))
                except (ValueError, RecursionError):
                    continue
                if isinstance(fields, dict):
                    found.append((float(stamp) - origin_s, fields))
    return sorted(found, key=lambda one: one[0])


def _n_expected(times: Times, sfreq_hz: float) -> int:
    """Samples between the first and the last, had none been lost, at the rate between gaps."""
    steps = np.diff(times)
    whole = steps <= _gap_s(sfreq_hz)
    if not whole.any():
        return times.size
    return round(float(times[-1]) / float(steps[whole].mean())) + 1


def _gap_s(sfreq_hz: float) -> float:
    return max(_LEAST_GAP_S, 1.5 / sfreq_hz)


def _gaps(times: Times, sfreq_hz: float) -> list[Span]:
    at = np.flatnonzero(np.diff(times) > _gap_s(sfreq_hz))
    return [Span(float(times[i]) + 1 / sfreq_hz, float(times[i + 1])) for i in at]


def _states(status: Sequence[StatusEvent], stop_s: float) -> list[Span]:
    """States of the decoder's stream, one after another; ``stopped`` and ``failed`` end them."""
    ends = _STATES | {"stopped", "failed"}
    changes = [event for event in status if event.event in ends]
    stops = [event.t for event in changes[1:]] + [stop_s] * bool(changes)
    return [
        Span(event.t, max(event.t, until), event.event)
        for event, until in zip(changes, stops, strict=True)
    ]


def _bad(status: Sequence[StatusEvent], stop_s: float) -> dict[str, list[Span]]:
    since: dict[str, tuple[float, str]] = {}
    found: dict[str, list[Span]] = {}
    for event in status:
        contact = str(event.fields.get("channel", ""))
        if event.event in ("channel_bad", "channel_good") and contact in since:
            begin_s, why = since.pop(contact)
            found.setdefault(contact, []).append(Span(begin_s, event.t, why))
        if event.event == "channel_bad":
            since[contact] = event.t, str(event.fields.get("reason", ""))
    for contact, (begin_s, why) in since.items():
        found.setdefault(contact, []).append(Span(begin_s, stop_s, why))
    return found


def runs_of(mask: Mask, times: Doubles, last_s: float) -> list[Span]:
    """Stretches in which a mask holds, by the times of its rows; the last row lasts `last_s`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    stops = np.append(times, times[-1] + last_s if times.size else 0.0)
    return [
        Span(float(times[a]), float(stops[b])) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
