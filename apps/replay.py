"""`rtbrain replay`: a recording as a live stream, with its events as markers."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.config.flags import (
    Channels,
    Exclude,
    Kinds,
    RecordingRate,
    RecordingStream,
    Space,
    Trigger,
    names_of,
)
from rtbrain.processes import stop_on_signals
from rtbrain.recording.open import read_recording
from rtbrain.recording.playing import print_recording, require_positive, stream_recording
from rtbrain.recording.recording import select
from rtbrain.recording.replay import ReplaySource


def command(
    recording: Annotated[
        Path,
        typer.Argument(help="A recording of any format that rtbrain reads, or a BIDS folder."),
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the stream.")] = "rtbrain-replay",
    speed: Annotated[float, typer.Option("--speed", help="Times faster than life.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    channels: Channels = None,
    exclude: Exclude = None,
    kinds: Kinds = None,
    space: Space = None,
    start: Annotated[
        float | None, typer.Option("--start", help="Second of the recording to begin at.")
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--stop", help="Second of the recording to end at.")
    ] = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signal.")] = 1.0,
    sfreq: RecordingRate = None,
    stream: RecordingStream = None,
    trigger: Trigger = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Begin when somebody listens.")
    ] = False,
    max_gap: Annotated[
        float | None,
        typer.Option(
            "--max-gap", help="Longest pause to play, s; longer ones are shortened to it."
        ),
    ] = None,
    chunk_ms: Annotated[
        float, typer.Option("--chunk-ms", help="Length of the pieces that are sent, ms.")
    ] = 20.0,
    chunk_seed: Annotated[
        int | None,
        typer.Option("--chunk-seed", min=0, help="Pieces of random lengths, from this seed."),
    ] = None,
) -> None:
    """Stream a recording over LSL: NAME, and NAME-markers at each of its events."""
    stopping = stop_on_signals()
    require_positive("--chunk-ms", chunk_ms)
    require_positive("--speed", speed)
    console = Console(stderr=True)
    opened = read_recording(recording, sfreq_hz=sfreq, stream=stream, trigger=trigger)
    try:
        opened = select(
            opened,
            channels=names_of(channels, "--channels"),
            exclude=names_of(exclude, "--exclude"),
            kinds=names_of(kinds, "--kinds"),
            space=space,
        )
        # It decides nothing but how often samples leave: the nearest whole number will do.
        chunk_samples = max(1, round(chunk_ms / 1000 * opened.montage.sfreq_hz))
        source = ReplaySource(
            opened,
            chunk_samples=chunk_samples,
            start_s=start,
            stop_s=stop,
            scale=scale,
            loop=loop,
            chunk_seed=chunk_seed,
            max_gap_s=max_gap,
        )
        print_recording(console, recording, opened, source, scale)
        if wait:
            console.print("waiting until somebody listens")
        stream_recording(console, source, name, speed, loop, wait, stopping)
    finally:
        opened.close()
