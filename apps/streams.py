"""`rtbrain streams`: what is on the network, and who reads it."""

from typing import Annotated

import typer
from rich.console import Console

from rtbrain.stream.lsl.streams import streams
from rtbrain.tables import table


def command(
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, max=60, help="How long to look, s.")
    ] = 2.0,
) -> None:
    """List the LSL streams on the network, and the decoders and recorders that read them."""
    found = streams(timeout)
    if not found:
        typer.echo("no streams: start a sender, such as rtbrain simulate", err=True)
        return
    rows = []
    for row in found:
        rate = f"{row.sfreq_hz:g}" if row.sfreq_hz > 0 else "irregular"
        texts = (row.name, row.type, str(row.n_channels), rate, row.unit, row.host, row.source_id)
        rows.append((*texts, "\n".join(row.used_by)))
    headings = ("name", "type", "channels", "rate, Hz", "unit", "host", "source id", "read by")
    Console().print(table("", headings, rows, n_names=len(headings)))
