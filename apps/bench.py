"""`rtbrain bench`: how fast this machine decodes, each figure beside a reference of the run."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .target import refuse_target, write_whole

if TYPE_CHECKING:
    from rtbrain.offline.timing import Row


class Part(StrEnum):
    """What can be measured."""

    FRONT_END = "front-end"
    ENCODER = "encoder"


def command(
    what: Annotated[Part, typer.Argument(help="What to measure.")],
    channels: Annotated[
        int, typer.Option("--channels", min=2, help="Channels of the signal.")
    ] = 128,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Measure the speed of a part; the front end on one thread."""
    from rich.console import Console

    from rtbrain.offline.timing import table

    if json is not None:
        refuse_target(json, "--json")
    rows = _front_end(channels) if what is Part.FRONT_END else _encoder(channels)
    Console().print(table(rows, f"{what.value}, {channels} channels"))
    if json is not None:
        _write(json, what, channels, rows)


def _front_end(n_channels: int) -> "list[Row]":
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from rtbrain.offline import bench_front_end

    with threadpool_limits(1):
        return bench_front_end.run(n_channels)


def _encoder(n_channels: int) -> "list[Row]":
    from rtbrain.offline import bench_encoder

    return bench_encoder.run(n_channels)


def _write(path: Path, what: Part, n_channels: int, rows: "list[Row]") -> None:
    """Write the figures whole or not at all."""
    import json
    import platform

    from rtbrain import __version__

    report = {
        "what": what.value,
        "n_channels": n_channels,
        "rtbrain": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rows": [row.as_dict() for row in rows],
    }
    text = json.dumps(report, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
