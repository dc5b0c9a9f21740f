"""What the window says of the recording: whether the signal on display is in it, and its disk."""

import math

from rtbrain.errors import list_words, plain_text
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.view.health.indicators import Indicator, is_from_recorder
from rtbrain.view.streams.inlets import MAX_NAME_CHARS, StreamHealth

_WRITING = {"recording", "disk", "disk_low", "write_resumed", "stream_added"}
# A recorder says every half second what it records.
_SILENT_S = 5.0
_FAILING = {"disk_full", "write_error"}
_DISK_HYSTERESIS = 1.1
_MAX_TEXT_CHARS = 300


class RecorderStatus:
    """State of the recording and of its disk, as the recorder reports them."""

    def __init__(self) -> None:
        self._file = ""
        self._state = ""
        self._reason = ""
        self._recorded: frozenset[tuple[str, str]] | None = None  # names and source ids
        self._missing = ""
        self._t_last = math.nan
        self._free_bytes = math.nan
        self._floor_bytes = math.nan
        self._minutes_left = math.nan

    def update(self, event: StatusEvent) -> None:
        """Note an event of a recorder, or of a decoder about the recorder it started."""
        if not is_from_recorder(event) and event.event != "record_failed":
            return
        fields = event.fields
        self._t_last = event.t
        if event.event == "summary":
            self._recorded = recorded_streams(fields.get("recording"))
            self._missing = _names(fields.get("missing"))
            # It records, whatever a recorder before it did.
            self._state = self._state if self._state in _FAILING else "recording"
        elif event.event == "stopping" and self._state not in _FAILING:
            self._state, self._reason = "stopping", ""
        elif event.event == "stopped":
            self._state = "stopped"
            self._reason = "" if fields.get("clean_end", True) is True else "samples are missing"
        elif event.event in (*_FAILING, "record_failed"):
            self._state, self._reason = event.event, _failure(fields)
        elif event.event in _WRITING and (
            self._state not in _FAILING or event.event in {"write_resumed", "recording"}
        ):
            self._state, self._reason = "recording", ""
        if event.event in ("recording", "summary"):
            self._file = str(fields.get("file", ""))[:_MAX_TEXT_CHARS]
        if event.event == "recording":
            self._floor_bytes = self._minutes_left = math.nan
        self._floor_bytes = _number(fields.get("floor_bytes"), self._floor_bytes)
        self._free_bytes = _number(fields.get("free_bytes"), self._free_bytes)
        self._minutes_left = _number(fields.get("minutes_left"), self._minutes_left)

    def indicator(self, record: StreamHealth, signal: StreamHealth, now: float) -> Indicator:
        """Indicator of the recording, given the recorder's stream and the signal on display."""
        file = f" {self._file}" if self._file else ""
        reason = f": {self._reason}" if self._reason else ""
        is_over = self._state in ("stopping", "stopped")
        if self._state == "record_failed" or (record.state == "lost" and not is_over):
            tip = f"The recorder of{file or ' this session'} is gone{reason}: nothing is recorded"
            return Indicator("NOT RECORDING: recorder gone", "bad", tip)
        if record.problem:
            tip = f"Whether this signal is recorded is not known: {record.problem}"
            return Indicator("REC ? several recorders", "warn", tip)
        if self._state in _FAILING:
            name = "disk full" if self._state == "disk_full" else "cannot write"
            return Indicator(f"NOT RECORDING: {name}", "bad", f"{name}{file}{reason}")
        if self._state == "stopping":
            tip = f"The recorder is ending{file}"
            if record.state != "live":
                tip = f"The recorder has ended{file}; whether all samples are in it, OUT.json says"
            return Indicator("recording stopped", "warn", tip)
        if self._state == "stopped":
            tip = f"The recorder has ended{file}{reason}"
            return Indicator(f"recording stopped{reason}", "bad" if reason else "faint", tip)
        if self._state == "recording" and self._recorded is not None:
            return self._recording(signal, file, now)
        if record.state == "live":
            tip = "A recorder is running and has not yet said what it records"
            return Indicator("recorder found", "warn", tip)
        tip = "No recorder was found: start rtbrain record FILE, or rtbrain decode --record FILE"
        return Indicator("not recording", "faint", tip)

    def _recording(self, signal: StreamHealth, file: str, now: float) -> Indicator:
        """Indicator of a file that grows; REC alone stands for the signal on display only."""
        recorded = self._recorded or frozenset()
        names = ", ".join(sorted(name for name, _ in recorded)) or "no stream"
        if now - self._t_last > _SILENT_S:
            silent_s = now - self._t_last
            tip = f"The recorder of{file or ' a file'} has said nothing for {silent_s:.0f} s"
            return Indicator("REC ? recorder silent", "bad", tip)
        if (signal.name, signal.source_id) not in recorded:
            tip = f"Recorded to{file or ' a file'} now: {names}; the signal in this window is not"
            return Indicator("REC, NOT THIS SIGNAL", "bad", tip)
        if self._missing:
            tip = f"Expected in{file or ' the file'}, and not recorded: {self._missing}"
            return Indicator(f"REC{file}, MISSING {self._missing}", "bad", tip)
        tip = f"Recording every sample to{file or ' a file'}: {names}"
        return Indicator(f"REC{file}", "good", tip)

    def disk_indicator(self) -> Indicator:
        """Free space on the recorder's disk."""
        if not math.isfinite(self._free_bytes):
            return Indicator("disk -", "faint", "No recorder has reported its free space yet")
        text = f"disk {self._free_bytes / 1e9:.3g} GB free"
        tip = f"Free on the recorder's disk: {self._free_bytes / 1e9:.2f} GB"
        left = f", {self._minutes_left:.0f} min" if math.isfinite(self._minutes_left) else ""
        tip += f"{left} at this rate" if left else ""
        # The recorder warns below its floor, and withdraws the warning a tenth above it.
        if self._free_bytes < _DISK_HYSTERESIS * self._floor_bytes:
            tip += ": free some space, or stop the recording"
            return Indicator(f"{text}{left}: LOW", "bad", tip)
        return Indicator(text, "good", tip)


def recorded_streams(rows: object) -> frozenset[tuple[str, str]] | None:
    """Names and source ids that a recorder reported; None where it reported none."""
    if not isinstance(rows, list):
        return None
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2]
    return frozenset(
        (plain_text(str(name), MAX_NAME_CHARS), plain_text(str(source_id), MAX_NAME_CHARS))
        for name, source_id in pairs
    )


def _names(streams: object) -> str:
    return list_words([str(name) for name in streams]) if isinstance(streams, list) else ""


def _failure(fields: dict[str, object]) -> str:
    parts = [str(fields.get("reason", ""))[:_MAX_TEXT_CHARS]]
    for what in ("waiting", "dropped"):
        if number := fields.get(f"{what}_samples"):
            parts.append(f"{number} samples {what}")
    return ", ".join(filter(None, parts))


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
