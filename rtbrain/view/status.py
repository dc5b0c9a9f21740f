"""The line at the foot of the window: what is missing, what went wrong, how often it draws."""

import math

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QStatusBar, QVBoxLayout, QWidget

from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.view.streams.records import SessionUpdate, StreamHealth
from rtbrain.view.streams.session import ViewSession
from rtbrain.view.theme import Theme

# What is wrong until something else is told of the same kind.
_WRONG = {"failed", "refused", "lost", "stalled", "disk_full", "disk_low", "write_error"}
_RIGHT = {"live", "connected", "recovered", "warming", "recording", "disk"}
_SCALE = 1.7
# What each word in a stream's header means to whoever stands at the bed.
_ORIGINS = {
    "replay": "REPLAY: a recording, nobody's brain now",
    "synthetic": "SYNTHETIC: a simulated patient",
    "fault injection": "FAULT INJECTION: a simulated patient, faults on purpose",
}
_WATCHED = {"signal": "SIGNAL", "decode": "DECODES"}
_GONE = frozenset({"lost", "stalled"})
_BLACK, _WHITE = "#000000", "#ffffff"


class StatusLine:
    """Foot of the window."""

    def __init__(self, bar: QStatusBar, session: ViewSession, theme: Theme) -> None:
        self._session = session
        self._wrong = ""
        self._theme = theme
        self._is_wrong: bool | None = None
        bar.setSizeGripEnabled(False)
        self._error = QLabel()
        self._rate = QLabel()
        self._rate.setToolTip("The window draws less often where it cannot keep up")
        bar.addWidget(self._error, 1)
        bar.addPermanentWidget(self._rate)
        bar.addPermanentWidget(QLabel("research use only"))

    @property
    def now(self) -> float:
        """LSL clock, s."""
        return float(lsl_clock())

    @property
    def waiting(self) -> str:
        """What is waited for, and what to do; empty where the signal was there."""
        if self._session.montage is not None:
            return ""
        signal = next(feed for feed in self._session.feeds if feed.kind == "signal")
        if signal.state == "connecting":
            return f"connecting to {signal.name}"
        named = f"the stream {signal.name}" if signal.name else "a stream"
        return f"waiting for {named}\nstart rtbrain simulate or rtbrain replay, or the amplifier"

    def take(self, update: SessionUpdate) -> None:
        """Take what was told."""
        if update.other_decoder:
            self._wrong = ""
        for event in update.events:
            if event.event in _WRONG:
                why = event.fields.get("reason", "")
                self._wrong = f"{event.fields.get('stream', 'decoder')} {event.event}: {why}"
            elif event.event in _RIGHT:
                self._wrong = ""

    def draw(self, rate: str) -> None:
        """Show it all."""
        feeds = self._session.feeds
        lost = [feed.name for feed in feeds if feed.state == "lost"]
        said = self._wrong.rstrip(": ") or self.waiting.replace("\n", "; ")
        if lost:
            said = "; ".join(filter(None, [f"lost: {', '.join(lost)}", said]))
        self._colour(bool(lost or self._wrong))
        self._error.setText(said)
        self._error.setToolTip(said)
        self._rate.setText(rate)

    def restyle(self, theme: Theme) -> None:
        """Take on another theme."""
        self._theme = theme
        self._rate.setStyleSheet(f"color: {theme.warn};")
        wrong, self._is_wrong = self._is_wrong, None
        self._colour(bool(wrong))

    def _colour(self, wrong: bool) -> None:
        # Qt lays a whole window out anew for a style sheet: only where it changes.
        if wrong != self._is_wrong:
            self._is_wrong = wrong
            self._error.setStyleSheet(f"color: {self._theme.bad if wrong else self._theme.faint};")


def origin_text(feeds: tuple[StreamHealth, ...]) -> str:
    """Where the signal comes from, if not from an amplifier; empty if it does."""
    said = next((feed.origin for feed in feeds if feed.kind == "signal"), "")
    return _ORIGINS.get(said, said.upper())


def lost_text(feeds: tuple[StreamHealth, ...], came: dict[str, float], now: float) -> str:
    """Whether the signal, or else the decodes, is lost or stalled, and since when; empty if not.

    Decodes that stop with the signal are not told of beside it.
    """
    for kind, name in _WATCHED.items():
        feed = next((feed for feed in feeds if feed.kind == kind), None)
        if feed is not None and feed.state in _GONE:
            since = came.get(kind, feed.t_last)
            ago = f" {max(0.0, now - since):.1f} s ago" if math.isfinite(since) else ""
            return f"{name} {feed.state.upper()}{ago}"
    return ""


class Banner(QWidget):
    """Two bands across the window, there only when there is something to say."""

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session = session
        self._came: dict[str, float] = {}
        self.origin, self.gone = QLabel(), QLabel()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for label in (self.gone, self.origin):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setWordWrap(True)
            label.hide()
            column.addWidget(label)
        self.origin.setToolTip("So says the header of the signal's stream (rtbrain/origin)")
        self.gone.setToolTip("Nothing in this window is of now until it is back")
        self.restyle(theme)

    def take(self, update: SessionUpdate) -> None:
        """Note when something came."""
        if update.chunks:
            self._came["signal"] = update.now
        if update.decodes:
            self._came["decode"] = update.now

    def draw(self, now: float) -> None:
        """Say what there is to say."""
        feeds = self._session.feeds
        texts = self.origin.text(), self.gone.text()
        told = ((self.origin, origin_text(feeds)), (self.gone, lost_text(feeds, self._came, now)))
        for label, text in told:
            label.setText(f"▲ {text} ▲" if text else "")
            label.setVisible(bool(text))
        if texts != (self.origin.text(), self.gone.text()):
            self._be_high_enough()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Be as high as the words need at this width."""
        super().resizeEvent(event)
        self._be_high_enough()

    def restyle(self, theme: Theme) -> None:
        """Take other colours or another size of type."""
        style = f"font-weight: bold; font-size: {_SCALE * theme.font_pt:g}pt; padding: 4px;"
        words = _BLACK if theme.name == "dark" else _WHITE
        self.origin.setStyleSheet(f"{style} background: {theme.warn}; color: {words};")
        self.gone.setStyleSheet(f"{style} background: {theme.bad}; color: {words};")
        self._be_high_enough()

    def _be_high_enough(self) -> None:
        # A main window's docks ask nobody how high a given width makes it.
        shown = [label for label in (self.gone, self.origin) if label.text()]
        self.setFixedHeight(sum(label.heightForWidth(self.width()) for label in shown))
