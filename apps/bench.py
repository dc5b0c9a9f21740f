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
    VIEW = "view"


def command(
    what: Annotated[Part, typer.Argument(help="What to measure.")],
    channels: Annotated[
        int, typer.Option("--channels", min=2, help="Channels of the signal.")
    ] = 128,
    minutes: Annotated[
        float,
        typer.Option("--minutes", min=0, help="Watch the window's process so long (view only)."),
    ] = 0.0,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file as well.")
    ] = None,
) -> None:
    """Measure the speed of a part; the front end on one thread, the view without a screen."""
    from rich.console import Console

    from rtbrain.offline.timing import table

    if json is not None:
        refuse_target(json, "--json")
    if minutes and what is not Part.VIEW:
        from rtbrain.errors import SettingsError

        raise SettingsError(f"--minutes watches the window: leave it out for bench {what.value}")
    measure = {Part.FRONT_END: _front_end, Part.ENCODER: _encoder, Part.VIEW: _view}[what]
    rows = measure(channels)
    Console().print(table(rows, f"{what.value}, {channels} channels"))
    more = _watch(channels, minutes) if minutes else {}
    if json is not None:
        _write(json, what, channels, rows, more)


def _front_end(n_channels: int) -> "list[Row]":
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from rtbrain.offline import bench_front_end

    with threadpool_limits(1):
        return bench_front_end.run(n_channels)


def _encoder(n_channels: int) -> "list[Row]":
    from rtbrain.offline import bench_encoder

    return bench_encoder.run(n_channels)


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


def _write(
    path: Path, what: Part, n_channels: int, rows: "list[Row]", more: dict[str, object]
) -> None:
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
        **more,
    }
    text = json.dumps(report, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
