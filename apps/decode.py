"""`rtbrain decode`: a live stream in, decodes and status out."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config.flags import Trigger
from rtbrain.live.run import (
    decode_on_screen,
    decode_supervised,
    session_settings,
    supervise_decoder,
)


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
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Start the decoder, and --record's, again after a crash."),
    ] = False,
    metrics: Annotated[
        int | None,
        typer.Option("--metrics", help="Serve counts and latencies for Prometheus on this port."),
    ] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    spare: Annotated[bool, typer.Option("--spare", hidden=True)] = False,
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
        overrides=[
            *(() if metrics is None else (f"metrics_port={metrics}",)),
            *(overrides or ()),
        ],
    )
    if supervised:
        decode_supervised(settings, duration, record, allow_late, arm)
    elif restart:
        supervise_decoder(settings, record)
    else:
        decode_on_screen(settings, duration, record, allow_late, arm)
