"""What the session gives to the panels: the health of each stream, and the result of a poll."""

from collections.abc import Sequence
from dataclasses import dataclass

from rtbrain.stream.lsl.decodes import ReceivedDecode, StatusEvent
from rtbrain.types import Chunk


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """State of a stream that the window expects.

    Attributes
    ----------
    name : str
        As announced; before that, the name requested, or why no stream was accepted.
    kind : str
        ``signal``, ``decode``, ``status``, ``markers`` or ``record``.
    state : str
        ``absent``, ``connecting``, ``live``, ``stalled`` (nothing for 1 s), ``lost``, or
        ``ended`` if its sender announced the end.
    origin : str
        ``replay``, ``synthetic``, ``fault injection``, as its header says; empty otherwise.
    nominal_hz, effective_hz : float
        Samples per second as announced (0: irregular) and as measured (NaN: not yet).
    received, lost : int
        Samples.
    clock_offset_s, clock_uncertainty_s : float
        Offset of the sender's clock, s; NaN while unknown.
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


def feed_of(feeds: Sequence[StreamHealth], kind: str) -> StreamHealth:
    """First stream of a kind."""
    return next(feed for feed in feeds if feed.kind == kind)


@dataclass(frozen=True, slots=True, eq=False)
class SessionUpdate:
    """Result of one poll.

    Attributes
    ----------
    now : float
        LSL clock, s.
    chunks : tuple of Chunk
        Signal in µV, rows in the order of ``session.montage``.
    decodes : tuple of ReceivedDecode
        In order of arrival.
    events : tuple of StatusEvent
        Reported by the decoder and the recorder.
    markers : tuple of (float, str)
        Time, s on the LSL clock, and text.
    new_montage : bool
        ``session.montage`` has changed: start over.
    other_decoder : bool
        The decoder so far reads other channels: discard what it reported.
    """

    now: float
    chunks: tuple[Chunk, ...] = ()
    decodes: tuple[ReceivedDecode, ...] = ()
    events: tuple[StatusEvent, ...] = ()
    markers: tuple[tuple[float, str], ...] = ()
    new_montage: bool = False
    other_decoder: bool = False
