"""What a recorder shows: a live table on a terminal, a line at a time elsewhere."""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from rtbrain.errors import SettingsError
from rtbrain.live.recorder.recorder import DiskGuard, Recorder
from rtbrain.live.recorder.sidecar import Sidecar, stream_counts
from rtbrain.outlet import StatusOutlet
from rtbrain.recording.xdf.writer import XdfWriter
from rtbrain.stream.lsl.raw_inlet import RawInlets
from rtbrain.stream.lsl.resolve import StreamSummary, list_streams
from rtbrain.stream_names import decode_name, status_name

_DRAW_EVERY_S = 0.5
_LINE_EVERY_S = 10.0
_MB = 1e6
_STEP_S = 0.05
# Told to whoever listens, but no news on a screen that shows a table.
_NOT_SHOWN = {"disk"}


class RecorderScreen:
    """The console of a recorder; whether anybody reads it is no matter of the recording.

    Parameters
    ----------
    console : Console
        Where to write.
    wanted : sequence of str
        Names that were asked for; those that are not there yet are shown.
    """

    def __init__(self, console: Console, wanted: Sequence[str]) -> None:
        self._console = console
        self._wanted = wanted
        self._start = time.monotonic()
        self._due = self._start
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        if self._live is not None:
            self._live.start()

    def say(self, text: str) -> None:
        """Print a line."""
        with contextlib.suppress(OSError):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, recording: Recorder) -> None:
        """Show where the recording stands, if that is due."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + (_LINE_EVERY_S if self._live is None else _DRAW_EVERY_S)
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.update(self._table(recording), refresh=True)
            return
        self.say(self._line(recording))

    def close(self) -> None:
        """Leave the terminal as it was, with the last table."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()

    def _absent(self, recording: Recorder) -> list[str]:
        there = {entry.name for entry in recording.entries if entry.tap is not None}
        return [name for name in self._wanted if name not in there]

    def _line(self, recording: Recorder) -> str:
        counts = recording.counts.values()
        n_samples = sum(count.n_written for count in counts)
        line = (
            f"{time.monotonic() - self._start:.0f} s: {len(recording.entries)} streams, "
            f"{n_samples} samples, {recording.n_bytes / _MB:.1f} MB"
        )
        absent = self._absent(recording)
        return f"{line}; waiting for {', '.join(absent)}" if absent else line

    def _table(self, recording: Recorder) -> Table:
        failing = " [bold red]the disk takes nothing[/]" if recording.failing else ""
        table = Table(
            title=f"recording, {time.monotonic() - self._start:.0f} s, "
            f"{recording.n_bytes / _MB:.1f} MB{failing}"
        )
        for heading in ("stream", "samples", "seconds", "lost", "MB", ""):
            table.add_column(heading, justify="left" if heading in ("stream", "") else "right")
        for entry in recording.entries:
            count = recording.counts[entry.stream_id]
            seconds = count.last_stamp - count.first_stamp if count.n_written else 0.0
            table.add_row(
                escape(entry.name),
                f"{count.n_written}",
                f"{seconds:.1f}",
                f"{count.n_dropped}",
                f"{count.n_bytes / _MB:.2f}",
                "[green]live[/]" if entry.tap is not None else "[red]gone[/]",
            )
        there = {entry.name for entry in recording.entries}
        for name in self._absent(recording):
            if name not in there:
                table.add_row(escape(name), "", "", "", "", "[yellow]waiting[/]")
        return table


def selected_names(
    stream: Sequence[str], markers: Sequence[str], decodes: Sequence[str]
) -> list[str]:
    """Names of the streams that were asked for, each once."""
    of_decoders = [stream for name in decodes for stream in (decode_name(name), status_name(name))]
    return list(dict.fromkeys([*stream, *markers, *of_decoders]))


def stream_filter(
    names: Sequence[str], others: Sequence[str], *, own: str
) -> Callable[[StreamSummary], bool]:
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

    def wanted(row: StreamSummary) -> bool:
        if row.name == own and row.source_id == own:
            return False
        if not names and not others:
            return True
        return row.name in names or row.source_id in others or row.stream_type in others

    return wanted


def _refuse_taken(name: str) -> None:
    """Two recorders of one name could not be told apart by whoever listens."""
    own = status_name(name)
    if any(row.name == own for row in list_streams()):
        raise SettingsError(
            f"there is a stream {own} already: end its recorder or decoder, or give --name another"
        )


def record_streams(
    out: Path,
    writer: XdfWriter,
    side: Sidecar,
    status: StatusOutlet,
    screen: RecorderScreen,
    wanted: Callable[[StreamSummary], bool],
    names: Sequence[str],
    stopping: Callable[[], bool],
) -> bool:
    tell = _telling(status, screen)
    recording = Recorder(writer, RawInlets(wanted), DiskGuard(out.parent, tell), tell)
    tell("recording", file=out.name)
    while not stopping():
        recording.step()
        screen.show(recording)
        time.sleep(_STEP_S)
    clean = recording.close()
    missing = sorted(set(names) - {entry.name for entry in recording.entries})
    if missing:
        tell("stream_missing", streams=missing, reason="never there")
    return _finish(recording, side, tell, clean) and not missing


def _finish(recording: Recorder, side: Sidecar, tell: Callable[..., None], clean: bool) -> bool:
    try:
        side.complete(recording, clean)
    except OSError as error:
        clean = False
        tell("write_error", reason=f"the side file: {error.strerror or error}")
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


def _telling(status: StatusOutlet, screen: RecorderScreen) -> Callable[..., None]:
    def tell(event: str, **fields: object) -> None:
        status.emit(event, **fields)
        if event not in _NOT_SHOWN:
            said = ", ".join(
                f"{key} {value}" for key, value in fields.items() if value not in ("", [], {})
            )
            screen.say(f"{event}: {said}")

    return tell
