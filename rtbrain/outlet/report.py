"""What the status stream says of decodes: an event each time that something changes."""

from typing import Protocol

from rtbrain.types import Decode

__all__ = ["StatusReport"]


class _Events(Protocol):
    def emit(self, event: str, **fields: object) -> None:
        """Send one event."""
        ...


class StatusReport:
    """Sink that turns changes of quality into events.

    ``gap`` with the samples lost, ``valid`` and ``invalid`` with the reason, ``channel_bad`` and
    ``channel_good`` by label. `late` is called by the loop.

    Parameters
    ----------
    events : StatusOutlet
        Where the events go.
    names : tuple of str
        Labels of the channels that quality speaks of.
    """

    def __init__(self, events: _Events, names: tuple[str, ...]) -> None:
        self._events = events
        self._names = names
        self._good = set(names)
        self._valid: bool | None = None
        self.n_lost = 0
        self.n_skipped = 0
        self.n_decodes = 0

    def push(self, item: Decode) -> None:
        """Look at a decode and tell what changed."""
        quality = item.quality
        self.n_decodes += 1
        if quality.lost_samples > self.n_lost:
            self._events.emit("gap", lost=quality.lost_samples - self.n_lost)
            self.n_lost = quality.lost_samples
        if quality.valid != self._valid:
            self._valid = quality.valid
            self._events.emit("valid" if quality.valid else "invalid", reason=quality.reason)
        if not quality.valid:
            return
        good = {name for name, is_good in zip(self._names, quality.good, strict=True) if is_good}
        for name in sorted(self._good - good):
            self._events.emit("channel_bad", channel=name)
        for name in sorted(good - self._good):
            self._events.emit("channel_good", channel=name)
        self._good = good

    def late(self, n_windows: int) -> None:
        """Tell that windows were skipped because decoding was late."""
        self.n_skipped += n_windows
        self._events.emit("late", skipped=n_windows)

    def close(self) -> None:
        """Tell the totals."""
        self._events.emit(
            "stopped", decodes=self.n_decodes, lost=self.n_lost, skipped=self.n_skipped
        )
