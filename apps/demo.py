"""`rtbrain demo`: a synthetic patient, a decoder and a scorer, each a process, over LSL."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .shutdown import end_on_sigterm
from .target import refuse_target, write_whole


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
    import json
    import shutil
    import tempfile

    from rich.console import Console

    from rtbrain.config import DemoSettings, parse_settings, read_settings
    from rtbrain.errors import SettingsError

    from .demo_listen import listen
    from .demo_processes import Plan, fit_all, running
    from .demo_report import closing_table, report_of
    from .view import refuse_without_display

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
        refuse_without_display()
    if report is not None:
        refuse_target(report, "--report")
    if keep is not None:
        refuse_target(keep, "--keep")
        if keep.exists():
            raise SettingsError(f"--keep {keep} exists already: name a new folder")
    end_on_sigterm()
    console = Console()
    chosen = settings.mode
    modes = ("linear",) if chosen == "linear" else (chosen, "linear")
    with tempfile.TemporaryDirectory(prefix="rtbrain-demo-") as folder:
        plan = Plan(
            Path(folder),
            settings.seed,
            settings.channels,
            settings.difficulty,
            settings.duration_s,
            modes,
            view,
            settings.encoder == "trained",
        )
        calibrations = fit_all(plan, console)
        with running(plan) as check:
            recorded = listen(plan, console, check)
        if keep is not None:
            for fitted in modes:
                shutil.copytree(plan.folder / fitted, keep / fitted)
    figures = {m: report_of(plan, m, calibrations[m], recorded[m]) for m in modes}
    console.print(closing_table(plan, figures))
    if report is not None:
        whole = figures[chosen] | {"controls": {m: figures[m] for m in modes if m != chosen}}
        text = json.dumps(whole, indent=2) + "\n"
        write_whole(report, lambda file: file.write(text.encode()))
    if any(not figures[m]["decodes"] for m in modes):
        raise typer.Exit(1)
