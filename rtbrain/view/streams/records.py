"""What a session hands to the panels: how each stream does, and what a poll brought."""

import json
from dataclasses import dataclass

from rtbrain.types import Chunk, Floats

MAX_TEXT_CHARS = 200


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedSample:
    """One sample of ``NAME-decode``."""

    t_stop: float
    t_arrived: float
    values: Floats  # float32 [n_outputs]
    valid: bool
    coverage: float
    age_s: float
    compute_s: float


@dataclass(frozen=True, slots=True)
class DecodeHeader:
    """Header of ``NAME-decode``."""

    name: str
    labels: tuple[str, ...]
    unit: str
    hop_s: float | None
    attention: int
    contacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """One line of JSON of a ``NAME-status`` stream."""

    t: float
    event: str
    fields: dict[str, object]


def parse_status_line(t: float, line: str, stream: str) -> StatusEvent:
    """What a line of a status stream says; a line that is no event is told as unreadable."""
    try:
        fields = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return StatusEvent(t, "unreadable", {"text": line[:MAX_TEXT_CHARS], "stream": stream})
    event = fields.pop("event")
    return StatusEvent(t, event, {**fields, "stream": stream})


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """A stream that is expected, and how it does.

    Attributes
    ----------
    name : str
        As announced; before it is found what was asked for, or why none is taken.
    kind : str
        ``signal``, ``decode``, ``status``, ``markers`` or ``record``.
    state : str
        ``absent``, ``connecting``, ``live``, ``stalled`` (nothing for 1 s), ``lost``, or
        ``ended`` where its sender said that it ends.
    origin : str
        ``replay``, ``synthetic``, ``fault injection``, as its header says; empty otherwise.
    nominal_hz, effective_hz : float
        Samples a second as announced (0: irregular) and as measured (NaN: not yet).
    received, lost : int
        Samples.
    clock_offset_s, clock_uncertainty_s : float
        Of the sender's clock, s; NaN before it is known.
    t_last : float
        Newest time stamp, s, LSL clock; NaN before the first.
    """

    name: str
    kind: str
    state: str
    origin: str
    nominal_hz: float
    effective_hz: float
    received: int
    lost: int
    clock_offset_s: float
    clock_uncertainty_s: float
    t_last: float


@dataclass(frozen=True, slots=True, eq=False)
class SessionUpdate:
    """What one poll brought.

    Attributes
    ----------
    now : float
        LSL clock, s.
    chunks : tuple of Chunk
        Signal in µV, rows in the order of ``session.montage``.
    decodes : tuple of DecodeRow
        In order of arrival.
    told : tuple of Told
        What the decoder and the recorder said.
    markers : tuple of (float, str)
        Time, s on the LSL clock, and text.
    new_montage : bool
        ``session.montage`` has changed: begin anew.
    other_decoder : bool
        The decoder heard so far is of other channels: forget what it said.
    """

    now: float
    chunks: tuple[Chunk, ...] = ()
    decodes: tuple[ReceivedSample, ...] = ()
    told: tuple[StatusEvent, ...] = ()
    markers: tuple[tuple[float, str], ...] = ()
    new_montage: bool = False
    other_decoder: bool = False
