"""`rtbrain faults`: every fault of the bedside done to this installation, and what it did."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtbrain.offline.fault_matrix import Case, Row

    from .fault_peers import Observation


def command(
    lsl: Annotated[
        bool, typer.Option("--lsl", help="Also over real LSL, with processes; takes minutes.")
    ] = False,
    row: Annotated[
        list[int] | None, typer.Option("--row", help="Only this fault; may be repeated.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the rows to this file as well.")
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="Instead: what liblsl's recovery and MNE-LSL do in 1, 2, 6, 9."
        ),
    ] = False,
) -> None:
    """Run the matrix of faults and print what was observed; exit code 1 if a row fails."""
    import logging
    import tempfile

    from rich.console import Console

    from rtbrain.errors import SettingsError
    from rtbrain.offline.fault_matrix import run, table

    from . import fault_peers
    from .fault_rig import new_bench

    if json is not None and not json.parent.is_dir():
        raise SettingsError(f"--json {json}: there is no folder {json.parent}, make it first")
    # What the stages log while they are maltreated is theirs; the rows say what it came to.
    logging.getLogger("rtbrain").addHandler(logging.NullHandler())
    console = Console()
    if peers:
        with console.status("observing the peers, for about a minute"):
            observed = fault_peers.observe()
        console.print(fault_peers.table(observed))
        if json is not None:
            write(json, observed)
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="rtbrain-faults-") as folder:
        bench = new_bench(Path(folder))
        with console.status("running the rows") as status:
            for done in run(all_cases(), bench.rig, lsl=lsl, numbers=row or ()):
                rows.append(done)
                status.update(f"{len(rows)} rows done, the last was {done.number}")
    console.print(table(rows))
    if json is not None:
        write(json, rows)
    n_failed = sum(each.passed is False for each in rows)
    n_passed = sum(each.passed is True for each in rows)
    console.print(
        f"{n_passed} passed, {n_failed} failed, {len(rows) - n_passed - n_failed} not run"
    )
    if n_failed:
        raise typer.Exit(1)


def all_cases() -> "list[Case]":
    """Every case of the matrix."""
    from rtbrain.offline import (
        fault_rows_files,
        fault_rows_running,
        fault_rows_signal,
        fault_rows_stream,
        fault_rows_time,
    )

    from . import (
        fault_rows_headers,
        fault_rows_lsl,
        fault_rows_overload,
        fault_rows_processes,
        fault_rows_program,
    )

    return [
        case
        for rows in (
            fault_rows_files,
            fault_rows_running,
            fault_rows_signal,
            fault_rows_stream,
            fault_rows_time,
            fault_rows_headers,
            fault_rows_overload,
            fault_rows_program,
            fault_rows_lsl,
            fault_rows_processes,
        )
        for case in rows.CASES
    ]


def write(file: Path, rows: "Sequence[Row | Observation]") -> None:
    """Write the rows as JSON, with the versions that they were observed with."""
    import dataclasses
    import json
    import platform

    import rtbrain

    content = {
        "rtbrain": rtbrain.__version__,
        "python": platform.python_version(),
        "platform": platform.system(),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
