"""What a live session shows: each event as a sentence, and one live view below them."""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live

from rtbrain.errors import plain_text

_DRAW_EVERY_S = 0.25
_LINE_EVERY_S = 10.0
_MAX_CHARS = 2000

# Status events as sentences. An event that says nothing to a reader is an empty text; the fields
# of an event that is absent here are listed behind its name.
_SENTENCES: dict[str, str] = {
    # the stream
    "waiting": "looking for the stream{reason}",
    "connecting": "connecting to {stream}",
    "connected": "connected to {stream}{channels}{rate_hz}{missing}{notes}",
    "warming": "connected; waiting for the first samples",
    "live": "samples arrive",
    "stalled": "the stream is silent",
    "lost": "the stream is lost: {reason}",
    "refused": "{reason}",
    "recovered": "the stream is back; samples lost meanwhile: {gap}{lost}",
    "search_failed": "streams cannot be looked for now: {reason}",
    "amplitude": "{stream}{reason}",
    "mains": "{reason}",
    "drift": "the signal is unlike calibration: {reason}",
    "drift_over": "the signal is like calibration again",
    "trend": "",
    "link_slow": "the network is too slow: {link_mbit_s} of {data_mbit_s} Mbit/s arrive, and the "
    "signal is {latency_s} s old",
    "sender_clock": "{reason}",
    "markers_clock": "{reason}",
    "trigger": "{reason}",
    "rate": "the stream's true rate is {effective_rate_hz} Hz: resampled to {nominal_rate_hz} Hz",
    "stopping": "",
    "clock": "",
    "summary": "",
    "failed": "",
    "gap": "",
    "skipped": "",
    "valid": "decodes are valid",
    "invalid": "no valid decodes: {reason}",
    "decoding": "decoding ({mode}{population}) to {to}; Ctrl-C ends it",
    "detecting": "detecting {calibrated} to {to}{sending}",
    "threshold": "threshold of {label}: {up}, was {was}, by {by}{calibrated}",
    "detected": "{label} detected ({value}){calibrated}",
    "suppressed": "",
    "outputs": "outputs: {outputs}; disarmed",
    "armed": "ARMED by {by}: {outputs}",
    "disarmed": "DISARMED: {reason}",
    "control_failed": "no other program can arm or stop this decoder: {reason}",
    "output_failed": "{output}: {reason}",
    "trigger_log_failed": "the trigger log cannot be written: {reason}",
    "markers_skipped": "{events} events were dropped before they could be read",
    "markers_lost": "the markers are lost: {reason}",
    "markers_refused": "the markers are refused: {reason}",
    "markers_recovered": "the markers are back: {stream}",
    "manual_marks": "channels that {source_id} on {host} marks as bad are left out",
    "manual_marks_refused": "marks of {source_id} on {host} are not taken: see mark_senders",
    "manual_marks_failed": "marks of {source_id} on {host} cannot be received: {reason}",
    "mark_refused": "channel {channel} stays left out: {source_id} on {host} did not mark it",
    # channels
    "channel_bad": "channel {channel} is left out: {reason}",
    "channel_good": "channel {channel} is used again",
    "artifact": "an artifact on {channels}: decodes are not valid while it lasts",
    "artifact_usual": "jumps of {channels} last, and count as their signal from now on",
    "stimulation_endless": "a train has no end after {train_s} s: it is taken to be over",
    "stimulation": "periodic stimulation of {rate_hz} Hz is subtracted; 0: no longer",
    "stimulation_late": "a stimulation marker came too late, by {late_s} s, marker {markers}",
    "channel_unknown": "channel {channel}, {reason}, is none of the decoder's",
    # the decoder
    "runtime": "the encoder runs on {runtime}, {precision}{note}",
    "adapted": "version {folder} is written, {reason}",
    "rolled_back": "{reason}",
    "label_ignored": "{reason}",
    "not_saved": "what was learned is not saved: {reason}",
    "pace": "one decode takes {step_ms} ms here{hop_ms}",
    "too_slow": "{reason}",
    "restarted": "the decoder was started again after a crash ({reason}), restart {restarts}",
    "statistics": "the normaliser begins {restored}: saved statistics are {note}",
    "thresholds_not_saved": "thresholds that were moved cannot be saved for a restart: {reason}",
    "state_not_saved": "what the normaliser has seen cannot be saved: {reason}",
    "metrics_failed": "no metrics: {reason}",
    # the recorder
    "record_started": "recording into {file}",
    "record_failed": "the recorder has ended with code {code}; decoding goes on",
    "recording": "recording into {file}",
    "stream_added": "recording {stream} ({type}, {channels}{rate_hz}){note}{again}",
    "stream_lost": "{stream} is gone after {samples} samples: {reason}",
    "stream_ended": "{stream} has ended in order after {samples} samples",
    "stream_refused": "{stream} is not recorded: {reason}",
    "stream_unreachable": "{stream} cannot be reached: {reason}",
    "stream_missing": "never found: {streams}",
    "expected_missing": "ALARM: expected, and not recorded: {streams}",
    "expected_recorded": "all that is expected is recorded: {streams}",
    "disk": "",
    "disk_low": "the disk is nearly full{free_bytes}{minutes_left}",
    "disk_full": "the disk is full{waiting_samples}{dropped_samples}",
    "disk_slow": "writing took {seconds} s: the disk is slow",
    "write_error": "writing failed: {reason}{waiting_samples}{dropped_samples}",
    "split_failed": "no next file, this one goes on: {reason}",
    "write_resumed": "writing again{dropped_samples}",
    "recorder": "record: {said}",
    "stopped": "{streams}{decodes}{lost}{skipped}{dropped}{clean_end}",
}
# How a field reads where its bare value would not do; None leaves it out.
_WORDS: dict[tuple[str, str], Callable[[Any], str]] = {
    ("connected", "channels"): lambda n: f": {n} channels",
    ("connected", "rate_hz"): lambda hz: f" at {hz:g} Hz",
    ("connected", "missing"): lambda names: f"; missing {', '.join(names)}" if names else "",
    ("connected", "notes"): lambda notes: "".join(f"; {note}" for note in notes),
    ("waiting", "reason"): lambda reason: f"; {reason}",
    ("refused", "reason"): lambda reason: f"the stream is refused: {reason}",
    ("runtime", "note"): lambda note: f"; {note}" if note else "",
    ("statistics", "restored"): lambda yes: "where it was" if yes else "anew",
    ("pace", "hop_ms"): lambda ms: f", of a hop of {ms:g} ms",
    ("detecting", "calibrated"): lambda labels: ", ".join(
        label if calibrated else f"{label} (not calibrated)" for label, calibrated in labels.items()
    ),
    ("detecting", "sending"): lambda sending: "" if sending else "; not sent yet",
    ("threshold", "calibrated"): lambda calibrated: "" if calibrated else "; not calibrated",
    ("detected", "value"): lambda value: f"{value:.3g}",
    ("detected", "calibrated"): lambda calibrated: "" if calibrated else "; not calibrated",
    ("decoding", "population"): lambda text: f"; {text}" if text else "",
    ("rate", "effective_rate_hz"): lambda hz: f"{hz:.3f}",
    ("stream_added", "channels"): lambda n: "1 channel" if n == 1 else f"{n} channels",
    ("stream_added", "rate_hz"): lambda hz: f" at {hz:g} Hz" if hz else ", irregular",
    ("stream_added", "note"): lambda note: f"; {note}" if note else "",
    ("stream_added", "again"): lambda again: "; it is back" if again else "",
    ("stream_missing", "streams"): lambda names: ", ".join(names),
    ("amplitude", "stream"): lambda name: f"{name}: ",
    ("disk_low", "free_bytes"): lambda n: f": {n / 1e6:.0f} MB left",
    ("disk_low", "minutes_left"): lambda minutes: f", about {minutes:g} minutes",
    ("stopped", "streams"): lambda counts: (
        ", ".join(f"{n} samples of {name.partition(' ')[2]}" for name, n in counts.items())
        or "no stream was recorded"
    ),
    ("stopped", "decodes"): lambda n: f"{n} decodes",
    ("stopped", "lost"): lambda n: f", {n} samples lost",
    ("stopped", "skipped"): lambda n: f", {n} windows skipped",
    ("stopped", "dropped"): lambda n: f"; {n} samples dropped" if n else "",
    ("stopped", "clean_end"): lambda clean: "" if clean else "; the file may be incomplete",
}
_COUNTS = {
    "waiting_samples": "; {} samples wait to be written",
    "dropped_samples": "; {} samples dropped",
}


class _Fields(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def sentence(event: str, fields: Mapping[str, Any]) -> str:
    """A status event as a sentence for people; empty if there is nothing to say."""
    if event not in _SENTENCES:
        words = ", ".join(f"{key.replace('_', ' ')} {_plain(it)}" for key, it in fields.items())
        text = f"{event.replace('_', ' ')}: {words}" if words else event.replace("_", " ")
    else:
        read = {key: _word(event, key, value) for key, value in fields.items()}
        text = _SENTENCES[event].format_map(_Fields(read))
    return plain_text(text, _MAX_CHARS)


def _word(event: str, key: str, value: Any) -> str:
    if (event, key) in _WORDS:
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            return _WORDS[event, key](value)
        return _plain(value)  # of another kind than its sender means
    if key in _COUNTS:
        return _COUNTS[key].format(value) if value else ""
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on in silence, where rich would end the process."""
        self.quiet = True


class LiveScreen:
    """Messages, and below them a view that is drawn anew; without a terminal, a line every 10 s.

    The first line comes after `first_line_s`.

    Whether anyone reads it does not concern the session: an output that is closed is ignored.
    """

    def __init__(
        self, console: Console | None = None, *, first_line_s: float = _LINE_EVERY_S
    ) -> None:
        self._console = console = _Console(stderr=True) if console is None else console
        self._live = None
        self._due = time.monotonic()
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        else:
            self._due += first_line_s

    @property
    def on_terminal(self) -> bool:
        """Whether the view is drawn anew, rather than printed line by line."""
        return self._live is not None

    def say(self, text: str) -> None:
        """Print a message, if there is one."""
        if text:
            with contextlib.suppress(OSError):
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def report(self, event: str, **fields: object) -> None:
        """Print a status event in words."""
        self.say(sentence(event, fields))

    def show(self, view: Callable[[], RenderableType]) -> None:
        """Draw the view, or print it as a line, if that is due."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + (_LINE_EVERY_S if self._live is None else _DRAW_EVERY_S)
        with contextlib.suppress(OSError):
            if self._live is not None:
                self._live.update(view(), refresh=True)
            else:
                self._console.print(view(), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was, with the messages."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()
