"""`rtbrain record`: LSL streams into an XDF file, in a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from rtbrain.config.flags import names_of
from rtbrain.live.record import record, selected_names
from rtbrain.live.recorder_files import parse_duration
from rtbrain.live.supervision.children import free_recording
from rtbrain.stream.lsl.streams import unnamed_stream_error


def command(
    out: Annotated[Path, typer.Argument(help="New file OUT.xdf; OUT.json is written beside it.")],
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Name of a stream; may be repeated.")
    ] = None,
    markers: Annotated[
        list[str] | None, typer.Option("--markers", help="Name of a marker stream.")
    ] = None,
    decodes: Annotated[
        list[str] | None,
        typer.Option("--decodes", help="Name of a decoder: its decodes, status, events."),
    ] = None,
    source_id: Annotated[
        list[str] | None, typer.Option("--source-id", help="Source id of a stream.")
    ] = None,
    content: Annotated[
        list[str] | None, typer.Option("--type", help="Type of streams, such as EEG.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every stream.")] = False,
    name: Annotated[
        str, typer.Option("--name", help="Status events are sent as NAME-status.")
    ] = "rtbrain-record",
    duration: Annotated[
        float | None, typer.Option("--duration", min=0, help="Stop after this many seconds.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Begin another file after 60min, 90s or 2h: OUT_001.xdf ..."),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect", help="Streams A,B,C: record them, and alarm while one is missing."
        ),
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option("--note", help="KEY=VALUE for OUT.json; may be repeated.")
    ] = None,
    free_name: Annotated[
        bool, typer.Option("--free-name", help="Where OUT.xdf exists, take OUT-2.xdf and so on.")
    ] = False,
    parent: Annotated[int | None, typer.Option("--parent", hidden=True)] = None,
) -> None:
    """Record live LSL streams, every sample, into one XDF file."""
    names = [] if everything else selected_names(stream or (), markers or (), decodes or ())
    expected = names_of(expect, "--expect") or ()
    names = [] if everything else list(dict.fromkeys([*names, *expected]))
    others = [] if everything else [*(source_id or ()), *(content or ())]
    if not (names or others or everything):
        raise unnamed_stream_error("rtbrain record OUT.xdf --all, or --stream")
    whole = record(
        free_recording(out) if free_name else out,
        names,
        others,
        name=name,
        notes=note or (),
        expected=expected,
        split_s=None if split is None else parse_duration(split, "--split"),
        duration_s=duration,
        parent=parent,
    )
    if not whole:
        raise typer.Exit(1)
