"""The signal chain: stages from chunks to chunks in a row, and those that select channels."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from rtbrain.channels import kind_of, label_keys
from rtbrain.errors import MontageError
from rtbrain.marks import REPEAT_REQUEST, Mark
from rtbrain.signal.filters import Resample
from rtbrain.signal.stimulation import Blanking
from rtbrain.stage import SignalStage
from rtbrain.types import Chunk, Floats, Montage

# Strangers may send any text: so many of their labels are remembered, and marks of a contact.
_MAX_UNKNOWN = 256
_MAX_AUTHORS = 8
AnyStage = TypeVar("AnyStage")


class Chain:
    """Stages in a row, each made for the montage of the one before; may be empty.

    `montage` is that of the chunks that come out; `delay_s` is how far they lag behind, because of
    resampling and of blanking.
    """

    def __init__(self, montage: Montage, stages: Sequence[SignalStage]) -> None:
        self._stages = tuple(stages)
        self.montage = self._stages[-1].montage if self._stages else montage
        late = [stage for stage in stages if isinstance(stage, Resample | Chain | Blanking)]
        self.delay_s: float = sum((stage.delay_s for stage in late), start=0.0)
        self._blankings = [stage for stage in stages if isinstance(stage, Chain | Blanking)]
        # Texts of the markers that announce stimulation.
        self.texts: frozenset[str] = frozenset().union(*(each.texts for each in self._blankings))

    @property
    def is_empty(self) -> bool:
        """Whether chunks pass as they are."""
        return not self._stages

    def mark(self, t: float, text: str) -> None:
        """Add a marker that may announce stimulation, before its samples or a little later."""
        for stage in self._blankings:
            stage.mark(t, text)

    def miss(self) -> None:
        """Take markers that announce stimulation as missed, up to the next chunk."""
        for stage in self._blankings:
            stage.miss()

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk after every stage."""
        for stage in self._stages:
            chunk = stage(chunk)
        return chunk

    def find(self, kind: type[AnyStage]) -> AnyStage | None:
        """First stage of a kind, in chains within this one too; None where there is none."""
        for stage in self._stages:
            found = stage.find(kind) if isinstance(stage, Chain) else stage
            if isinstance(found, kind):
                return found
        return None

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
            wanted = set(map(kind_of, kinds))
            rows = [row for row in rows if montage.kinds[row] in wanted]
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
        return replace(chunk, data=data)

    def reset(self) -> None:
        """Do nothing: no state is carried."""


class ManualMask:
    """Sets contacts to NaN that an operator marked bad, until the mark is withdrawn.

    It follows `ChannelQuality`, which keeps judging a marked contact: when the mark is withdrawn
    the contact is back at once unless something else is wrong with it. A gap changes nothing.

    `read_marks` gives the marks that arrived since the last call, without waiting: ``bad LABEL``,
    ``good LABEL``, or ``bad?``, a request to repeat all marks; other texts are ignored. A contact
    is bad as long as anybody's mark stands; authors withdraw their own, the operator withdraws all.

    `on_event` is called with ``("channel_bad", channel=label, reason=text, source_id=text,
    host=text)`` for the author, ``("channel_good", ...)`` for who withdrew the last mark,
    ``("mark_refused", ...)`` for who may not, and, once for a label that is not in the montage,
    ``("channel_unknown", ...)``.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        read_marks: Callable[[], Sequence[Mark]],
        on_event: Callable[..., None] | None = None,
    ) -> None:
        self.montage = montage
        self._read_marks = read_marks
        self._on_event = on_event
        self._row_of = {name: row for row, name in enumerate(montage.names)}
        keys = label_keys(montage.names)
        self._row_of_key = {k: row for row, k in enumerate(keys) if keys.count(k) == 1}
        self.reset()

    def reset(self) -> None:
        """Forget all marks, without an event."""
        self._marked = np.zeros(self.montage.n_channels, np.bool_)
        self._marks: dict[int, dict[tuple[str, str], Mark]] = {}  # by row and author
        self._unknown: deque[str] = deque(maxlen=_MAX_UNKNOWN)
        self._refused: deque[tuple[str, tuple[str, str]]] = deque(maxlen=_MAX_UNKNOWN)

    @property
    def bad(self) -> tuple[str, ...]:
        """Labels of the contacts that are marked."""
        return tuple(self.montage.names[row] for row in np.flatnonzero(self._marked))

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk with NaN for contacts that are marked; the same chunk where none is."""
        for mark in self._read_marks():
            self._take(mark)
        if not self._marked.any():
            return chunk
        data: Floats = chunk.data.copy()
        data[self._marked] = np.nan
        return replace(chunk, data=data)

    def _take(self, mark: Mark) -> None:
        if mark.text == REPEAT_REQUEST:
            for marked, marks in self._marks.items():
                for given in marks.values():
                    self._report("channel_bad", self.montage.names[marked], given)
            return
        verdict, _, name = mark.text.partition(" ")
        if verdict not in ("bad", "good"):
            return
        row = self._row_of.get(name)
        if row is None and name == name.strip():
            # A window may show the stream's label, which is not that of the fit.
            row = self._row_of_key.get(label_keys([name])[0])
        if row is None:
            if name not in self._unknown:
                self._unknown.append(name)
                self._report("channel_unknown", name, mark)
        elif verdict == "good":
            self._withdraw(row, mark)
        else:
            marks = self._marks.setdefault(row, {})
            if mark.author not in marks and len(marks) < _MAX_AUTHORS:
                marks[mark.author] = mark
                self._marked[row] = True
                self._report("channel_bad", self.montage.names[row], mark)

    def _withdraw(self, row: int, mark: Mark) -> None:
        name, marks = self.montage.names[row], self._marks.get(row, {})
        if not marks:
            return
        if mark.by_operator:
            marks.clear()
        elif marks.pop(mark.author, None) is None:
            if (name, mark.author) not in self._refused:
                self._refused.append((name, mark.author))
                self._report("mark_refused", name, mark)
            return
        if marks:  # of others
            self._report("channel_bad", name, next(iter(marks.values())))
            return
        del self._marks[row]
        self._marked[row] = False
        self._report("channel_good", name, mark)

    def _report(self, event: str, channel: str, mark: Mark) -> None:
        if self._on_event is not None:
            who = {"source_id": mark.source_id, "host": mark.host}
            self._on_event(event, channel=channel, reason=mark.reason, **who)
