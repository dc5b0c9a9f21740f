"""How streams, decoder, recorder and clocks do, in a few words each; nothing of Qt."""

import math
from dataclasses import dataclass

from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.stream_names import is_manual_marks, is_recorder_status
from rtbrain.view.streams.states import StreamHealth

_KINDS = {"decode": "decodes", "record": "recorder"}
_STATES = {
    "live": "good",
    "stalled": "bad",
    "lost": "bad",
    "connecting": "warn",
    "absent": "faint",
    "ended": "faint",
}
_DECODER_STATES = {
    "waiting": "warn",
    "connecting": "warn",
    "warming": "warn",
    "live": "good",
    "stalled": "bad",
    "lost": "bad",
    "refused": "bad",
    "stopping": "warn",
    "failed": "bad",
    "stopped": "faint",
}
_WRITING = {"recording", "disk", "disk_low", "write_resumed", "stream_added"}
_FAILING = {"disk_full", "write_error", "record_failed"}
_BUSY = 0.9
_ENOUGH = 1.1
_MAX_TEXT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Indicator:
    """A few words with their severity."""

    text: str
    severity: str
    tip: str


def stream_indicator(feed: StreamHealth) -> Indicator:
    """How a stream does: its state, rates, losses and clock."""
    kind = _KINDS.get(feed.kind, feed.kind)
    if is_manual_marks(feed.name):
        kind = "marks by hand"
    severity = _STATES.get(feed.state, "warn")
    trouble = feed.state == "absent" and ": " in feed.name  # why none is taken, for a name
    if trouble:
        severity = "warn"
    text = f"{kind} not taken: {feed.name}" if trouble else f"{kind} {feed.state}"
    if feed.state == "live" and feed.nominal_hz > 0:
        text = f"{kind} {_rates(feed)}"
    if feed.lost:
        text += f", {feed.lost} samples lost"
        severity = "warn" if severity == "good" else severity
    if feed.state == "live" and feed.kind == "signal" and math.isfinite(feed.clock_offset_s):
        text += f", clock {_milliseconds(feed)}"
    return Indicator(text, severity, _feed_tip(feed, kind, trouble))


def _rates(feed: StreamHealth) -> str:
    nominal = f"{feed.nominal_hz:.6g}"
    if math.isfinite(feed.effective_hz):
        return f"{feed.effective_hz:.{_digits(feed.nominal_hz)}f}/{nominal} Hz"
    return f"{nominal} Hz"


def _digits(rate_hz: float) -> int:
    return 2 if rate_hz < 100 else 1


def _milliseconds(feed: StreamHealth) -> str:
    return f"{1e3 * feed.clock_offset_s:+.2f} ± {1e3 * feed.clock_uncertainty_s:.2f} ms"


def _feed_tip(feed: StreamHealth, kind: str, trouble: bool) -> str:
    if trouble:
        return f"{kind}: none is taken. {feed.name}"
    if feed.state == "absent":
        return f"{kind}: no stream {feed.name or 'of this kind'} has been found"
    rate = f"nominal {feed.nominal_hz:.6g} Hz" if feed.nominal_hz > 0 else "irregular"
    if feed.nominal_hz > 0 and math.isfinite(feed.effective_hz):
        rate += f", effective {feed.effective_hz:.3f} Hz"
    clock = "clock offset not known yet"
    if math.isfinite(feed.clock_offset_s):
        clock = f"its sender's clock is {_milliseconds(feed)} off this machine's"
    lines = [
        f"{kind} {feed.name}: {feed.state}",
        rate,
        f"{feed.received} received, {feed.lost} lost",
        clock,
    ]
    return "\n".join(lines + ([f"origin: {feed.origin}"] if feed.origin else []))


def is_from_recorder(event: StatusEvent) -> bool:
    """Whether a recorder told it, rather than a decoder."""
    return is_recorder_status(str(event.fields.get("stream", "")))


class DecoderStatus:
    """The state of the decoder, by what it told."""

    def __init__(self) -> None:
        self._state = ""
        self._why = ""

    def update(self, event: StatusEvent) -> None:
        """Take what the decoder told."""
        if event.event == "summary":
            self._state = str(event.fields.get("state") or self._state)
        elif event.event == "stopped" and self._state == "failed":
            return  # a decoder that failed tells its totals as well
        elif event.event in _DECODER_STATES and not is_from_recorder(event):
            self._state = event.event
            why = event.fields.get("reason", "")
            self._why = str(why)[:_MAX_TEXT_CHARS]

    def indicator(self, decode: StreamHealth, status: StreamHealth) -> Indicator:
        """State of the decoder."""
        state, severity = self._state, _DECODER_STATES.get(self._state, "faint")
        tip = f"The decoder told: {state}" + (f" ({self._why})" if self._why else "")
        if not state:
            tip = "The decoder has told no state since this window opened"
            state, severity = (
                ("running", "good") if decode.state == "live" else ("unknown", "faint")
            )
        over = self._state in {"stopped", "failed", "stopping"}
        if status.state == "lost" and not over:
            state, severity = "gone", "bad"
            tip += "\nIts status stream is gone: it has ended, or cannot be reached"
        return Indicator(f"decoder: {state}", severity, tip)


class RecorderStatus:
    """What becomes of the recording, and of the disk under it, by what the recorder told."""

    def __init__(self) -> None:
        self._file = ""
        self._state = ""
        self._why = ""
        self._free_bytes = math.nan
        self._floor_bytes = math.nan
        self._minutes_left = math.nan

    def update(self, event: StatusEvent) -> None:
        """Take what a recorder told, or a decoder of the recorder that it started."""
        if not is_from_recorder(event) and event.event != "record_failed":
            return
        fields = event.fields
        if event.event == "stopped":
            self._state = "stopped"
            self._why = "" if fields.get("clean_end", True) is True else "samples are missing"
        elif event.event in _FAILING:
            self._state, self._why = event.event, _failure(fields)
        elif event.event in _WRITING and (
            self._state not in _FAILING or event.event in {"write_resumed", "recording"}
        ):
            self._state, self._why = "recording", ""
        if event.event == "recording":
            self._file = str(fields.get("file", ""))[:_MAX_TEXT_CHARS]
            self._floor_bytes = self._minutes_left = math.nan
        self._floor_bytes = _number(fields.get("floor_bytes"), self._floor_bytes)
        self._free_bytes = _number(fields.get("free_bytes"), self._free_bytes)
        self._minutes_left = _number(fields.get("minutes_left"), self._minutes_left)

    def indicator(self, record: StreamHealth) -> Indicator:
        """State of the recording."""
        named = f" {self._file}" if self._file else ""
        why = f": {self._why}" if self._why else ""
        if self._state == "record_failed" or (record.state == "lost" and self._state != "stopped"):
            tip = f"The recorder of{named or ' this session'} is gone{why}: nothing is recorded"
            return Indicator("NOT RECORDING: recorder gone", "bad", tip)
        if self._state in _FAILING:
            name = "disk full" if self._state == "disk_full" else "cannot write"
            return Indicator(f"NOT RECORDING: {name}", "bad", f"{name}{named}{why}")
        if self._state == "stopped":
            severity = "bad" if self._why else "faint"
            return Indicator(
                f"recording stopped{why}", severity, f"The recorder has ended{named}{why}"
            )
        if self._state == "recording":
            tip = f"Recording{named}, every sample that comes"
            return Indicator(f"REC{named}", "good", tip)
        if record.state == "live":
            return Indicator(
                "recorder is there", "warn", "A recorder is there and has told nothing yet"
            )
        tip = "No recorder has been found: rtbrain record FILE, or rtbrain decode --record FILE"
        return Indicator("not recording", "faint", tip)

    def disk_indicator(self) -> Indicator:
        """Room on the recorder's disk."""
        if not math.isfinite(self._free_bytes):
            return Indicator(
                "disk -", "faint", "Free space is told by a recorder; none has told it yet"
            )
        text = f"disk {self._free_bytes / 1e9:.3g} GB free"
        tip = f"Free on the recorder's disk: {self._free_bytes / 1e9:.2f} GB"
        if math.isfinite(self._minutes_left):
            tip += f", {self._minutes_left:.0f} min at this rate"
        # The recorder warns below its floor, and takes the warning back a tenth above it.
        if self._free_bytes < _ENOUGH * self._floor_bytes:
            left = f", {self._minutes_left:.0f} min" if math.isfinite(self._minutes_left) else ""
            return Indicator(f"{text}{left}: LOW", "bad", f"{tip}: make room, or end in order")
        return Indicator(text, "good", tip)


def load_indicator(busy: float) -> Indicator:
    """How busy this machine's processors are."""
    if not math.isfinite(busy):
        return Indicator("CPU -", "faint", "This system does not tell how busy its processors are")
    tip = f"All processors of this machine, {busy:.0%} busy over the last seconds"
    if busy > _BUSY:
        return Indicator(f"CPU {busy:.0%}: BUSY", "warn", f"{tip}: decodes may come late")
    return Indicator(f"CPU {busy:.0%}", "good", tip)


def _failure(fields: dict[str, object]) -> str:
    parts = [str(fields.get("reason", ""))[:_MAX_TEXT_CHARS]]
    for key, words in (("waiting_samples", "samples wait"), ("dropped_samples", "samples dropped")):
        if fields.get(key):
            parts.append(f"{fields[key]} {words}")
    return ", ".join(filter(None, parts))


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) else otherwise
