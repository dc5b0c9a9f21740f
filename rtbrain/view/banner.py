"""What must not be overlooked: that the signal is not a patient's, or that it is gone."""

import math

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from rtbrain.view.session import Feed, Session, Update
from rtbrain.view.theme import Theme

__all__ = ["Banner", "gone", "origin"]

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


def origin(feeds: tuple[Feed, ...]) -> str:
    """Where the signal comes from, if not from an amplifier; empty if it does."""
    said = next((feed.origin for feed in feeds if feed.kind == "signal"), "")
    return _ORIGINS.get(said, said.upper())


def gone(feeds: tuple[Feed, ...], came: dict[str, float], now: float) -> str:
    """Whether the signal, or else the decodes, is lost or stalled, and since when; empty if not.

    Decodes that stop with the signal are not told of beside it.

    Parameters
    ----------
    feeds : tuple of Feed
        Streams that are expected.
    came : dict of str to float
        When something of each kind last came, s, LSL clock.
    now : float
        LSL clock, s.
    """
    for kind, name in _WATCHED.items():
        feed = next((feed for feed in feeds if feed.kind == kind), None)
        if feed is not None and feed.state in _GONE:
            since = came.get(kind, feed.t_last)
            ago = f" {max(0.0, now - since):.1f} s ago" if math.isfinite(since) else ""
            return f"{name} {feed.state.upper()}{ago}"
    return ""


class Banner(QWidget):
    """Two bands across the window, there only when there is something to say.

    Parameters
    ----------
    session : Session
        What the window knows.
    theme : Theme
        Colours and size of type.
    """

    def __init__(self, session: Session, theme: Theme) -> None:
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

    def take(self, update: Update) -> None:
        """Note when something came."""
        if update.chunks:
            self._came["signal"] = update.now
        if update.decodes:
            self._came["decode"] = update.now

    def draw(self, now: float) -> None:
        """Say what there is to say."""
        feeds = self._session.feeds
        texts = self.origin.text(), self.gone.text()
        told = ((self.origin, origin(feeds)), (self.gone, gone(feeds, self._came, now)))
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
