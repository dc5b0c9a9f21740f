"""`rtbrain bench`: how fast this machine decodes, each figure beside a reference of the run."""

import dataclasses
import importlib
import os
import platform
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from threadpoolctl import threadpool_limits

from rtbrain import __version__
from rtbrain.build import build_feature_pipeline
from rtbrain.check.bench.child import bench_patient, bench_recipe
from rtbrain.check.bench.live import bench_live
from rtbrain.check.bench.statistics import bench_statistics
from rtbrain.check.bench.steps import MODES, BenchJob, measure_steps
from rtbrain.check.bench.tables import bench_table, draw_costs, step_tables
from rtbrain.errors import SettingsError
from rtbrain.files import atomic_file, require_writable_file, strict_json, write_atomically
from rtbrain.processes import scratch_folder


class BenchPart(StrEnum):
    """What can be measured."""

    FRONT_END = "front-end"
    ENCODER = "encoder"
    PIPELINE = "pipeline"
    VIEW = "view"
    STATISTICS = "statistics"


STEP_PARTS = (BenchPart.ENCODER, BenchPart.PIPELINE)
# Loaded when it runs.
_MODULES = {
    BenchPart.FRONT_END: "rtbrain.check.bench.front_end",
    BenchPart.VIEW: "rtbrain.check.bench.view",
}
MANY_CHANNELS, _ONE = "16,32,64,128,256", "128"
_N_RECORDINGS = 200
_LINEAR_CHANNELS = "16,64,128,256,512,1024"


def run_bench(
    what: BenchPart,
    *,
    channels: str | None,
    hop_s: float | None,
    threads: int,
    minutes: float,
    mode: str | None,
    json: Path | None,
    png: Path | None,
    recordings: int | None,
) -> bool:
    """Measure a part, print its table and write what was asked for; False where a row failed.

    Raises
    ------
    SettingsError
        Flags do not belong together, or a file cannot be written.
    """
    _check_flags(what, mode, hop_s, threads, minutes, png, channels, recordings)
    for target, flag in ((json, "--json"), (png, "--png")):
        if target is not None:
            require_writable_file(target, flag)
    if what is BenchPart.STATISTICS:
        figures = bench_statistics(Console(), recordings or _N_RECORDINGS, json)
        if json is not None:
            _write_report(json, what, (), figures)
        return not figures["failed"]
    numbers = _parse_channels(what, mode, channels, live=bool(minutes))
    if what is BenchPart.PIPELINE and minutes:
        figures = bench_live(numbers[0], minutes, mode or "streaming", hop_s, threads, Console())
    elif what in STEP_PARTS:
        figures = _bench_steps(what, mode, numbers, hop_s, threads, png)
    else:
        figures = _bench_part(what, numbers[0], minutes)
    if json is not None:
        _write_report(json, what, numbers, figures)
    return True


def _check_flags(
    what: BenchPart,
    mode: str | None,
    hop: float | None,
    threads: int,
    minutes: float,
    png: Path | None,
    channels: str | None,
    recordings: int | None,
) -> None:
    if minutes and what not in (BenchPart.VIEW, BenchPart.PIPELINE):
        raise SettingsError(
            f"--minutes watches processes of pipeline and view: leave it out for bench {what.value}"
        )
    of_steps = [("--hop", hop is not None), ("--threads", threads > 1), ("--png", png is not None)]
    of_steps.append(("--mode", mode is not None))
    given = [flag for flag, is_given in of_steps if is_given]
    if given and what not in STEP_PARTS:
        raise SettingsError(
            f"{', '.join(given)}: for encoder and pipeline only: leave it out for bench "
            f"{what.value}"
        )
    if what is BenchPart.STATISTICS and channels is not None:
        raise SettingsError("--channels: simulated features have none: leave it out")
    if what is not BenchPart.STATISTICS and recordings is not None:
        raise SettingsError(f"--recordings is for statistics: leave it out for bench {what.value}")
    if mode is not None and mode not in MODES:
        raise SettingsError(f"--mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if png is not None and minutes:
        raise SettingsError("--png draws costs against channels: leave it out with --minutes")


def _parse_channels(
    what: BenchPart, mode: str | None, text: str | None, *, live: bool
) -> tuple[int, ...]:
    """Channels that were asked for, ascending."""
    many = what in STEP_PARTS and not live
    fewest, most = (6, 1024) if what in STEP_PARTS else (2, 4096)
    try:
        several = _LINEAR_CHANNELS if mode == "linear" else MANY_CHANNELS
        given = [int(each) for each in (text or (several if many else _ONE)).split(",")]
    except ValueError:
        given = []
    if not given or not all(fewest <= n <= most for n in given) or not (many or len(given) == 1):
        expected = f"numbers of {fewest} to {most}, as {MANY_CHANNELS}" if many else "one number"
        raise SettingsError(
            f"--channels: expected {expected} ({fewest} or more) for bench {what.value}, got "
            f"{text!r}"
        )
    return tuple(sorted(set(given)))


def _bench_steps(
    what: BenchPart,
    mode: str | None,
    numbers: Sequence[int],
    hop_s: float | None,
    threads: int,
    png: Path | None,
) -> dict[str, Any]:
    console, modes = Console(), MODES if mode is None else (mode,)
    if hop_s is not None:
        # A hop that a mode cannot keep is refused before a process is started for each.
        for each in modes:
            recipe = bench_recipe(BenchJob(each, 6, hop_s=hop_s))
            build_feature_pipeline(recipe, bench_patient(6).montage)
    with console.status("measuring") as status:
        rows = measure_steps(
            what.value, modes, numbers, hop_s=hop_s, threads=threads, say=status.update
        )
    holds = {
        BenchPart.ENCODER: "a step of the encoders alone",
        BenchPart.PIPELINE: "a step, filters to readout",
    }[what]
    title = f"{holds}, {threads} thread{'s' * (threads > 1)}"
    for table in step_tables(rows, title):
        console.print(table)
    console.print(
        "~ estimated from 16 channels of the large encoder (8 of the published pipeline), which "
        "takes channels in blocks of 8. "
        "Latency: when a decode is ready, and when the next one is, without transport.",
        style="dim",
    )
    for row in rows:
        if row.unavailable:
            line = f"unavailable: {row.name}: {row.unavailable}"
            console.print(line, markup=False, soft_wrap=True)
    if png is not None:
        with atomic_file(png) as part, part.open("wb") as file:
            draw_costs(file, rows, f"Cost of {title}")
    return {"threads": threads, "rows": [row.as_dict() for row in rows]}


def _bench_part(what: BenchPart, n_channels: int, minutes: float) -> dict[str, Any]:
    # Loaded here: only the window needs Qt.
    part = importlib.import_module(_MODULES[what])
    with threadpool_limits(1):
        rows = part.measure_rows(n_channels)
    Console().print(bench_table(rows, f"{what.value}, {n_channels} channels"))
    figures: dict[str, Any] = {"rows": [dataclasses.asdict(row) for row in rows]}
    if minutes:
        with scratch_folder("rtbrain-bench-") as folder:
            usage = part.measure_usage(n_channels, minutes, folder)
        Console().print(str(usage))
        figures["process"] = dataclasses.asdict(usage)
    return figures


def _write_report(
    path: Path, what: BenchPart, numbers: Sequence[int], figures: dict[str, Any]
) -> None:
    """Write the figures whole or not at all."""
    report = {
        "what": what.value,
        "n_channels": list(numbers) if what in STEP_PARTS or not numbers else numbers[0],
        "rtbrain": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **figures,
    }
    write_atomically(path, strict_json(report))
