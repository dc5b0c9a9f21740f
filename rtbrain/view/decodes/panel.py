"""The decode panel: the newest decode as a card, and the last minute as plots."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainterPath, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QGraphicsPathItem, QLabel, QStackedLayout, QWidget

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.types import Floats, Times
from rtbrain.view.decodes.card import PEN_STYLES, DecisionCard, describe_decision
from rtbrain.view.decodes.history import PAGE_S, DecodeHistory, InvalidSpan
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, scaled_font

_OVER = frozenset({"lost", "ended"})
_MAX_LANES = 6
_TIP_SPANS = 6
# Narrower than this many cards, the panel puts the card above the plot.
_MIN_WIDTH_CARDS = 2.6
_LINE_PX = 2
_LABELS = 3
_MIN_LABEL_PX = 110
_MARGIN = 0.06
# Minimum distance between numbers on the vertical axis, in lines of text.
_TICK_LINES = 1.5
_FREE_TICK_LINES = 3.0
# A scale is narrowed only when less than a third of it is used.
_MIN_USED = 0.33


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


def output_pen(theme: Theme, output: int, old: bool) -> Any:
    """Pen of an output's line: its colour, or grey if the decode is old."""
    n_colours = len(theme.classes)
    return pg.mkPen(
        theme.faint if old else theme.classes[output % n_colours],
        width=_LINE_PX,
        style=PEN_STYLES[output // n_colours % len(PEN_STYLES)],
    )


class DecodeLane:
    """One plot: all classes, or one output of a regression."""

    def __init__(
        self,
        plot: Any,
        outputs: Sequence[int],
        label: str,
        limits: tuple[float, float] | None,
        lines: bool,
    ) -> None:
        self.plot = plot
        self._outputs, self._fixed, self._lines = list(outputs), limits is not None, lines
        self._limits = limits or (0.0, 1.0)
        self.hatches = {silent: QGraphicsPathItem() for silent in (False, True)}
        self.curves = [pg.PlotCurveItem(connect="finite") for _ in outputs]
        # Isolated decodes, which a line would not show.
        self.dots = [pg.ScatterPlotItem(size=6, pxMode=True) for _ in outputs]
        self._texts = [pg.TextItem(anchor=(0.5, 0)) for _ in range(_LABELS)]
        for item in (*self.hatches.values(), *self.curves, *self.dots, *self._texts):
            plot.addItem(item, ignoreBounds=True)
        self._label = label
        self._title = pg.TextItem("" if self._fixed else label, anchor=(0, 0))
        self._title.setVisible(not self._fixed)
        plot.addItem(self._title, ignoreBounds=True)
        if self._fixed:
            plot.setLabel("left", label)
        plot.setXRange(-PAGE_S, 0, padding=0)
        plot.setYRange(*self._limits, padding=_MARGIN)
        plot.setMouseEnabled(x=False, y=False)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        self._density = math.nan
        self.ticks: list[float] = []  # of a fixed scale
        self._font = QFont()
        self._metrics = QFontMetricsF(self._font)

    def draw(self, t: Times, values: Floats, spans: Sequence[InvalidSpan], now: float) -> None:
        """Draw a page of `DecodeHistory`."""
        for curve, dots, output in zip(self.curves, self.dots, self._outputs, strict=True):
            y = values[:, output]
            finite = np.isfinite(y)
            alone = finite.copy()
            if self._lines:
                alone[1:] &= ~finite[:-1]
                alone[:-1] &= ~finite[1:]
                if finite.any():
                    curve.setData(t, y, connect="finite")
                else:
                    curve.clear()
            dots.setData(t[alone], y[alone])
        self._tick()
        if not self._fixed:
            self._fit(values[:, self._outputs])
        self._hatch(spans, now)

    def restyle(self, theme: Theme, font: QFont, old: bool) -> None:
        """Apply a theme, with grey lines for old decodes."""
        for curve, dots, output in zip(self.curves, self.dots, self._outputs, strict=True):
            pen = output_pen(theme, output, old)
            curve.setPen(pen)
            dots.setBrush(pen.color())
            dots.setPen(pen.color())
        for silent, item in self.hatches.items():
            colour = QColor(theme.faint if silent else theme.warn)
            colour.setAlpha(120)
            pattern = Qt.BrushStyle.Dense6Pattern if silent else Qt.BrushStyle.BDiagPattern
            item.setBrush(QBrush(colour, pattern))
            item.setPen(QColor(0, 0, 0, 0))
        for text in (self._title, *self._texts):
            text.setFont(font)
            text.setColor(theme.foreground)
            text.fill = pg.mkBrush(theme.background)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(theme.grid)
            axis.setTextPen(theme.foreground)
            axis.setTickFont(font)
            axis.label.setFont(font)
        self._font, self._metrics = font, QFontMetricsF(font)
        axis = self.plot.getAxis("left")
        axis.setWidth(
            round(self._metrics.height() * 1.4 + self._metrics.horizontalAdvance("-0.00"))
        )

    def _tick(self) -> None:
        """Fit numbers and label of the vertical axis to its height."""
        lines = self.plot.vb.height() / max(1.0, self._metrics.height())
        axis = self.plot.getAxis("left")
        if not self._fixed:
            density = min(1.0, lines / (2 * _FREE_TICK_LINES))
            if density != self._density:
                self._density = density
                axis.setStyle(maxTextLevel=0)
                axis.setTickDensity(density)
            return
        low, high = self._limits
        fits = self._metrics.horizontalAdvance(self._label) < self.plot.vb.height()
        label = self._label if fits else self._label[:1]
        if label != axis.labelText:
            axis.setLabel(label)
        n_parts = next((n for n in (4, 2) if lines > n * _TICK_LINES), 1)
        if n_parts + 1 != len(self.ticks):
            self.ticks = np.linspace(low, high, n_parts + 1).tolist()
            axis.setTicks([[(value, f"{value:g}") for value in self.ticks]])

    def _fit(self, values: Floats) -> None:
        finite = values[np.isfinite(values)]
        if not finite.size:
            return
        low, high = float(finite.min()), float(finite.max())
        if high - low < 1e-9 * max(1.0, abs(high)):
            low, high = low - 0.5, high + 0.5
        was_low, was_high = self._limits
        outside = low < was_low or high > was_high
        if outside or high - low < _MIN_USED * (was_high - was_low):
            self._limits = (low, high)
            self.plot.setYRange(low, high, padding=_MARGIN)

    def _hatch(self, spans: Sequence[InvalidSpan], now: float) -> None:
        (left, right), (low, high) = self.plot.vb.viewRange()
        self._title.setPos(left, high)
        paths = {silent: QPainterPath() for silent in (False, True)}
        labelled = []
        px_per_s = self.plot.vb.width() / max(1e-9, right - left)
        for span in spans:
            start, stop = max(left, span.start - now), min(right, span.stop - now)
            paths[span.silent].addRect(QRectF(start, low, stop - start, high - low))
            if (stop - start) * px_per_s > _MIN_LABEL_PX:
                labelled.append((start, stop, span.reason or "not valid"))
        for silent, item in self.hatches.items():
            item.setPath(paths[silent])
        for place, text in enumerate(self._texts):
            text.setVisible(place < len(labelled))
            if place < len(labelled):
                start, stop, reason = labelled[-1 - place]
                room_px = (stop - start) * px_per_s - 10
                shown = self._metrics.elidedText(reason, Qt.TextElideMode.ElideRight, room_px)
                text.setText(shown)
                text.setPos((start + stop) / 2, high)
