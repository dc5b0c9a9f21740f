"""What the status stream says of decodes: an event each time that something changes."""

from typing import Protocol

from rtbrain.types import Decode

__all__ = ["StatusReport"]


class _Events(Protocol):
    def emit(self, event: str, **fields: object) -> None:
        """Send one event."""
        ...


class StatusReport:
    """Sink that turns changes of quality into events, and counts.

    ``valid`` and ``invalid`` with the reason; the loop tells it of gaps (``gap`` with the samples
    lost) and of windows that were skipped (``late``).

    Parameters
    ----------
    events : StatusOutlet
        Where the events go.

    Attributes
    ----------
    n_decodes, n_lost, n_skipped : int
        Valid decodes, samples lost, windows skipped.
    """

    def __init__(self, events: _Events) -> None:
        self._events = events
        self._said: tuple[bool, str] | None = None
        self.n_lost = 0
        self.n_skipped = 0
        self.n_decodes = 0

    def push(self, item: Decode) -> None:
        """Look at a decode and tell what changed."""
        quality = item.quality
        self.n_decodes += quality.valid
        # While a window fills, its reason counts up: that it fills is told once.
        said = (quality.valid, quality.reason.split(":")[0])
        if said != self._said:
            self._said = said
            self._events.emit("valid" if quality.valid else "invalid", reason=quality.reason)

    def gap(self, n_samples: int) -> None:
        """Tell that samples of the stream were lost."""
        self.n_lost += n_samples
        self._events.emit("gap", lost=n_samples)

    def late(self, n_windows: int) -> None:
        """Tell that windows were skipped because decoding was late."""
        self.n_skipped += n_windows
        self._events.emit("late", skipped=n_windows)

    def tell_totals(self) -> None:
        """Tell the end, and what was counted."""
        self._events.emit(
            "stopped", decodes=self.n_decodes, lost=self.n_lost, skipped=self.n_skipped
        )

    def close(self) -> None:
        """Do nothing: whoever made it tells the totals at the very end."""
