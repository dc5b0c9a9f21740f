"""What commands show in a terminal: tables, made alike everywhere, and progress of long work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
