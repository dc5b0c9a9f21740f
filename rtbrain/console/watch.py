"""What the console knows of its session at a moment: streams, jobs, alarms and the disk. No Qt."""

import math
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from rtbrain.console.folder import Session
from rtbrain.console.jobs import KILLED, Job, last_words
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import is_manual_marks
from rtbrain.view.alarms.conditions import Situation
from rtbrain.view.alarms.log import event_lines
from rtbrain.view.alarms.model import Alarms
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.health.cells import Cell, Health, elapsed
from rtbrain.view.health.recorder import Recording
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say

_DISK_EVERY_S = 2.0
_LOW_HOURS = 2.0
_BYTES_PER_SAMPLE = 4
# Jobs whose end is news, unless somebody asked for it; pages show the others.
_NEWS = ("recorder", "decoder", "cue", "player", "fit")


class Watch:
    """Follows streams and jobs; `alarms` are those of both."""

    def __init__(self, session: Session) -> None:
        self.alarms = Alarms()
        self.decoding: Decoding | None = None
        self._session = session
        self._live: ViewSession | None = None
        self._health: Health | None = None
        self._free, self._free_at = math.nan, -math.inf
        self._recorded_s = math.nan
        self._file = ""
        self._contact_marks: dict[str, str] = {}

    def read(self, live: ViewSession | None) -> None:
        """Follow these streams from now on."""
        self._live = live
        self.decoding = None if live is None else Decoding(live)
        self._health = (
            None if live is None or self.decoding is None else Health(live, self.decoding)
        )

    def take(self, update: SessionUpdate) -> None:
        """Take note of a poll."""
        if self._health is None:
            return
        self._health.needs_recording = self._session.running("decoder")
        self._health.take(update)
        for (_, text), stream in zip(update.markers, update.marker_streams, strict=False):
            if is_manual_marks(stream):
                self._note_mark(text, stream)
        for line in event_lines(update):
            self.alarms.note("event", line)

    def _note_mark(self, text: str, stream: str) -> None:
        """Write a mark by hand into the log of the session; a window's repetition is none."""
        what, _, contact = text.partition(" ")
        if what in ("bad", "good"):
            before, self._contact_marks[contact] = self._contact_marks.get(contact), what
            if before == what:
                return
        self._session.log(note=say("session.mark_made", text=text, stream=stream))

    def update(self) -> Situation:
        """The situation now, with what the jobs say of themselves."""
        now = lsl_clock()
        found = Situation(now) if self._health is None else self._health.situation(now)
        recorder, decoder = (self._session.jobs.get(job) for job in ("recorder", "decoder"))
        if recorder is not None:
            found = replace(found, recording=self._recording(recorder, found.recording, now))
        if decoder is not None and (decoder.running or decoder.stopping):
            found = replace(found, decoder_stopped=False, decoder_ended=decoder.stopping)
        elif decoder is not None and not decoder.earlier and decoder.exit_code not in (None, 0):
            name = self._session.settings.outlet
            found = replace(found, decoder_stopped=True, decoder=name)
        if not self._session.running("decoder"):  # nobody waits for decodes
            found = replace(found, decode_age_s=math.nan, invalid_s=math.nan, detects=False)
            found = replace(found, decoder_ended=not found.decoder_stopped)
        if self._session.settings.plan is not None:  # the page Calibrate shows its own cues
            found = replace(found, markers_silent_s=math.nan)
        self.alarms.update(found)
        return found

    def _recording(self, job: Job, heard: Recording, now: float) -> Recording:
        """State of the recording: the job knows of its end before the network does."""
        if job.running:
            self._file = Path(job.argv[1]).name if len(job.argv) > 1 else ""
            self._recorded_s = time.time() - job.t_start
            if heard.state == "none":  # it has only just begun
                return replace(heard, file=self._file)
            return heard
        if not (job.stopping or job.earlier) and job.exit_code not in (None, 0):
            since = heard.since if heard.state == "failed" else now
            return replace(heard, state="failed", why="gone", since=since, file=self._file)
        return heard if heard.state == "other" else replace(heard, state="none")

    def news(self, ended: Sequence[Job]) -> list[str]:
        """What to say of jobs that have ended by themselves, and badly."""
        said = []
        for job in ended:
            if job.name not in _NEWS or job.stopping or job.exit_code is None:
                continue
            if job.exit_code == 0:
                if job.name == "decoder":
                    what = say(f"session.jobs.{job.name}")
                    said.append(
                        say("session.ended_elsewhere", what=f"{what[:1].upper()}{what[1:]}")
                    )
                continue
            last = last_words(job).rstrip(".")
            why = say("session.killed") if job.exit_code == KILLED or not last else last
            what = say(f"session.jobs.{job.name}")
            said.append(say("session.ended", what=f"{what[:1].upper()}{what[1:]}", why=why))
        return said

    def elapsed(self, situation: Situation) -> str:
        """Time of the recording that runs, or of the last."""
        seconds = situation.recording.seconds
        if math.isfinite(seconds):
            self._recorded_s = seconds
        known = math.isfinite(self._recorded_s)
        return elapsed(self._recorded_s if known else 0.0)

    def cells(self, situation: Situation) -> tuple[Cell, ...]:
        """Cells of the transport bar: file, disk, signal, age."""
        running = self._session.running("recorder")
        file = situation.recording.file or self._file
        key = "recording_into" if running else "last_file" if file else "file"
        name = file or say("session.no_file")
        made = [Cell("recording", say(f"session.{key}"), name, elides=4)]
        made.append(self._disk(situation))
        if self._health is None:
            value = say("session.no_signal")
            made.append(Cell("signal", say("status.signal"), value, icon="unchecked", empty=True))
            return tuple(made)
        of_health = {cell.key: cell for cell in self._health.cells(situation, self.alarms.of)}
        made.append(of_health["signal"])
        if self._session.running("decoder"):
            made.append(of_health["age"])
        return tuple(made)

    def _disk(self, situation: Situation) -> Cell:
        if situation.now >= self._free_at + _DISK_EVERY_S:
            self._free_at = situation.now
            with suppress(OSError):
                self._free = float(shutil.disk_usage(self._session.folder).free)
        label = say("status.disk")
        if not math.isfinite(self._free):
            return Cell("disk", label, "–", icon="unchecked", empty=True)
        free = f"{self._free / 1e9:.3g} GB"
        montage = None if self._live is None else self._live.montage
        if montage is None:
            return Cell("disk", label, free, icon="fine")
        per_s = len(montage.names) * montage.sfreq_hz * _BYTES_PER_SAMPLE
        hours = self._free / per_s / 3600
        left = say("session.hours_left", hours=f"{hours:.0f}" if hours >= 10 else f"{hours:.1f}")
        level = "" if hours >= _LOW_HOURS else "look"
        return Cell("disk", label, free, left, level or "fine", level=level, may_go=not level)
