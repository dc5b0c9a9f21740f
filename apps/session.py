"""`rtbrain session`: the session console."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rtbrain.console.frame.tour import tour_folder
from rtbrain.console.run import run_session
from rtbrain.processes import require_display


def command(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of the session, made if new. [default: session]"),
    ] = None,
    theme: Annotated[
        Literal["dark", "light"] | None, typer.Option("--theme", help="Default: the last one used.")
    ] = None,
    tour: Annotated[
        bool, typer.Option("--tour", help="Show the five steps on a simulated patient.")
    ] = False,
) -> None:
    """Set up, calibrate, fit, run and review from one window; what runs outlives it."""
    require_display()
    folder = folder or (tour_folder() if tour else Path("session"))
    if not run_session(folder, theme=theme, tour=tour):
        typer.echo(f"The session in {folder} is open: its window was brought forward.")
