"""`rtbrain loopback`: how long a decision takes through each output and back."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.check.loopback.live import run_live_loopback
from rtbrain.check.loopback.receivers import Drives, LoopbackPath
from rtbrain.check.loopback.run import run_loopback
from rtbrain.errors import SettingsError, list_words


def command(
    outputs: Annotated[
        list[LoopbackPath] | None, typer.Argument(help="Outputs to try; all by default.")
    ] = None,
    triggers: Annotated[
        int | None, typer.Option("--triggers", min=1, help="How many to send; default: 200.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.1, max=1000, help="Triggers a second; default: 20."),
    ] = None,
    live: Annotated[
        float | None,
        typer.Option(
            "--live",
            min=5,
            help="Decode a synthetic patient for so many seconds instead, and measure from the "
            "newest sample of each decode.",
        ),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option("--port", help="Serial port of a trigger device; a simulated one by default."),
    ] = None,
    drives: Annotated[
        Drives | None,
        typer.Option("--drives", help="With --port: device, or byte where TX is wired to RX."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Send triggers to receivers here; exit code 1 if one is dropped, lost or doubled."""
    paths = outputs or tuple(LoopbackPath)
    if live is None:
        rows = run_loopback(
            paths,
            n_triggers=triggers or 200,
            rate_hz=rate or 20.0,
            port=port,
            drives=drives or "device",
            out=json,
        )
    elif given := [
        flag
        for flag, value in {
            "--triggers": triggers,
            "--rate": rate,
            "--port": port,
            "--drives": drives,
        }.items()
        if value is not None
    ]:
        raise SettingsError(
            f"--live and {list_words(given)}: a live session sends what it detects, to the "
            "simulated device: leave one of them out"
        )
    else:
        rows = run_live_loopback(paths, seconds=live, out=json)
    if any(row.dropped or row.lost or row.doubled for row in rows):
        raise typer.Exit(1)
