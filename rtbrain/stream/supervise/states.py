"""The states of a supervised stream, and the only ways from one to another."""

import threading
from collections.abc import Callable
from enum import Enum


class StreamState(Enum):
    """State of a supervised stream; the value is the name of its event."""

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


_NEXT = {
    "waiting": "connecting refused stopping",
    # Live again: samples came over the connection that had fallen silent.
    "connecting": "warming live refused waiting lost stopping",
    # Refused where it is open: a second stream that matches was seen after it.
    "warming": "live waiting lost refused stopping",
    "live": "stalled lost refused stopping",
    "stalled": "live lost refused stopping",
    "lost": "connecting live refused stopping",
    # Refused again: for another reason, which is reported.
    "refused": "connecting live refused stopping",
    "stopping": "",
}
TRANSITIONS = {
    StreamState(state): frozenset(map(StreamState, after.split())) for state, after in _NEXT.items()
}


class StreamStateMachine:
    """The state of one stream; every change is reported."""

    def __init__(self, on_event: Callable[..., None]) -> None:
        self._on_event = on_event
        self.state = StreamState.WAITING
        # A source may be closed while another thread pulls, and from a signal's handler.
        self._lock = threading.RLock()

    def to(self, state: StreamState, **fields: object) -> None:
        """Change to a state that may follow, then report it; after the end, nothing follows."""
        with self._lock:
            if self.state is StreamState.STOPPING:
                return
            if state not in TRANSITIONS[self.state]:
                raise ValueError(f"a stream that is {self.state.value} cannot become {state.value}")
            self.state = state
        self.report(state.value, **fields)

    def report(self, event: str, **fields: object) -> None:
        """Report an event that is no change of state."""
        self._on_event(event, **fields)
