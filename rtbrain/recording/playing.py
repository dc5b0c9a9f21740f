"""Streaming a source over LSL from the command line: wait for a listener, play, drain."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rtbrain.errors import SettingsError, plain_text, printable
from rtbrain.outlet.lsl import MarkerOutlet, SignalOutlet
from rtbrain.recording.open import amplitude_note, missing_note
from rtbrain.recording.recording import Recording
from rtbrain.recording.replay import ReplaySource, play
from rtbrain.stage import Source
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import markers_name
from rtbrain.types import Chunk

_ASK_AGAIN_S = 0.2
# Closing an outlet drops what its threads have not sent yet.
_LAST_SENDING_S = 0.5
_AHEAD_S, _MOST_AHEAD = 1.5, 64  # made ahead, and at most so many chunks


def require_positive(flag: str, value: float) -> None:
    """Refuse a number that is not above 0, or not finite."""
    if not 0 < value < math.inf:
        raise SettingsError(f"{flag} must be a number above 0, got {value:g}")


class _Outlet(Protocol):
    @property
    def has_listeners(self) -> bool: ...

    def wait_for_listeners(self, timeout_s: float) -> bool: ...


def wait_for_listener(outlet: _Outlet, stopping: Callable[[], bool]) -> None:
    """Wait until a listener connects, or the user ends it."""
    while not stopping() and not outlet.wait_for_listeners(_ASK_AGAIN_S):
        pass


def drain_outlet(outlet: _Outlet, stopping: Callable[[], bool]) -> None:
    """Give the outlet time to send its last samples to its listeners, if it has any."""
    if outlet.has_listeners and not stopping():
        time.sleep(_LAST_SENDING_S)


def iterate_chunks(source: Source) -> Iterator[Chunk]:
    """Chunks of a source to its end, made ahead in a thread: what takes long delays none."""
    with ThreadPoolExecutor(1) as maker:
        ahead = deque([maker.submit(source.pull, 0.0)])
        try:
            while (chunk := ahead.popleft().result()) is not None:
                n_ahead = _AHEAD_S * source.montage.sfreq_hz / max(chunk.n_samples, 1)
                while len(ahead) < min(math.ceil(n_ahead), _MOST_AHEAD):
                    ahead.append(maker.submit(source.pull, 0.0))
                yield chunk
        finally:
            maker.shutdown(cancel_futures=True)


def print_notes(recording: Recording, scale: float) -> None:
    """Print what had to be assumed or looks wrong, a line each, to standard error."""
    warnings = (missing_note(recording), amplitude_note(recording, scale=scale))
    for note in (*recording.notes, *filter(None, warnings)):
        print_note(note)


def print_note(note: str) -> None:
    """Print a note to standard error."""
    Console(stderr=True).print(
        printable(f"note: {note}"), style="yellow", highlight=False, markup=False, soft_wrap=True
    )


def print_recording(
    console: Console, path: Path, recording: Recording, source: ReplaySource, scale: float
) -> None:
    """Print what will be played, and the notes about it."""
    montage = source.montage
    console.print(
        f"replaying {plain_text(path.name)}: {montage.n_channels} channels, "
        f"{montage.sfreq_hz:g} Hz, "
        f"{source.n_samples / montage.sfreq_hz:.1f} s, {len(recording.events)} events",
        highlight=False,
        markup=False,
    )
    print_notes(recording, scale)
    for line in source.not_played():
        print_note(line)


def stream_recording(
    console: Console,
    source: ReplaySource,
    name: str,
    speed: float,
    loop: bool,
    wait: bool,
    stopping: Callable[[], bool],
) -> None:
    """Stream a recording over LSL, with its events as markers, and show how far it is."""
    sfreq_hz = source.montage.sfreq_hz
    # The rate that is announced is the rate at which samples leave.
    announced = replace(source.montage, sfreq_hz=sfreq_hz * speed)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        closing(SignalOutlet(name, announced, source_id=name, origin="replay")) as signal,
        closing(MarkerOutlet(markers_name(name), source_id=markers_name(name))) as markers,
    ):
        if wait:
            wait_for_listener(signal, stopping)
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("playing", total=source.n_samples)

            def show(n_pushed: int) -> None:
                passes, within = divmod(n_pushed, source.n_samples)
                if loop:
                    progress.update(task, description=f"pass {passes + 1}", completed=within)
                else:
                    progress.update(task, completed=n_pushed)

            def announce(wait_s: float) -> None:
                progress.print(
                    f"the recording pauses: nothing is sent for {wait_s:.0f} s; --max-gap shortens "
                    "pauses",
                    highlight=False,
                )

            n_samples = play(
                iterate_chunks(source),
                _pusher(source, signal, markers, speed, show),
                speed=speed,
                clock=lsl_clock,
                wait=time.sleep,
                stop=stopping,
                on_wait=announce,
            )
        drain_outlet(signal, stopping)
    console.print(f"{n_samples} samples sent, {n_samples / sfreq_hz:.1f} s of signal")


def _pusher(
    source: ReplaySource,
    signal: SignalOutlet,
    markers: MarkerOutlet,
    speed: float,
    show: Callable[[int], None],
) -> Callable[[Chunk], None]:
    """Push a chunk and its events, each with the stamp of its sample, or its own within a gap."""
    events = source.events()
    due = next(events, None)
    n_pushed = 0

    def push(chunk: Chunk) -> None:
        nonlocal due, n_pushed
        while due is not None and due[0] < chunk.first_sample + chunk.n_samples:
            number, event = due
            stamp = float(chunk.timestamps[number - chunk.first_sample])
            markers.push(event.text, stamp - source.ahead_s(event) / speed)
            due = next(events, None)
        signal.push(chunk)
        n_pushed += chunk.n_samples
        show(n_pushed)

    return push
