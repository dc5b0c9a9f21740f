"""`rtbrain faults`: every fault of the bedside done to this installation, and what it did."""

import dataclasses
import json
import logging
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import rtbrain
from rtbrain.check.faults import (
    peers,
    rows_input,
    rows_lsl,
    rows_processes,
    rows_rate,
    rows_recording,
    rows_running,
    rows_signal,
    rows_stream,
    rows_time,
)
from rtbrain.check.faults.matrix import FaultCase, FaultRow, fault_table, run_cases
from rtbrain.check.faults.peers import PeerObservation
from rtbrain.check.faults.rig import new_rig_factory


def run_peers(console: Console) -> Sequence[PeerObservation]:
    with console.status("observing the peers, for about a minute"):
        observed = peers.observe()
    console.print(peers.table(observed))
    return observed


def run_matrix(console: Console, lsl: bool, numbers: Sequence[int]) -> Sequence[FaultRow]:

    # What the stages log while they are maltreated is theirs; the rows say what it came to.
    logging.getLogger("rtbrain").addHandler(logging.NullHandler())
    rows: list[FaultRow] = []
    with tempfile.TemporaryDirectory(prefix="rtbrain-faults-") as folder:
        bench = new_rig_factory(Path(folder))
        with console.status("running the rows") as status:
            for done in run_cases(all_cases(), bench.rig, lsl=lsl, numbers=numbers):
                rows.append(done)
                status.update(f"{len(rows)} rows done, the last was {done.number}")
    console.print(fault_table(rows))
    verdicts = [each.passed for each in rows]
    console.print(
        f"{verdicts.count(True)} passed, {verdicts.count(False)} failed, "
        f"{verdicts.count(None)} not run"
    )
    return rows


def all_cases() -> list[FaultCase]:
    """Every case of the matrix."""
    return [
        *rows_input.FILE_CASES,
        *rows_running.RUNNING_CASES,
        *rows_signal.SIGNAL_CASES,
        *rows_stream.STREAM_CASES,
        *rows_time.TIME_CASES,
        *rows_input.HEADER_CASES,
        *rows_lsl.LSL_CASES,
        *rows_running.OVERLOAD_CASES,
        *rows_processes.PROCESS_CASES,
        *rows_input.SETTINGS_CASES,
        *rows_recording.RECORDING_CASES,
        *rows_rate.RATE_CASES,
    ]


def write_rows(file: Path, rows: Sequence[FaultRow | PeerObservation]) -> None:
    """Write the rows as JSON, with the versions that they were observed with."""
    content = {
        "rtbrain": rtbrain.__version__,
        "python": platform.python_version(),
        "platform": platform.system(),
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
