"""`rtbrain cue`: cues on a screen of their own, and their markers over LSL."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rtbrain.config.flags import names_of, range_of
from rtbrain.console.cues.run import progress_line, read_plan, show_cues, status_line
from rtbrain.processes import require_display


def command(
    classes: Annotated[
        str | None,
        typer.Option("--classes", help='Texts of the markers, as rest,"speech, loud".'),
    ] = None,
    blocks: Annotated[
        int | None, typer.Option("--blocks", min=1, help="Cues of each class; default: 24.")
    ] = None,
    block: Annotated[
        str | None,
        typer.Option("--block", help="Shortest and longest cue, s; default: 4.8:11.2."),
    ] = None,
    pause: Annotated[
        str | None,
        typer.Option("--pause", help="Shortest and longest time between two, s; default: 2:3."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of order and lengths; default: a new one.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="YAML file with all this, and words, lines and pictures."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="Name of the marker stream, and for rtbrain control.")
    ] = "rtbrain-cues",
    display: Annotated[
        int | None,
        typer.Option("--display", min=1, help="Display to fill; default: the second, if any."),
    ] = None,
    window: Annotated[
        bool, typer.Option("--window", help="A window instead of the full screen.")
    ] = False,
    recorder: Annotated[
        str | None,
        typer.Option(
            "--recorder", help="Begin once record --name NAME has the markers and all it expects."
        ),
    ] = None,
    progress_json: Annotated[bool, typer.Option("--progress-json", hidden=True)] = False,
) -> None:
    """Show cues in random order, once somebody records their markers.

    Pause, resume, drop a block or stop from another terminal: rtbrain control rtbrain-cues pause.
    """
    values: dict[str, Any] = {
        "classes": names_of(classes, "--classes"),
        "n_per_class": blocks,
        "duration_s": range_of(block, "--block"),
        "pause_s": range_of(pause, "--pause"),
        "seed": seed,
    }
    drawn = read_plan(plan, {key: value for key, value in values.items() if value is not None})
    require_display("")
    if drawn.note:
        typer.echo(f"rtbrain: {drawn.note}", err=True)
    if not progress_json:
        typer.echo(f"{name}: about {drawn.lasts_s / 60:.0f} min, seed {drawn.seed}", err=True)
    figures = show_cues(
        drawn,
        name=name,
        display=display,
        windowed=window,
        recorder=recorder,
        on_status=lambda status: print(
            progress_line(status) if progress_json else status_line(status),
            file=sys.stderr if progress_json else sys.stdout,
            flush=True,
        ),
        on_note=lambda note: typer.echo(f"{name}: {note}", err=True),
    )
    typer.echo(", ".join(f"{key} {value}" for key, value in figures.items()))
