"""`rtbrain record`: streams selected, recorded until the end, and shown meanwhile.

The side file OUT.json is written before data flow, and completed at the end.
"""

import json
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pylsl
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

import rtbrain
from rtbrain.errors import SettingsError, plain_text
from rtbrain.files import require_writable_file, write_atomically
from rtbrain.live.recorder import DiskGuard, Recorder
from rtbrain.live.screen import LiveScreen
from rtbrain.outlet import StatusOutlet
from rtbrain.processes import stop_after, stop_on_signals
from rtbrain.recording.xdf.writer import StreamCounts, open_xdf
from rtbrain.stream.lsl.raw_inlet import RawInlets
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.stream.lsl.streams import require_free_name
from rtbrain.stream_names import decode_name, status_name

_MB = 1e6
_SIDE_FORMAT = 1
_STEP_S = 0.05
# `rtbrain.streams` waits a second for it.
_SUMMARY_EVERY_S = 0.5


class Sidecar:
    """The side file of a recording."""

    def __init__(self, recording: Path, notes: dict[str, Any]) -> None:
        self._path = recording.with_suffix(".json")
        self._content: dict[str, Any] = {
            "format": _SIDE_FORMAT,
            "recording": recording.name,
            "rtbrain": rtbrain.__version__,
            "python": platform.python_version(),
            "pylsl": pylsl.__version__,
            "liblsl": pylsl.library_version() / 100,
            "notes": notes,
            "streams": [],
            "clean_end": False,
        }
        try:
            with self._path.open("x", encoding="utf-8") as file:
                file.write(self._text())
        except FileExistsError as error:
            raise SettingsError(
                f"{self._path} exists already, and a recording overwrites nothing: choose "
                "recording another name"
            ) from error
        except OSError as error:
            raise SettingsError(f"{self._path} cannot be made: {error.strerror}") from error

    def complete(self, streams: list[dict[str, Any]], clean_end: bool) -> None:
        """Add the counts of the streams and how it ended."""
        self._content |= {"streams": streams, "clean_end": clean_end}
        write_atomically(self._path, self._text())

    def _text(self) -> str:
        return json.dumps(self._content, indent=2, ensure_ascii=False) + "\n"


def record(
    out: Path,
    names: Sequence[str],
    others: Sequence[str] = (),
    *,
    name: str = "rtbrain-record",
    notes: Sequence[str] = (),
    duration_s: float | None = None,
    parent: int | None = None,
) -> bool:
    """Record LSL streams into an XDF file until a signal, a set time, or the end of a parent.

    Parameters
    ----------
    out : Path
        New file, OUT.xdf; OUT.json is written beside it.
    names, others : sequence of str
        Names of the streams; source ids and types of further ones. Every stream if both are empty.
    name : str
        Status events are sent as ``NAME-status``.
    notes : sequence of str
        KEY=VALUE for OUT.json.
    duration_s : float, optional
        When to stop, s from now.
    parent : int, optional
        Process that this one belongs to: it reads the events from stderr, as lines of JSON.

    Returns
    -------
    bool
        Whether every stream of `names` was there, and all their samples are in the file.

    Raises
    ------
    SettingsError
        The file exists or cannot be made, a note is no KEY=VALUE, or the name is taken.
    """
    asked_to_stop = stop_on_signals(parent)
    require_new_recording(out)
    parsed = parse_notes(notes)
    require_free_name(status_name(name))
    writer = open_xdf(out)
    try:
        side = Sidecar(out, parsed)
    except SettingsError:
        writer.close()
        out.unlink()
        raise
    status = StatusOutlet(name, source_id=status_name(name))
    screen = LiveScreen(first_line_s=0.0) if parent is None else None
    report = _reporter(status, screen)
    wanted = stream_filter(names, others, own=status_name(name))
    recorder = Recorder(writer, RawInlets(wanted), DiskGuard(out.parent, report), report)
    report("recording", file=out.name)
    start_s = time.monotonic()
    stopping = stop_after(asked_to_stop, duration_s, time.monotonic)
    summary_at = start_s
    try:
        while not stopping():
            recorder.step()
            if screen is not None:
                screen.show(lambda: _view(recorder, names, time.monotonic() - start_s, screen))
            if time.monotonic() >= summary_at:
                summary_at = time.monotonic() + _SUMMARY_EVERY_S
                status.emit("summary", recording=recorder.recorded_now())
            time.sleep(_STEP_S)
        return _finish(recorder, names, side, report)
    finally:
        if screen is not None:
            screen.close()
        status.close()


def _reporter(status: StatusOutlet, screen: LiveScreen | None) -> Callable[..., None]:
    """Events to the status stream, and in words to the screen or as JSON to a parent."""

    def report(event: str, **fields: object) -> None:
        status.emit(event, **fields)
        if screen is not None:
            screen.report(event, **fields)
        else:
            print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)

    return report


def _finish(
    recorder: Recorder, names: Sequence[str], side: Sidecar, report: Callable[..., None]
) -> bool:
    clean = recorder.close()
    missing = sorted(set(names) - {entry.name for entry in recorder.entries})
    if missing:
        report("stream_missing", streams=missing)
    counts = stream_counts(recorder)
    try:
        side.complete(counts, clean)
    except OSError as error:
        clean = False
        report("write_error", reason=f"the side file: {error.strerror or error}")
    report(
        "stopped",
        streams={f"{number} {one['name']}": one["samples"] for number, one in enumerate(counts)},
        dropped=sum(one["dropped"] for one in counts),
        clean_end=clean,
    )
    return clean and not missing


def _view(
    recorder: Recorder, names: Sequence[str], passed_s: float, screen: LiveScreen
) -> RenderableType:
    there = {entry.name for entry in recorder.entries if entry.inlet is not None}
    absent = [plain_text(name) for name in names if name not in there]
    return (_table if screen.on_terminal else _line)(recorder, absent, passed_s)


def _line(recorder: Recorder, absent: Sequence[str], passed_s: float) -> str:
    n_samples = sum(count.n_written for count in recorder.counts.values())
    line = (
        f"{passed_s:.0f} s: {len(recorder.entries)} streams, {n_samples} samples, "
        f"{recorder.n_bytes / _MB:.1f} MB"
    )
    return f"{line}; waiting for {', '.join(absent)}" if absent else line


def _table(recorder: Recorder, absent: Sequence[str], passed_s: float) -> Table:
    failing = " [bold red]nothing can be written[/]" if recorder.failing else ""
    table = Table(title=f"recording, {passed_s:.0f} s, {recorder.n_bytes / _MB:.1f} MB{failing}")
    for heading in ("stream", "samples", "seconds", "lost", "MB", ""):
        table.add_column(heading, justify="left" if heading in ("stream", "") else "right")
    for entry in recorder.entries:
        count = recorder.counts[entry.stream_id]
        table.add_row(
            escape(plain_text(entry.name)),
            f"{count.n_written}",
            f"{_duration_s(count):.1f}",
            f"{count.n_dropped}",
            f"{count.n_bytes / _MB:.2f}",
            "[green]live[/]" if entry.inlet is not None else "[red]gone[/]",
        )
    known = {plain_text(entry.name) for entry in recorder.entries}
    for name in absent:
        if name not in known:
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
    """Whether a stream is recorded: any where nothing is named, but never our own status."""

    def wanted(row: StreamSummary) -> bool:
        if row.name == own and row.source_id == own:
            return False
        if not names and not others:
            return True
        return row.name in names or row.source_id in others or row.stream_type in others

    return wanted


def parse_notes(notes: Sequence[str]) -> dict[str, Any]:
    """Notes KEY=VALUE; a value that is JSON is taken as such."""
    parsed: dict[str, Any] = {}
    for note in notes:
        key, equals, text = note.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"--note {note!r}: expected KEY=VALUE")
        if key in parsed:
            raise SettingsError(f"--note: {key!r} is repeated")
        try:
            parsed[key] = json.loads(text)
        except json.JSONDecodeError:
            parsed[key] = text
        # Settings hold names of streams, which may have any sign in them.
        if isinstance(parsed[key], str) and re.search(r"[/\\]", parsed[key]):
            raise SettingsError(
                f"--note {key}: {text!r} looks like a path, and recordings are shared: "
                "use a plain word"
            )
    return parsed


def stream_counts(recorder: Recorder) -> list[dict[str, Any]]:
    """Counts of the samples of each stream of a recording."""
    return [
        {
            "name": count.facts.name,
            "channels": count.facts.n_channels,
            "format": count.facts.value_format,
            "rate_hz": count.facts.sfreq_hz,
            "samples": count.n_written,
            "dropped": count.n_dropped,
            "duration_s": round(_duration_s(count), 6),
            "clock_offsets": len(count.offsets),
            "lost_links": entry.n_lost_connections,
        }
        for entry in recorder.entries
        for count in [recorder.counts[entry.stream_id]]
    ]


def _duration_s(count: StreamCounts) -> float:
    return count.last_stamp - count.first_stamp if count.n_written else 0.0


def require_new_recording(out: Path) -> None:
    """Refuse a recording that could not be made or would overwrite a file."""
    if out.suffix != ".xdf":
        raise SettingsError(f"{out}: expected a recording whose name ends in .xdf")
    require_writable_file(out, "recording")
    for path in (out, out.with_suffix(".json")):
        if path.exists():
            raise SettingsError(
                f"{path} exists already, and a recording overwrites nothing: choose another name"
            )
