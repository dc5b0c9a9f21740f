"""The signal chain: stages from chunks to chunks in a row, and those that select channels."""

from collections.abc import Callable, Sequence

import numpy as np

from rtbrain.errors import MontageError
from rtbrain.signal.filters import Resample
from rtbrain.stage import SignalStage
from rtbrain.types import OPERATOR_MARK, Chunk, Floats, Montage


class Chain:
    """Stages in a row, each made for the montage of the one before; may be empty.

    `montage` is that of the chunks that come out; `delay_s` is how far they lag behind, because of
    resampling.
    """

    def __init__(self, montage: Montage, stages: Sequence[SignalStage]) -> None:
        self._stages = tuple(stages)
        self.montage = self._stages[-1].montage if self._stages else montage
        delays = [stage.delay_s for stage in stages if isinstance(stage, Resample | Chain)]
        self.delay_s: float = sum(delays, start=0.0)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk after every stage."""
        for stage in self._stages:
            chunk = stage(chunk)
        return chunk

    def reset(self) -> None:
        """Reset every stage."""
        for stage in self._stages:
            stage.reset()


class Pick:
    """Lets some channels through: those of the names, in that order, and of the kinds.

    MontageError if a label is not in the montage, or no channel is left.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        names: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
    ) -> None:
        rows = montage.rows(montage.names if names is None else names)
        if kinds is not None:
            rows = [row for row in rows if montage.kinds[row] in kinds]
        if not rows:
            there = ", ".join(sorted(set(montage.kinds))) or "none"
            raise MontageError(
                f"pick: no channel is left of {montage.n_channels} after names {names} and kinds "
                f"{kinds}; the montage has kinds {there}"
            )
        self.montage = montage.pick([montage.names[row] for row in rows])
        self._rows = np.asarray(rows)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the channels kept."""
        data: Floats = chunk.data[self._rows]
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


class ManualMask:
    """Sets contacts to NaN that an operator marked bad, until the mark is withdrawn.

    It follows `ChannelQuality`, which keeps judging a marked contact: when the mark is withdrawn
    the contact is back at once unless something else is wrong with it. A gap changes nothing.

    `read_marks` gives the marks that arrived since the last call, without waiting: ``bad LABEL``,
    ``good LABEL``, or ``bad?``, a request to repeat all marks; other texts are ignored. `on_event`
    is called with ``("channel_bad", channel=label, reason=text)``, ``("channel_good", ...)`` and,
    for a label that is not in the montage, ``("channel_unknown", channel=label)``.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        read_marks: Callable[[], Sequence[str]],
        on_event: Callable[..., None] | None = None,
    ) -> None:
        self.montage = montage
        self._read_marks = read_marks
        self._on_event = on_event
        self._row_of = {name: row for row, name in enumerate(montage.names)}
        self.reset()

    def reset(self) -> None:
        """Forget all marks, without an event."""
        self._marked = np.zeros(self.montage.n_channels, np.bool_)

    @property
    def bad(self) -> tuple[str, ...]:
        """Labels of the contacts that are marked."""
        return tuple(self.montage.names[row] for row in np.flatnonzero(self._marked))

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk with NaN for contacts that are marked; the same chunk where none is."""
        for text in self._read_marks():
            self._take(text)
        if not self._marked.any():
            return chunk
        data: Floats = chunk.data.copy()
        data[self._marked] = np.nan
        return Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap)

    def _take(self, text: str) -> None:
        if text == "bad?":
            for name in self.bad:
                self._report("channel_bad", channel=name, reason=OPERATOR_MARK)
            return
        verdict, _, name = text.partition(" ")
        if verdict not in ("bad", "good"):
            return
        row = self._row_of.get(name)
        if row is None:
            self._report("channel_unknown", channel=name)
        elif self._marked[row] != (verdict == "bad"):
            self._marked[row] = verdict == "bad"
            self._report(f"channel_{verdict}", channel=name, reason=OPERATOR_MARK)

    def _report(self, event: str, **fields: str) -> None:
        if self._on_event is not None:
            self._on_event(event, **fields)
