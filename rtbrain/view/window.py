"""The live window: panels in a fixed grid, polled and drawn by timers, and the commands."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QResizeEvent
from PySide6.QtWidgets import QMainWindow, QStackedWidget, QTabBar, QWidget

from rtbrain.errors import SettingsError
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.view.alarms.log import event_lines
from rtbrain.view.alarms.model import Alarms
from rtbrain.view.chooser import SignalChooser, waiting_text
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.now import NowPanel
from rtbrain.view.decodes.plot import DecodePlot
from rtbrain.view.electrodes.panel import ElectrodePanel
from rtbrain.view.grid import MENU_PX, PANELS, place_panels
from rtbrain.view.health.cells import Health
from rtbrain.view.health.dialogs import TextDialog, detail_lines, log_lines
from rtbrain.view.health.indicators import origin_of, stream_tip
from rtbrain.view.health.line import LineText, StatusLine
from rtbrain.view.health.strip import OriginStrip
from rtbrain.view.marks import MarkLabels, MarkOutlet, OperatorMarks
from rtbrain.view.menus import Menus, new_screenshot_path, save_screenshot
from rtbrain.view.pace import DrawInterval, call_each
from rtbrain.view.spectra.panel import SpectraPanel
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import DARK, LIGHT, Theme, choose_theme, plain_label, style_sheet
from rtbrain.view.traces.panel import BuildChain, TracePanel

_POLL_MS = 33
_DRAW_HZ = 20.0
_MESSAGE_MS = 8000
_LINE_EVERY_S = 0.2
_LEAST_PX = (1024, 700)
# From this width on, the type is larger: the screen is far away, or has many pixels.
_HUGE_PX, _HUGE = 2560, 1.25
# Panels that a pause freezes; the state of the streams and the decodes never freeze.
_PAUSABLE = ("signal", "spectrum", "contacts")
_PAGE_S, _HUGE_PAGE_S = 60.0, 120.0  # of the decode plot


class MainWindow(QMainWindow):
    """The window that shows one session.

    Each of its `panels` is named by its place in the grid (`place_panels`), takes the result of a
    poll (`take`), draws itself at a time of the LSL clock (`draw`), applies a theme (`restyle`) and
    paints its own border and head.
    """

    def __init__(
        self,
        session: ViewSession,
        outlet: MarkOutlet,
        settings: QSettings,
        *,
        make_chain: BuildChain | None,
        theme: str | None = None,
    ) -> None:
        super().__init__()
        self._session = session
        self._settings = settings
        self._paused_at: float | None = None
        self._line_at, self._huge = -math.inf, False
        self._began = time.monotonic()
        self._theme = self._saved_theme(theme)
        self.setWindowTitle(say("frame.title"))
        self.setMinimumSize(*_LEAST_PX)
        self.resize(1280, 800)
        self.decoding = Decoding(session)
        self.health, self.alarms = Health(session, self.decoding), Alarms()
        self.spectra = SpectraPanel(session, self._theme)
        self.panels: dict[str, Any] = {
            "decode": DecodePlot(self.decoding, self._theme),
            "now": NowPanel(self.decoding, self._theme),
            "signal": TracePanel(session, self._theme, make_chain),
            "spectrum": self.spectra,
            "contacts": ElectrodePanel(session, self._theme),
        }
        hidden = settings.value("window/hidden") or []  # Qt unpacks a list of a single name
        self.hidden = set(PANELS).intersection(hidden if isinstance(hidden, list) else [hidden])
        self._compose()
        self.marks = OperatorMarks(self, session, outlet, MarkLabels(settings), self.show_message)
        self.menus = Menus(self, self._commands(), self.marks, self.panels.values())
        self._connect()
        self._restore()
        self._interval = DrawInterval(_DRAW_HZ)
        self._polling = QTimer(self, interval=_POLL_MS)
        self._polling.timeout.connect(self._poll)
        self._drawing = QTimer(self, singleShot=True)
        self._drawing.timeout.connect(self._draw)
        self._painted = QTimer(self, singleShot=True, interval=0)
        self._painted.timeout.connect(self._schedule_draw)
        self._polling.start()
        self._drawing.start(0)
        self.setFocus()  # so that letters are commands and do not select in a combo box

    @property
    def theme(self) -> Theme:
        """Theme in use."""
        return self._theme

    @property
    def paused(self) -> bool:
        """Whether the picture is frozen."""
        return self._paused_at is not None

    def show_message(self, text: str) -> None:
        """Show a message beside the menus for some seconds, and add it to the log."""
        self.alarms.note("mark", text)
        self.menus.message.setText(text)
        self._forget.start()

    def pause_timers(self) -> None:
        """Neither poll nor draw any more, but for who calls `take` and `draw_all`."""
        for timer in (self._polling, self._drawing, self._painted):
            timer.stop()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Save the layout and close the streams."""
        self.pause_timers()
        self._settings.setValue("window/geometry", self.saveGeometry())
        self._settings.setValue("window/contact", self.spectra.contact)
        self._settings.sync()
        self._session.close()
        super().closeEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Place everything anew; the type of a huge window is larger."""
        super().resizeEvent(event)
        if (self.width() >= _HUGE_PX) != self._huge:
            self._huge = not self._huge
            self._retheme(self._theme.name == LIGHT.name, self._theme.large)
        self._place()

    def _compose(self) -> None:
        self._area = area = QWidget()
        self.setCentralWidget(area)
        self.line = StatusLine(self._theme)
        self.line.seen.connect(self._see)
        self.line.turned.connect(self.alarms.turn)
        self.log = TextDialog(say("log.title"), self, grows=True)
        self.details = TextDialog(say("details.title"), self)
        self.strip = OriginStrip(self, self._theme)
        self.tabs = QTabBar(area, drawBase=False)
        for name in ("contacts", "spectrum"):
            self.tabs.addTab(say(f"frame.panels.{name}"))
        self.tabs.currentChanged.connect(lambda tab: self._place())
        self.chooser = SignalChooser(self._session.choose, self._session.look_again)
        self._signal = QStackedWidget(area)
        self._signal.addWidget(self.chooser)
        self._signal.addWidget(self.panels["signal"])
        self._places: dict[str, QWidget] = {
            **{name: panel for name, panel in self.panels.items() if name != "signal"},
            "signal": self._signal,
            "status": self.line,
            "strip": self.strip,
            "tabs": self.tabs,
        }
        for widget in self._places.values():
            widget.setParent(area)
        self.sign = plain_label(parent=area, alignment=Qt.AlignmentFlag.AlignCenter)
        self.sign.hide()
        self._forget = QTimer(self, singleShot=True, interval=_MESSAGE_MS)
        self._forget.timeout.connect(lambda: self.menus.message.setText(""))

    def _place(self) -> None:
        """Put every widget in its place."""
        area, theme = self._area, self._theme
        places = place_panels(
            area.width(),
            area.height(),
            theme.px,
            strip=bool(self.strip.origin),
            hidden=self.hidden,
        )
        if "tabs" in places:
            places.pop(("spectrum", "contacts")[self.tabs.currentIndex()])
        for name, widget in self._places.items():
            widget.setVisible(name in places)
            if name in places:
                widget.setGeometry(places[name])
        self.strip.place_frame(self.width(), self.height())
        if "signal" in places:
            signal = places["signal"]
            self.sign.setGeometry(signal.x(), signal.y(), signal.width(), theme.px(30))

    def _commands(self) -> dict[str, Callable[[], object]]:
        return {
            "screenshot": self._save_picture,
            "quit": self.close,
            "pause": self._toggle_pause,
            "theme": lambda: self._retheme(self._theme.name == DARK.name, self._theme.large),
            "large": lambda: self._retheme(self._theme.name == LIGHT.name, not self._theme.large),
            "next": lambda: self.spectra.step(1),
            "previous": lambda: self.spectra.step(-1),
            "seen": self._see,
            "log": self.log.toggle,
            "details": self.details.toggle,
            "layout": lambda: self._show_panels(set()),
            **{name: partial(self._toggle_panel, name) for name in PANELS},
        }

    def _connect(self) -> None:
        for name in ("signal", "contacts"):
            self.panels[name].marked.connect(self.marks.mark_contact)
        self.panels["signal"].chosen.connect(self.spectra.choose)
        self.panels["signal"].refused.connect(self.show_message)
        self.panels["contacts"].selected.connect(self.spectra.choose)
        for part in (self.marks, self.panels["signal"], self.panels["contacts"]):
            self.spectra.chosen.connect(part.choose)
            part.choose(self.spectra.contact)

    def _saved_theme(self, name: str | None) -> Theme:
        name = name or str(self._settings.value("window/theme", DARK.name))
        is_large = self._settings.value("window/large") in (True, "true")
        return choose_theme(name == LIGHT.name, is_large)

    def _restore(self) -> None:
        saved = self._settings.value("window/geometry")
        if saved is not None:
            self.restoreGeometry(saved)
        self._apply()

    def _retheme(self, light: bool, is_large: bool) -> None:
        theme = choose_theme(light, is_large)
        self._theme = replace(theme, scale=theme.scale * (_HUGE if self._huge else 1.0))
        self._apply()

    def _apply(self) -> None:
        """Apply the theme to the window and its panels."""
        theme = self._theme
        self.setStyleSheet(style_sheet(theme))
        self.menuBar().setFixedHeight(theme.px(MENU_PX))
        for part in (*self.panels.values(), self.line, self.strip, self.chooser, self.menus):
            part.restyle(theme)
        self.sign.setFont(theme.font(13, 600))
        self.sign.setStyleSheet(f"background: {theme.text}; color: {theme.bg0};")
        self.menus.checked("theme", theme.name == LIGHT.name)
        self.menus.checked("large", theme.large)
        self._settings.setValue("window/theme", theme.name)
        self._settings.setValue("window/large", theme.large)
        self._show_panels(self.hidden)

    def _toggle_panel(self, name: str) -> None:
        self._show_panels(self.hidden ^ {name})

    def _show_panels(self, hidden: set[str]) -> None:
        self.hidden = hidden
        for name in PANELS:
            self.menus.checked(name, name not in hidden)
        self._settings.setValue("window/hidden", sorted(hidden))
        self._place()

    def _poll(self) -> None:
        self.take(self._session.poll())

    def take(self, update: SessionUpdate) -> None:
        """Show the result of a poll."""
        call_each(
            partial(self.decoding.take, update),
            partial(self.health.take, update),
            partial(self._watch, update),
            *(partial(panel.take, update) for panel in self.panels.values()),
            partial(self.marks.take, update),
        )
        if update.new_montage:
            self.spectra.choose(str(self._settings.value("window/contact", "")))

    def _watch(self, update: SessionUpdate) -> None:
        for line in event_lines(update):
            self.alarms.note("event", line)
        self.alarms.update(self.health.situation(update.now))

    def _draw(self) -> None:
        self._began = time.monotonic()
        # Qt paints before this timer fires. It is set first so that drawing continues whatever
        # fails: a frozen picture would look live.
        self._painted.start()
        if not self.isMinimized():
            self.draw_all(lsl_clock())

    def _schedule_draw(self) -> None:
        took_s = time.monotonic() - self._began
        self._interval.drawn(took_s)
        self._drawing.start(max(1, round(1000 * (self._interval.interval_s - took_s))))

    def draw_all(self, now: float) -> None:
        """Draw everything as it is at a time of the LSL clock, s."""
        self.decoding.page_s = _HUGE_PAGE_S if self._huge else _PAGE_S
        self.panels["decode"].band_s = self.panels["signal"].page_s
        still = _PAUSABLE if self.paused else ()
        panels = [panel for name, panel in self.panels.items() if name not in still]
        call_each(partial(self._draw_line, now), *(partial(panel.draw, now) for panel in panels))
        if self.strip.show_origin(origin_of((session := self._session).feeds)):
            self._place()
        waiting = session.montage is None or bool(session.choices)
        if waiting:
            self.chooser.offer(waiting_text(session), session.choices)
        self._signal.setCurrentIndex(int(not waiting))
        if self._paused_at is not None:
            self.sign.setText(say("frame.paused", seconds=f"{now - self._paused_at:.0f}"))
            self.sign.raise_()

    def _draw_line(self, now: float) -> None:
        """Show the state of all, at most five times a second unless an alarm begins or ends."""
        alarms, shown = self.alarms, self.line.shown
        changed = (alarms.shown is None) != (shown.alarm is None)
        if self._line_at <= now < self._line_at + _LINE_EVERY_S and not changed:
            return
        self._line_at = now
        self.health.rate = self._interval.text
        situation = self.health.situation(now)
        cells = self.health.cells(situation, alarms.of)
        state, waiting = situation.recording.state, tuple(alarms.waiting)
        self.line.show_text(LineText(state, cells, alarms.shown, waiting, alarms.over(now)))
        if self.log.isVisible():
            self.log.show_text(log_lines(alarms.log))
        if self.details.isVisible():
            more = [stream_tip(feed) for feed in self._session.feeds if feed.kind == "markers"]
            self.details.show_text(detail_lines(cells, more))

    def _see(self) -> None:
        self.alarms.see()
        self._line_at = -math.inf

    def _toggle_pause(self) -> None:
        self._paused_at = None if self.paused else lsl_clock()
        self.panels["signal"].freeze(self.paused)
        self.sign.setVisible(self.paused)
        self.menus.checked("pause", self.paused)

    def _save_picture(self) -> None:
        try:
            path = new_screenshot_path(str(self._settings.value("window/pictures", "")))
            save_screenshot(self, path)
        except (SettingsError, OSError) as error:
            self.show_message(say("frame.no_picture", error=error))
        else:
            self.show_message(say("frame.saved", path=path))
