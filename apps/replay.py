"""`rtbrain replay`: a recording as a live stream, with its events as markers."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .playing import chunks_of, let_out, wait_for_anybody

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from rtbrain.outlet.lsl import MarkerOutlet, SignalOutlet
    from rtbrain.stream.recording import Recording
    from rtbrain.stream.replay import ReplaySource
    from rtbrain.types import Chunk


def command(
    recording: Annotated[
        Path,
        typer.Argument(help="A .vhdr, .edf, .bdf, .fif, .xdf or .npy file, or a BIDS folder."),
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the stream.")] = "rtbrain-replay",
    speed: Annotated[float, typer.Option("--speed", help="Times faster than life.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    channels: Annotated[
        str | None, typer.Option("--channels", help="Labels to play, as A1,A2,A3; else all.")
    ] = None,
    start: Annotated[
        float | None, typer.Option("--start", help="Second of the recording to begin at.")
    ] = None,
    stop: Annotated[
        float | None, typer.Option("--stop", help="Second of the recording to end at.")
    ] = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signal.")] = 1.0,
    sfreq: Annotated[
        float | None, typer.Option("--sfreq", help="Sampling rate of an .npy file, Hz.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Stream to take from an .xdf file.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Begin when somebody listens.")
    ] = False,
    chunk_ms: Annotated[
        float, typer.Option("--chunk-ms", help="Length of the pieces that are sent, ms.")
    ] = 20.0,
    chunk_seed: Annotated[
        int | None,
        typer.Option("--chunk-seed", min=0, help="Pieces of random lengths, from this seed."),
    ] = None,
) -> None:
    """Stream a recording over LSL: NAME, and NAME-markers at each of its events."""
    from rich.console import Console

    from rtbrain.errors import SettingsError
    from rtbrain.stream.recording import read_recording
    from rtbrain.stream.replay import ReplaySource

    from .shutdown import stop_on_signals

    stopping = stop_on_signals()
    if not 0 < chunk_ms < math.inf:
        raise SettingsError(f"--chunk-ms must be a number above 0, got {chunk_ms:g}")
    if not 0 < speed < math.inf:
        raise SettingsError(f"--speed must be a number above 0, got {speed:g}")
    console = Console(stderr=True)
    opened = read_recording(recording, sfreq_hz=sfreq, stream=stream)
    labels = None if channels is None else [label.strip() for label in channels.split(",")]
    # A piece's length decides nothing but how often samples leave: the nearest whole one will do.
    chunk_samples = max(1, round(chunk_ms / 1000 * opened.montage.sfreq_hz))
    try:
        source = ReplaySource(
            opened,
            chunk_samples=chunk_samples,
            names=labels,
            start_s=start,
            stop_s=stop,
            scale=scale,
            loop=loop,
            chunk_seed=chunk_seed,
        )
        _tell(console, recording, opened, source, scale)
        if wait:
            console.print("waiting until somebody listens")
        _stream(console, source, name, speed, loop, wait, stopping)
    finally:
        opened.close()


def _tell(
    console: "Console", path: Path, recording: "Recording", source: "ReplaySource", scale: float
) -> None:
    from .notes import tell_notes

    montage = source.montage
    console.print(
        f"replaying {path.name}: {montage.n_channels} channels, {montage.sfreq_hz:g} Hz, "
        f"{source.n_samples / montage.sfreq_hz:.1f} s, {len(recording.events)} events",
        highlight=False,
        markup=False,
    )
    tell_notes(recording, scale)


def _stream(
    console: "Console",
    source: "ReplaySource",
    name: str,
    speed: float,
    loop: bool,
    wait: bool,
    stopping: Callable[[], bool],
) -> None:
    from contextlib import closing
    from dataclasses import replace

    from rtbrain.outlet.lsl import MarkerOutlet, SignalOutlet

    sfreq_hz = source.montage.sfreq_hz
    # The rate that is announced is the rate at which samples leave.
    announced = replace(source.montage, sfreq_hz=sfreq_hz * speed)
    with (
        closing(SignalOutlet(name, announced, source_id=name, origin="replay")) as signal,
        closing(MarkerOutlet(f"{name}-markers", source_id=f"{name}-markers")) as markers,
    ):
        if wait:
            wait_for_anybody(signal, stopping)
        n_samples = _play(console, source, signal, markers, speed, loop, stopping)
        let_out(signal, stopping)
    console.print(f"{n_samples} samples sent, {n_samples / sfreq_hz:.1f} s of signal")


def _play(
    console: "Console",
    source: "ReplaySource",
    signal: "SignalOutlet",
    markers: "MarkerOutlet",
    speed: float,
    loop: bool,
    stopping: Callable[[], bool],
) -> int:
    import time
    from functools import partial

    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from rtbrain.stream.lsl import lsl_clock
    from rtbrain.stream.pace import play

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("playing", total=source.n_samples)
        show = partial(_show, progress, task, loop, source.n_samples)
        return play(
            chunks_of(source),
            _pusher(source, signal, markers, show),
            speed=speed,
            clock=lsl_clock,
            wait=time.sleep,
            stop=stopping,
        )


def _show(progress: "Progress", task: "TaskID", loop: bool, n_samples: int, n_pushed: int) -> None:
    passes, within = divmod(n_pushed, n_samples)
    if loop:
        progress.update(task, description=f"pass {passes + 1}", completed=within)
    else:
        progress.update(task, description="playing", completed=n_pushed)


def _pusher(
    source: "ReplaySource",
    signal: "SignalOutlet",
    markers: "MarkerOutlet",
    show: Callable[[int], None],
) -> Callable[["Chunk"], None]:
    """Push a chunk and the events within it, each with the very stamp of its sample."""
    events = source.events()
    due = next(events, None)
    n_pushed = 0

    def push(chunk: "Chunk") -> None:
        nonlocal due, n_pushed
        while due is not None and due[0] < chunk.first_sample + chunk.n_samples:
            number, event = due
            markers.push(event.text, float(chunk.timestamps[number - chunk.first_sample]))
            due = next(events, None)
        signal.push(chunk)
        n_pushed += chunk.n_samples
        show(n_pushed)

    return push
