"""`rtbrain record`: LSL streams into an XDF file, in a process of its own."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.errors import SettingsError
from rtbrain.live.recorder.run import (
    RecorderScreen,
    _refuse_taken,
    record_streams,
    selected_names,
    stream_filter,
)
from rtbrain.live.recorder.sidecar import Sidecar, parse_notes, require_new_recording
from rtbrain.outlet import StatusOutlet
from rtbrain.processes import stop_after, stop_on_signals
from rtbrain.recording.xdf.writer import open_xdf
from rtbrain.stream_names import status_name


def command(
    out: Annotated[Path, typer.Argument(help="New file, OUT.xdf; OUT.json goes beside it.")],
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Name of a stream; may be repeated.")
    ] = None,
    markers: Annotated[
        list[str] | None, typer.Option("--markers", help="Name of a stream of markers.")
    ] = None,
    decodes: Annotated[
        list[str] | None,
        typer.Option("--decodes", help="Name of a decoder: NAME-decode and NAME-status."),
    ] = None,
    source_id: Annotated[
        list[str] | None, typer.Option("--source-id", help="Source id of a stream.")
    ] = None,
    content: Annotated[
        list[str] | None, typer.Option("--type", help="Type of streams, such as EEG.")
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Every stream there is; also what no selection means."),
    ] = False,
    name: Annotated[
        str, typer.Option("--name", help="Gives NAME-status, which it does not record itself.")
    ] = "rtbrain-record",
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after so many seconds.")
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option("--note", help="KEY=VALUE for OUT.json; may be repeated.")
    ] = None,
    parent: Annotated[int | None, typer.Option("--parent", hidden=True)] = None,
) -> None:
    """Record live LSL streams, every sample, into one XDF file."""
    asked_to_stop = stop_on_signals(parent)
    require_new_recording(out)
    notes = parse_notes(note or ())
    names = [] if everything else selected_names(stream or (), markers or (), decodes or ())
    others = () if everything else (*(source_id or ()), *(content or ()))
    _refuse_taken(name)
    writer = open_xdf(out)
    try:
        side = Sidecar(out, notes)
    except SettingsError:
        writer.close()
        out.unlink()
        raise
    status = StatusOutlet(name, source_id=status_name(name))
    screen = RecorderScreen(Console(stderr=True), names)
    wanted = stream_filter(names, others, own=status_name(name))
    stopping = stop_after(asked_to_stop, duration, time.monotonic)
    try:
        clean = record_streams(out, writer, side, status, screen, wanted, names, stopping)
    finally:
        screen.close()
        status.close()
    if not clean:
        raise typer.Exit(1)
