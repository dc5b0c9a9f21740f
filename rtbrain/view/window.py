"""The live window: panels in docks, polled and drawn by timers, and the operator's commands."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QDockWidget,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rtbrain.errors import SettingsError, plain_text
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.resolve import StreamSummary
from rtbrain.view.decodes.panel import DecodePanel
from rtbrain.view.electrodes.panel import ElectrodePanel
from rtbrain.view.health.bar import Banner, HealthBar, StatusLine
from rtbrain.view.marks import REPEAT_REQUEST, MarkLabels, MarkOutlet, OperatorMarks
from rtbrain.view.menus import Menus, new_screenshot_path, save_screenshot
from rtbrain.view.spectra.panel import SpectraPanel
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import DARK, LIGHT, Theme, choose_theme, fill, plain_label, style_sheet
from rtbrain.view.traces.panel import BuildChain, TracePanel

_POLL_MS = 33
_DRAW_HZ = 20.0
_MESSAGE_MS = 8000
_CHOICE_CHARS = 200
# Panels that a pause freezes; the state of the streams and the decodes never freeze.
_PAUSABLE = ("traces", "spectra", "electrodes")
# Share of the time that drawing may use, averaged over some draws; samples and keys need the rest.
_MAX_DRAW_SHARE = 0.7
_AVERAGED_DRAWS = 20


class MainWindow(QMainWindow):
    """The window that shows one session."""

    def __init__(
        self,
        session: ViewSession,
        outlet: MarkOutlet,
        settings: QSettings,
        *,
        make_chain: BuildChain,
        theme: str | None = None,
    ) -> None:
        super().__init__()
        self._session = session
        self._settings = settings
        self._paused_at: float | None = None
        self._began = time.monotonic()
        self._theme = self._saved_theme(theme)
        self.setWindowTitle(say("frame.title"))
        self.resize(1280, 800)
        self.spectra = SpectraPanel(session, self._theme)
        # Each takes the result of a poll, draws itself at a time of the LSL clock, and restyles.
        self.panels: dict[str, Any] = {
            "traces": TracePanel(session, self._theme, make_chain),
            "banner": Banner(session, self._theme),
            "health": HealthBar(session, self._theme),
            "decodes": DecodePanel(session, self._theme),
            "spectra": self.spectra,
            "electrodes": ElectrodePanel(session, self._theme),
        }
        self._compose()
        self.status_line = StatusLine(self.statusBar(), session, self._theme)
        self.marks = OperatorMarks(self, session, outlet, MarkLabels(settings), self.show_message)
        self.menus = Menus(self, self.docks, self._commands(), self.marks, self.panels.values())
        self._connect()
        self._restore()
        self._interval = DrawInterval(_DRAW_HZ)
        self._polling = QTimer(self, interval=_POLL_MS)
        self._polling.timeout.connect(self._poll)
        self._drawing = QTimer(self, singleShot=True)
        self._drawing.timeout.connect(self._draw)
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
        """Show a message in the status line for some seconds."""
        self.statusBar().showMessage(text, _MESSAGE_MS)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Save the layout and close the streams."""
        self._polling.stop()
        self._drawing.stop()
        self._settings.setValue("window/geometry", self.saveGeometry())
        self._settings.setValue("window/state", self.saveState())
        self._settings.setValue("window/contact", self.spectra.contact)
        self._settings.sync()
        self._session.close()
        super().closeEvent(event)

    def _compose(self) -> None:
        self.waiting = plain_label(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        self.chooser = SignalChooser(self._session.choose)
        waiting = QWidget()
        fill(QVBoxLayout(waiting), self.waiting, self.chooser, stretched=self.waiting)
        self._pages = QStackedWidget()
        self._pages.addWidget(waiting)
        self._pages.addWidget(self.panels["traces"])
        self.sign = plain_label(alignment=Qt.AlignmentFlag.AlignCenter)
        self.sign.hide()
        centre = QWidget()
        fill(QVBoxLayout(centre), self.sign, self._pages, stretched=self._pages)
        self.setCentralWidget(centre)
        docked = {name: panel for name, panel in self.panels.items() if name != "traces"}
        self.docks = add_docks(self, docked)

    def _commands(self) -> dict[str, Callable[[], object]]:
        return {
            "screenshot": self._save_picture,
            "quit": self.close,
            "pause": self._toggle_pause,
            "theme": self._toggle_theme,
            "large": self._toggle_large,
            "next": lambda: self.spectra.step(1),
            "previous": lambda: self.spectra.step(-1),
            "layout": lambda: place_docks(self, self.docks),
        }

    def _connect(self) -> None:
        self.panels["traces"].marked.connect(self.marks.mark_contact)
        self.panels["electrodes"].selected.connect(self.spectra.choose)
        self.spectra.chosen.connect(self.marks.choose)
        self.marks.choose(self.spectra.contact)

    def _saved_theme(self, name: str | None) -> Theme:
        name = name or str(self._settings.value("window/theme", DARK.name))
        is_large = self._settings.value("window/large") in (True, "true")
        return choose_theme(name == LIGHT.name, is_large)

    def _restore(self) -> None:
        for key, restore in (("geometry", self.restoreGeometry), ("state", self.restoreState)):
            saved = self._settings.value(f"window/{key}")
            if saved is not None:
                restore(saved)
        self._apply()

    def _apply(self) -> None:
        """Apply the theme to the window and its panels."""
        theme = self._theme
        self.setStyleSheet(style_sheet(theme))
        for panel in self.panels.values():
            panel.restyle(theme)
        self.waiting.setStyleSheet(f"font-size: {1.4 * theme.font_pt}pt; color: {theme.faint};")
        self.sign.setStyleSheet(
            f"font-size: {1.3 * theme.font_pt}pt; font-weight: bold; padding: 3px;"
            f"background: {DARK.warn}; color: #000000;"
        )
        self.status_line.restyle(theme)
        self.menus.checked("theme", theme.name == LIGHT.name)
        self.menus.checked("large", theme.large)
        self._settings.setValue("window/theme", theme.name)
        self._settings.setValue("window/large", theme.large)

    def _poll(self) -> None:
        update = self._session.poll()
        # A window's request to decoders is not an event in the signal.
        markers = tuple(marker for marker in update.markers if marker[1] != REPEAT_REQUEST)
        update = replace(update, markers=markers)
        for panel in self.panels.values():
            panel.take(update)
        self.status_line.take(update)
        self.marks.take(update)
        if update.new_montage:
            self.spectra.choose(str(self._settings.value("window/contact", "")))

    def _draw(self) -> None:
        self._began = time.monotonic()
        # Qt paints before this timer fires. It is set first so that drawing continues whatever
        # fails: a frozen picture would look live.
        QTimer.singleShot(0, self._schedule_draw)
        self._draw_all(lsl_clock())

    def _schedule_draw(self) -> None:
        took_s = time.monotonic() - self._began
        self._interval.drawn(took_s)
        self._drawing.start(max(1, round(1000 * (self._interval.interval_s - took_s))))

    def _draw_all(self, now: float) -> None:
        for name, panel in self.panels.items():
            if not (self.paused and name in _PAUSABLE):
                panel.draw(now)
        choices = self._session.choices
        self.chooser.offer(choices)
        self._pages.setCurrentIndex(int(self._session.montage is not None and not choices))
        self.waiting.setText(self.status_line.waiting)
        if self._paused_at is not None:
            self.sign.setText(
                f"PAUSED for {now - self._paused_at:.0f} s: traces, spectra and map are frozen, "
                "data and decoder continue (Space)"
            )
        self.status_line.draw(self._interval.text)

    def _toggle_pause(self) -> None:
        self._paused_at = None if self.paused else lsl_clock()
        self.sign.setVisible(self.paused)
        self.menus.checked("pause", self.paused)

    def _toggle_theme(self) -> None:
        self._theme = choose_theme(self._theme.name == DARK.name, self._theme.large)
        self._apply()

    def _toggle_large(self) -> None:
        self._theme = choose_theme(self._theme.name == LIGHT.name, not self._theme.large)
        self._apply()

    def _save_picture(self) -> None:
        try:
            path = new_screenshot_path(str(self._settings.value("window/pictures", "")))
            save_screenshot(self, path)
        except (SettingsError, OSError) as error:
            self.show_message(f"no picture: {error}")
        else:
            self.show_message(f"saved {path}")


def add_docks(window: QMainWindow, panels: dict[str, QWidget]) -> dict[str, QDockWidget]:
    """Dock of each panel, by name; the banner cannot be closed or moved."""
    docks = {}
    for name, panel in panels.items():
        dock = QDockWidget(name.capitalize(), window)
        dock.setObjectName(name)  # under which Qt saves the layout
        dock.setWidget(panel)
        if name in ("banner", "health"):
            dock.setTitleBarWidget(QWidget(dock))
        if name == "banner":
            dock.setFeatures(QDockWidget.DockWidgetFeature.NoDockWidgetFeatures)
        docks[name] = dock
    # The bottom docks keep the lower right corner; the banner keeps the upper ones.
    window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.BottomDockWidgetArea)
    place_docks(window, docks)
    return docks


def place_docks(window: QMainWindow, docks: dict[str, QDockWidget]) -> None:
    """Put every panel in its default place: health on top, decodes right, spectra and map below."""
    area = Qt.DockWidgetArea
    places = {
        "banner": area.TopDockWidgetArea,
        "health": area.TopDockWidgetArea,
        "decodes": area.RightDockWidgetArea,
        "spectra": area.BottomDockWidgetArea,
        "electrodes": area.BottomDockWidgetArea,
    }
    for name, place in places.items():
        window.removeDockWidget(docks[name])
        window.addDockWidget(place, docks[name])
    across, down = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
    window.splitDockWidget(docks["banner"], docks["health"], down)
    window.splitDockWidget(docks["spectra"], docks["electrodes"], across)
    for name in places:
        docks[name].show()
    width, height = window.width(), window.height()
    lower = [docks["spectra"], docks["electrodes"]]
    window.resizeDocks([docks["decodes"]], [round(0.3 * width)], across)
    window.resizeDocks(lower, [round(0.64 * width), round(0.36 * width)], across)
    window.resizeDocks(lower, [round(0.31 * height)] * 2, down)


class SignalChooser(QWidget):
    """A button for each of several signals, to choose the one that is meant."""

    def __init__(self, choose: Callable[[StreamSummary], None]) -> None:
        super().__init__()
        self._choose = choose
        self._offered: tuple[StreamSummary, ...] = ()
        self.buttons: list[QPushButton] = []
        self._layout = QVBoxLayout(self)

    def offer(self, signals: tuple[StreamSummary, ...]) -> None:
        """Show these signals; none hides the buttons."""
        signals = tuple(sorted(signals, key=str))
        if signals == self._offered:
            return
        self._offered = signals
        for button in self.buttons:
            self._layout.removeWidget(button)
            button.deleteLater()
        self.buttons = []
        for signal in signals:
            # Where there is an ampersand, Qt sees a shortcut.
            button = QPushButton(plain_text(str(signal), _CHOICE_CHARS).replace("&", "&&"))
            button.clicked.connect(lambda checked=False, signal=signal: self._press(signal))
            self._layout.addWidget(button, alignment=Qt.AlignmentFlag.AlignCenter)
            self.buttons.append(button)

    def _press(self, signal: StreamSummary) -> None:
        self.offer(())
        self._choose(signal)


class DrawInterval:
    """Interval between draws, adapted to how long the last ones took."""

    def __init__(self, target_hz: float) -> None:
        self._target_s = 1 / target_hz
        self._took_s: deque[float] = deque(maxlen=_AVERAGED_DRAWS)
        self._began: deque[float] = deque(maxlen=_AVERAGED_DRAWS)

    def drawn(self, took_s: float) -> None:
        """Note how long the draw and painting that just ended took, s."""
        self._took_s.append(took_s)
        self._began.append(time.monotonic())

    @property
    def interval_s(self) -> float:
        """From the start of a draw to the start of the next, s."""
        if not self._took_s:
            return self._target_s
        mean_s = sum(self._took_s) / len(self._took_s)
        return max(self._target_s, mean_s / _MAX_DRAW_SHARE)

    @property
    def text(self) -> str:
        """Drawing rate for the status line; empty while it is on target."""
        spanned_s = self._began[-1] - self._began[0] if len(self._began) > 2 else 0.0
        if spanned_s <= 0:
            return ""
        actual_hz, target_hz = (len(self._began) - 1) / spanned_s, 1 / self._target_s
        if actual_hz > 0.9 * target_hz:
            return ""
        return f"drawing at {actual_hz:.0f} of {target_hz:.0f} Hz"
