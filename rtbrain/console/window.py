"""The window of the console: menu, transport, rail, the page of a step, and its actions."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QScrollArea, QVBoxLayout, QWidget

from rtbrain.console.calibrate.page import CalibratePage
from rtbrain.console.commands import stop_outputs
from rtbrain.console.controls import ActionBar
from rtbrain.console.fitting.page import FitPage
from rtbrain.console.folder import JOBS, Session
from rtbrain.console.keys import ConsoleKeys
from rtbrain.console.page import STEPS, Action, Page
from rtbrain.console.rail import Rail
from rtbrain.console.review.page import ReviewPage
from rtbrain.console.running.page import RunPage
from rtbrain.console.setup.page import SetupPage
from rtbrain.errors import RtbrainError, one_line
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream_names import cues_name
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, choose_theme, fill, plain_label, style_sheet

PAGES: tuple[type[Page], ...] = (SetupPage, CalibratePage, FitPage, RunPage, ReviewPage)
_POLL_MS = 50
_END_S = 10.0
_LEAST_PX = (1024, 700)
_CONTENT_PX = 1400


class SessionWindow(QMainWindow):
    """One session; it shows and starts its jobs, which go on without it.

    Parameters
    ----------
    connect : callable
        Opens the streams of a session's settings.
    """

    def __init__(
        self,
        session: Session,
        settings: QSettings,
        *,
        theme: str | None = None,
        connect: Callable[..., ViewSession] = ViewSession,
    ) -> None:
        super().__init__()
        self.session, self._settings, self._connect = session, settings, connect
        light = (theme or settings.value("theme", "dark")) == "light"
        self.theme = choose_theme(light, settings.value("large", False, type=bool) is True)
        self.live: ViewSession | None = None
        self._live_for: tuple[Any, ...] = ()
        self._step = STEPS[0]
        self.pages = {made.step: made for made in (page(session, self.theme) for page in PAGES)}
        self.rail = Rail(session, list(self.pages.values()), self.theme)
        self.bar = ActionBar(self.theme)
        self._shortcuts: list[QShortcut] = []
        self._build()
        for page in self.pages.values():
            page.changed.connect(self._show_actions)
            page.go.connect(self.show_step)
            page.says.connect(self.bar.show_message)
            page.asks.connect(self.bar.ask)
        self.rail.chosen.connect(self.show_step)
        self.bar.done.connect(self.do)
        for number, step in enumerate(STEPS, 1):
            shortcut = QShortcut(QKeySequence(f"Alt+{number}"), self)
            shortcut.activated.connect(lambda step=step: self.show_step(step))
        self._keys = ConsoleKeys(self, self.stop_outputs)
        self._leaving = False
        self.restyle(self.theme)
        self.show_step(self._first_step())
        self._timer = QTimer(self, interval=_POLL_MS)
        self._timer.timeout.connect(self.poll)
        self._timer.start()

    def _build(self) -> None:
        self.setWindowTitle(say("session.title"))
        self.setMinimumSize(*_LEAST_PX)
        self._title, self._intro = plain_label(), plain_label()
        self._title.setObjectName("title")
        self._intro.setObjectName("intro")
        self._stack = QWidget()
        fill(QVBoxLayout(self._stack), *self.pages.values())
        column = QWidget()
        column.setMaximumWidth(_CONTENT_PX)
        fill(
            QVBoxLayout(column),
            self._title,
            self._intro,
            self._stack,
            stretched=self._stack,
            margins=(20, 12, 20, 12),
            spacing=2,
        )
        scroll = QScrollArea(widgetResizable=True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(column)
        scroll.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        right, below = QVBoxLayout(), QHBoxLayout()
        fill(right, scroll, self.bar, stretched=scroll)
        fill(below, self.rail, right, stretched=right)
        middle = QWidget()
        self._rows = QVBoxLayout(middle)
        fill(self._rows, below, stretched=below)
        self.setCentralWidget(middle)

    @property
    def page(self) -> Page:
        """The page that is shown."""
        return self.pages[self._step]

    def show_step(self, step: str) -> None:
        """Show the page of a step."""
        self._step = step
        for name, page in self.pages.items():
            page.setVisible(name == step)
        self.rail.show_step(step)
        self._show_actions()

    def poll(self) -> None:
        """Read the streams, look after the jobs, and show both."""
        self.session.poll()
        self._follow_settings()
        now = lsl_clock()
        if self.live is not None:
            update = self.live.poll()
            now = update.now
            for page in self.pages.values():
                page.take(update)
        for page in self.pages.values():
            page.draw(now)
        self.rail.draw()

    def do(self, call: Callable[[], object]) -> None:
        """Carry out an action; what keeps it from that is said in one line."""
        self.bar.show_message("")
        try:
            call()
        except RtbrainError as error:
            self.bar.show_message(str(error), "fix")
        self._show_actions()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme = theme
        self.setStyleSheet(
            style_sheet(theme)
            + f"#title {{ font-size: {theme.px(20)}px; font-weight: 700; }}"
            + f"#intro {{ color: {theme.text2}; }}"
        )
        for page in self.pages.values():
            page.restyle(theme)
        self.rail.restyle(theme)
        self.bar.restyle(theme)

    @property
    def outputs_on(self) -> bool:
        """Whether a decoder sends: a job of this session, or another of its name."""
        if self.session.running("decoder"):
            return not self.session.jobs["decoder"].stopping
        feeds = () if self.live is None else self.live.feeds
        return any(feed.kind == "decode" and feed.state == "live" for feed in feeds)

    def stop_outputs(self) -> bool:
        """End decodes, detections and triggers at once; False where there are none."""
        if not self.outputs_on:
            return False
        stop_outputs(self.session)
        recorded = "stopped" if self.session.running("recorder") else "stopped_unrecorded"
        self.bar.show_message(say(f"session.{recorded}", time=time.strftime("%H:%M:%S")))
        self._show_actions()
        return True

    def come_forward(self) -> None:
        """Show the window above others: somebody has started the console again."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def leave(self) -> None:
        """Close the window without a question; what runs goes on."""
        self._leaving = True
        self.close()

    def note_unexpected(
        self, report: Callable[[type[BaseException], BaseException, TracebackType | None], object]
    ) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
        """An exception hook that says what went wrong in one line here too, beside `report`."""

        def hook(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            report(kind, error, trace)
            what = f"{kind.__name__}, {one_line(error)}"
            self.bar.show_message(say("session.unexpected", what=what), "fix")

        return hook

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Ask what becomes of what runs; then close the streams."""
        asked = [job for job in self._running if job != "view"]
        if asked and not self._leaving:
            event.ignore()
            self._ask_before_closing(asked)
            return
        self._timer.stop()
        if self.live is not None:
            self.live.close()
        event.accept()

    def _ask_before_closing(self, running: Sequence[str]) -> None:
        *before, last = [say(f"session.jobs.{job}") for job in running]
        words = f"{', '.join(before)} {say('session.and')} {last}" if before else last
        many = "many" if len(running) > 1 else "one"
        question = say(f"session.runs_{many}", what=f"{words[:1].upper()}{words[1:]}")
        self.bar.ask(
            question,
            [
                Action(say("session.keep"), self.leave),
                Action(say("session.end_all"), lambda: self._end_all(time.monotonic())),
                Action(say("session.cancel"), lambda: None),
            ],
        )

    @property
    def _running(self) -> list[str]:
        return [job for job in JOBS if self.session.running(job)]

    def _end_all(self, since: float) -> None:
        """End what runs, the decoder before the recorder, and close once all has ended."""
        running = self._running
        if not running:
            self.leave()
            return
        late = time.monotonic() > since + _END_S
        others = [job for job in running if job != "recorder"]
        for job in others or running:
            # A recorder ends when the disk lets it: killed, it would lose what waits.
            if not self.session.jobs[job].stopping or (late and job != "recorder"):
                self.session.stop(job)
        self.bar.show_message(say("session.ending"), "checking")
        QTimer.singleShot(_POLL_MS, self, lambda: self._end_all(since))

    def _first_step(self) -> str:
        for job, step in (("decoder", "run"), ("cue", "calibrate"), ("fit", "fit")):
            if self.session.running(job):
                return step
        return next((s for s, page in self.pages.items() if page.state()[0] != "fine"), STEPS[-1])

    def _follow_settings(self) -> None:
        """Read the streams that the settings name."""
        settings = self.session.settings
        signal, markers = settings.signal, settings.of_role("markers")
        wanted: tuple[Any, ...] = ()
        if signal is not None:
            other = markers[0].name if markers else None
            if settings.plan is not None:
                other = cues_name(settings.outlet)
            wanted = (signal.name, signal.source_id or None, settings.outlet, other)
        if wanted == self._live_for:
            return
        if self.live is not None:
            self.live.close()
        self._live_for, self.live = wanted, None
        if wanted:
            name, source_id, decode, other = wanted
            self.live = self._connect(
                stream=name, source_id=source_id, decode=decode, markers=other
            )
        for page in self.pages.values():
            page.live = self.live

    def _show_actions(self) -> None:
        page = self.page
        self._title.setText(page.title)
        self._intro.setText(page.intro)
        self.bar.show_page(page.buttons, page.primary)
        self._set_keys([*page.buttons, *page.keys, *([page.primary] if page.primary else [])])

    def _set_keys(self, actions: Sequence[Action]) -> None:
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []
        for action in actions:
            if action.key and action.enabled:
                shortcut = QShortcut(QKeySequence(action.key), self)
                shortcut.activated.connect(lambda call=action.call: self.do(call))
                self._shortcuts.append(shortcut)
