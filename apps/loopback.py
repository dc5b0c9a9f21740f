"""`rtbrain loopback`: how long a decision takes through each output and back."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.check.loopback import Drives, LoopbackPath, run_loopback


def command(
    outputs: Annotated[
        list[LoopbackPath] | None, typer.Argument(help="Outputs to try; all by default.")
    ] = None,
    triggers: Annotated[int, typer.Option("--triggers", min=1, help="How many to send.")] = 200,
    rate: Annotated[float, typer.Option("--rate", min=0.1, max=1000, help="Triggers a second.")] = (
        20.0
    ),
    port: Annotated[
        str | None,
        typer.Option("--port", help="Serial port of a trigger device; a simulated one by default."),
    ] = None,
    drives: Annotated[
        Drives,
        typer.Option("--drives", help="With --port: device, or byte where TX is wired to RX."),
    ] = "device",
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Send triggers to receivers here; exit code 1 if one is dropped, lost or doubled."""
    rows = run_loopback(
        outputs or tuple(LoopbackPath),
        n_triggers=triggers,
        rate_hz=rate,
        port=port,
        drives=drives,
        out=json,
    )
    if any(row.dropped or row.lost or row.doubled for row in rows):
        raise typer.Exit(1)
