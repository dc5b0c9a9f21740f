"""`rtbrain streams`: what is on the network, and who reads it."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console

from rtbrain.processes import lsl_scope_hint
from rtbrain.stream.lsl.streams import streams
from rtbrain.terminal import table


def command(
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=60, help="How long to look, s.")
    ] = 2.0,
) -> None:
    """List the LSL streams on the network, and the decoders and recorders that read them."""
    found = streams(timeout)
    if not found:
        hint = lsl_scope_hint()
        typer.echo(f"no streams: start a sender, such as rtbrain simulate{hint}", err=True)
        return
    rows = []
    for row in found:
        rate = f"{row.n_channels} at {row.sfreq_hz:g} Hz"
        sent = rate if row.sfreq_hz > 0 else f"{row.n_channels}, irregular"
        unit = f", {row.unit}" if row.unit else ""
        texts = (row.name, row.type, sent + unit, row.host, row.source_id)
        rows.append((*texts, "\n".join(row.used_by)))
    headings = ("name", "type", "channels", "host", "source id", "read by")
    Console().print(table("", headings, rows, n_names=len(headings), box=SIMPLE_HEAD))
