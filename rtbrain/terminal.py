"""What commands show in a terminal: tables, made alike everywhere, and progress of long work."""

import json
import math
import re
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
    those of the whole work in order, each of one or more pieces: the words that one begins with,
    and how long it usually takes beside the others. What is to come is reckoned by the pace of what
    has been, of a piece under way more and more by its own; a piece may be left out.
    """

    def __init__(
        self,
        stages: Mapping[str, Mapping[str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pieces = [(name, *one) for name, pieces in stages.items() for one in pieces.items()]
        self._clock = clock
        self._began = self._piece_began = self._last = clock()
        self._at, self._before, self._due = 0, 0.0, -math.inf

    def __call__(self, done: float, total: float, what: str) -> None:
        """Take a piece of work that is done."""
        now = self._clock()
        for number, (_, words, _) in enumerate(self._pieces):
            if what.startswith(words) and number != self._at:
                self._before += self._pieces[self._at][2]
                self._at, self._piece_began, self._due = number, self._last, -math.inf
                break
        self._last = now
        if now < self._due and done < total:
            return
        self._due = now + 1.0
        line = {
            "stage": self._pieces[self._at][0],
            "done": done,
            "total": total,
            "elapsed_s": round(now - self._began, 1),
            "left_s": round(self._left_s(now, _share(done / (total or 1), what)), 1),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)

    def _left_s(self, now: float, share: float) -> float:
        usual = self._pieces[self._at][2]
        to_come = sum(one for _, _, one in self._pieces[self._at + 1 :])
        pace = (now - self._began) / (self._before + usual * max(share, 1e-3))
        of_piece = (now - self._piece_began) + (1 - share) * pace * usual
        return (1 - share) * of_piece + pace * to_come


def _share(share: float, what: str) -> float:
    """Share of a piece that is done, of one that is ``... 2 of 3`` and itself so far."""
    numbers = re.search(r"(\d+) of (\d+)$", what)
    if numbers is None:
        return share
    number, n = map(int, numbers.groups())
    return (number - 1 + share) / max(n, 1)


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
