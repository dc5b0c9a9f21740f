"""The line at the foot of the window: what is missing, what went wrong, how often it draws."""

from PySide6.QtWidgets import QLabel, QStatusBar

from rtbrain.stream.lsl import lsl_clock
from rtbrain.view.session import Session, Update
from rtbrain.view.theme import Theme

__all__ = ["StatusLine"]

# What is wrong until something else is told of the same kind.
_WRONG = {"failed", "refused", "lost", "stalled", "disk_full", "disk_low", "write_error"}
_RIGHT = {"live", "connected", "recovered", "warming", "recording", "disk"}


class StatusLine:
    """Foot of the window.

    Parameters
    ----------
    bar : QStatusBar
        Where it is shown.
    session : Session
        What the window knows.
    theme : Theme
        Colours.
    """

    def __init__(self, bar: QStatusBar, session: Session, theme: Theme) -> None:
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

    def take(self, update: Update) -> None:
        """Take what was told."""
        if update.other_decoder:
            self._wrong = ""
        for told in update.told:
            if told.event in _WRONG:
                why = told.fields.get("why") or told.fields.get("reason") or ""
                self._wrong = f"{told.fields.get('stream', 'decoder')} {told.event}: {why}"
            elif told.event in _RIGHT:
                self._wrong = ""

    def draw(self, rate: str) -> None:
        """Show it all.

        Parameters
        ----------
        rate : str
            How often the window draws, where that is too seldom.
        """
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
