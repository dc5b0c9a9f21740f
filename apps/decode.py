"""`rtbrain decode`: a live stream in, decodes and status out."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config.flags import Trigger
from rtbrain.live.run import decode_on_screen, session_settings


def command(
    config: Annotated[
        str | None,
        typer.Option("--config", help="Settings by name, such as bedside, or a YAML file."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Decoder bundle, a folder.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Name of the LSL stream to decode.")
    ] = None,
    markers: Annotated[
        str | None,
        typer.Option("--markers", help="Marker stream: cuts windows at events; is recorded."),
    ] = None,
    trigger: Trigger = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Decodes are sent as NAME-decode.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after this many seconds.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Record stream, markers and decodes into this OUT.xdf."),
    ] = None,
    arm: Annotated[
        bool, typer.Option("--arm", help="Arm the outputs at the first valid decode.")
    ] = False,
    allow_late: Annotated[
        bool, typer.Option("--allow-late", help="Decode even if this machine is too slow.")
    ] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, as stream.timeout_s=5; may be repeated."),
    ] = None,
) -> None:
    """Decode a live stream, until Ctrl-C."""
    settings = session_settings(
        config,
        stream=stream,
        markers=markers,
        trigger=trigger,
        name=name,
        bundle=bundle,
        overrides=overrides or (),
    )
    decode_on_screen(settings, duration, record, allow_late, arm)
