"""Tables on the screen, made alike everywhere: names to the left, numbers to the right."""

from collections.abc import Iterable, Sequence

from rich.box import HEAVY_HEAD, Box
from rich.table import Table
from rich.text import Text

from rtbrain.errors import printable


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
