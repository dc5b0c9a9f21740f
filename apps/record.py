"""`rtbrain record`: LSL streams into an XDF file, in a process of its own."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .recording_target import refuse_recording

if TYPE_CHECKING:
    from rtbrain.outlet import StatusOutlet
    from rtbrain.outlet.xdf import XdfWriter
    from rtbrain.stream.lsl import StreamRow

    from .recording_screen import Screen
    from .recording_session import Recording
    from .recording_side import SideFile

_STEP_S = 0.05
# Told to whoever listens, but no news on a screen that shows a table.
_UNSAID = {"disk"}


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
    from rich.console import Console

    from rtbrain.errors import SettingsError
    from rtbrain.outlet import StatusOutlet
    from rtbrain.outlet.xdf import open_xdf

    from .recording_screen import Screen
    from .recording_side import SideFile, parse_notes
    from .shutdown import stop_on_signals

    asked = stop_on_signals()
    refuse_recording(out)
    notes = parse_notes(note or ())
    names = [] if everything else selected(stream or (), markers or (), decodes or ())
    others = () if everything else (*(source_id or ()), *(content or ()))
    _refuse_taken(name)
    writer = open_xdf(out)
    try:
        side = SideFile(out, notes)
    except SettingsError:
        writer.close()
        out.unlink()
        raise
    status = StatusOutlet(name, source_id=f"{name}-status")
    screen = Screen(Console(stderr=True), names)
    wanted = chosen(names, others, own=f"{name}-status")
    stopping = _until(asked, duration, parent)
    try:
        clean = _record(out, writer, side, status, screen, wanted, names, stopping)
    finally:
        screen.close()
        status.close()
    if not clean:
        raise typer.Exit(1)


def selected(stream: Sequence[str], markers: Sequence[str], decodes: Sequence[str]) -> list[str]:
    """Names of the streams that were asked for, each once."""
    of_decoders = [f"{decoder}-{what}" for decoder in decodes for what in ("decode", "status")]
    return list(dict.fromkeys([*stream, *markers, *of_decoders]))


def chosen(
    names: Sequence[str], others: Sequence[str], *, own: str
) -> "Callable[[StreamRow], bool]":
    """Whether a stream is recorded: any where nothing is named, but never our own status.

    Parameters
    ----------
    names : sequence of str
        Names of streams.
    others : sequence of str
        Source ids and types of streams.
    own : str
        Name and source id of the recorder's status stream.
    """

    def wanted(row: "StreamRow") -> bool:
        if row.name == own and row.source_id == own:
            return False
        if not names and not others:
            return True
        return row.name in names or row.source_id in others or row.stream_type in others

    return wanted


def _refuse_taken(name: str) -> None:
    """Two recorders of one name could not be told apart by whoever listens."""
    from rtbrain.errors import SettingsError
    from rtbrain.stream.lsl import list_streams

    own = f"{name}-status"
    if any(row.name == own for row in list_streams()):
        raise SettingsError(
            f"there is a stream {own} already: end its recorder or decoder, or give --name another"
        )


def _record(
    out: Path,
    writer: "XdfWriter",
    side: "SideFile",
    status: "StatusOutlet",
    screen: "Screen",
    wanted: "Callable[[StreamRow], bool]",
    names: Sequence[str],
    stopping: Callable[[], bool],
) -> bool:
    from rtbrain.stream.tap import Taps

    from .recording_disk import DiskGuard
    from .recording_session import Recording

    tell = _telling(status, screen)
    recording = Recording(writer, Taps(wanted), DiskGuard(out.parent, tell), tell)
    tell("recording", file=out.name)
    while not stopping():
        recording.step()
        screen.show(recording)
        time.sleep(_STEP_S)
    clean = recording.close()
    missing = sorted(set(names) - {entry.name for entry in recording.entries})
    if missing:
        tell("stream_missing", streams=missing, why="asked for by name, and never there")
    return _finish(recording, side, tell, clean) and not missing


def _finish(
    recording: "Recording", side: "SideFile", tell: Callable[..., None], clean: bool
) -> bool:
    from .recording_side import stream_counts

    try:
        side.complete(recording, clean)
    except OSError as error:
        clean = False
        tell("write_error", why=f"the side file: {error.strerror or error}")
    streams = [stream_counts(recording, number) for number in range(len(recording.entries))]
    tell(
        "stopped",
        streams={
            f"{number} {each['name']}": each["samples"] for number, each in enumerate(streams)
        },
        dropped=sum(each["dropped"] for each in streams),
        clean_end=clean,
    )
    return clean


def _telling(status: "StatusOutlet", screen: "Screen") -> Callable[..., None]:
    def tell(event: str, **fields: object) -> None:
        status.emit(event, **fields)
        if event not in _UNSAID:
            said = ", ".join(
                f"{key} {value}" for key, value in fields.items() if value not in ("", [], {})
            )
            screen.say(f"{event}: {said}")

    return tell


def _until(
    asked: Callable[[], bool], duration_s: float | None, parent: int | None
) -> Callable[[], bool]:
    """Ends at a signal, at the time set, or when the process that started it is gone."""
    end = None if duration_s is None else time.monotonic() + duration_s

    def stopping() -> bool:
        if asked() or (end is not None and time.monotonic() >= end):
            return True
        return parent is not None and os.getppid() != parent

    return stopping
