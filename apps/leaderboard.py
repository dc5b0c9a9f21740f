"""`rtbrain leaderboard`: front ends and encoders, ranked where the best possible is known."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.learn.leaderboard.run import run_synthetic

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Rank front ends and encoders beside controls and ceilings.",
)


@app.callback()
def _group() -> None:
    """One command for each set of patients."""


@app.command("synthetic")
def synthetic(
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            "--encoder",
            help="Encoder of one channel: a folder, or compact or streaming, which ship; "
            "repeatable. Each gets a random twin. By default streaming.",
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option("--minutes", help="Length of each of the 12 sessions.")
    ] = 12.0,
    json: Annotated[
        Path | None,
        typer.Option("--json", help="File for all figures; an interrupted run goes on from it."),
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", help="File for the picture.")] = None,
) -> None:
    """Six synthetic patients, two sessions each, six tasks of which the best AUC is known.

    Exit code 1 where the ideal feature misses its ceiling, a row beats what is possible, or noise
    is decoded.
    """
    if not run_synthetic(encoder or ["streaming"], 60 * minutes, json, png):
        raise typer.Exit(1)
