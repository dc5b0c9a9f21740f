"""`rtbrain decode`: a live stream in, decodes and status out."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config import DecodeSettings, load_settings
from rtbrain.errors import SettingsError
from rtbrain.live.recorder.sidecar import require_new_recording
from rtbrain.live.session import decode_stream
from rtbrain.processes import use_lsl_scope


def command(
    config: Annotated[
        str, typer.Option("--config", help="Ready-made settings by name, or a YAML file.")
    ] = "bedside",
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
    name: Annotated[
        str | None, typer.Option("--name", help="Gives NAME-decode and NAME-status.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after so many seconds.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", help="Record stream, markers and decodes into OUT.xdf beside it."),
    ] = None,
    allow_late: Annotated[
        bool, typer.Option("--allow-late", help="Decode even where this machine is too slow.")
    ] = False,
) -> None:
    """Decode a live LSL stream."""
    settings = load_settings(config, DecodeSettings)
    if stream:
        selected = settings.stream.model_copy(
            update={"name": stream, "type": None, "source_id": None, "fieldtrip": None}
        )
        settings = settings.model_copy(update={"stream": selected})
    if markers:
        selected = settings.stream.model_copy(update={"markers": markers})
        settings = settings.model_copy(update={"stream": selected})
    if name:
        outlet = settings.outlet.model_copy(update={"name": name})
        settings = settings.model_copy(update={"outlet": outlet})
    folder = bundle or settings.bundle
    if folder is None:
        raise SettingsError("no decoder: give --bundle FOLDER, or bundle in the settings")
    if record is not None:
        require_new_recording(record)
    use_lsl_scope(settings.lsl_scope)
    settings = settings.model_copy(update={"bundle": folder})
    decode_stream(settings, folder, duration, record, allow_late)
