"""The page Calibrate: cues and markers, the recording, and the usable blocks as they come."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout

from rtbrain.console.calibrate.calibration import SOURCES, Calibration
from rtbrain.console.calibrate.collected import CollectedPanel
from rtbrain.console.calibrate.counting import ENOUGH
from rtbrain.console.calibrate.now import Shown, fewest_of
from rtbrain.console.calibrate.panels import BlockStrip, CurrentBlock, Preview
from rtbrain.console.calibrate.plan import PlanPanel
from rtbrain.console.folder import IGNORE, Session
from rtbrain.console.frame.controls import KeyButton
from rtbrain.console.page import Action, Page
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, plain_label

_COLLECTED_PX, _PREVIEW_PX, _NOW_PX = (236, 276), 300, 345
_WIDE_PX = 980  # of the page, as in a window of 1280
_FEWEST = 2  # blocks of each class that a fit can be tried with


class CalibratePage(Page):
    """The step Calibrate."""

    step = "calibrate"

    def __init__(self, session: Session, theme: Theme) -> None:
        super().__init__(session, theme)
        self.model = Calibration(session)
        self._shown_key: tuple[object, ...] = ()
        self._room_for_where = True
        self._build()
        self.restyle(theme)
        self._show_actions()

    def use_source(self, source: str) -> None:
        """Take cues from elsewhere; where Set up must choose that first, go there."""
        try:
            self.model.use_source(source)
        except RtbrainError:
            if not self.model.recording:
                self.go.emit("setup")
            raise
        finally:
            self._show_actions()

    def start(self) -> None:
        """Begin to record, and the cues with it."""
        if why := self._hindrance():
            raise SettingsError(why)
        name = self.model.start()
        self.says.emit(say("calibrate.action.began", name=name))
        self._show_actions()

    def ask_display(self) -> None:
        """Ask where the cues are shown."""

        def move(number: int | None) -> Callable[[], None]:
            def call() -> None:
                self.model.display, self.model.windowed = number, number is None
                if self.session.running("cue") and number is not None:
                    self.model.command(f"display {number}")

            return call

        numbers = range(1, 1 + len(QGuiApplication.screens()))
        answers = [Action(say("calibrate.move_to", n=n), move(n)) for n in numbers]
        if not self.session.running("cue"):
            answers.append(Action(say("calibrate.move_window"), move(None)))
        cancel = Action(say("calibrate.cancel"), lambda: None)
        shown = self.session.running("cue")
        self.asks.emit(
            say("calibrate.move_title"),
            [*answers, cancel],
            lambda: self.session.running("cue") == shown,
        )

    def ask_name(self) -> None:
        """Ask what the most frequent marker without a name stands for."""
        counter = self.model.counter
        if counter is None or not counter.unknown:
            return
        ((text, _),) = counter.unknown.most_common(1)

        def stands_for(name: str) -> Callable[[], None]:
            def call() -> None:
                self.model.name(text, name)

            return call

        answers = [Action(name, stands_for(name)) for name in self.session.settings.classes]
        answers.append(Action(say("calibrate.ignore"), stands_for(IGNORE)))
        cancel = Action(say("calibrate.cancel"), lambda: None)
        question = say("calibrate.name_question", text=text)
        self.asks.emit(question, [*answers, cancel], lambda: text in counter.unknown)

    def take(self, update: SessionUpdate) -> None:
        """Count blocks from the markers, in the signal that comes with them."""
        self.model.take(update, self.live)

    def draw(self, now: float) -> None:
        """Show what is on, and the counts."""
        for line in self.model.poll(now):
            self.says.emit(line)
        shown = self.model.shown(now)
        if (key := self._key(shown)) != self._shown_key:
            self._shown_key = key
            self._show_actions()
        if self.isVisible():
            self._show(shown)

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        super().restyle(theme)
        for one in self._painted:
            one.restyle(theme)
        for button in self._buttons.values():
            button.restyle(theme)
        self.preview.restyle(theme)
        self.plan_panel.restyle(theme)
        self.setStyleSheet(
            f"#quiet {{ color: {theme.text2}; font-size: {theme.px(13)}px; }}"
            f"QPushButton#source {{ border-radius: 0; padding: 3px 12px; }}"
            f"QPushButton#source:checked {{ background: {theme.text}; color: {theme.bg0};"
            f" border-color: {theme.text}; font-weight: 600; }}"
        )

    def fit_width(self, width: int) -> bool:
        """What is least needed goes where there is no room for it."""
        stacked = super().fit_width(width)
        beside = self.theme.px(_COLLECTED_PX[width >= _WIDE_PX])
        self.collected.setFixedWidth(width if stacked else beside)
        room = width - (0 if stacked else beside) - 32 - self.theme.px(_NOW_PX)
        self.preview.setFixedWidth(min(self.theme.px(_PREVIEW_PX), max(96, room)))
        self._from.setVisible(width >= _WIDE_PX)
        self._room_for_where = width >= _WIDE_PX
        return stacked

    def state(self) -> tuple[str, str]:
        """Icon and line of the rail."""
        counts = self.model.counts
        n, wanted = sum(one.usable for one in counts.values()), self.model.wanted
        enough = bool(counts) and min(one.usable for one in counts.values()) >= ENOUGH
        if self.model.recording:
            icon = "fine" if enough else "checking"
            if wanted is None:
                return icon, say("calibrate.rail.running_open", n=n)
            return icon, say("calibrate.rail.running", n=n, total=wanted * len(counts))
        if not n:
            return "unchecked", say("calibrate.rail.not_begun")
        if enough:
            return "fine", say("calibrate.rail.enough", n=n)
        return "unchecked", say("calibrate.rail.some", n=n, least=ENOUGH)

    def _build(self) -> None:
        theme = self.theme
        self.preview = Preview(theme)
        self.now_panel, self.strip = CurrentBlock(theme, (400, 206)), BlockStrip(theme)
        self.collected = CollectedPanel(theme)
        self.plan_panel = PlanPanel(theme)
        self._painted = (self.now_panel, self.strip, self.collected)
        self.plan_panel.changed.connect(self._change_plan)
        self.plan_panel.refused.connect(self.says)
        self.plan_panel.target.connect(lambda name: self.session.change(target=name))
        self._sources = {name: QPushButton(say(f"calibrate.source.{name}")) for name in SOURCES}
        top = QHBoxLayout()
        self._from = plain_label(say("calibrate.source.title"))
        self._where, self._move = plain_label(), QPushButton(say("calibrate.move"))
        self._move.clicked.connect(self.ask_display)
        fill(top, self._from, spacing=12)
        choices = QHBoxLayout()
        for name, button in self._sources.items():
            button.setCheckable(True)
            button.setObjectName("source")
            button.clicked.connect(lambda _=False, it=name: self.do(lambda: self.use_source(it)))
            choices.addWidget(button)
        choices.setSpacing(0)
        top.addLayout(choices)
        top.addStretch(1)
        fill(top, self._where, self._move, spacing=12)
        for label in (self._from, self._where):
            label.setObjectName("quiet")
        self._buttons = {name: KeyButton(theme, 30) for name in ("pause", "drop", "name_it")}
        row = QHBoxLayout()
        for button in self._buttons.values():
            button.clicked.connect(lambda _=False, it=button: self.do(it.call))
            row.addWidget(button)
        row.addStretch(1)
        inside = QVBoxLayout(self.now_panel)
        inside.addStretch(1)
        inside.addLayout(row)
        inside.setContentsMargins(16, 0, 16, 12)
        middle, left, whole = QHBoxLayout(), QVBoxLayout(), QHBoxLayout(self)
        now = QVBoxLayout()
        fill(now, self.now_panel)
        now.addStretch(1)
        fill(middle, self.preview, now, stretched=now, spacing=16)
        fill(left, top, middle, self.strip, self.plan_panel, spacing=12)
        left.addStretch(1)
        fill(whole, left, self.collected, stretched=left, margins=(0, 8, 0, 0), spacing=16)
        self.side_by_side = (whole,)

    def _change_plan(self, values: dict[str, Any]) -> None:
        target = (
            self.model.target if self.model.target in values["classes"] else values["classes"][-1]
        )
        self.do(
            lambda: self.session.change(
                plan=values, classes=tuple(values["classes"]), target=target
            )
        )

    def _show(self, shown: Shown) -> None:
        source, status = self.model.source, self.model.status
        for panel in self._painted:
            panel.show_state(shown)
        self.preview.show_scene(shown.state.scene)
        for name, button in self._sources.items():
            button.setChecked(name == source)
            button.setEnabled(not self.model.recording)
        on_screen = source == "screen"
        for widget in (self.preview, self._move, self.plan_panel):
            widget.setVisible(on_screen)
        self._where.setVisible(on_screen and self._room_for_where)
        where = "calibrate.display_auto" if self.model.display is None else "calibrate.display"
        where = "calibrate.display_window" if self.model.windowed else where
        self._where.setText(say(where, n=self.model.display))
        for name in ("pause", "drop"):
            self._buttons[name].setVisible(on_screen)
        self._buttons["name_it"].setVisible(bool(self.model.counter and self.model.counter.unknown))
        left_s = status.get("left_s") or None  # none is left
        self.plan_panel.show_plan(
            self.model.plan,
            self.model.target,
            locked=self.session.running("cue"),
            left_s=left_s,
        )

    def _key(self, shown: Shown) -> tuple[object, ...]:
        """What decides on the actions."""
        status, counter = self.model.status, self.model.counter
        n_unknown = len(counter.unknown) if counter else 0
        counts = [(name, one.usable) for name, one in shown.counts.items()]
        state = status.get("state"), status.get("droppable")
        job = self.session.jobs.get("recorder")
        return (
            self.model.recording,
            self.model.unrecorded,
            job is not None and job.stopping,
            self.model.source,
            state,
            n_unknown,
            counts,
            self.session.settings.signal,
            self.hindrance,
        )

    def _show_actions(self) -> None:
        status, counts = self.model.status, self.model.counts
        state = status.get("state")
        steered = state in ("cue", "break", "paused")
        pause = Action(
            say("calibrate.resume" if state == "paused" else "calibrate.pause"),
            self.model.toggle_pause, "P", enabled=steered,
        )  # fmt: skip
        drop = Action(
            say("calibrate.drop"),
            self.model.drop,
            "Del",
            enabled=bool(status.get("droppable")),
        )
        self._buttons["pause"].show_action(pause)
        self._buttons["drop"].show_action(drop)
        self._buttons["name_it"].show_action(Action(say("calibrate.name_it"), self.ask_name))
        self.keys = [pause, drop] if self.model.source == "screen" else []
        name, fewest = fewest_of(counts) if counts else ("", 0)
        few = say("calibrate.action.few", n=fewest, name=name, least=ENOUGH)
        can_fit = fewest >= _FEWEST
        fit = Action(
            say("calibrate.action.fit"), lambda: self.go.emit("fit"), enabled=can_fit, reason=few
        )
        if fewest >= ENOUGH:
            reason = say("calibrate.action.goes_on") if self.model.recording else ""
            fit = replace(fit, reason=reason)
        if self.model.recording:
            closing = self.session.jobs["recorder"].stopping
            name = self.model.file.stem if self.model.file else ""
            text = say("session.closing_file" if closing else "calibrate.action.end", name=name)
            self.buttons = [
                Action(text, partial(self.ask_end, self.model.end), "Ctrl+End", enabled=not closing)
            ]
            self.primary = fit
        elif self.model.unrecorded:
            self.buttons = [Action(say("calibrate.action.end"), self.model.end, "Ctrl+End")]
            again, reason = say("calibrate.action.again"), say("calibrate.action.again_reason")
            self.primary = Action(again, self.start, reason=reason)
        else:
            reason = self._hindrance()
            key = "more" if can_fit else "start_cues" if self.model.source == "screen" else "start"
            start = Action(
                say(f"calibrate.action.{key}"), self.start, enabled=not reason, reason=reason
            )
            self.buttons = [start] if can_fit else []
            self.primary = fit if can_fit else start
        self.changed.emit()

    def _hindrance(self) -> str:
        """Why nothing can be recorded now."""
        if self.session.settings.signal is None:
            return say("calibrate.action.no_signal")
        if self.session.running("recorder"):
            return say("calibrate.action.busy")
        if self.hindrance:
            return self.hindrance
        return "" if len(self.model.classes) > 1 else say("calibrate.action.no_classes")
