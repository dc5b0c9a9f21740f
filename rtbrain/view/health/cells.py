"""The cells of the status line, and the situation that alarms depend on; free of Qt."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil

from rtbrain.errors import list_words
from rtbrain.marks import is_end
from rtbrain.stream_names import is_manual_marks, sender_of
from rtbrain.view.alarms.conditions import Alarm, Situation
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.words import explain
from rtbrain.view.health.indicators import (
    DecoderStatus,
    LatencyHistory,
    decoder_state,
    latency_tip,
    stream_tip,
)
from rtbrain.view.health.recorder import Recorders, Recording
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.traces.bad import contacts_checked

_LOST_OVER_S = 60.0
_LOAD_EVERY_S = 2.0
_BUSY = 0.9
_OFF_RATE = 0.005  # a share of the nominal one
_CLOCK_MS = 2.0
# So many markers make a stream one whose silence means something.
_REGULAR_MARKERS = 5
_SHOWN_SILENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the status line."""

    key: str
    label: str
    value: str
    note: str = ""
    icon: str = ""
    tip: str = ""
    level: str = ""  # fix or look: the note, or else the value, in that colour
    elides: int = 0  # the value may be elided, the highest first
    elides_note: bool = False  # the note instead
    empty: bool = False  # there is nothing: the value is faint
    wide_only: bool = False
    may_go: bool = False  # left out where there is no room


class Health:
    """What the window knows of its streams, decoder, recorders and machine."""

    def __init__(self, session: ViewSession, decoding: Decoding) -> None:
        self.latency = LatencyHistory()
        self.rate = ""  # how often the window draws, if too rarely
        self.needs_recording = False
        self._session, self.decoding = session, decoding
        self._decoder, self.recorders = DecoderStatus(), Recorders()
        self._t_signal = math.nan
        self._lost: deque[tuple[float, int]] = deque()
        self._skipped: dict[str, int] = {}
        self._markers: dict[str, tuple[int, float]] = {}
        self._ended: set[str] = set()  # streams whose last marker announced their end
        self._load, self._load_at = math.nan, -math.inf
        psutil.cpu_percent()  # the next call reports the load since this one

    def take(self, update: SessionUpdate) -> None:
        """Note what a poll brought."""
        session, now = self._session, update.now
        self.decoding.take(update)
        if update.other_decoder or "status" in update.new_senders:
            self._decoder, self.latency = DecoderStatus(), LatencyHistory()
            self._skipped.clear()
        for event in update.events:
            self._decoder.update(event)
            if event.event == "connected":
                self.latency = LatencyHistory()
            elif event.event == "skipped" and isinstance(n := event.fields.get("windows"), int):
                name = sender_of(str(event.fields.get("stream", "")))
                self._skipped[name] = self._skipped.get(name, 0) + n
        self.recorders.take(update.recorder_events, update.events, session.feeds, now)
        for decode in update.decodes:
            self.latency.push(decode)
        signal = feed_of(session.feeds, "signal")
        never = math.isnan(self._t_signal) and signal.state in ("lost", "stalled")
        if update.chunks or never:
            self._t_signal = now
        self._note_lost(signal, now)
        self._note_markers(update)

    def situation(self, now: float) -> Situation:
        """What alarms depend on."""
        session, decoding = self._session, self.decoding
        signal, status = feed_of(session.feeds, "signal"), feed_of(session.feeds, "status")
        history, since = decoding.history, self._t_signal
        # One that is being opened again is lost until its samples come.
        silent = signal.state in ("lost", "stalled", "connecting") and math.isfinite(since)
        state = decoder_state(self._decoder, decoding.feed, status)
        invalid_s, why, age_s, fine = math.nan, "", math.nan, False
        runs = state not in ("none", "stopped", "failed", "gone")
        if history is not None and history.last is not None and runs:
            if not history.last.valid and state not in ("warming", "connecting", "waiting"):
                valid_at = history.t_valid if math.isfinite(history.t_valid) else history.t_first
                invalid_s = max(0.0, now - valid_at)
                why = invalid_words(decoding)
            old = history.is_old(now)
            age_s, fine = history.age_s(now) if old else math.nan, history.last.valid and not old
        markers = self._silent_markers(now)
        longest = max(markers, key=lambda name: markers[name], default="")
        return Situation(
            now,
            signal=signal.name,
            silent_s=now - since if silent else math.nan,
            n_lost=signal.lost,
            sfreq_hz=signal.nominal_hz,
            recording=self.recorders.recording(signal, now),
            needs_recording=self.needs_recording,
            wrong_unit=session.wrong_unit,
            unit_judged=session.unit_judged,
            decoder=sender_of(decoding.feed.name or status.name),
            decoder_stopped=state in ("failed", "gone"),
            decoder_ended=state in ("none", "stopped"),
            decodes_fine=fine,
            decode_age_s=age_s,
            invalid_s=invalid_s,
            invalid_why=why,
            detects=bool(decoding.thresholds) and runs,
            markers=longest,
            markers_silent_s=markers.get(longest, math.nan),
            markers_silent=markers,
        )

    def cells(self, now: Situation, alarm: Callable[[str], Alarm | None]) -> tuple[Cell, ...]:
        """All cells, from the left; `alarm` gives the highest one of a cell."""
        if now.now >= self._load_at + _LOAD_EVERY_S:
            self._load, self._load_at = psutil.cpu_percent() / 100, now.now
        made = [
            _recording_cell(now.recording, now.signal),
            self._signal_cell(now),
            self._decoder_cell(now.now),
            self._age_cell(now),
            self._contacts_cell(),
            *self._markers_cells(now),
            self._skipped_cell(),
            self._load_cell(),
            _disk_cell(now.recording),
        ]
        return tuple(_alarmed(cell, alarm(cell.key)) for cell in made)

    def _note_lost(self, signal: StreamHealth, now: float) -> None:
        if self._lost and signal.lost < self._lost[-1][1]:
            self._lost.clear()  # counted anew, as of another rate
        if not self._lost or self._lost[-1][1] != signal.lost:
            self._lost.append((now, signal.lost))
        while len(self._lost) > 1 and self._lost[1][0] < now - _LOST_OVER_S:
            self._lost.popleft()

    def _note_markers(self, update: SessionUpdate) -> None:
        for name, (_, text) in zip(update.marker_streams, update.markers, strict=False):
            (self._ended.add if is_end(text) else self._ended.discard)(name)
        for feed in self._session.feeds:
            if feed.kind == "markers" and not is_manual_marks(feed.name):
                n, t = self._markers.get(feed.name, (0, update.now))
                t = update.now if feed.received > n else t
                self._markers[feed.name] = feed.received, t

    def _silent_markers(self, now: float) -> dict[str, float]:
        """How long each stream of markers that sends often has been silent, s."""
        there = {one.name for one in self._session.feeds if one.kind == "markers"} - self._ended
        often = {name: t for name, (n, t) in self._markers.items() if n >= _REGULAR_MARKERS}
        return {name: now - t for name, t in often.items() if name in there}

    def _signal_cell(self, now: Situation) -> Cell:
        feed = feed_of(self._session.feeds, "signal")
        cell = Cell("signal", say("status.signal"), feed.name, tip=stream_tip(feed), elides=3)
        if self._session.choices:
            note = say("status.choose")
            return replace(cell, value=note, icon="unchecked", empty=True, elides=0)
        if feed.state == "connecting" and math.isnan(now.silent_s):
            return replace(cell, note=say("status.connecting"), icon="checking")
        if feed.state in ("lost", "stalled", "ended", "connecting"):
            seconds = f"{now.silent_s:.1f}" if math.isfinite(now.silent_s) else "0"
            return replace(
                cell, note=say("status.silent", seconds=seconds), icon="fix", level="fix"
            )
        if feed.state != "live":
            return replace(cell, value=say("status.absent"), icon="unchecked", empty=True, elides=0)
        n_lost = self._lost[-1][1] - self._lost[0][1] if self._lost else 0
        if n_lost:
            return replace(cell, note=say("status.lost", n=n_lost), icon="look", level="look")
        hertz = f"{feed.nominal_hz:.6g}"
        return replace(cell, note=say("status.hertz", hz=hertz, n=0), icon="fine")

    def _decoder_cell(self, now: float) -> Cell:
        feed, status = self.decoding.feed, feed_of(self._session.feeds, "status")
        state = decoder_state(self._decoder, feed, status)
        name = sender_of(feed.name or status.name)
        cell = Cell("decoder", say("status.decoder"), name, tip=self._decoder.tip, elides=2)
        if state == "none":
            tip = feed.problem or self._decoder.tip
            value = say("status.none")
            return replace(
                cell, value=value, icon="unchecked", empty=True, may_go=True, elides=0, tip=tip
            )
        icon, level = _DECODER_LOOKS.get(state, ("checking", ""))
        note = say(f"status.states.{state}")
        remark = self._decoder.remark if icon == "fine" else ""
        history = self.decoding.history
        if remark:
            note, icon, level = say(f"status.states.{remark}"), "look", "look"
        elif icon == "fine" and history is not None and history.last and not history.last.valid:
            note, icon, level = say("status.states.invalid"), "look", "look"
        elif icon == "fine" and history is not None and history.is_old(now):
            note, icon, level = say("status.states.late"), "look", "look"
        return replace(cell, note=note, icon=icon, level=level, may_go=icon == "fine")

    def _age_cell(self, now: Situation) -> Cell:
        parts = self.latency.newest
        tip = latency_tip(self.latency)
        cell = Cell("age", say("status.age"), "", tip=tip)
        if math.isfinite(now.decode_age_s):
            return replace(cell, value=f"{now.decode_age_s:.1f} s", icon="fix", level="fix")
        if not math.isfinite(parts.total) or self.decoding.gone:
            return replace(cell, value="–", icon="unchecked", empty=True)
        return replace(cell, value=f"{parts.total:.2f} s", icon="fine")

    def _contacts_cell(self) -> Cell:
        montage, bad = self._session.montage, self._session.bad
        cell = Cell("contacts", say("status.contacts"), "–", icon="unchecked", empty=True)
        if montage is None:
            return replace(cell, may_go=True)
        reasons = {name: bad[name] for name in montage.names if name in bad}
        n = len(montage.names)
        tip = "\n".join(f"{name}: {reason}" for name, reason in reasons.items())
        good = str(n - len(reasons))
        made = Cell("contacts", cell.label, good, say("status.of_good", n=n), "fine", tip=tip)
        if not contacts_checked(self._session.feeds):
            note = say("status.not_checked")
            return replace(made, note=note, icon="unchecked", may_go=not reasons)
        return replace(made, icon="look") if reasons else replace(made, may_go=True)

    def _markers_cells(self, now: Situation) -> list[Cell]:
        if not now.markers_silent_s > _SHOWN_SILENT_S:
            return []
        note = say("status.markers_silent", minutes=f"{now.markers_silent_s / 60:.0f}")
        return [Cell("markers", say("status.markers"), now.markers, note, icon="look", elides=1)]

    def _skipped_cell(self) -> Cell:
        n = self._skipped.get(sender_of(self.decoding.feed.name), 0)
        icon, level = ("look", "look") if n else ("fine", "")
        if self.decoding.info is None:
            icon = "unchecked"
        return Cell(
            "skipped", say("status.skipped"), str(n), "", icon, level=level, wide_only=True,
            may_go=not n,
        )  # fmt: skip

    def _load_cell(self) -> Cell:
        known = math.isfinite(self._load)
        value = f"{self._load:.0%}".replace("%", " %") if known else "–"
        busy = self._load > _BUSY or bool(self.rate)
        icon, level = ("look", "look") if busy else ("fine" if known else "unchecked", "")
        return Cell(
            "load", say("status.load"), value, self.rate, icon, level=level, wide_only=True,
            may_go=True,
        )  # fmt: skip


_DECODER_LOOKS = {
    "live": ("fine", ""),
    "running": ("fine", ""),
    "stopped": ("unchecked", ""),
    "failed": ("fix", "fix"),
    "gone": ("fix", "fix"),
    "refused": ("fix", "fix"),
    "stalled": ("look", "look"),
    "lost": ("look", "look"),
    "warming": ("checking", "look"),
}


def invalid_words(decoding: Decoding) -> str:
    """Why decodes are not valid, and what to do, as sentences."""
    reason = decoding.history.reason if decoding.history is not None else ""
    why, back = explain(decoding, reason)
    why = f"{why[:1].upper()}{why[1:]}".rstrip(".")
    return " ".join(filter(None, (f"{why}." if why else "", back)))


def _recording_cell(recording: Recording, signal: str) -> Cell:
    streams = recording.streams
    key = "status.this_signal" if len(streams) > 1 else "status.this_signal_one"
    what = say(key, n=len(streams))
    if recording.state == "other":
        what = say("status.other", streams=list_words(streams) if streams else "–")
    label = f"{say('status.recording')}  ·  {what}"
    tip = "\n".join((recording.file, *streams))
    if recording.state == "none":
        note = say("status.incomplete" if recording.incomplete else "status.how")
        level = "look" if recording.incomplete else ""
        cell = Cell("recording", say("status.recording"), say("status.none"), note, tip=tip)
        return replace(cell, level=level, elides=4, elides_note=True)
    note, level = recording.file, ""
    if recording.missing:
        note, level = say("status.missing", streams=recording.missing), "look"
    return Cell(
        "recording", label, elapsed(recording.seconds), note, tip=tip, level=level, elides=4,
        elides_note=True,
    )  # fmt: skip


def _disk_cell(recording: Recording) -> Cell:
    label = say("status.disk")
    if not math.isfinite(recording.free_bytes):
        return Cell("disk", label, "–", icon="unchecked", empty=True, may_go=True)
    note = ""
    minutes = recording.minutes_left
    if math.isfinite(minutes):
        hours = minutes >= 120
        left = f"{minutes / 60:.0f}" if hours else f"{minutes:.0f}"
        note = say("status.hours", hours=left) if hours else say("status.minutes", minutes=left)
    free = f"{recording.free_bytes / 1e9:.3g} GB"
    icon, level = ("look", "look") if recording.disk_low else ("fine", "")
    return Cell("disk", label, free, note, icon, level=level, may_go=not recording.disk_low)


def _alarmed(cell: Cell, alarm: Alarm | None) -> Cell:
    """A cell as its alarm makes it look, which never goes, and names it where it says nothing."""
    if alarm is None:
        return cell
    icon = "fix" if alarm.high or cell.level == "fix" else "look"
    note = cell.note if cell.level else alarm.short
    return replace(
        cell, icon=icon, level=icon, note=note, may_go=False, empty=False, wide_only=False
    )


def elapsed(seconds: float) -> str:
    """A length of time as hours, minutes and seconds."""
    if not math.isfinite(seconds):
        return "–"
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
