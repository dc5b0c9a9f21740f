"""What commands show in a terminal: tables, made alike everywhere, and progress of long work."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.box import HEAVY_HEAD, Box
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from rtbrain.errors import plain_text, printable

OnProgress = Callable[[float, float, str], None]
"""``on_progress(done, total, what)``, called after each piece of work."""


def no_progress(done: float, total: float, what: str) -> None:
    """Show nothing."""


@contextmanager
def show_progress(console: Console) -> Iterator[OnProgress]:
    """Callback that draws one bar per kind of work, which vanishes when that is done."""
    with Progress(console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def update(done: float, total: float, what: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(escape(plain_text(what)), total=total)
            bars.update(tasks[what], completed=done, total=total, visible=done < total)

        yield update


class JsonProgress:
    """Callback that prints progress for machines, a line of JSON per second at most, on stderr.

    ``{"stage": "folds", "done": 3, "total": 5, "elapsed_s": 12.1, "left_s": 31.0}``. `stages` are
    those of the whole work in order: how long each usually takes beside the others, and the words
    that begin each piece of it. What is to come is reckoned by the pace of what has been.
    """

    def __init__(
        self,
        stages: Mapping[str, tuple[float, Sequence[str]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages, self._clock = stages, clock
        self._began = self._stage_began = self._last = clock()
        self._stage, self._due = next(iter(stages)), -math.inf

    def __call__(self, done: float, total: float, what: str) -> None:
        """Take a piece of work that is done."""
        now = self._clock()
        for name, (_, words) in self._stages.items():
            if what.startswith(tuple(words)) and name != self._stage:
                self._stage, self._stage_began, self._due = name, self._last, -math.inf
        self._last = now
        if now < self._due and done < total:
            return
        self._due = now + 1.0
        line = {
            "stage": self._stage,
            "done": done,
            "total": total,
            "elapsed_s": round(now - self._began, 1),
            "left_s": round(self._left_s(now, done / (total or 1)), 1),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)

    def _left_s(self, now: float, share: float) -> float:
        usual = [usual for usual, _ in self._stages.values()]
        at = list(self._stages).index(self._stage)
        in_stage_s = now - self._stage_began
        if at:
            pace = (self._stage_began - self._began) / sum(usual[:at])
        else:
            pace = in_stage_s / (usual[0] * max(share, 1e-3))
        return max(0.0, pace * usual[at] - in_stage_s) + pace * sum(usual[at + 1 :])


def table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    caption: str | None = None,
    n_names: int = 1,
    lines: bool = False,
    box: Box = HEAVY_HEAD,
) -> Table:
    """Table for a rich console; texts are shown as they are, but for control characters.

    The first `n_names` columns hold words, which wrap where the terminal is narrow; the numbers in
    the others do not. A `Text` brings its own style. `lines` draws lines between rows, for cells of
    several lines.
    """
    made = Table(title=_text(title), caption=_text(caption), show_lines=lines, box=box)
    for number, heading in enumerate(headings):
        if number < n_names:
            made.add_column(Text(printable(heading)), overflow="fold")
        else:
            made.add_column(Text(printable(heading)), justify="right", no_wrap=True)
    for row in rows:
        made.add_row(*(_text(cell) for cell in row))
    return made


def _text(cell: str | Text | None) -> Text | None:
    return Text(printable(cell)) if isinstance(cell, str) else cell
