"""`rtbrain faults`: every fault of the bedside done to this installation, and what it did."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

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
    from rich.console import Console

    from .target import refuse_target

    if json is not None:
        refuse_target(json, "--json")
    console = Console()
    rows = _observe_peers(console) if peers else _run_matrix(console, lsl, row or ())
    if json is not None:
        write(json, rows)
    if any(getattr(each, "passed", None) is False for each in rows):
        raise typer.Exit(1)


def _observe_peers(console: "Console") -> "Sequence[Observation]":
    from . import fault_peers

    with console.status("observing the peers, for about a minute"):
        observed = fault_peers.observe()
    console.print(fault_peers.table(observed))
    return observed


def _run_matrix(console: "Console", lsl: bool, numbers: "Sequence[int]") -> "Sequence[Row]":
    import logging
    import tempfile

    from rtbrain.offline.fault_matrix import run, table

    from .fault_rig import new_bench

    # What the stages log while they are maltreated is theirs; the rows say what it came to.
    logging.getLogger("rtbrain").addHandler(logging.NullHandler())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="rtbrain-faults-") as folder:
        bench = new_bench(Path(folder))
        with console.status("running the rows") as status:
            for done in run(all_cases(), bench.rig, lsl=lsl, numbers=numbers):
                rows.append(done)
                status.update(f"{len(rows)} rows done, the last was {done.number}")
    console.print(table(rows))
    verdicts = [each.passed for each in rows]
    console.print(
        f"{verdicts.count(True)} passed, {verdicts.count(False)} failed, "
        f"{verdicts.count(None)} not run"
    )
    return rows


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
        fault_rows_rate,
        fault_rows_recording,
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
            fault_rows_rate,
            fault_rows_lsl,
            fault_rows_processes,
            fault_rows_recording,
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
