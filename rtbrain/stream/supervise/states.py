"""The states of a supervised stream, and the only ways from one to another."""

import logging
import threading
from collections.abc import Callable
from enum import Enum

_LOG = logging.getLogger("rtbrain.stream")


class StreamState(Enum):
    """Where a supervised stream stands; the value is the name of its event."""

    WAITING = "waiting"
    """No stream has been there yet; it is looked for."""
    CONNECTING = "connecting"
    """One was found: its header is read, then its data connection opened."""
    WARMING = "warming"
    """The data connection is open; no sample has come yet."""
    LIVE = "live"
    """Samples come."""
    STALLED = "stalled"
    """The connection is open, but no sample has come for the stall time."""
    LOST = "lost"
    """It was there and is gone; it is looked for."""
    REFUSED = "refused"
    """What is there is not what the decoder needs; the right one is looked for."""
    STOPPING = "stopping"
    """Closed, or about to be: the end."""


TRANSITIONS = {
    StreamState.WAITING: frozenset(
        {StreamState.CONNECTING, StreamState.REFUSED, StreamState.STOPPING}
    ),
    StreamState.CONNECTING: frozenset(
        {
            StreamState.WARMING,
            StreamState.REFUSED,
            StreamState.WAITING,
            StreamState.LOST,
            StreamState.STOPPING,
        }
    ),
    # Refused where it is open: a second stream that matches was seen after it.
    StreamState.WARMING: frozenset(
        {
            StreamState.LIVE,
            StreamState.WAITING,
            StreamState.LOST,
            StreamState.REFUSED,
            StreamState.STOPPING,
        }
    ),
    StreamState.LIVE: frozenset(
        {StreamState.STALLED, StreamState.LOST, StreamState.REFUSED, StreamState.STOPPING}
    ),
    StreamState.STALLED: frozenset(
        {StreamState.LIVE, StreamState.LOST, StreamState.REFUSED, StreamState.STOPPING}
    ),
    StreamState.LOST: frozenset(
        {StreamState.CONNECTING, StreamState.REFUSED, StreamState.STOPPING}
    ),
    # Refused again: for another reason, told anew.
    StreamState.REFUSED: frozenset(
        {StreamState.CONNECTING, StreamState.REFUSED, StreamState.STOPPING}
    ),
    StreamState.STOPPING: frozenset(),
}


class StreamStateMachine:
    """The state of one stream; every change is logged and told."""

    def __init__(self, on_event: Callable[..., None]) -> None:
        self._on_event = on_event
        self.state = StreamState.WAITING
        # A source may be closed while another thread pulls, and from a signal's handler.
        self._lock = threading.RLock()

    def to(self, state: StreamState, **fields: object) -> None:
        """Change to a state that may follow, then tell it; after the end, nothing follows."""
        with self._lock:
            if self.state is StreamState.STOPPING:
                return
            if state not in TRANSITIONS[self.state]:
                raise ValueError(f"a stream that is {self.state.value} cannot become {state.value}")
            self.state = state
        self.tell(state.value, **fields)

    def tell(self, event: str, **fields: object) -> None:
        """Log and tell something that is no change of state."""
        level = logging.WARNING if event in _GRAVE else logging.INFO
        _LOG.log(level, "stream %s %s", event, fields or "")
        self._on_event(event, **fields)


_GRAVE = frozenset({"stalled", "lost", "refused", "search_failed", "amplitude"})
