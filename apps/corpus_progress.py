"""How the commands of `rtbrain corpus` tell how they go on, and of a disk that fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class Bars:
    """A bar of sessions, and one of the seconds of the session at hand.

    Parameters
    ----------
    progress : Progress
        Where the bars are.
    names : dict of int to str
        Of all sessions by number.
    """

    def __init__(self, progress: "Progress", names: dict[int, str]) -> None:
        self._progress = progress
        self._names = names
        self._all = progress.add_task("sessions", total=len(names))
        self._one = progress.add_task("", total=None, visible=False)

    def begin(self, number: int, duration_s: float) -> None:
        """Show which session begins."""
        name = self._names[number]
        self._progress.reset(self._one, total=duration_s, description=name, visible=True)

    def advance(self, number: int, duration_s: float) -> None:
        """Show how much of it is done."""
        self._progress.advance(self._one, duration_s)

    def end(self, number: int) -> None:
        """Show that it is done."""
        self._progress.update(self._one, visible=False)
        self._progress.advance(self._all)


@contextmanager
def shown(console: "Console", names: dict[int, str], n_done: int) -> Iterator[Bars]:
    """Bars while sessions are made; says first what was there already."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    if n_done:
        console.print(f"going on: {n_done} of {len(names)} sources are done", highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress, names)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """One line for a disk that does not take what is written.

    Raises
    ------
    SettingsError
        The disk is full, or the folder cannot be written to.
    """
    from rtbrain.errors import SettingsError

    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"--out {folder}: {error.strerror or error}: make room and run the command again, it "
            "goes on"
        ) from error
