"""Progress of long work: one callback, for a terminal, a notebook or nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from rtbrain.errors import plain_text

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
