"""`rtbrain faults`: every fault of the bedside done to this installation, and what came of it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.check.faults.matrix import run_matrix
from rtbrain.check.faults.peers import run_peers
from rtbrain.check.faults.report import write_markdown, write_rows
from rtbrain.files import require_writable_file


def command(
    lsl: Annotated[
        bool, typer.Option("--lsl", help="Also over real LSL, with processes; takes minutes.")
    ] = False,
    network: Annotated[
        bool,
        typer.Option(
            "--network", help="Also between two hosts, in network namespaces: Linux, as root."
        ),
    ] = False,
    row: Annotated[
        list[int] | None, typer.Option("--row", help="Only this fault; may be repeated.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the rows to this file as well.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", help="Put the rows in the place of this file's table."),
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="Instead: what liblsl's recovery and MNE-LSL do in rows 1, 2, 6 and 9."
        ),
    ] = False,
) -> None:
    """Run the matrix of faults and print what was observed; exit code 1 if a row fails."""
    for file, flag in ((json, "--json"), (markdown, "--markdown")):
        if file is not None:
            require_writable_file(file, flag)
    console = Console()
    if peers:
        observations = run_peers(console)
        if json is not None:
            write_rows(json, observations)
        return
    rows = run_matrix(console, lsl, network, row or ())
    if json is not None:
        write_rows(json, rows)
    if markdown is not None:
        write_markdown(markdown, rows)
    if any(each.passed is False for each in rows):
        raise typer.Exit(1)
