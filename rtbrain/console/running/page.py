"""The page Run: decode and record, switch outputs on by hand, move the threshold."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from rtbrain.config import DetectSettings
from rtbrain.console.fitting.results import Fitted, decoders_of
from rtbrain.console.folder import Session
from rtbrain.console.page import Action, Page
from rtbrain.console.running.commands import (
    Remote,
    decode_command,
    hindrance,
    start_recording,
    start_run,
)
from rtbrain.console.running.expected import (
    Expected,
    expected_of,
    shown_threshold,
    wanted_threshold,
    ways_to,
)
from rtbrain.console.running.outputs import TriggerForm
from rtbrain.console.running.switches import SwitchPanel, switch_states
from rtbrain.console.running.threshold import ThresholdPanel
from rtbrain.errors import SettingsError
from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.types import Montage
from rtbrain.view.decodes.decoding import Decoding, SessionView
from rtbrain.view.decodes.now import NowPanel
from rtbrain.view.decodes.plot import DecodePlot
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

_LOOK_EVERY_S = 0.25


@dataclass
class _Nothing:
    """Streams before a signal is chosen."""

    decode: DecodeHeader | None = None
    montage: Montage | None = None
    feeds: tuple[StreamHealth, ...] = tuple(
        StreamHealth("", kind, "absent") for kind in ("signal", "decode", "status")
    )


class RunPage(Page):
    """Starts and ends a run, and says what its threshold may be expected to do."""

    step = "run"

    def __init__(self, session: Session, theme: Theme) -> None:
        super().__init__(session, theme)
        self.remote, self.triggers = Remote(session), TriggerForm(self)
        self.expected: Expected | None = None
        self.fitted: Fitted | None = None
        self._seen: object = None
        self._offered: object = None
        self._looked_at, self._began = -1e9, ""
        self._moved: list[DetectSettings] = []  # thresholds before
        self._streams: object = None
        self.decoding = Decoding(_Nothing())
        self.plot = DecodePlot(self.decoding, theme, movable=True)
        self.now = NowPanel(self.decoding, theme, in_console=True)
        self.threshold = ThresholdPanel(theme)
        self.switches = SwitchPanel(
            theme,
            [
                (key, partial(self.do, call))
                for key, call in (
                    ("decode", self._toggle_decode),
                    ("record", self._toggle_record),
                    ("detections", self._toggle_detections),
                    ("trigger", self._toggle_trigger),
                )
            ],
        )
        self.plot.threshold_moved.connect(self._preview)
        self.plot.threshold_chosen.connect(lambda up: self.do(lambda: self.choose_threshold(up)))
        self.threshold.moved.connect(self._preview)
        self.threshold.chosen.connect(lambda up: self.do(lambda: self.choose_threshold(up)))
        self.threshold.preset.connect(lambda name: self.do(lambda: self.choose_preset(name)))
        top, below = QHBoxLayout(), QHBoxLayout()
        for row, left, right in (
            (top, self.plot, self.now),
            (below, self.threshold, self.switches),
        ):
            for widget, share in ((left, 71), (right, 29)):
                widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
                row.addWidget(widget, share)
            row.setSpacing(16)
        self.side_by_side = (top, below)
        column = QVBoxLayout(self)
        fill(column, margins=(0, 10, 0, 0), spacing=14)
        column.addLayout(top, 42)
        column.addLayout(below, 58)
        self._least()
        self._look()

    def _least(self) -> None:
        panels: tuple[QWidget, ...] = (self.plot, self.now, self.threshold, self.switches)
        for panel, height in zip(panels, (190, 190, 280, 300), strict=True):
            panel.setMinimumHeight(self.theme.px(height))

    @property
    def running(self) -> bool:
        """Whether a decoder of this session runs and was not stopped."""
        job = self.session.jobs.get("decoder")
        return job is not None and job.running and not job.stopping

    def state(self) -> tuple[str, str]:
        """Since when it runs."""
        if self.running and self._began:
            return "fine", say("run.since", time=self._began)
        if self.session.records("run"):
            return "look", say("run.records_only")
        if self.session.settings.decoder is None:
            return "unchecked", say("step.run.not_begun")
        if not (self.session.folder / self.session.settings.decoder).is_dir():
            return "fix", say("fit.state.gone")
        if self.session.files("run", ".xdf"):
            return "fine", say("run.ended", n=len(self.session.files("run", ".xdf")))
        return "unchecked", say("run.ready")

    # What the streams bring

    def take(self, update: SessionUpdate) -> None:
        """Take the decodes, thresholds, cues and detections of a poll."""
        self._follow_streams()
        self.decoding.take(update)
        self.now.take(update)
        self.plot.take(update)

    def draw(self, now: float) -> None:
        """Show the state at a time; what runs is looked after four times a second."""
        self._follow_streams()
        if self.isVisible():
            self.plot.draw(now)
            self.now.draw(now)
        if not 0 <= now - self._looked_at < _LOOK_EVERY_S:
            self._looked_at = now
            self._look()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        super().restyle(theme)
        for panel in (self.plot, self.now, self.threshold, self.switches):
            panel.restyle(theme)
        self._least()

    def _follow_streams(self) -> None:
        """Show the streams that the window has opened."""
        names = self.session.settings.markers
        if self._streams == (self.live, names):
            return
        self._streams = (self.live, names)
        view: SessionView = _Nothing() if self.live is None else self.live
        self.decoding = Decoding(view, names)
        self.plot.decoding = self.now.decoding = self.decoding

    # What runs

    def _look(self) -> None:
        answers, errors = self.remote.answers()
        for error in errors:
            self.says.emit(error)
        job = self.session.jobs.get("decoder")
        if self.running and job is not None:
            self._began = time.strftime("%H:%M", time.localtime(job.t_start))
        settings, live = self.session.settings, self._live_threshold()
        states = switch_states(self.session, self.decoding, runs=self.running)
        files = tuple(self.session.files("run", ".xdf")), tuple(self.session.files("report"))
        jobs = [(one.running, one.stopping) for one in self.session.jobs.values()]
        about = len(self._moved), self.state(), "" if self.running else self._why_not()
        seen = (settings, live, tuple(states.items()), files, about, jobs)
        if seen == self._seen and not answers:
            return
        self._seen = seen
        self._read_decoder()
        self.switches.show_states(states)
        self._show_threshold()
        self._offer()
        offered = [
            (one.text, one.enabled, one.reason)
            for one in (*self.buttons, self.primary)
            if one is not None
        ]
        if (state := (offered, self.state())) != self._offered:
            self._offered = state
            self.changed.emit()

    def _read_decoder(self) -> None:
        settings = self.session.settings
        found = [one for one in decoders_of(self.session) if one.folder == settings.decoder]
        self.fitted = found[0] if found else None
        self.expected = None
        if self.fitted is not None:
            threshold = self._live_threshold()
            hold_s = settings.hold_s if threshold is None else threshold.hold_s
            report = self.fitted.report
            self.expected = expected_of(report, settings.target, self.session, hold_s)

    def _live_threshold(self) -> DetectSettings | None:
        """What the running decoder says that it detects by."""
        found = self.decoding.threshold if self.running else None
        if found is None:
            return None
        return DetectSettings(
            up=found.up, down=min(found.down, found.up), hold_s=max(0.0, found.hold_s)
        )

    def _show_threshold(self) -> None:
        one = self._live_threshold() or wanted_threshold(self.session, self.expected)
        up, about = one.up, []
        if one.down is not None:
            about.append(say("run.rearm", down=shown_threshold(one.down)))
        if one.hold_s:
            about.append(say("run.held", seconds=f"{one.hold_s:g}"))
        threshold = self.decoding.threshold
        if threshold is not None and self.running:
            about.append(say("run.refractory", seconds=f"{threshold.refractory_s:g}"))
        about.append(say("run.recorded" if self.running else "run.at_start"))
        self.threshold.show_expected(self.expected, up, about)

    def _offer(self) -> None:
        back = Action(say("run.take_back"), self.take_back, enabled=bool(self._moved), reason="")
        self.buttons = [back, self.triggers.action]
        recorder = self.session.jobs.get("recorder")
        if self.session.records("run") and recorder is not None and recorder.stopping:
            closing = say("session.closing_file", name=Path(recorder.argv[1]).stem)
            self.primary = Action(closing, self.end, enabled=False)
            return
        if self.running or self.session.records("run"):
            end = Action(say("run.end"), self.end, "Ctrl+End", reason=say("run.end_reason"))
            self.primary = end
            return
        reason = self._why_not()
        if self.session.running("recorder"):
            reason = reason or say("run.calibration_runs")
        self.primary = Action(say("run.start"), self.start, enabled=not reason, reason=reason)
        if self.fitted is None:
            self.buttons = [Action(say("run.to_fit"), lambda: self.go.emit("fit")), *self.buttons]

    def _why_not(self) -> str:
        """Why no decoder can be started now."""
        montage = None if self.live is None else self.live.montage
        ends = say("run.decoder_ends") if self.session.running("decoder") else ""
        return hindrance(self.session, montage) or self.hindrance or ends

    # What can be done

    def start(self) -> None:
        """Record and decode; detections and triggers stay off until they are switched on."""
        self._require_start()
        name = start_run(self.session, self.expected)
        self._moved = []
        self.says.emit(say("run.started", run=name))
        self._look()

    def _require_start(self) -> None:
        if why := self._why_not():
            raise SettingsError(why)

    def end(self) -> None:
        """End the decoder; where a run is recorded ask first, and close its file too."""
        if self.session.records("run"):
            self.ask_end(self._end)
        else:
            self.session.stop("decoder")

    def _end(self) -> None:
        self.session.stop("decoder")
        self.session.stop("recorder")
        self.go.emit("review")

    def choose_threshold(self, up: float) -> None:
        """Detect from now on by this threshold, and its lower one as the curve has it."""
        point = None if self.expected is None else self.expected.at(up)
        down = point.down if point is not None and abs(point.up - up) < 1e-9 else None
        before = self._live_threshold() or wanted_threshold(self.session, self.expected)
        self._change(before.moved_to(up, down))

    def choose_preset(self, name: str) -> None:
        """Detect by a preset of the decoder."""
        if self.expected is not None and name in self.expected.presets:
            self._change(self.expected.presets[name], name)

    def take_back(self) -> None:
        """Go back to the threshold before the last change."""
        if self._moved:
            self._change(self._moved.pop(), keep=False)

    def _change(self, to: DetectSettings, name: str = "", *, keep: bool = True) -> None:
        """Detect by other settings: those of a preset, or a threshold held as long as one's."""
        before = self._live_threshold() or wanted_threshold(self.session, self.expected)
        if (before.up, before.low, before.hold_s) == (to.up, to.low, to.hold_s):
            return
        if keep:
            self._moved.append(before)
        name = name or (self.expected.preset_of(to) if self.expected else "")
        self.session.change(threshold=to.up, rearm=to.low, hold_s=to.hold_s, preset=name or None)
        if self.running:
            label = self.expected.label if self.expected else self.session.settings.target
            for words in ways_to(self.expected, before, to, name):
                self.remote("threshold", *words, *([] if label is None else [label]))
            self.plot.preview = (to.up, to.low)
        self._look()

    def _preview(self, up: float) -> None:
        point = None if self.expected is None else self.expected.at(up)
        down = point.down if point is not None else up
        if self.running:
            self.plot.preview = (up, min(down, up))
        if self.sender() is self.plot:
            self.threshold.show_expected(self.expected, up, self.threshold.about)

    def _toggle_decode(self) -> None:
        if self.running:
            self.session.stop("decoder")
        else:
            self._require_start()
            self.session.start("decoder", decode_command(self.session, self.expected))
        self._look()

    def _toggle_record(self) -> None:
        if self.session.records("run"):
            self.end()
        elif not self.session.running("recorder"):
            name = start_recording(self.session)
            self.says.emit(say("run.records", run=name))
        self._look()

    def _toggle_detections(self) -> None:
        on = self.switches.switches["detections"].state.on
        self.remote("detections", "off" if on else "on")

    def _toggle_trigger(self) -> None:
        on = self.switches.switches["trigger"].state.on
        self.remote("disarm" if on else "arm")
