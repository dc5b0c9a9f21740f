"""`rtbrain doctor`: whether everything is ready for a session, and what to mend."""

import json as json_text
from pathlib import Path
from typing import Annotated, Literal

import typer

from rtbrain.check.doctor.checks import Expected
from rtbrain.check.doctor.doctor import examine
from rtbrain.check.doctor.screen import print_checks
from rtbrain.errors import SettingsError
from rtbrain.units import require_voltage

_MAINS = {"50": 50, "60": 60, "auto": None}


def command(
    stream: Annotated[str | None, typer.Option("--stream", help="Name of the signal.")] = None,
    source_id: Annotated[
        str | None, typer.Option("--source-id", help="Its source id, where several have the name.")
    ] = None,
    markers: Annotated[
        str | None, typer.Option("--markers", help="Name of the stream of markers.")
    ] = None,
    trigger: Annotated[
        str | None, typer.Option("--trigger", help="Instead: channel whose codes are events.")
    ] = None,
    mains: Annotated[
        Literal["50", "60", "auto"],
        typer.Option("--mains", help="Mains frequency that is removed, Hz; auto: measured by fit."),
    ] = "auto",
    unit: Annotated[
        str | None, typer.Option("--unit", help="Unit of a signal that states none or a wrong one.")
    ] = None,
    mode: Annotated[
        Literal["linear", "streaming", "edge", "published"],
        typer.Option("--mode", help="Decoder whose delay on this machine is measured."),
    ] = "linear",
    folder: Annotated[Path, typer.Option("--folder", help="Where recordings go.")] = Path("."),
    hours: Annotated[
        float, typer.Option("--hours", min=0, help="Length of what is to be recorded, h.")
    ] = 0.5,
    within: Annotated[
        float, typer.Option("--within", min=5, max=600, help="Longest time to measure, s.")
    ] = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check stream, machine and network; exit code 1 if something must be fixed."""
    if not folder.is_dir():
        raise SettingsError(f"--folder {folder}: there is no such folder; make it first")
    if unit is not None:
        require_voltage(unit)
    expected = Expected(
        stream=stream,
        source_id=source_id,
        markers=markers,
        trigger=trigger,
        mains_hz=_MAINS[mains],
        unit=unit,
        mode=mode,
        folder=folder,
        hours=hours,
    )
    checks = examine(expected, within)
    if json:
        typer.echo(json_text.dumps([check.as_json() for check in checks], indent=2))
    else:
        print_checks(checks)
    if any(check.state == "fix" for check in checks):
        raise typer.Exit(1)
