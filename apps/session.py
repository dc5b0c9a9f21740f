"""`rtbrain session`: the session console."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rtbrain.console.run import run_session
from rtbrain.processes import require_display


def command(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the session; a new one is made.")
    ] = Path("session"),
    theme: Annotated[
        Literal["dark", "light"] | None, typer.Option("--theme", help="Default: the last one used.")
    ] = None,
) -> None:
    """Set up, calibrate, fit, run and review from one window; what runs outlives it."""
    require_display()
    if not run_session(folder, theme=theme):
        typer.echo(f"The session in {folder} is open: its window was brought forward.")
