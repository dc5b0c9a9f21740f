"""`rtbrain demo`: a synthetic patient, a decoder and a scorer, each a process, over LSL."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from rtbrain.check.demo import run_demo
from rtbrain.config import DemoSettings, parse_settings, read_settings
from rtbrain.config.flags import flag, override


def _flag(field: str, *names: str) -> Any:
    return flag(DemoSettings, field, *names)


def command(
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ] = "demo",
    duration: Annotated[float | None, _flag("duration_s", "--duration")] = None,
    seed: Annotated[int | None, _flag("seed", "--seed")] = None,
    mode: Annotated[Literal["streaming", "edge", "linear"] | None, _flag("mode", "--mode")] = None,
    encoder: Annotated[
        Literal["trained", "untrained"] | None, _flag("encoder", "--encoder")
    ] = None,
    channels: Annotated[int | None, _flag("channels", "--channels")] = None,
    difficulty: Annotated[str | None, _flag("difficulty", "--difficulty")] = None,
    task: Annotated[
        Literal["mixed", "high_gamma", "beta", "slow", "bursts", "phase"] | None,
        _flag("task", "--task"),
    ] = None,
    view: Annotated[bool, typer.Option("--view", help="Show it in the live window.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="New JSON file for the figures.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="New folder for the decoder bundles.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting, as seed=3; repeatable.")
    ] = None,
) -> None:
    """Decode a synthetic patient live, and score the decodes against its markers."""
    fields = {
        "duration_s": duration,
        "seed": seed,
        "mode": mode,
        "channels": channels,
        "difficulty": difficulty,
        "task": task,
        "encoder": encoder,
    }
    values, where = read_settings(config, DemoSettings)
    values |= {key: value for key, value in fields.items() if value is not None}
    settings = parse_settings(override(values, overrides or ()), DemoSettings, where=where)
    if not run_demo(settings, Console(), view=view, report=report, keep=keep):
        raise typer.Exit(1)
