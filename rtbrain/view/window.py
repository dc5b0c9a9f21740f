"""The live window: panels in docks, a poll, a draw, and the operator's hands."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from PySide6.QtCore import QSettings, Qt, QTimer
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QLabel, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from rtbrain.errors import SettingsError
from rtbrain.view.decodes.panel import DecodePanel
from rtbrain.view.electrodes.panel import ElectrodePanel
from rtbrain.view.health.bar import HealthBar
from rtbrain.view.layout import add_docks, place_docks
from rtbrain.view.marks import REPEAT_REQUEST, MarkLabels, MarkOutlet, OperatorMarks
from rtbrain.view.menus import Menus, new_screenshot_path, save_screenshot
from rtbrain.view.spectra.panel import SpectraPanel
from rtbrain.view.status import Banner, StatusLine
from rtbrain.view.streams.records import SessionUpdate
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.theme import DARK, LIGHT, Theme, large, style_sheet
from rtbrain.view.traces.panel import BuildChain, TracePanel

_POLL_MS = 33
_DRAW_HZ = 20.0
_MESSAGE_MS = 8000
# What stands still in a pause. Whether the signal is there and what is decoded never does.
_PAUSABLE = ("traces", "spectra", "electrodes")
# Drawing may take this share of the time; the rest is for taking samples and for the keys.
_MOST_SHARE = 0.7
_OVER = 20  # draws


class Panel(Protocol):
    """A part of the window."""

    def take(self, update: SessionUpdate) -> None:
        """Take what a poll brought."""
        ...

    def draw(self, now: float) -> None:
        """Redraw from what was taken."""
        ...

    def restyle(self, theme: Theme) -> None:
        """Take on another theme."""
        ...


class MainWindow(QMainWindow):
    """The window of a session."""

    def __init__(
        self,
        session: ViewSession,
        marks: MarkOutlet,
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
        self._theme = self._remembered_theme(theme)
        self.setWindowTitle("rtbrain: research use only")
        self.resize(1280, 800)
        self.spectra = SpectraPanel(session, self._theme)
        self.panels: dict[str, QWidget] = {
            "traces": TracePanel(session, self._theme, make_chain),
            "banner": Banner(session, self._theme),
            "health": HealthBar(session, self._theme),
            "decodes": DecodePanel(session, self._theme),
            "spectra": self.spectra,
            "electrodes": ElectrodePanel(session, self._theme),
        }
        self._compose()
        self.status_line = StatusLine(self.statusBar(), session, self._theme)
        self.hands = OperatorMarks(self, session, marks, MarkLabels(settings), self.say)
        self.menus = Menus(self, self.docks, self._commands(), self.hands, self.panels.values())
        self._connect()
        self._restore()
        self._pace = DrawInterval(_DRAW_HZ)
        self._polling = QTimer(self, interval=_POLL_MS)
        self._polling.timeout.connect(self._poll)
        self._drawing = QTimer(self, singleShot=True)
        self._drawing.timeout.connect(self._draw)
        self._polling.start()
        self._drawing.start(0)
        self.setFocus()  # so that keys are commands, and no menu's letters

    @property
    def theme(self) -> Theme:
        """Theme that is on."""
        return self._theme

    @property
    def paused(self) -> bool:
        """Whether the picture stands still."""
        return self._paused_at is not None

    def say(self, text: str) -> None:
        """Say something in the status line for some seconds."""
        self.statusBar().showMessage(text, _MESSAGE_MS)

    def save_picture(self, path: Path) -> None:
        """Save the window as a PNG, drawn anew."""
        save_screenshot(self, path)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Remember the layout and let go of the streams."""
        self._polling.stop()
        self._drawing.stop()
        self._settings.setValue("window/geometry", self.saveGeometry())
        self._settings.setValue("window/state", self.saveState())
        self._settings.setValue("window/contact", self.spectra.contact)
        self._settings.sync()
        self._session.close()
        super().closeEvent(event)

    def _compose(self) -> None:
        self.waiting = QLabel(alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.waiting)
        self._pages.addWidget(self.panels["traces"])
        self.sign = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        self.sign.hide()
        centre = QWidget()
        layout = QVBoxLayout(centre)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.sign)
        layout.addWidget(self._pages, 1)
        self.setCentralWidget(centre)
        docked = {name: panel for name, panel in self.panels.items() if name != "traces"}
        self.docks = add_docks(self, docked)

    def _commands(self) -> dict[str, Callable[[], object]]:
        return {
            "screenshot": self._picture,
            "quit": self.close,
            "pause": self._toggle_pause,
            "theme": self._toggle_theme,
            "large": self._toggle_large,
            "next": lambda: self.spectra.step(1),
            "previous": lambda: self.spectra.step(-1),
            "layout": lambda: place_docks(self, self.docks),
        }

    def _connect(self) -> None:
        self.panels["traces"].marked.connect(self.hands.call)  # type: ignore[attr-defined]
        self.panels["electrodes"].selected.connect(  # type: ignore[attr-defined]
            self.spectra.choose
        )
        self.spectra.chosen.connect(self.hands.choose)
        self.hands.choose(self.spectra.contact)

    def _remembered_theme(self, name: str | None) -> Theme:
        name = name or str(self._settings.value("window/theme", DARK.name))
        theme = LIGHT if name == LIGHT.name else DARK
        return large(theme) if self._settings.value("window/large") in (True, "true") else theme

    def _restore(self) -> None:
        for key, restore in (("geometry", self.restoreGeometry), ("state", self.restoreState)):
            kept = self._settings.value(f"window/{key}")
            if kept is not None:
                restore(kept)
        self._apply()

    def _apply(self) -> None:
        """Put the theme on everything."""
        theme = self._theme
        self.setStyleSheet(style_sheet(theme))
        for panel in self._all():
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

    def _all(self) -> list[Panel]:
        return list(self.panels.values())  # type: ignore[arg-type]

    def _poll(self) -> None:
        update = self._session.poll()
        # What windows ask of decoders happened to nobody.
        markers = tuple(marker for marker in update.markers if marker[1] != REPEAT_REQUEST)
        update = replace(update, markers=markers)
        for panel in self._all():
            panel.take(update)
        self.status_line.take(update)
        self.hands.take(update)
        if update.new_montage:
            self.spectra.choose(str(self._settings.value("window/contact", "")))

    def _draw(self) -> None:
        self._began = time.monotonic()
        # Qt paints before its timers run again. Whatever fails here, the next draw comes: a
        # picture that stood still would look live.
        QTimer.singleShot(0, self._drawn)
        self._draw_all(self.status_line.now)

    def _drawn(self) -> None:
        took_s = time.monotonic() - self._began
        self._pace.drawn(took_s)
        self._drawing.start(max(1, round(1000 * (self._pace.interval_s - took_s))))

    def _draw_all(self, now: float) -> None:
        for name, panel in zip(self.panels, self._all(), strict=True):
            if not (self.paused and name in _PAUSABLE):
                panel.draw(now)
        self._pages.setCurrentIndex(int(self._session.montage is not None))
        self.waiting.setText(self.status_line.waiting)
        if self._paused_at is not None:
            self.sign.setText(
                f"PAUSED for {now - self._paused_at:.0f} s: traces, spectra and map stand still, "
                "data and decoder go on (Space)"
            )
        self.status_line.draw(self._pace.text)

    def _toggle_pause(self) -> None:
        self._paused_at = None if self.paused else self.status_line.now
        self.sign.setVisible(self.paused)
        self.menus.checked("pause", self.paused)

    def _toggle_theme(self) -> None:
        other = LIGHT if self._theme.name == DARK.name else DARK
        self._theme = large(other) if self._theme.large else other
        self._apply()

    def _toggle_large(self) -> None:
        plain = LIGHT if self._theme.name == LIGHT.name else DARK
        self._theme = plain if self._theme.large else large(plain)
        self._apply()

    def _picture(self) -> None:
        try:
            path = new_screenshot_path(str(self._settings.value("window/pictures", "")))
            save_screenshot(self, path)
        except (SettingsError, OSError) as error:
            self.say(f"no picture: {error}")
        else:
            self.say(f"saved {path}")


class DrawInterval:
    """Interval until the next draw, from how long the last ones took."""

    def __init__(self, wished_hz: float) -> None:
        self._wished_s = 1 / wished_hz
        self._took_s: deque[float] = deque(maxlen=_OVER)
        self._began: deque[float] = deque(maxlen=_OVER)

    def drawn(self, took_s: float) -> None:
        """Take the time of a draw and its painting, s, that have just ended."""
        self._took_s.append(took_s)
        self._began.append(time.monotonic())

    @property
    def interval_s(self) -> float:
        """From the start of a draw to the start of the next, s."""
        if not self._took_s:
            return self._wished_s
        mean_s = sum(self._took_s) / len(self._took_s)
        return max(self._wished_s, mean_s / _MOST_SHARE)

    @property
    def text(self) -> str:
        """What the status line says: empty while the window draws as often as it should."""
        spanned_s = self._began[-1] - self._began[0] if len(self._began) > 2 else 0.0
        if spanned_s <= 0:
            return ""
        got_hz, wished_hz = (len(self._began) - 1) / spanned_s, 1 / self._wished_s
        if got_hz > 0.9 * wished_hz:
            return ""
        return f"drawing at {got_hz:.0f} of {wished_hz:.0f} Hz"
