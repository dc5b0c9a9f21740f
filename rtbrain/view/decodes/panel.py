"""The decode panel: the newest decode as a card, and the last minute as plots."""

from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QSizePolicy, QStackedLayout, QWidget

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.view.decodes.history import (
    PEN_STYLES,
    DecisionText,
    DecodeHistory,
    DecodeLane,
    InvalidSpan,
    describe_decision,
)
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, fill, paint_text, plain_label, scaled_font, set_tip

_OVER = frozenset({"lost", "ended"})
_MAX_LANES = 6
_TIP_SPANS = 6
# Narrower than this many cards, the panel puts the card above the plot.
_MIN_WIDTH_CARDS = 2.6
_TITLE = 2.2
_MIN_TITLE = 1.1
_PAD_PX = 6
_WIDTH_CHARS = 26
_HATCH_ALPHA = 110
_MAX_LEGEND = 6


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
        self.missing = plain_label(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.card = DecisionCard(theme)
        self.canvas: Any = pg.GraphicsLayoutWidget()
        # The default minimum size would keep the window from becoming small.
        self.canvas.setMinimumSize(80, 60)
        both = QWidget()
        self._beside = QBoxLayout(QBoxLayout.Direction.LeftToRight, both)
        fill(self._beside, self.card, self.canvas, stretched=self.canvas, spacing=6)
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
        set_tip(self.canvas, _tip(spans, now))

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
            plot, outputs = self.canvas.addPlot(0, 0), range(len(info.labels))
            self.lanes = [DecodeLane(plot, outputs, "probability", fixed=True, lines=joined)]
        else:
            self.lanes = [
                DecodeLane(self.canvas.addPlot(place, 0), [place], label, fixed=False, lines=joined)
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
    if feed.problem:
        return f"▲ No decode stream is connected.\n{feed.problem}\nChoose one with --decode"
    if not feed.name:
        return f"○ There is no decode stream.\n{start}"
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


class DecisionCard(QWidget):
    """The newest decode, large, with a legend of the lines."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.shown = DecisionText("", "", "none")
        self.set_above(False)

    def set_above(self, above: bool) -> None:
        """Size for a place above the plot, or beside it."""
        fixed, free = QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding
        self.setSizePolicy(*((free, fixed) if above else (fixed, free)))

    def show_decision(self, decision: DecisionText) -> None:
        """Show a decision, if it is new."""
        if decision == self.shown:
            return
        before = self.sizeHint()
        self.shown = decision
        if self.sizeHint() != before:
            self.updateGeometry()
        lines = (decision.title, decision.detail, *decision.quality)
        set_tip(self, "\n".join(filter(None, lines)))
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Size of the whole card."""
        metrics = self._metrics()
        n_lines = 5.5 + min(len(self.shown.legend), _MAX_LEGEND) + len(self.shown.quality)
        width_px = metrics.averageCharWidth() * _WIDTH_CHARS + 2 * _PAD_PX
        return QSize(round(width_px), round(metrics.lineSpacing() * n_lines))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Full width; the legend may be cut short."""
        height = self._metrics().lineSpacing()
        return QSize(self.sizeHint().width(), round(height * 6.5))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the card."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme = self._theme
        painter.fillRect(self.rect(), QColor(theme.background))
        if self.shown.state == "invalid":
            hatch = QColor(theme.warn)
            hatch.setAlpha(_HATCH_ALPHA)
            # Above the text, not across it.
            strip = QRectF(0, 0, self.width(), self._metrics().height() * 0.8)
            painter.fillRect(strip, QBrush(hatch, Qt.BrushStyle.BDiagPattern))
        bottom = self._paint_quality(painter)
        top = self._paint_title(painter)
        self._paint_legend(painter, top, bottom)
        painter.end()

    def _paint_title(self, painter: QPainter) -> float:
        theme, shown = self._theme, self.shown
        colour = {"good": theme.foreground, "invalid": theme.warn}.get(shown.state, theme.faint)
        if shown.state == "good" and shown.best >= 0:
            colour = theme.classes[shown.best % len(theme.classes)]
        width, scale = self.width() - 2 * _PAD_PX, _TITLE
        while scale > _MIN_TITLE:
            if self._metrics(scale, True).horizontalAdvance(shown.title) <= width:
                break
            scale -= 0.1
        metrics = self._metrics()
        y = metrics.height() * (1.0 if shown.state == "invalid" else 0.2)
        if shown.title:
            y = self._paint_line(painter, shown.title, y, colour, scale=scale, bold=True)
        # A reason may need two lines.
        box = QRectF(_PAD_PX, y, width, 2 * metrics.lineSpacing())
        painter.setFont(scaled_font(self, theme))
        painter.setPen(QColor(theme.faint if shown.state == "old" else theme.foreground))
        painter.drawText(box, Qt.TextFlag.TextWordWrap, shown.detail)
        wraps = metrics.horizontalAdvance(shown.detail) > width
        return y + metrics.lineSpacing() * (2 if wraps else 1) + 2

    def _paint_quality(self, painter: QPainter) -> float:
        y = top = self.height() - 2 - self._metrics().lineSpacing() * len(self.shown.quality)
        for line in self.shown.quality:
            y = self._paint_line(painter, line, y, self._theme.faint)
        return top

    def _paint_legend(self, painter: QPainter, top: float, bottom: float) -> None:
        theme, metrics, legend = self._theme, self._metrics(), self.shown.legend
        height = metrics.lineSpacing()
        n_fit = max(0, int((bottom - top) / height))
        entries = legend
        if len(entries) > n_fit:  # the most probable ones
            ordered = sorted(legend, key=lambda entry: entry[2], reverse=True)
            entries = tuple(sorted(ordered[: max(0, n_fit - 1)]))
        grey = self.shown.state == "old"
        y = top
        for output, label, value in entries:
            style = PEN_STYLES[output // len(theme.classes) % len(PEN_STYLES)]
            colour = theme.faint if grey else theme.classes[output % len(theme.classes)]
            painter.setPen(QPen(QColor(colour), 3, style))
            middle = round(y + height / 2)
            painter.drawLine(_PAD_PX, middle, _PAD_PX + round(height), middle)
            left, right = _PAD_PX + height + 6, metrics.horizontalAdvance("0.000")
            colour = theme.faint if grey else theme.foreground
            self._paint_line(painter, label, y, colour, left, right)
            box = QRectF(0, y, self.width() - _PAD_PX, height)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight, value)
            y += height
        if len(entries) < len(legend) and n_fit:
            self._paint_line(painter, f"and {len(legend) - len(entries)} more", y, theme.faint)

    def _paint_line(
        self,
        painter: QPainter,
        text: str,
        y: float,
        colour: str,
        left: float = _PAD_PX,
        right: float = 0.0,
        *,
        scale: float = 1.0,
        bold: bool = False,
    ) -> float:
        """Paint a line of text between two margins, px; returns where the next one goes."""
        painter.setFont(scaled_font(self, self._theme, scale, bold))
        height = self._metrics(scale, bold).lineSpacing()
        box = QRectF(left, y, self.width() - left - right - _PAD_PX, height)
        paint_text(painter, box, text, colour)
        return y + height

    def _metrics(self, scale: float = 1.0, bold: bool = False) -> QFontMetricsF:
        return QFontMetricsF(scaled_font(self, self._theme, scale, bold))
