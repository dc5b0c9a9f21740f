"""The panel of the decodes: what the decoder says, how sure, how old, and whether to believe it."""

from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QLabel, QStackedLayout, QWidget

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.view.decodes.card import DecisionCard, describe_decision
from rtbrain.view.decodes.history import DecodeHistory, InvalidSpan
from rtbrain.view.decodes.plot import DecodeLane
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.streams.states import StreamHealth
from rtbrain.view.theme import Theme

_GONE = frozenset({"lost", "ended"})
_MAX_LANES = 6
_TIP_SPANS = 6
# Narrower than so many cards, plot and card share the width badly.
_WIDE = 2.6


class DecodePanel(QWidget):
    """Probability of each class over the last minute, or each output of a regression.

    The newest decode stands beside it, large. What is older than twice the hop is grey and tells
    its age; stretches without a valid decode are hatched, with the reason.
    """

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session, self._theme = session, theme
        self._info: DecodeHeader | None = None
        self._history: DecodeHistory | None = None
        self.lanes: list[DecodeLane] = []
        self._old = False
        self.missing = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.card = DecisionCard(theme)
        self.canvas: Any = pg.GraphicsLayoutWidget()
        # Its own least size would keep the window from becoming small.
        self.canvas.setMinimumSize(80, 60)
        both = QWidget()
        self._beside = QBoxLayout(QBoxLayout.Direction.LeftToRight, both)
        self._beside.setContentsMargins(0, 0, 0, 0)
        self._beside.addWidget(self.card)
        self._beside.addWidget(self.canvas, 1)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.missing)
        self._stack.addWidget(both)
        self.restyle(theme)

    def take(self, update: SessionUpdate) -> None:
        """Keep the decodes, and the reasons why some are not valid."""
        info = self._session.decode
        if info is None:
            # None was found yet, or the one that was is of other channels.
            self._info = self._history = None
        elif info != self._info:
            self._begin(info)
        if self._history is None or self._info is None:
            return
        for event in update.events:
            self._history.note(event)
        for row in update.decodes:
            # Rows of the sender before, which came in the same poll as the new one's header.
            if row.values.size == len(self._info.labels):
                self._history.push(row)

    def draw(self, now: float) -> None:
        """Draw what is kept."""
        feed = self._feed()
        if self._history is None or self._info is None:
            self.missing.setText(_what_is_missing(feed))
            self._stack.setCurrentIndex(0)
            return
        self._stack.setCurrentIndex(1)
        decision = describe_decision(self._info, self._history, now, feed.state in _GONE)
        self.card.show_decision(decision)
        if (decision.state == "old") != self._old:
            self._old = decision.state == "old"
            self._colour()
        t, values, _ = self._history.page(now)
        spans = self._history.spans(now)
        for lane in self.lanes:
            lane.draw(t, values, spans, now)
        self.canvas.setToolTip(_tip(spans, now))

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.card.restyle(theme)
        self.canvas.setBackground(theme.background)
        self.missing.setStyleSheet(
            f"color: {theme.faint}; background: {theme.background};"
            f" font-size: {1.2 * theme.font_pt:g}pt; padding: 12px;"
        )
        self._colour()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Put the card above the plot where the panel is narrow."""
        super().resizeEvent(event)
        narrow = self.width() < _WIDE * self.card.sizeHint().width()
        ways = QBoxLayout.Direction
        self._beside.setDirection(ways.TopToBottom if narrow else ways.LeftToRight)
        self.card.lie(narrow)

    def _begin(self, info: DecodeHeader) -> None:
        self._info, self._history = info, DecodeHistory(info)
        self.canvas.clear()
        joined = info.hop_s is not None
        if info.unit == "probability":
            everything = range(len(info.labels))
            plot = self.canvas.addPlot(0, 0)
            self.lanes = [DecodeLane(plot, everything, "probability", (0.0, 1.0), joined)]
        else:
            self.lanes = [
                DecodeLane(self.canvas.addPlot(place, 0), [place], label, None, joined)
                for place, label in enumerate(info.labels[:_MAX_LANES])
            ]
        for lane in self.lanes[:-1]:
            lane.plot.getAxis("bottom").setStyle(showValues=False)
        below = "s before now"
        if len(self.lanes) < len(info.labels) and info.unit != "probability":
            below += f"; outputs {_MAX_LANES + 1} to {len(info.labels)} are in numbers only"
        self.lanes[-1].plot.setLabel("bottom", below)
        self._colour()

    def _colour(self) -> None:
        font = QFont(self.font())
        font.setPointSizeF(self._theme.font_pt * 0.9)
        for lane in self.lanes:
            lane.restyle(self._theme, font, self._old)

    def _feed(self) -> StreamHealth:
        return next(feed for feed in self._session.feeds if feed.kind == "decode")


def _what_is_missing(feed: StreamHealth) -> str:
    if feed.state == "connecting":
        return f"Connecting to the decodes {feed.name}"
    start = "Start a decoder: rtbrain decode --stream NAME --bundle FOLDER"
    if not feed.name:
        return f"○ There is no decode stream.\n{start}"
    if ": " in feed.name:  # why it is not taken, in place of a name
        return f"▲ No decode stream is taken.\n{feed.name}\nName the one to take with --decode"
    return f"○ There is no decode stream {feed.name}.\n{start}"


def _tip(spans: list[InvalidSpan], now: float) -> str:
    if not spans:
        return "Decodes of the last minute, by the end of their window"
    lines = [
        f"{now - span.start:.1f} to {max(0.0, now - span.stop):.1f} s ago: "
        + (span.reason if span.silent else f"not valid, {span.reason or 'reason not told'}")
        for span in spans[-_TIP_SPANS:]
    ]
    return "\n".join(["Hatched, without a valid decode:", *lines])
