"""`rtbrain fuzz`: damaged and hostile input for everything that reads what others wrote."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.check.fuzz.run import run_fuzz


def command(
    target: Annotated[
        list[str] | None, typer.Option("--target", help="Only this one; may be repeated.")
    ] = None,
    inputs: Annotated[int, typer.Option("--inputs", min=1, help="Inputs for each.")] = 20000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the damage.")] = 0,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Folder for the inputs that failed.")
    ] = None,
) -> None:
    """Damage files, headers and packets, and see that each is refused; exit code 1 if not."""
    results = run_fuzz(Console(), target or (), inputs, seed=seed, keep=keep)
    if any(result.failures for result in results):
        raise typer.Exit(1)
