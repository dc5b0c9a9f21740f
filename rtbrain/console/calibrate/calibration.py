"""A calibration: its source of cues, its jobs, and the blocks that are counted. Without Qt."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from rtbrain.config.files import load_settings, parse_settings
from rtbrain.console.calibrate.counting import (
    BlockCounter,
    Collected,
    CountedBlock,
    blocks_file,
    collected,
    held,
    last_markers,
    load_blocks,
)
from rtbrain.console.calibrate.now import (
    Now,
    Shown,
    advice,
    coming_blocks,
    heard_at,
    now_of_cues,
    now_of_markers,
)
from rtbrain.console.commands import cue_command, record_command
from rtbrain.console.cues.schedule import CueSchedule
from rtbrain.console.folder import Session
from rtbrain.console.jobs import last_words
from rtbrain.errors import RtbrainError, SettingsError, one_line, plain_text
from rtbrain.files import write_atomically
from rtbrain.learn.cue_plan import ScreenPlan, new_seed
from rtbrain.live.control import send_command
from rtbrain.stream_names import cues_name
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say

SOURCES = ("markers", "trigger", "screen")
_COUNT_EVERY_S = 0.25
_CLASSES = ("rest", "speech")  # of a plan that nobody has made yet


class Calibration:
    """What the page Calibrate knows and does.

    Attributes
    ----------
    counter : BlockCounter or None
        Of the recording that runs, or was the last.
    earlier : list of CountedBlock
        Blocks of the recordings before.
    held : bool
        Whether the recorder says that it records signal and markers: before, no block counts.
    display, windowed
        Where cues are shown: the number of a display, or a window.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.counter: BlockCounter | None = None
        self.earlier: list[CountedBlock] = []
        self.held = False
        self.file: Path | None = None  # relative to the session's folder
        self._schedule: CueSchedule | None = None  # as the cue screen draws it too
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rtbrain-cue")
        self._sent: list[Future[Any]] = []
        self._notes: dict[str, bool] = {}  # whether each was said
        self._counted_at, self._was_recording = 0.0, False
        self.display: int | None = None
        self.windowed = False
        self._join()

    @property
    def recording(self) -> bool:
        """Whether a calibration is recorded."""
        return self.session.records("calib")

    @property
    def unrecorded(self) -> bool:
        """Whether cues go on that nothing records."""
        job = self.session.jobs.get("cue")
        cues = job is not None and job.running and not job.stopping
        return cues and not self.session.running("recorder")

    @property
    def source(self) -> str:
        """Where cues come from: `SOURCES`."""
        settings = self.session.settings
        if settings.plan is not None:
            return "screen"
        if settings.trigger:
            return "trigger"
        return "markers" if settings.of_role("markers") else "screen"

    @property
    def status(self) -> dict[str, Any]:
        """What the cue screen says; nothing where none runs."""
        job = self.session.jobs.get("cue")
        return job.progress if job is not None and job.running else {}

    @property
    def plan(self) -> ScreenPlan:
        """The plan of the settings; its seed is drawn when cues are started."""
        if self._schedule is not None and self.session.running("cue"):
            return self._schedule.plan
        settings = self.session.settings
        classes = settings.classes if len(settings.classes) > 1 else _CLASSES
        values = {"classes": classes, "seed": 0} | (settings.plan or {})
        try:
            return parse_settings(values, ScreenPlan, where=say("calibrate.plan.title"))
        except SettingsError as error:
            self._note(say("calibrate.plan.not_one", why=one_line(error)))
            return ScreenPlan(classes=_CLASSES, seed=0)

    def _note(self, line: str) -> None:
        """Say a line once."""
        if line not in self._notes:
            self._notes[line] = False

    @property
    def classes(self) -> Sequence[str]:
        """Classes, the target first."""
        settings = self.session.settings
        names = self.plan.classes if self.source == "screen" else settings.classes
        return sorted(names, key=lambda name: name != self.target)

    @property
    def target(self) -> str | None:
        """The class that is detected."""
        settings = self.session.settings
        if settings.target is not None or self.source != "screen":
            return settings.target
        return self.plan.classes[-1]

    @property
    def marker_stream(self) -> str:
        """Name of the stream whose markers count; empty where it is a trigger channel."""
        settings = self.session.settings
        if self.source == "screen":
            return cues_name(settings.outlet)
        names = [used.name for used in settings.of_role("markers")]
        return next(iter(names), "") if self.source == "markers" else ""

    @property
    def wanted(self) -> int | None:
        """Blocks of each class that are planned; None where another program shows them."""
        return self.plan.n_per_class if self.source == "screen" else None

    @property
    def blocks(self) -> list[CountedBlock]:
        """All blocks of the session that are over."""
        return [*self.earlier, *(self.counter.done if self.counter else ())]

    @property
    def counts(self) -> dict[str, Collected]:
        """Usable blocks by class."""
        settle_s = self.plan.settle_s if self.source == "screen" else 0.0
        return collected(self.blocks, self.classes, settle_s)

    def use_source(self, source: str) -> None:
        """Take cues from a marker stream, a trigger channel or the cue screen.

        A SettingsError where Set up must choose one first.
        """
        settings = self.session.settings
        if self.recording:
            raise SettingsError(say("calibrate.action.goes_on"))
        if source == "screen":
            values = self.plan.model_dump(mode="json", exclude={"seed"})
            self.session.change(plan=values, classes=self.plan.classes, target=self.target)
        elif source == "trigger":
            self.session.change(plan=None)
            if not settings.trigger:
                raise SettingsError(say("calibrate.source.none_trigger"))
        else:
            self.session.change(plan=None, trigger=None)
            if not settings.of_role("markers"):
                raise SettingsError(say("calibrate.source.none_markers"))

    def start(self) -> str:
        """Begin to record, and the cues with it; the name of the recording.

        Cues that go on already wait until they are told to go on.
        """
        path = self.session.next_name("calib", ".xdf")
        if self.source == "screen" and not self.unrecorded:
            if self.session.settings.plan is None:
                self.use_source("screen")
            self._start_cues(path.with_suffix(".cues.yaml"))
        try:
            self.session.start("recorder", record_command(self.session, path))
        except RtbrainError:
            self.session.stop("cue")
            raise
        if self.counter is not None:
            self.earlier += self.counter.done
        self.held = False
        self._count_for(path)
        return path.stem

    def end(self) -> None:
        """End cues and recording; what was counted stays."""
        self.session.stop("cue")
        self.session.stop("recorder")

    def toggle_pause(self) -> None:
        """Pause the cues, or go on; a SettingsError while what comes would be lost."""
        if self.status.get("state") == "paused" and not (self.recording and self.held):
            raise SettingsError(say("calibrate.state.not_held"))
        self.command("resume" if self.status.get("state") == "paused" else "pause")

    def drop(self) -> None:
        """Leave out the block that is on, or that was the last."""
        self.command("drop")

    def name(self, text: str, name: str) -> None:
        """Give a marker the name of a class, or ``ignore``; it counts from the beginning."""
        self.session.change(markers={**self.session.settings.markers, text: name})
        if self.counter is not None:
            self.counter.names = self.session.settings.markers
            self.counter.forget(text)
            self._counted_at = 0.0

    def command(self, line: str) -> None:
        """Send a command to the cue screen; the log has it as one to type."""
        name = cues_name(self.session.settings.outlet)
        self._sent.append(self._pool.submit(send_command, name, line, "cue screen"))
        self.session.log(["control", name, *line.split()])

    def take(self, update: SessionUpdate, live: ViewSession | None) -> None:
        """Count blocks from the markers, in the signal that comes with them."""
        counter = self.counter
        if counter is None or not self.recording:
            return
        settings = self.session.settings
        counter.names = settings.markers if self.source != "screen" else {}
        counter.classes = self.classes
        montage = None if live is None else live.montage
        counter.use_trigger(settings.trigger if self.source == "trigger" else None, montage)
        good = 1.0
        if live is not None and montage is not None and montage.n_channels:
            good = 1 - len(live.bad) / montage.n_channels
        name = self.marker_stream
        names = {one for one in (settings.signal and settings.signal.name, name) if one}
        since_s = self.session.jobs["recorder"].t_start - time.time() + update.now
        for t, holds in held(update.recorder_events, self.session.recorder, names, since_s):
            self.held = holds
            counter.look(t, recording=holds, good=good)
        counter.look(update.now, recording=self.held, good=good)
        sent = zip(update.markers, update.marker_streams, strict=True)
        markers = [marker for marker, stream in sent if stream == name]
        counter.take(update.now, update.chunks, markers)

    def poll(self, now: float) -> list[str]:
        """Count what is over, and say what went wrong, one line each."""
        said = [line for line, is_said in self._notes.items() if not is_said]
        self._notes = dict.fromkeys(self._notes, True)
        if self.unrecorded and self.status.get("state") in ("cue", "break") and not self._sent:
            self.command("pause")  # what is shown now would be lost
        for sent in [one for one in self._sent if one.done()]:
            self._sent.remove(sent)
            if (error := sent.exception()) is not None:
                said.append(one_line(error))
        if self.counter is not None and self._was_recording and not self.recording:
            self.counter.look(now, recording=False)
            self._counted_at = 0.0
        self._was_recording = self.recording
        if self.counter is not None and now - self._counted_at > _COUNT_EVERY_S:
            self._counted_at = now
            if self.counter.count(now, time.time() - now):
                try:
                    self.counter.save()
                except OSError as error:
                    said.append(one_line(error))
        return said

    def shown(self, now: float) -> Shown:
        """What the panels show."""
        counter, status, source = self.counter, self.status, self.source
        counts = self.counts
        found = Now(say("calibrate.state.idle"), below=say("calibrate.state.idle_line"))
        job = self.session.jobs.get("cue")
        if status or (self.recording and source == "screen" and job is not None and job.running):
            found = now_of_cues(status, self._schedule, now)
        elif source == "screen" and self.recording and job is not None and job.exit_code:
            found = Now(say("calibrate.state.failed"), below=plain_text(last_words(job), 200))
        elif source == "screen" and self.recording:
            found = Now(say("calibrate.state.ended"), below=say("calibrate.state.ended_line"))
        elif self.recording and not self.held:
            found = Now(say("calibrate.state.waiting"), below=say("calibrate.state.not_held"))
        elif self.recording and counter is not None:
            name = self.session.settings.trigger or self.marker_stream
            found = now_of_markers(counter, name, now)
        wanted = self.wanted
        earlier = collected(self.earlier, self.classes)
        markers = heard_at(last_markers(counter) if counter else (), time.time() - now)
        return Shown(
            now=now,
            classes=self.classes,
            target=self.target,
            wanted={n: wanted + earlier[n].usable for n in self.classes} if wanted else {},
            counts=counts,
            blocks=self.blocks,
            coming=coming_blocks(self._schedule, status, now),
            markers=markers,
            advice=advice(counts),
            state=found,
        )

    def _join(self) -> None:
        """Take up what an earlier console began."""
        for path in self.session.files("calib", ".xdf"):
            if str(path) == self.session.growing:
                self._count_for(path)
            else:
                self.earlier += load_blocks(self._blocks_of(path), self._note)
        self._was_recording = self.recording
        job = self.session.jobs.get("cue")
        if job is not None and job.running and "--plan" in job.argv:
            path = self.session.folder / job.argv[job.argv.index("--plan") + 1]
            try:
                self._schedule = CueSchedule(load_settings(str(path), ScreenPlan))
            except RtbrainError as error:
                self.session.log(note=f"the plan of the cues: {one_line(error)}")

    def _blocks_of(self, path: Path) -> Path:
        return self.session.folder / blocks_file(path)

    def _count_for(self, path: Path) -> None:
        settle_s = self.plan.settle_s if self.source == "screen" else 0.0
        self.file = path
        self.counter = BlockCounter(self._blocks_of(path), settle_s=settle_s)
        self.counter.done = load_blocks(self._blocks_of(path), self._note)

    def _start_cues(self, path: Path) -> None:
        """Start the cue screen by a plan of its own, with a new seed, in a file."""
        session = self.session
        plan = self.plan.model_copy(update={"seed": new_seed()})
        try:
            text = yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False)
            write_atomically(session.folder / path, text)
        except OSError as error:
            raise SettingsError(f"{path}: {one_line(error)}") from error
        session.start("cue", cue_command(session, path, self.display, self.windowed))
        self._schedule = CueSchedule(plan)
