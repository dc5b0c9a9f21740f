"""`rtbrain record`: streams selected, recorded until the end, and shown meanwhile.

Each file has a side file, written before data flow and completed at the end.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from rtbrain.errors import SettingsError, plain_text
from rtbrain.live.recorder import Recorder, span_s, stream_counts
from rtbrain.live.recorder_alarms import DiskGuard, ExpectedStreams
from rtbrain.live.recorder_files import RecordingFiles, Sidecar, parse_notes
from rtbrain.live.screen import LiveScreen
from rtbrain.outlet import StatusOutlet
from rtbrain.processes import end_with_parent, stop_after, stop_on_signals
from rtbrain.stream.lsl.raw_inlets import RawInlets
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.stream.lsl.streams import require_free_name
from rtbrain.stream_names import (
    decode_name,
    events_name,
    manual_marks_name,
    recorder_source_id,
    sender_of,
    status_name,
    triggers_name,
)

_MB = 1e6
_STEP_S = 0.05
# `rtbrain.streams` waits a second for it.
_SUMMARY_EVERY_S = 0.5
_SPLIT_AGAIN_S = 10.0


def record(
    out: Path,
    names: Sequence[str],
    others: Sequence[str] = (),
    *,
    name: str = "rtbrain-record",
    notes: Sequence[str] = (),
    expected: Sequence[str] = (),
    split_s: float | None = None,
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
    expected : sequence of str
        Names of streams; an alarm is reported while one of them is not recorded. Others may be
        absent then.
    split_s : float, optional
        Begin another file after so many seconds: OUT_001.xdf, OUT_002.xdf and so on; no sample is
        lost between them, and each can be read alone.
    duration_s : float, optional
        When to stop, s from now.
    parent : int, optional
        Process that this one belongs to: it reads the events from stderr, as lines of JSON.

    Returns
    -------
    bool
        Whether every stream of `expected` was there, or of `names` where none is expected, and all
        samples are in the files.

    Raises
    ------
    SettingsError
        A file exists or cannot be made, a note is no KEY=VALUE, or the name is taken.
    """
    asked_to_stop = stop_on_signals()
    if parent is not None:
        end_with_parent(parent)
    files = RecordingFiles(out, parse_notes(notes), split=split_s is not None)
    require_free_name(status_name(name))
    writer = files.open_next()
    status = StatusOutlet(name, source_id=recorder_source_id(name))
    screen = LiveScreen(first_line_s=0.0) if parent is None else None
    report = _reporter(status, screen)
    wanted = stream_filter(names, others, own=name)
    recorder = Recorder(writer, RawInlets(wanted), DiskGuard(out.parent, report), report)
    watched = ExpectedStreams(expected, report)
    needed = list(dict.fromkeys(expected or names))
    report("recording", file=files.path.name)
    start_s = summary_at = time.monotonic()
    split_at = float("inf") if split_s is None else start_s + split_s
    stopping = stop_after(asked_to_stop, duration_s, time.monotonic)
    whole = True
    try:
        while not stopping():
            recorder.step()
            watched.check(recorder.arriving())
            now = time.monotonic()
            # While nothing can be written, the samples wait for room in the file that they are of.
            if split_s is not None and now >= split_at and not recorder.failing:
                done, clean = _split(recorder, files, report)
                whole &= clean
                split_at = split_at + split_s if done else now + _SPLIT_AGAIN_S
            if screen is not None:
                screen.show(lambda: _view(recorder, needed, time.monotonic() - start_s, screen))
            if now >= summary_at:
                summary_at = now + _SUMMARY_EVERY_S
                status.emit(
                    "summary",
                    recording=recorder.recorded_now(),
                    file=files.path.name,
                    missing=watched.missing,
                    seconds=round(now - start_s, 1),
                    bytes=recorder.n_bytes,
                    failing=recorder.failure,
                )
            time.sleep(_STEP_S)
        # Before the last samples are written: whoever listens knows of the end in good time.
        status.emit("stopping")
        return _finish(recorder, needed, files, report, whole)
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


def _split(
    recorder: Recorder, files: RecordingFiles, report: Callable[..., None]
) -> tuple[bool, bool]:
    """Go on in the next file: whether there is one, and whether all samples are in the old one."""
    side = files.side
    try:
        writer = files.open_next()
    except SettingsError as error:
        report("split_failed", reason=str(error))
        return False, True
    counts, clean = recorder.go_on_in(writer)
    report("recording", file=files.path.name)
    return True, _complete(side, counts, clean, report)


def _complete(
    side: Sidecar, counts: list[dict[str, Any]], clean: bool, report: Callable[..., None]
) -> bool:
    """Complete a side file; whether that went well and the recording is whole."""
    try:
        side.complete(counts, clean)
    except OSError as error:
        report("write_error", reason=f"the side file: {error.strerror or error}")
        return False
    return clean


def _finish(
    recorder: Recorder,
    names: Sequence[str],
    files: RecordingFiles,
    report: Callable[..., None],
    whole: bool,
) -> bool:
    clean = recorder.close()
    missing = sorted(set(names) - {entry.name for entry in recorder.entries})
    if missing:
        report("stream_missing", streams=missing)
    whole &= _complete(files.side, stream_counts(recorder), clean, report)
    totals = [recorder.total(entry) for entry in recorder.entries]
    named = zip(recorder.entries, totals, strict=True)
    report(
        "stopped",
        streams={f"{place} {entry.name}": total[0] for place, (entry, total) in enumerate(named)},
        dropped=sum(n_dropped for _, n_dropped in totals),
        clean_end=whole,
    )
    return whole and not missing


def _view(
    recorder: Recorder, names: Sequence[str], passed_s: float, screen: LiveScreen
) -> RenderableType:
    there = {one.name for one in recorder.entries if one.inlet is not None or one.ended}
    absent = [plain_text(name) for name in names if name not in there]
    return (_table if screen.on_terminal else _line)(recorder, absent, passed_s)


def _line(recorder: Recorder, absent: Sequence[str], passed_s: float) -> str:
    n_samples = sum(recorder.total(entry)[0] for entry in recorder.entries)
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
        n_samples, n_dropped = recorder.total(entry)
        count = recorder.counts.get(entry.stream_id)
        table.add_row(
            escape(plain_text(entry.name)),
            f"{n_samples}",
            f"{span_s(count) if count else 0.0:.1f}",
            f"{n_dropped}",
            f"{count.n_bytes / _MB if count else 0.0:.2f}",
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
    """Whether a stream is recorded: any where nothing is named, but never our own status.

    With the decodes of a decoder go its events, its trigger log and changes of its thresholds.
    """
    senders = {sender_of(name) for name in names if name != sender_of(name)}
    others_of = (events_name, triggers_name, manual_marks_name)
    taken = {*names, *(name_of(sender) for name_of in others_of for sender in senders)}

    def wanted(row: StreamSummary) -> bool:
        if (row.name, row.source_id) == (status_name(own), recorder_source_id(own)):
            return False
        if not names and not others:
            return True
        return row.name in taken or row.source_id in others or row.stream_type in others

    return wanted
