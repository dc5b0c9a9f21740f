"""`rtbrain demo`: a synthetic patient, a decoder and a scorer, each a process, over LSL."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .shutdown import end_on_sigterm
from .target import refuse_target, write_whole


def command(
    duration: Annotated[float, typer.Option("--duration", min=3, help="Seconds to score.")] = 30.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the patient.")] = 0,
    mode: Annotated[
        Literal["edge", "linear"], typer.Option("--mode", help="Decoder; linear is the control.")
    ] = "edge",
    report: Annotated[
        Path | None, typer.Option("--report", help="Where the figures go, a JSON file.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="New folder for the decoder bundles.")
    ] = None,
    channels: Annotated[int, typer.Option("--channels", min=6, max=256, help="Contacts.")] = 32,
    difficulty: Annotated[
        str, typer.Option("--difficulty", help="How much the task stands out.")
    ] = "default",
) -> None:
    """Decode a synthetic patient live, and score the decodes against its markers."""
    import json
    import shutil
    import tempfile

    from rich.console import Console

    from rtbrain.errors import SettingsError

    from .demo_listen import listen
    from .demo_processes import Plan, fit_all, running
    from .demo_report import closing_table, report_of

    if report is not None:
        refuse_target(report, "--report")
    if keep is not None:
        refuse_target(keep, "--keep")
        if keep.exists():
            raise SettingsError(f"--keep {keep} exists already: name a new folder")
    end_on_sigterm()
    console = Console()
    modes = (mode,) if mode == "linear" else (mode, "linear")
    with tempfile.TemporaryDirectory(prefix="rtbrain-demo-") as folder:
        plan = Plan(Path(folder), seed, channels, difficulty, duration, modes)
        calibrations = fit_all(plan, console)
        with running(plan) as check:
            recorded = listen(plan, console, check)
        if keep is not None:
            for fitted in modes:
                shutil.copytree(plan.folder / fitted, keep / fitted)
    figures = {m: report_of(plan, m, calibrations[m], recorded[m]) for m in modes}
    console.print(closing_table(plan, figures))
    if report is not None:
        whole = figures[mode] | {"controls": {m: figures[m] for m in modes if m != mode}}
        text = json.dumps(whole, indent=2) + "\n"
        write_whole(report, lambda file: file.write(text.encode()))
    if any(not figures[m]["decodes"] for m in modes):
        raise typer.Exit(1)
