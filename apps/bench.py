"""`rtbrain bench`: how fast this machine decodes, each figure beside a reference of the run."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.check.bench.run import (
    _MANY,
    STEP_PARTS,
    BenchPart,
    bench_live_session,
    bench_part,
    bench_steps,
    check_flags,
    parse_channels,
    write_report,
)
from rtbrain.files import require_writable_file


def command(
    what: Annotated[BenchPart, typer.Argument(help="What to measure.")],
    channels: Annotated[
        str | None,
        typer.Option("--channels", help=f"Channels; for encoder, pipeline several, as {_MANY}."),
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
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw costs to this file (encoder, pipeline).")
    ] = None,
) -> None:
    """Measure the speed of a part, on this machine, beside a reference."""
    check_flags(what, mode, hop, threads, minutes, png)
    for target, flag in ((json, "--json"), (png, "--png")):
        if target is not None:
            require_writable_file(target, flag)
    numbers = parse_channels(what, channels, live=bool(minutes))
    if what is BenchPart.PIPELINE and minutes:
        figures = bench_live_session(numbers[0], minutes, mode or "streaming", hop, threads)
    elif what in STEP_PARTS:
        figures = bench_steps(what, mode, numbers, hop, threads, png)
    else:
        figures = bench_part(what, numbers[0], minutes)
    if json is not None:
        write_report(json, what, numbers, figures)
