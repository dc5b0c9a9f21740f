"""The window of the console: menu, transport, rail, the page of a step, and its actions."""

from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QMainWindow,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from rtbrain.console.calibrate.page import CalibratePage
from rtbrain.console.commands import Outputs, streams_of, view_command
from rtbrain.console.fitting.page import FitPage
from rtbrain.console.folder import Session
from rtbrain.console.frame.bar import ActionBar
from rtbrain.console.frame.closing import Closing
from rtbrain.console.frame.controls import ConsoleKeys, KeyButton, open_in_desktop
from rtbrain.console.frame.menus import ConsoleMenus, PageKeys
from rtbrain.console.frame.rail import Rail
from rtbrain.console.frame.tour import TourBar
from rtbrain.console.frame.transport import Transport
from rtbrain.console.page import STEPS, Action, Guard, Page, focus_first, make_page
from rtbrain.console.review.page import ReviewPage
from rtbrain.console.running.page import RunPage
from rtbrain.console.setup.page import SetupPage
from rtbrain.console.watch import Watch
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.view.grid import MENU_PX
from rtbrain.view.health.dialogs import log_lines
from rtbrain.view.health.indicators import origin_of
from rtbrain.view.health.strip import OriginStrip
from rtbrain.view.marks import MarkOutlet
from rtbrain.view.menus import new_screenshot_path, save_screenshot
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, choose_theme, fill, plain_label, style_sheet
from rtbrain.view.traces.small import SmallSignal

PAGES: tuple[type[Page], ...] = (SetupPage, CalibratePage, FitPage, RunPage, ReviewPage)
_POLL_MS = 50
_LEAST_PX = (1024, 700)
_CONTENT_PX, _STRIP_PX = 1400, 20


class SessionWindow(QMainWindow):
    """One session; it shows and starts its jobs, which go on without it.

    Parameters
    ----------
    connect : callable
        Opens the streams of a session's settings.
    marks : MarkOutlet, optional
        Where marks by hand go.
    tour : bool
        Whether to say what each step is for.
    """

    def __init__(
        self,
        session: Session,
        settings: QSettings,
        *,
        theme: str | None = None,
        connect: Callable[..., ViewSession] = ViewSession,
        marks: MarkOutlet | None = None,
        tour: bool = False,
    ) -> None:
        super().__init__()
        self.session, self._settings, self._connect = session, settings, connect
        light = (theme or settings.value("theme", "dark")) == "light"
        self.theme = choose_theme(light, settings.value("large", False, type=bool) is True)
        self.live: ViewSession | None = None
        self._live_for: dict[str, Any] = {}
        self._step = STEPS[0]
        self.pages = {page.step: make_page(page, session, self.theme) for page in PAGES}
        self.watch, self.outputs = Watch(session), Outputs(session, self._tell)
        self.transport = Transport(self.watch, self.stop_outputs, self.theme)
        self.strip = OriginStrip(self, self.theme)
        self.tour = TourBar(self._leave_for, self.theme)
        self.tour.setVisible(tour)
        self.rail = Rail(session, list(self.pages.values()), self.theme)
        self.small: SmallSignal | None = None
        self.live_button = KeyButton(self.theme, 30)
        self.bar = ActionBar(self.theme)
        self.guard = Guard(self.bar.show_message, self.watch.alarms)
        self._page_keys = PageKeys(self, self.do)
        self._build()
        for page in self.pages.values():
            page.changed.connect(self._show_actions)
            page.go.connect(self.show_step)
            page.says.connect(self.bar.show_message)
            page.asks.connect(self.bar.ask)
            page.asks_text.connect(self.bar.ask_text)
        self.rail.chosen.connect(self._leave_for)
        self.bar.done.connect(self.do)
        self.live_button.clicked.connect(lambda: self.do(self.open_live))
        self.menus = ConsoleMenus(self, self._commands(), marks, settings, self.bar.show_message)
        self._keys = ConsoleKeys(self, self.stop_outputs)
        self._leaving = False
        self._closing = Closing(self.session, self.bar, self.leave)
        self.restyle(self.theme)
        self.show_step(self._first_step())
        self._timer = QTimer(self, interval=_POLL_MS)
        self._timer.timeout.connect(self.poll)
        self._timer.start()

    def _build(self) -> None:
        self.setWindowTitle(say("session.title"))
        self.setMinimumSize(*_LEAST_PX)
        self._title, self._intro = plain_label(), plain_label(wordWrap=True)
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
        foot = QWidget()
        self._foot = QVBoxLayout(foot)
        fill(self._foot, self.live_button, margins=(12, 8, 12, 10), spacing=8)
        self.rail.add_below(foot)
        fill(self._rows, self.transport, self.strip, self.tour, below, stretched=below)
        self.setCentralWidget(middle)

    @property
    def page(self) -> Page:
        """The page that is shown."""
        return self.pages[self._step]

    def _leave_for(self, step: str) -> None:
        (self.show_step if step == self._step else self.page.leave_for)(step)

    def show_step(self, step: str) -> None:
        """Show the page of a step."""
        self._step = step
        for name, page in self.pages.items():
            page.setVisible(name == step)
        self.rail.show_step(step)
        self.tour.show_step(step)
        self._show_actions()
        focus = QApplication.focusWidget()
        if focus is None or not self.page.isAncestorOf(focus):
            focus_first(self.page)

    def poll(self) -> None:
        """Read the streams, look after the jobs, and show both."""
        for line in self.watch.news(self.session.poll()):
            self._tell(line, "fix")
        self._follow_settings()
        now, update = lsl_clock(), None
        if self.live is not None:
            update = self.live.poll()
            now = update.now
            self.watch.take(update)
        self.outputs.poll(self.outputs_on)
        self.transport.draw(self.outputs_on)  # before all that may fail
        hindrance = self.pages["setup"].hindrance
        for page in self.pages.values():
            page.hindrance = hindrance
            if update is not None:
                self.guard.carry_out(page.title, page.take, update)
            self.guard.carry_out(page.title, page.draw, now)
        if self.session.problem:
            self.guard.say_once(say("session.not_saved", why=self.session.problem))
        self.guard.carry_out(say("session.title"), self._draw_rest, now, update)

    def _draw_rest(self, now: float, update: SessionUpdate | None) -> None:
        if self.strip.show_origin("" if self.live is None else origin_of(self.live.feeds)):
            self._place_frame()
        if self.small is not None:
            if update is not None:
                self.small.take(update)
            if (bad := self.pages["setup"].bad) is not None:
                self.small.judge(bad)
            self.small.draw(now)
        self.rail.draw()
        self.bar.look()
        if self.menus.log.isVisible():
            self.menus.log.show_text(log_lines(self.watch.alarms.log))

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
        own = f"#title {{ font-size: {theme.px(20)}px; }} #intro {{ color: {theme.text2}; }}"
        self.setStyleSheet(f"{style_sheet(theme)} {own}")
        self._title.setFont(theme.font(20, 700))  # its weight is in no style sheet
        for page in self.pages.values():
            page.restyle(theme)
        self.tour.restyle(theme)
        if self.small is not None:
            self.small.restyle(theme)
        for part in (self.rail, self.bar, self.transport, self.strip, self.menus):
            part.restyle(theme)
        self.menuBar().setFixedHeight(theme.px(MENU_PX))
        self.strip.setFixedHeight(theme.px(_STRIP_PX))
        self.live_button.restyle(theme)
        self.live_button.show_action(Action(say("session.open_live"), self.open_live, "F9"))
        self._place_frame()

    @property
    def outputs_on(self) -> bool:
        """Whether a decoder sends: a job of this session, or another of its name."""
        if self.session.running("decoder"):
            return not self.session.jobs["decoder"].stopping
        feeds = () if self.live is None else self.live.feeds
        return any(feed.kind == "decode" and feed.state == "live" for feed in feeds)

    def stop_outputs(self) -> bool:
        """End decodes, detections and triggers at once; False where Esc may do something else."""
        if not self.outputs_on:
            return False
        stopped = self.outputs.stop()
        self._show_actions()
        return stopped

    def _tell(self, line: str, icon: str = "know") -> None:
        self.bar.show_message(line, icon)
        self.watch.alarms.note("event", line)

    def open_live(self) -> None:
        """Open the live window, a process of its own, on the streams of this session."""
        if self.session.running("view"):
            raise SettingsError(say("session.live_open"))
        self.session.start("view", view_command(self.session, self.theme.name))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the frame at the edge."""
        super().resizeEvent(event)
        self._place_frame()

    def _place_frame(self) -> None:
        self.strip.place_frame(self.width(), self.height())

    def _commands(self) -> dict[str, Callable[[], object]]:
        return {
            "open_folder": lambda: open_in_desktop(self.session.folder),
            "screenshot": lambda: self.do(self._save_picture),
            "close": self.close,
            **{f"step_{step}": partial(self._leave_for, step) for step in STEPS},
            "live": lambda: self.do(self.open_live),
            "light": lambda: self._retheme(self.theme.name != "light", self.theme.large),
            "large": lambda: self._retheme(self.theme.name == "light", not self.theme.large),
            "seen": self.watch.alarms.see,
            "mark": lambda: self.bar.ask_text(say("session.mark"), "", self.menus.send),
        }

    def _retheme(self, light: bool, is_large: bool) -> None:
        self._settings.setValue("theme", "light" if light else "dark")
        self._settings.setValue("large", is_large)
        self.restyle(choose_theme(light, is_large))

    def _save_picture(self) -> None:
        path = new_screenshot_path(str(self.session.folder / "reports"))
        save_screenshot(self, path)
        self.bar.show_message(say("frame.saved", path=path))

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

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Ask what becomes of what runs; then close the streams."""
        if not (self._leaving or self._closing.may_close()):
            event.ignore()
            return
        self._timer.stop()
        if self.live is not None:
            self.live.close()
        event.accept()

    def _first_step(self) -> str:
        for job, step in (("decoder", "run"), ("cue", "calibrate"), ("fit", "fit")):
            if self.session.running(job):
                return step
        return next((s for s, page in self.pages.items() if page.state()[0] != "fine"), STEPS[-1])

    def _follow_settings(self) -> None:
        """Read the streams that the settings name."""
        wanted = streams_of(self.session)
        if wanted == self._live_for:
            return
        if self.live is not None:
            self.live.close()
        self._live_for = wanted
        self.live = self._connect(**wanted) if wanted else None
        self.watch.read(self.live)
        if self.small is not None:
            self._foot.removeWidget(self.small)
            self.small.deleteLater()
        self.small = None if self.live is None else SmallSignal(self.live, self.theme)
        if self.small is not None:
            self._foot.insertWidget(0, self.small)
        for page in self.pages.values():
            page.live = self.live

    def _show_actions(self) -> None:
        page = self.page
        self._title.setText(page.title)
        self._intro.setText(page.intro)
        self.bar.show_page(page.buttons, page.primary)
        primary = [] if page.primary is None else [page.primary]
        self._page_keys.show_actions([*page.buttons, *page.keys, *primary])
