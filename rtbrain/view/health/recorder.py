"""Who records the signal on display, and how that goes; free of Qt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rtbrain.errors import list_words, plain_text
from rtbrain.stream.lsl.decodes import StatusEvent
from rtbrain.stream_names import recorder_name, sender_of, status_name
from rtbrain.view.streams.inlets import MAX_NAME_CHARS, StreamHealth

_FAILING = ("disk_full", "write_error")
# A recorder says every half second what it records.
_SILENT_S = 5.0
# A recorder finds its streams one after the other.
_STARTS_S = 1.5
_DISK_HYSTERESIS = 1.1
_MAX_TEXT_CHARS = 300
_MAX_RECORDERS = 16


@dataclass(frozen=True, slots=True)
class Recording:
    """State of the recording of one signal, as the pill shows it."""

    # none, rec, no_signal, other (a recorder runs, the signal is not in it) or failed
    state: str = "none"
    why: str = ""  # of failed: disk_full, write_error, gone or silent
    since: float = math.nan  # of failed, s on the LSL clock
    file: str = ""
    seconds: float = math.nan  # since it began
    streams: tuple[str, ...] = ()  # that it records
    missing: str = ""  # expected ones that it does not record
    n_waiting: int = 0  # samples that wait for room on the disk
    n_dropped: int = 0
    incomplete: bool = False  # the last one ended, and samples are missing in it
    free_bytes: float = math.nan
    minutes_left: float = math.nan
    disk_low: bool = False
    recorder: str = ""  # name of its status stream
    other_failed: "Recording | None" = None  # that held the signal beside this one


@dataclass(slots=True)
class _Recorder:
    """What one recorder reported of itself."""

    name: str
    state: str = ""  # recording, stopping or stopped
    failure: str = ""  # disk_full or write_error, while it lasts
    failed_at: float = math.nan
    file: str = ""
    recorded: frozenset[tuple[str, str]] | None = None  # names and source ids
    had: set[tuple[str, str]] = field(default_factory=set)  # all that it has recorded
    missing: str = ""
    began_at: float = math.nan
    n_waiting: int = 0
    n_dropped: int = 0
    incomplete: bool = False
    free_bytes: float = math.nan
    floor_bytes: float = math.nan
    minutes_left: float = math.nan
    heard_at: float = math.nan  # by the clock of this window
    gone_at: float = math.nan

    def take(self, event: StatusEvent, now: float) -> None:
        fields = event.fields
        self.heard_at, self.gone_at = now, math.nan
        if event.event == "stopping":
            self.state = "stopping"
        elif event.event == "stopped":
            self.state, self.failure = "stopped", ""
            self.incomplete = fields.get("clean_end", True) is not True
        elif event.event == "recording":
            self.state, self.failure, self.began_at = "recording", "", event.t
            self.floor_bytes = self.minutes_left = math.nan
        elif event.event == "summary":
            self._summary(event)
        elif event.event == "stream_added":
            self.state = "recording"
            added = recorded_streams([[fields.get("stream"), fields.get("source_id")]])
            self.recorded = (self.recorded or frozenset()) | (added or frozenset())
        if event.event in _FAILING:
            self._fail(event.event, event.t)
        elif event.event == "write_resumed":
            self.failure = ""
        if event.event in ("recording", "summary"):
            self.file = plain_text(str(fields.get("file", "")))[:_MAX_TEXT_CHARS]
        self.had |= self.recorded or frozenset()
        self.floor_bytes = _number(fields.get("floor_bytes"), self.floor_bytes)
        self.free_bytes = _number(fields.get("free_bytes"), self.free_bytes)
        self.minutes_left = _number(fields.get("minutes_left"), self.minutes_left)
        self.n_waiting = int(_number(fields.get("waiting_samples"), self.n_waiting))
        self.n_dropped = int(_number(fields.get("dropped_samples"), self.n_dropped))

    def _summary(self, event: StatusEvent) -> None:
        fields = event.fields
        self.state = "recording"
        self.recorded = recorded_streams(fields.get("recording"))
        self.missing = _names(fields.get("missing"))
        seconds = _number(fields.get("seconds"), math.nan)
        if math.isfinite(seconds):
            self.began_at = event.t - seconds
        failing = fields.get("failing")
        if failing in _FAILING:
            self._fail(str(failing), event.t)
        elif failing == "":
            self.failure = ""

    def _fail(self, why: str, t: float) -> None:
        if not self.failure:
            self.failed_at = t
        self.failure = why

    def why_failed(self, now: float) -> str:
        if self.state in ("stopping", "stopped"):
            return ""
        if math.isfinite(self.gone_at):
            return "gone"
        if self.failure:
            return self.failure
        return "silent" if now - self.heard_at > _SILENT_S else ""


class Recorders:
    """All recorders that the window hears of, and what they mean for one signal."""

    def __init__(self) -> None:
        self._known: dict[str, _Recorder] = {}

    def take(
        self,
        events: Sequence[StatusEvent],
        decoder_events: Sequence[StatusEvent],
        feeds: Sequence[StreamHealth],
        now: float,
    ) -> None:
        """Note events of recorders, those of a decoder about its own, and who is there."""
        for event in events:
            self._recorder(str(event.fields.get("recorder", ""))).take(event, now)
        for event in decoder_events:
            if event.event == "record_failed":
                decoder = sender_of(str(event.fields.get("stream", "")))
                one = self._recorder(status_name(recorder_name(decoder)))
                one.gone_at = event.t if math.isnan(one.gone_at) else one.gone_at
        for feed in feeds:
            known = self._known.get(feed.name) if feed.kind == "record" else None
            if known is not None and feed.state == "lost" and math.isnan(known.gone_at):
                known.gone_at = now

    def recording(self, signal: StreamHealth, now: float) -> Recording:
        """State of the recording of a signal; a recorder that holds it counts before others.

        Before there is a signal, no recording can be that of another one.
        """
        this = (signal.name, signal.source_id)
        bound = signal.state not in ("absent", "connecting") or signal.received
        mine, others, over = [], [], Recording()
        for one in self._known.values():
            failed = one.why_failed(now)
            if one.state in ("stopped", "stopping"):
                over = _state(one, "none", now) if one.state == "stopped" else over
            elif this in (one.recorded or ()) or (failed and (this in one.had or not one.had)):
                mine.append(one)
            elif bound and not (failed or now - one.began_at < _STARTS_S) and one.state:
                others.append(one)
        mine.sort(key=lambda one: bool(one.why_failed(now)))
        if mine and not mine[0].why_failed(now):
            silent = signal.state in ("stalled", "lost")
            made = _state(mine[0], "no_signal" if silent else "rec", now)
            dead = [_state(one, "failed", now) for one in mine if one.why_failed(now)]
            # One that began later has taken the place of one that is dead.
            began_at = max(one.began_at for one in mine if not one.why_failed(now))
            lasting = [one for one in dead if one.why in _FAILING or began_at < one.since]
            return replace(made, other_failed=lasting[0] if lasting else None)
        if mine:
            return _state(mine[0], "failed", now)
        return _state(others[0], "other", now) if others else over

    def _recorder(self, name: str) -> _Recorder:
        if name not in self._known:
            while len(self._known) >= _MAX_RECORDERS:
                del self._known[next(iter(self._known))]
            self._known[name] = _Recorder(name)
        return self._known[name]


def _state(one: _Recorder, state: str, now: float) -> Recording:
    why = one.why_failed(now) if state == "failed" else ""
    since = {"gone": one.gone_at, "silent": one.heard_at}.get(why, one.failed_at)
    until = since if why in ("gone", "silent") else now  # what the dead record, nobody knows
    return Recording(
        state,
        why,
        since,
        one.file,
        until - one.began_at if state != "none" else math.nan,
        tuple(sorted(name for name, _ in one.recorded or ())),
        one.missing,
        one.n_waiting,
        one.n_dropped,
        one.incomplete,
        one.free_bytes,
        one.minutes_left,
        # The recorder warns below its floor, and withdraws the warning a tenth above it.
        one.free_bytes < _DISK_HYSTERESIS * one.floor_bytes,
        one.name,
    )


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


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
