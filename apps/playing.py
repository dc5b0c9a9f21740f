"""What `replay` and `simulate` do alike: wait for a listener, read a source, let the last out."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rtbrain.stage import Source
    from rtbrain.types import Chunk

_ASK_AGAIN_S = 0.2
# Closing an outlet drops what its threads have not sent yet.
_LAST_SENDING_S = 0.5


class _Outlet(Protocol):
    @property
    def has_listeners(self) -> bool: ...

    def wait_for_listeners(self, timeout_s: float) -> bool: ...


def wait_for_anybody(outlet: _Outlet, stopping: Callable[[], bool]) -> None:
    """Wait until somebody listens, or the user ends it."""
    while not stopping() and not outlet.wait_for_listeners(_ASK_AGAIN_S):
        pass


def let_out(outlet: _Outlet, stopping: Callable[[], bool]) -> None:
    """Give the outlet time to send its last samples, if anybody is there to get them."""
    if outlet.has_listeners and not stopping():
        time.sleep(_LAST_SENDING_S)


def chunks_of(source: "Source") -> Iterator["Chunk"]:
    """Chunks of a source to its end."""
    while (chunk := source.pull(0.0)) is not None:
        yield chunk
