"""`rtbrain bench`: how fast this machine decodes, each figure beside a reference of the run."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .target import refuse_target, write_whole

if TYPE_CHECKING:
    from rtbrain.offline.timing import Row


class Part(StrEnum):
    """What can be measured."""

    FRONT_END = "front-end"
    ENCODER = "encoder"
    PIPELINE = "pipeline"
    VIEW = "view"


_STEPS = (Part.ENCODER, Part.PIPELINE)
_MANY = "16,32,64,128,256"
_ONE = "128"


def command(
    what: Annotated[Part, typer.Argument(help="What to measure.")],
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
    _refuse_flags(what, mode, hop, threads, minutes, png)
    for target, flag in ((json, "--json"), (png, "--png")):
        if target is not None:
            refuse_target(target, flag)
    numbers = _numbers(what, channels, live=bool(minutes))
    if what is Part.PIPELINE and minutes:
        figures = _live(numbers[0], minutes, mode or "streaming", hop, threads)
    elif what in _STEPS:
        figures = _steps(what, mode, numbers, hop, threads, png)
    else:
        figures = _part(what, numbers[0], minutes)
    if json is not None:
        _write(json, what, numbers, figures)


def _refuse_flags(
    what: Part,
    mode: str | None,
    hop: float | None,
    threads: int,
    minutes: float,
    png: Path | None,
) -> None:
    from rtbrain.errors import SettingsError

    from .bench_rows import MODES

    if minutes and what not in (Part.VIEW, Part.PIPELINE):
        raise SettingsError(
            f"--minutes watches processes of pipeline and view: leave it out for bench {what.value}"
        )
    of_steps = [("--hop", hop is not None), ("--threads", threads > 1), ("--png", png is not None)]
    of_steps.append(("--mode", mode is not None))
    given = [flag for flag, is_given in of_steps if is_given]
    if given and what not in _STEPS:
        raise SettingsError(
            f"{', '.join(given)}: for encoder and pipeline only: leave it out for bench "
            f"{what.value}"
        )
    if mode is not None and mode not in MODES:
        raise SettingsError(f"--mode: expected one of {', '.join(MODES)}, got {mode!r}")
    if png is not None and minutes:
        raise SettingsError("--png draws costs against channels: leave it out with --minutes")


def _numbers(what: Part, text: str | None, *, live: bool) -> tuple[int, ...]:
    """Channels that were asked for, ascending."""
    from rtbrain.errors import SettingsError

    many = what in _STEPS and not live
    fewest, most = (6, 256) if what in _STEPS else (2, 4096)
    try:
        given = [int(each) for each in (text or (_MANY if many else _ONE)).split(",")]
    except ValueError:
        given = []
    if not given or not all(fewest <= n <= most for n in given) or not (many or len(given) == 1):
        expected = f"numbers of {fewest} to {most}, as {_MANY}" if many else "one number"
        raise SettingsError(
            f"--channels: expected {expected} ({fewest} or more) for bench {what.value}, got "
            f"{text!r}"
        )
    return tuple(sorted(set(given)))


def _steps(
    what: Part,
    mode: str | None,
    numbers: Sequence[int],
    hop_s: float | None,
    threads: int,
    png: Path | None,
) -> dict[str, Any]:
    from rich.console import Console

    from rtbrain.offline.step_rows import draw_costs, step_tables

    from .bench_rows import MODES, step_rows

    console, modes = Console(), MODES if mode is None else (mode,)
    if hop_s is not None:
        _refuse_hop(modes, hop_s)
    with console.status("measuring") as status:
        rows = step_rows(
            what.value, modes, numbers, hop_s=hop_s, threads=threads, say=status.update
        )
    holds = {
        Part.ENCODER: "a step of the encoders alone",
        Part.PIPELINE: "a step, filters to readout",
    }[what]
    title = f"{holds}, {threads} thread{'s' * (threads > 1)}"
    for table in step_tables(rows, title):
        console.print(table)
    console.print(
        "~ estimated: the large encoder measured at 16 channels (the published way at 8), whose "
        "cost is that of blocks of 8. "
        "Age: when it is ready, and when the next one is, transport left out.",
        style="dim",
    )
    for row in rows:
        if row.unavailable:
            console.print(f"not here: {row.name}: {row.unavailable}", markup=False, soft_wrap=True)
    if png is not None:
        write_whole(png, lambda file: draw_costs(file, rows, f"Cost of {title}"))
    return {"threads": threads, "rows": [row.as_dict() for row in rows]}


def _refuse_hop(modes: Sequence[str], hop_s: float) -> None:
    """Refuse a hop that no mode can keep, before a process is started for each."""
    from rtbrain.build import build_encoding

    from .bench_child import patient_of, recipe_of
    from .bench_jobs import Job

    for mode in modes:
        build_encoding(recipe_of(Job(mode, 6, hop_s=hop_s)), patient_of(6).montage)


def _live(
    n_channels: int, minutes: float, mode: str, hop_s: float | None, threads: int
) -> dict[str, Any]:
    from rich.console import Console

    from .bench_live import watched

    return watched(n_channels, minutes, mode, hop_s, threads, Console())


def _part(what: Part, n_channels: int, minutes: float) -> dict[str, Any]:
    from rich.console import Console

    from rtbrain.offline.timing import table

    rows = (_front_end if what is Part.FRONT_END else _view)(n_channels)
    Console().print(table(rows, f"{what.value}, {n_channels} channels"))
    more = _watch(n_channels, minutes) if minutes else {}
    return {"rows": [row.as_dict() for row in rows], **more}


def _front_end(n_channels: int) -> "list[Row]":
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from rtbrain.offline import bench_front_end

    with threadpool_limits(1):
        return bench_front_end.run(n_channels)


def _view(n_channels: int) -> "list[Row]":
    from .bench_view import redraws

    return redraws(n_channels)


def _watch(n_channels: int, minutes: float) -> dict[str, object]:
    """What the window's process takes, printed, and by name."""
    import tempfile

    from rich.console import Console

    from .bench_view import upkeep

    with tempfile.TemporaryDirectory() as folder:
        taken = upkeep(n_channels, minutes, Path(folder))
    Console().print(str(taken))
    return {"process": taken.as_dict()}


def _write(path: Path, what: Part, numbers: Sequence[int], figures: dict[str, Any]) -> None:
    """Write the figures whole or not at all."""
    import json
    import os
    import platform

    from rtbrain import __version__

    report = {
        "what": what.value,
        "n_channels": list(numbers) if what in _STEPS else numbers[0],
        "rtbrain": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        **figures,
    }
    text = json.dumps(report, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
