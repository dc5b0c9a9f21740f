"""Contacts that a human marked bad: NaN from the chunk on at which the mark was heard."""

from collections.abc import Callable, Sequence

import numpy as np

from rtbrain.types import Chunk, Floats, Montage

__all__ = ["BadByHand"]

_REASON = "by hand"


class BadByHand:
    """Sets to NaN what contacts send that an operator marked bad, until the mark is taken back.

    It stands behind `ChannelQuality`, which goes on judging the contact by itself: a mark that is
    taken back gives the contact back at once where nothing else is wrong with it. A gap changes
    nothing.

    Parameters
    ----------
    montage : Montage
        Channels of the chunks.
    heard : callable
        Marks since it was last asked, and never waits: ``bad LABEL``, ``good LABEL``, and
        ``bad?``, which asks that all marks be told again. Other texts are not meant for it.
    on_event : callable, optional
        Told ``("channel_bad", channel=label, reason="by hand")``, ``("channel_good", ...)``, and
        ``("channel_unknown", channel=label)`` of a label that is not in the montage.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        heard: Callable[[], Sequence[str]],
        on_event: Callable[..., None] | None = None,
    ) -> None:
        self.montage = montage
        self._heard = heard
        self._on_event = on_event
        self._row_of = {name: row for row, name in enumerate(montage.names)}
        self.reset()

    def reset(self) -> None:
        """Forget all marks; no event tells it."""
        self._marked = np.zeros(self.montage.n_channels, np.bool_)

    @property
    def bad(self) -> tuple[str, ...]:
        """Labels of the contacts that are marked."""
        return tuple(self.montage.names[row] for row in np.flatnonzero(self._marked))

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk with NaN for contacts that are marked; the same chunk where none is."""
        for text in self._heard():
            self._take(text)
        if not self._marked.any():
            return chunk
        data: Floats = chunk.data.copy()
        data[self._marked] = np.nan
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def _take(self, text: str) -> None:
        if text == "bad?":
            for name in self.bad:
                self._tell("channel_bad", channel=name, reason=_REASON)
            return
        verdict, _, name = text.partition(" ")
        if verdict not in ("bad", "good"):
            return
        row = self._row_of.get(name)
        if row is None:
            self._tell("channel_unknown", channel=name)
        elif self._marked[row] != (verdict == "bad"):
            self._marked[row] = verdict == "bad"
            self._tell(f"channel_{verdict}", channel=name, reason=_REASON)

    def _tell(self, event: str, **fields: str) -> None:
        if self._on_event is not None:
            self._on_event(event, **fields)
