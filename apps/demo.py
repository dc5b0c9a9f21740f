"""`rtbrain demo`: a synthetic patient, a decoder and a scorer, each a process, over LSL."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from rtbrain.check.demo.report import demo_report, demo_table
from rtbrain.check.demo.session import DemoPlan, demo_processes, fit_decoders, listen_to_demo
from rtbrain.config import DemoSettings, parse_settings, read_settings
from rtbrain.errors import SettingsError
from rtbrain.files import require_writable_file, write_atomically
from rtbrain.processes import interrupt_on_sigterm, require_display


def command(
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ] = "demo",
    duration: Annotated[
        float | None, typer.Option("--duration", help="Seconds to score, 3 or more.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the patient.")] = None,
    mode: Annotated[
        Literal["streaming", "edge", "linear"] | None,
        typer.Option("--mode", help="Decoder; linear is the control."),
    ] = None,
    encoder: Annotated[
        Literal["trained", "untrained"] | None,
        typer.Option("--encoder", help="Weights of the encoder: as they ship, or random."),
    ] = None,
    view: Annotated[
        bool, typer.Option("--view", help="Show it in the live window meanwhile.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Where the figures go, a JSON file.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="New folder for the decoder bundles.")
    ] = None,
    channels: Annotated[int | None, typer.Option("--channels", help="Contacts, 6 to 256.")] = None,
    difficulty: Annotated[
        str | None, typer.Option("--difficulty", help="How much the task stands out.")
    ] = None,
) -> None:
    """Decode a synthetic patient live, and score the decodes against its markers."""
    flags = {
        "duration_s": duration,
        "seed": seed,
        "mode": mode,
        "channels": channels,
        "difficulty": difficulty,
        "encoder": encoder,
    }
    values, where = read_settings(config)
    values |= {key: value for key, value in flags.items() if value is not None}
    settings = parse_settings(values, DemoSettings, where=where)
    if view:
        require_display()
    if report is not None:
        require_writable_file(report, "--report")
    if keep is not None:
        require_writable_file(keep, "--keep")
        if keep.exists():
            raise SettingsError(f"--keep {keep} exists already: name a new folder")
    interrupt_on_sigterm()
    console = Console()
    chosen = settings.mode
    modes = ("linear",) if chosen == "linear" else (chosen, "linear")
    with tempfile.TemporaryDirectory(prefix="rtbrain-demo-") as folder:
        plan = DemoPlan(
            Path(folder),
            settings.seed,
            settings.channels,
            settings.difficulty,
            settings.duration_s,
            modes,
            view,
            settings.encoder == "trained",
        )
        calibrations = fit_decoders(plan, console)
        with demo_processes(plan) as check:
            recorded = listen_to_demo(plan, console, check)
        if keep is not None:
            for fitted in modes:
                shutil.copytree(plan.folder / fitted, keep / fitted)
    figures = {m: demo_report(plan, m, calibrations[m], recorded[m]) for m in modes}
    console.print(demo_table(plan, figures))
    if report is not None:
        whole = figures[chosen] | {"controls": {m: figures[m] for m in modes if m != chosen}}
        text = json.dumps(whole, indent=2) + "\n"
        write_atomically(report, text)
    if any(not figures[m]["decodes"] for m in modes):
        raise typer.Exit(1)
