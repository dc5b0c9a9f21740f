"""A recording as a live session without the wait: its samples are the clock."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtbrain.recording.recording import Event
from rtbrain.stage import Source
from rtbrain.types import Chunk, Floats, Montage, Times


class VirtualSession:
    """A source whose clock stands at its newest sample, and markers that come when they are due.

    At each moment it gives what a live decoder would have received by then, and no more.

    Parameters
    ----------
    source : Source
        The recording, from its first sample on; stamped from 0.
    events : sequence of Event
        Those of the recording; any order.
    target : str, optional
        Channel to decode: it is left out of the signal, and kept.

    Attributes
    ----------
    montage : Montage
        The source's, less the target.
    n_read : int
        Samples pulled so far.

    Raises
    ------
    MontageError
        There is no channel of the target's name.
    """

    def __init__(
        self, source: Source, events: Sequence[Event] = (), *, target: str | None = None
    ) -> None:
        whole = source.montage
        self._target_row = None if target is None else whole.rows([target])[0]
        self._others = [row for row in range(whole.n_channels) if row != self._target_row]
        self.montage: Montage = whole.pick([whole.names[row] for row in self._others])
        self.n_read = 0
        self._values: list[Floats] = []
        self._stamps: list[Times] = []
        self._source = source
        self._due = sorted(events, key=lambda event: event.onset_s)[::-1]
        self._now_s = 0.0

    def clock(self) -> float:
        """Stamp of the newest sample, s."""
        return self._now_s

    def pull(self, timeout_s: float) -> Chunk | None:
        """Next chunk, at once; None at the end."""
        chunk = self._source.pull(timeout_s)
        if chunk is not None and chunk.n_samples:
            self._now_s = max(self._now_s, float(chunk.timestamps[-1]))
            self.n_read += chunk.n_samples
        if chunk is None or self._target_row is None:
            return chunk
        self._values.append(chunk.data[self._target_row].copy())
        self._stamps.append(chunk.timestamps.copy())
        return replace(chunk, data=chunk.data[self._others])

    def target(self) -> tuple[Floats, Times]:
        """Values of the target so far, float32 [n_read], and their stamps, s."""
        if not self._values:
            return np.empty(0, np.float32), np.empty(0)
        return np.concatenate(self._values), np.concatenate(self._stamps)

    def markers(self, timeout_s: float) -> list[tuple[float, str]]:
        """Events since the last call, as (seconds, text); at once."""
        due = []
        while self._due and self._due[-1].onset_s <= self._now_s:
            event = self._due.pop()
            due.append((event.onset_s, event.text))
        return due

    def close(self) -> None:
        """Release the recording; safe to call twice."""
        self._source.close()
