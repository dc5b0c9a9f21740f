"""The states of a supervised stream, and the only ways from one to another."""

import logging
import threading
from collections.abc import Callable
from enum import Enum

__all__ = ["TRANSITIONS", "State", "StateMachine"]

_LOG = logging.getLogger("rtbrain.stream")


class State(Enum):
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
    State.WAITING: frozenset({State.CONNECTING, State.REFUSED, State.STOPPING}),
    State.CONNECTING: frozenset(
        {State.WARMING, State.REFUSED, State.WAITING, State.LOST, State.STOPPING}
    ),
    State.WARMING: frozenset({State.LIVE, State.WAITING, State.LOST, State.STOPPING}),
    State.LIVE: frozenset({State.STALLED, State.LOST, State.STOPPING}),
    State.STALLED: frozenset({State.LIVE, State.LOST, State.STOPPING}),
    State.LOST: frozenset({State.CONNECTING, State.REFUSED, State.STOPPING}),
    # Refused again: for another reason, told anew.
    State.REFUSED: frozenset({State.CONNECTING, State.REFUSED, State.STOPPING}),
    State.STOPPING: frozenset(),
}


class StateMachine:
    """The state of one stream; every change is logged and told.

    Parameters
    ----------
    on_event : callable
        Told each change: the state's value, then what there is to say of it as keywords.

    Attributes
    ----------
    state : State
        Where the stream stands.
    """

    def __init__(self, on_event: Callable[..., None]) -> None:
        self._on_event = on_event
        self.state = State.WAITING
        # A source may be closed while another thread pulls, and from a signal's handler.
        self._lock = threading.RLock()

    def to(self, state: State, **fields: object) -> None:
        """Change to a state that may follow, then tell it; after the end, nothing follows.

        Raises
        ------
        ValueError
            It may not follow.
        """
        with self._lock:
            if self.state is State.STOPPING:
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


_GRAVE = frozenset({"stalled", "lost", "refused", "amplitude"})
