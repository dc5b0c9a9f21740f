"""`rtbrain bench`: how fast this machine decodes, and whether the statistics of a fit hold."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.check.bench.run import MANY_CHANNELS, BenchPart, run_bench


def command(
    what: Annotated[BenchPart, typer.Argument(help="What to measure.")],
    channels: Annotated[
        str | None,
        typer.Option(
            "--channels", help=f"Channels; for encoder, pipeline several, as {MANY_CHANNELS}."
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option("--hop", min=0, help="Seconds between decodes (encoder, pipeline only)."),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Of the encoder (encoder, pipeline only).")
    ] = 1,
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes", min=0, help="Watch processes live so long (pipeline, view only)."
        ),
    ] = 0.0,
    mode: Annotated[
        str | None,
        typer.Option("--mode", help="One mode alone (encoder, pipeline); live: streaming."),
    ] = None,
    recordings: Annotated[
        int | None,
        typer.Option("--recordings", min=8, help="Simulated per row, 200 (statistics only)."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw costs to this file (encoder, pipeline).")
    ] = None,
) -> None:
    """Measure the speed of a part, on this machine, beside a reference.

    Or, as statistics, whether a fit's verdicts and intervals hold on simulated recordings of known
    truth: for hours; exit code 1 if a row fails; with --json an interrupted run goes on.
    """
    passed = run_bench(
        what,
        channels=channels,
        hop_s=hop,
        threads=threads,
        minutes=minutes,
        mode=mode,
        json=json,
        png=png,
        recordings=recordings,
    )
    if not passed:
        raise typer.Exit(1)
