"""The window's own status: the line at its foot, and the banner across its top."""

import math

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QStatusBar, QVBoxLayout, QWidget

from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme

# Events that report a fault, and those that end it.
_FAULTS = {"failed", "refused", "lost", "stalled", "disk_full", "disk_low", "write_error"}
_RECOVERIES = {"live", "connected", "recovered", "warming", "recording", "disk"}
_BANNER_SCALE = 1.7
# What the origin in a stream's header means at the bedside.
_ORIGINS = {
    "replay": "REPLAY: a recording, not a live patient",
    "synthetic": "SYNTHETIC: a simulated patient",
    "fault injection": "FAULT INJECTION: a simulated patient with deliberate faults",
}
_WATCHED = {"signal": "SIGNAL", "decode": "DECODES"}
_NOT_LIVE = frozenset({"lost", "stalled"})
_BLACK, _WHITE = "#000000", "#ffffff"


class StatusLine:
    """The line at the foot of the window: what is missing, what failed, the drawing rate."""

    def __init__(self, bar: QStatusBar, session: ViewSession, theme: Theme) -> None:
        self._session = session
        self._fault = ""
        self._theme = theme
        self._shows_fault: bool | None = None
        bar.setSizeGripEnabled(False)
        self.message = QLabel()
        self._rate = QLabel()
        self._rate.setToolTip("The window draws less often when it cannot keep up")
        bar.addWidget(self.message, 1)
        bar.addPermanentWidget(self._rate)
        bar.addPermanentWidget(QLabel("research use only"))

    @property
    def now(self) -> float:
        """LSL clock, s."""
        return float(lsl_clock())

    @property
    def waiting(self) -> str:
        """What the window waits for, and what to do; empty once there was a signal."""
        if self._session.montage is not None:
            return ""
        signal = feed_of(self._session.feeds, "signal")
        if signal.state == "connecting":
            return f"connecting to {signal.name}"
        named = f"the stream {signal.name}" if signal.name else "a stream"
        return f"waiting for {named}\nstart rtbrain simulate or rtbrain replay, or the amplifier"

    def take(self, update: SessionUpdate) -> None:
        """Note the faults that were reported, and their end."""
        if update.other_decoder:
            self._fault = ""
        for event in update.events:
            if event.event in _FAULTS:
                reason = event.fields.get("reason", "")
                self._fault = f"{event.fields.get('stream', 'decoder')} {event.event}: {reason}"
            elif event.event in _RECOVERIES:
                self._fault = ""

    def draw(self, rate: str) -> None:
        """Show faults, else what the window waits for, and the drawing rate."""
        feeds = self._session.feeds
        lost = [feed.name for feed in feeds if feed.state == "lost"]
        text = self._fault.rstrip(": ") or self.waiting.replace("\n", "; ")
        if lost:
            text = "; ".join(filter(None, [f"lost: {', '.join(lost)}", text]))
        self._colour(bool(lost or self._fault))
        self.message.setText(text)
        self.message.setToolTip(text)
        self._rate.setText(rate)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self._rate.setStyleSheet(f"color: {theme.warn};")
        fault, self._shows_fault = self._shows_fault, None
        self._colour(bool(fault))

    def _colour(self, fault: bool) -> None:
        # A style sheet makes Qt lay out the whole window: set it only when it changes.
        if fault != self._shows_fault:
            self._shows_fault = fault
            self.message.setStyleSheet(f"color: {self._theme.bad if fault else self._theme.faint};")


def origin_text(feeds: tuple[StreamHealth, ...]) -> str:
    """Where the signal comes from; empty for an amplifier."""
    origin = feed_of(feeds, "signal").origin
    return _ORIGINS.get(origin, origin.upper())


def lost_text(feeds: tuple[StreamHealth, ...], t_last: dict[str, float], now: float) -> str:
    """Which of signal and decodes is lost or stalled, signal first, and since when; or empty."""
    for kind, name in _WATCHED.items():
        feed = feed_of(feeds, kind)
        if feed.state in _NOT_LIVE:
            since = t_last.get(kind, feed.t_last)
            ago = f" {max(0.0, now - since):.1f} s ago" if math.isfinite(since) else ""
            return f"{name} {feed.state.upper()}{ago}"
    return ""


class Banner(QWidget):
    """Two bands across the window, shown only when they say something."""

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session = session
        self._t_last: dict[str, float] = {}
        self.origin, self.gone = QLabel(), QLabel()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for label in (self.gone, self.origin):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setWordWrap(True)
            label.hide()
            column.addWidget(label)
        self.origin.setToolTip("From the header of the signal's stream (rtbrain/origin)")
        self.gone.setToolTip("Nothing in this window is current until it is back")
        self.restyle(theme)

    def take(self, update: SessionUpdate) -> None:
        """Note when signal and decodes arrived."""
        if update.chunks:
            self._t_last["signal"] = update.now
        if update.decodes:
            self._t_last["decode"] = update.now

    def draw(self, now: float) -> None:
        """Show the origin of the signal, and what is lost."""
        feeds = self._session.feeds
        texts = self.origin.text(), self.gone.text()
        gone = lost_text(feeds, self._t_last, now)
        for label, text in ((self.origin, origin_text(feeds)), (self.gone, gone)):
            label.setText(f"▲ {text} ▲" if text else "")
            label.setVisible(bool(text))
        if texts != (self.origin.text(), self.gone.text()):
            self._fit_height()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Take the height that the text needs at this width."""
        super().resizeEvent(event)
        self._fit_height()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        style = f"font-weight: bold; font-size: {_BANNER_SCALE * theme.font_pt:g}pt; padding: 4px;"
        words = _BLACK if theme.name == "dark" else _WHITE
        self.origin.setStyleSheet(f"{style} background: {theme.warn}; color: {words};")
        self.gone.setStyleSheet(f"{style} background: {theme.bad}; color: {words};")
        self._fit_height()

    def _fit_height(self) -> None:
        # The docks of a main window ignore heightForWidth.
        shown = [label for label in (self.gone, self.origin) if label.text()]
        self.setFixedHeight(sum(label.heightForWidth(self.width()) for label in shown))
