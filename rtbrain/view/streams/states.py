"""State of every stream that the window expects: absent, connecting, live, stalled, lost, ended."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.stream_names import is_manual_marks, sender_of
from rtbrain.view.streams.inlets import ViewInlet

_STALL_S = 1.0
_STALL_HOPS = 2.5
_MAX_GONE_MARKERS = 2
# Kinds of streams whose sender announces its end.
_ANNOUNCED = frozenset({"decode", "status", "record"})


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
    origin: str = ""
    nominal_hz: float = 0.0
    effective_hz: float = math.nan
    received: int = 0
    lost: int = 0
    clock_offset_s: float = math.nan
    clock_uncertainty_s: float = math.nan
    t_last: float = math.nan


def feed_of(feeds: Sequence[StreamHealth], kind: str) -> StreamHealth:
    """First stream of a kind."""
    return next(feed for feed in feeds if feed.kind == kind)


class StreamStates:
    """States of the streams of a session, whether open, expected or gone.

    `requested` maps a kind to the name that was asked for; a role's key is its kind, or
    ``markers:…`` for each of any number of marker streams.
    """

    def __init__(self, requested: Mapping[str, str]) -> None:
        self._requested = requested
        self._last: dict[str, StreamHealth] = {}
        self._ends: dict[str, str] = {}

    def note_end(self, event: StatusEvent) -> None:
        """Note that a decoder or recorder ends; one that failed reports its end too."""
        sender = sender_of(str(event.fields["stream"]))
        if event.event == "failed":
            self._ends[sender] = "lost"
        elif event.event == "stopped":
            self._ends.setdefault(sender, "ended")
        else:
            self._ends.pop(sender, None)

    def forget(self, key: str) -> None:
        """Forget a stream, as if it had never been open."""
        self._last.pop(key, None)

    def update(
        self,
        inlets: Mapping[str, ViewInlet],
        connecting: Collection[str],
        problems: Mapping[str, str],
        now: float,
    ) -> tuple[StreamHealth, ...]:
        """States now: signal, decode, status, record, then the markers."""
        for key, inlet in inlets.items():
            self._last[key] = _health(key, inlet, now)
        for key, feed in self._last.items():
            if key not in inlets:
                self._last[key] = replace(feed, state=self._state_gone(feed))
        senders = {sender_of(feed.name) for feed in self._last.values()}
        self._ends = {sender: end for sender, end in self._ends.items() if sender in senders}
        self._forget_markers(inlets)
        keys = ["signal", "decode", "status", "record"]
        keys += sorted(key for key in self._last if key.startswith("markers:"))
        return tuple(self._expected(key, inlets, connecting, problems) for key in keys)

    def _forget_markers(self, inlets: Mapping[str, ViewInlet]) -> None:
        gone = [
            key
            for key, feed in self._last.items()
            if key.startswith("markers:") and (feed.state == "lost" or key not in inlets)
        ]
        # Marks end with their window, which is no loss.
        manual = [key for key in gone if is_manual_marks(self._last[key].name)]
        others = [key for key in gone if key not in manual]
        for key in manual + others[:-_MAX_GONE_MARKERS]:
            del self._last[key]

    def _state_gone(self, feed: StreamHealth) -> str:
        end = self._ends.get(sender_of(feed.name)) if feed.kind in _ANNOUNCED else None
        return end or "lost"

    def _expected(
        self,
        key: str,
        inlets: Mapping[str, ViewInlet],
        connecting: Collection[str],
        problems: Mapping[str, str],
    ) -> StreamHealth:
        last = self._last.get(key)
        if last is None:
            name = problems.get(key, self._requested.get(key, ""))
            return StreamHealth(name, key, "connecting" if key in connecting else "absent")
        if key not in inlets and key in connecting:
            return replace(last, state="connecting")
        return last


def _health(key: str, inlet: ViewInlet, now: float) -> StreamHealth:
    return StreamHealth(
        inlet.name,
        key.split(":")[0],
        _state(inlet, now),
        "" if inlet.origin in {"decoder", "amplifier"} else inlet.origin,
        inlet.nominal_hz,
        inlet.effective_hz,
        inlet.n_received,
        inlet.n_lost,
        inlet.clock_offset_s,
        inlet.clock_uncertainty_s,
        inlet.t_last,
    )


def _state(inlet: ViewInlet, now: float) -> str:
    if inlet.lost:
        return "lost"
    if inlet.nominal_hz <= 0:
        return "live"
    if not inlet.received and now - inlet.t_arrived <= _STALL_S:
        return "connecting"
    limit_s = max(_STALL_S, _STALL_HOPS / inlet.nominal_hz)
    return "stalled" if now - inlet.t_arrived > limit_s else "live"
