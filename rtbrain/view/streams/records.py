"""What a session hands to the panels: how each stream does, and what a poll brought."""

from dataclasses import dataclass

from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent
from rtbrain.types import Chunk


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
    decodes: tuple[ReceivedDecode, ...] = ()
    events: tuple[StatusEvent, ...] = ()
    markers: tuple[tuple[float, str], ...] = ()
    new_montage: bool = False
    other_decoder: bool = False
