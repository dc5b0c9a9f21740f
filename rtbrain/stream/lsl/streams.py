"""What is on the network: every LSL stream, and which decoders and recorders read it."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from rtbrain.errors import SettingsError, StreamError, list_words, plain_text, quote
from rtbrain.processes import default_lsl_scope, lsl_scope_hint
from rtbrain.stream.lsl.decodes import parse_status_line
from rtbrain.stream.lsl.header import channel_texts
from rtbrain.stream.lsl.inlet import fetch_full_info, liblsl_errors, make_inlet, pull_texts
from rtbrain.stream.lsl.resolve import StreamSummary, StreamWatcher, all_streams, list_streams
from rtbrain.stream_names import is_status, sender_of

_POLL_S = 0.02
_MAX_THREADS = 16
_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class LiveStream:
    """An LSL stream on the network; texts are as announced, without control characters.

    Attributes
    ----------
    name, type, host, source_id : str
        As its sender announces them.
    n_channels : int
        Number of channels.
    sfreq_hz : float
        Nominal rate, Hz; 0 for an irregular stream.
    unit : str
        Unit of the channels; ``mixed`` if they differ, empty if not announced.
    used_by : tuple of str
        Decoders and recorders that read it, such as ``decoded by rtbrain``.
    """

    name: str
    type: str
    n_channels: int
    sfreq_hz: float
    unit: str
    host: str
    source_id: str
    used_by: tuple[str, ...] = ()


def streams(timeout_s: float = 2.0) -> list[LiveStream]:
    """Streams on the network, in order of name.

    Parameters
    ----------
    timeout_s : float
        How long to look, s; below 2 s some streams and recorders may be missed.

    Examples
    --------
    >>> import rtbrain
    >>> for stream in rtbrain.streams(timeout_s=0.2):
    ...     line = f"{stream.name}: {stream.n_channels} channels at {stream.sfreq_hz:g} Hz"
    """
    default_lsl_scope()
    found = all_streams(timeout_s / 2)
    status = [info for info in found if is_status(info.type())]
    with ThreadPoolExecutor(_MAX_THREADS) as pool:
        headers = pool.map(partial(_header, timeout_s=timeout_s / 2), found)
        recorded = pool.map(partial(_recorded, timeout_s=timeout_s / 2), status)
        users = [use for uses in recorded for use in uses]
        full = [(info, header) for info, header in zip(found, headers, strict=True)]
    users += [_decoded(header) for _, header in full if header is not None]
    rows = [_row(info, header, users) for info, header in full]
    return sorted(rows, key=lambda row: (row.name, row.source_id, row.host))


def require_free_name(stream: str, watcher: StreamWatcher | None = None) -> None:
    """Refuse the name of a stream of another decoder or recorder by a SettingsError."""
    if any(row.name == stream for row in list_streams(watcher)):
        raise SettingsError(
            f"there is a stream {stream} already: end its decoder or recorder, or choose another "
            "--name"
        )


def unnamed_stream_error(
    command: str, rows: Sequence[StreamSummary] | None = None, *, by_id: str = "--source-id "
) -> SettingsError:
    """Error where nothing says which stream is meant: those there are, and what to type.

    `command` selects one, up to its name: ``rtbrain decode --stream``; `by_id` takes the place of
    its flag where several have one name. `rows` are those to choose from; by default the signals on
    the network.
    """
    rows = signal_streams() if rows is None else rows
    if not rows:
        return SettingsError(
            "no stream is named, and there is no signal: start its sender (rtbrain streams lists "
            f"all streams), then: {command} NAME{lsl_scope_hint()}"
        )
    listed = list_words(list(map(str, rows)), _MAX_LISTED)
    chosen = f"{command} {quote(rows[0].name)}"
    if sum(row.name == rows[0].name for row in rows) > 1:
        chosen = f"{command.rpartition(' ')[0]} {by_id}{quote(rows[0].source_id)}"
    return SettingsError(f"it is not clear which stream is meant; there are {listed}: {chosen}")


def signal_streams() -> list[StreamSummary]:
    """Streams of a regular rate that are no decodes, in order of name."""
    return [row for row in list_streams() if row.sfreq_hz > 0 and row.stream_type != "Decode"]


def _header(info: Any, timeout_s: float) -> Any:
    """Full header; None if its sender does not answer, or claims what no sender sends."""
    try:
        return fetch_full_info(make_inlet(info, 1), info, timeout_s)
    except StreamError:
        return None


def _recorded(info: Any, timeout_s: float) -> list[tuple[str, str, str]]:
    """Name, source id and use of the streams that a recorder reports in its next summary."""
    end = time.monotonic() + timeout_s
    try:
        inlet = make_inlet(info, 1)
        with liblsl_errors(info, "open its data connection", timeout_s):
            inlet.open_stream(timeout_s)
        while time.monotonic() < end:
            for stamp, text in pull_texts(inlet, info):
                event = parse_status_line(stamp, text)
                if event.event == "summary":
                    use = f"recorded by {sender_of(info.name())}"
                    rows = event.fields.get("recording", [])
                    return [(str(name), str(source_id), use) for name, source_id in rows]
            time.sleep(_POLL_S)
    except (StreamError, ValueError, TypeError):
        pass  # gone meanwhile, or another program's stream
    return []


def _decoded(header: Any) -> tuple[str, str, str]:
    origin = header.desc().child("rtbrain")
    use = f"decoded by {sender_of(header.name())}"
    return origin.child_value("stream"), origin.child_value("stream_id"), use


def _row(info: Any, header: Any, users: Sequence[tuple[str, str, str]]) -> LiveStream:
    units = set(channel_texts(header, "unit")) - {""} if header is not None else set()
    mine = info.name(), info.source_id()
    return LiveStream(
        plain_text(info.name()),
        plain_text(info.type()),
        int(info.channel_count()),
        float(info.nominal_srate()),
        plain_text(units.pop()) if len(units) == 1 else "mixed" * bool(units),
        plain_text(info.hostname()),
        plain_text(info.source_id()),
        tuple(sorted({plain_text(use) for *read, use in users if tuple(read) == mine})),
    )
