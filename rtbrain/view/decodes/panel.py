"""The decode panel: the newest decode as a card, and the last minute as lines."""

from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QLabel, QStackedLayout, QWidget

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.view.decodes.card import DecisionCard, describe_decision
from rtbrain.view.decodes.history import DecodeHistory, InvalidSpan
from rtbrain.view.decodes.plot import DecodeLane
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.streams.states import StreamHealth, feed_of
from rtbrain.view.theme import Theme, scaled_font

_OVER = frozenset({"lost", "ended"})
_MAX_LANES = 6
_TIP_SPANS = 6
# Narrower than this many cards, the panel puts the card above the plot.
_MIN_WIDTH_CARDS = 2.6


class DecodePanel(QWidget):
    """Probability of each class over the last minute, or each output of a regression.

    The newest decode is shown large beside it. Decodes older than twice the hop are grey and say
    how old they are; spans without a valid decode are hatched, with the reason.
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
        # The default minimum size would keep the window from becoming small.
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
        """Add the decodes, and the reasons why some are invalid."""
        info = self._session.decode
        if info is None:
            # There is none yet, or its decoder reads other channels.
            self._info = self._history = None
        elif info != self._info:
            self._begin(info)
        if self._history is None or self._info is None:
            return
        for event in update.events:
            self._history.note(event)
        for decode in update.decodes:
            # Decodes of the previous sender may come in one poll with the new header.
            if decode.values.size == len(self._info.labels):
                self._history.push(decode)

    def draw(self, now: float) -> None:
        """Redraw card and lines."""
        feed = feed_of(self._session.feeds, "decode")
        if self._history is None or self._info is None:
            self.missing.setText(_explain_missing(feed))
            self._stack.setCurrentIndex(0)
            return
        self._stack.setCurrentIndex(1)
        decision = describe_decision(self._info, self._history, now, feed.state in _OVER)
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
        """Put the card above the plot if the panel is narrow."""
        super().resizeEvent(event)
        narrow = self.width() < _MIN_WIDTH_CARDS * self.card.sizeHint().width()
        ways = QBoxLayout.Direction
        self._beside.setDirection(ways.TopToBottom if narrow else ways.LeftToRight)
        self.card.set_above(narrow)

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
            below += f"; outputs {_MAX_LANES + 1} to {len(info.labels)} are shown as numbers only"
        self.lanes[-1].plot.setLabel("bottom", below)
        self._colour()

    def _colour(self) -> None:
        font = scaled_font(self, self._theme, 0.9)
        for lane in self.lanes:
            lane.restyle(self._theme, font, self._old)


def _explain_missing(feed: StreamHealth) -> str:
    if feed.state == "connecting":
        return f"Connecting to the decodes {feed.name}"
    start = "Start a decoder: rtbrain decode --stream NAME --bundle FOLDER"
    if not feed.name:
        return f"○ There is no decode stream.\n{start}"
    if ": " in feed.name:  # a reason in place of a name
        return f"▲ No decode stream is connected.\n{feed.name}\nChoose one with --decode"
    return f"○ There is no decode stream {feed.name}.\n{start}"


def _tip(spans: list[InvalidSpan], now: float) -> str:
    if not spans:
        return "Decodes of the last minute, by the end of their window"
    lines = [
        f"{now - span.start:.1f} to {max(0.0, now - span.stop):.1f} s ago: "
        + (span.reason if span.silent else f"not valid, {span.reason or 'no reason reported'}")
        for span in spans[-_TIP_SPANS:]
    ]
    return "\n".join(["Hatched, without a valid decode:", *lines])
