"""What the window says of itself and of others: health bar, banner and status line."""

import html
import math
from collections.abc import Iterable

import psutil
from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QLabel, QStatusBar, QVBoxLayout, QWidget

from rtbrain.view.health.indicators import (
    KEPT_S,
    DecoderStatus,
    Indicator,
    LatencyHistory,
    is_from_recorder,
    load_indicator,
    lost_text,
    origin_text,
    stream_indicator,
)
from rtbrain.view.health.recorder import RecorderStatus
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, fill, plain_label, scaled_font, set_tip

_DRAW_EVERY_S = 0.2
_GAP_PX = 14
_MARGINS_PX = (6, 2)  # beside, and above and below
_SYMBOLS = {"good": "●", "warn": "▲", "bad": "✖", "faint": "○"}
_SPARK_CHARS = 16
_LOAD_EVERY_S = 2.0
_MIN_SCALE_S = 1e-3
_MAX_CHARS = 80
_MAX_FAULT_CHARS = 300
# Events that report a fault, and those that end it.
_FAULTS = {"failed", "refused", "lost", "stalled", "disk_full", "disk_low", "write_error"}
_RECOVERIES = {"live", "connected", "recovered", "warming", "recording", "disk"}
_BANNER_SCALE = 1.7
_BLACK, _WHITE = "#000000", "#ffffff"


class HealthBar(QWidget):
    """A line of streams and a line of components; each indicator has a tool tip with details."""

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session, self._theme = session, theme
        self._decoder, self._recorder = DecoderStatus(), RecorderStatus()
        self._latency = LatencyHistory()
        self._load, self._load_at = math.nan, -math.inf
        psutil.cpu_percent()  # the next call reports the load since this one
        self._drawn_at = -math.inf
        self.streams = [_Cell(self) for _ in session.feeds]
        names = ("decoder", "latency", "cpu", "disk", "recording")
        self.cells = {name: _Cell(self) for name in names}
        self.spark = _Spark(self, theme)

    def take(self, update: SessionUpdate) -> None:
        """Note the events, and the latencies of the decodes."""
        if update.other_decoder:
            self._decoder = DecoderStatus()
            self._latency = LatencyHistory()
            if feed_of(self._session.feeds, "record").state == "absent":
                self._recorder = RecorderStatus()
        for event in update.events:
            self._decoder.update(event)
            self._recorder.update(event)
            if event.event == "connected" and not is_from_recorder(event):
                self._latency = LatencyHistory()
        for decode in update.decodes:
            self._latency.push(decode)

    def draw(self, now: float) -> None:
        """Update every indicator, at most five times a second."""
        if self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._drawn_at = now
        # Several windows send marks under one name: one indicator for all of them.
        feeds = {(feed.kind, feed.name, feed.state): feed for feed in self._session.feeds}.values()
        while len(self.streams) < len(feeds):
            self.streams.append(_Cell(self))
        for cell, feed in zip(self.streams, feeds, strict=False):
            cell.show_indicator(stream_indicator(feed), self._theme)
        for cell in self.streams[len(feeds) :]:
            cell.hide()
        if now >= self._load_at + _LOAD_EVERY_S:
            self._load, self._load_at = psutil.cpu_percent() / 100, now
        signal, decode, status, record = self._session.feeds[:4]
        hop_s = None if self._session.decode is None else self._session.decode.hop_s
        indicators = {
            "decoder": self._decoder.indicator(decode, status),
            "latency": self._latency.indicator(now, signal, decode, hop_s),
            "cpu": load_indicator(self._load),
            "disk": self._recorder.disk_indicator(),
            "recording": self._recorder.indicator(record, signal, now),
        }
        for name, indicator in indicators.items():
            self.cells[name].show_indicator(indicator, self._theme)
        self.spark.show_line(self._latency.line(now))
        self._fit_height()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Take the height that the indicators need at this width."""
        super().resizeEvent(event)
        self._fit_height()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.spark.restyle(theme)
        for cell in (*self.streams, *self.cells.values()):
            cell.restyle(theme)
        self._drawn_at = -math.inf

    def _fit_height(self) -> None:
        # Not a layout: the docks of a main window ignore heightForWidth.
        decoder, latency, *others = self.cells.values()
        lines = self.streams, (decoder, latency, self.spark, *others)
        shown = [[cell for cell in line if not cell.isHidden()] for line in lines]
        widest_px = max(cell.sizeHint().width() for line in shown for cell in line)
        self.setMinimumWidth(widest_px + 2 * _MARGINS_PX[0])
        end_px = 0
        for line in shown:
            end_px = place_in_lines(line, end_px, self.width())
        self.setFixedHeight(end_px)


class _Cell(QLabel):
    """A symbol and a few words."""

    def __init__(self, bar: QWidget) -> None:
        super().__init__(bar, textFormat=Qt.TextFormat.RichText)
        self._shown: Indicator | None = None

    def show_indicator(self, indicator: Indicator, theme: Theme) -> None:
        if indicator == self._shown:
            return
        self._shown = indicator
        self.setVisible(True)
        colour = getattr(theme, indicator.severity)
        text = indicator.text
        text = html.escape(text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}…")
        if indicator.severity in ("bad", "faint"):
            text = f"<font color='{colour}'>{text}</font>"
        if indicator.severity == "bad":
            text = f"<b>{text}</b>"
        self.setText(f"<font color='{colour}'>{_SYMBOLS[indicator.severity]}</font>&nbsp;{text}")
        set_tip(self, indicator.tip)

    def restyle(self, theme: Theme) -> None:
        self.setStyleSheet(f"font-size: {theme.font_pt:g}pt;")
        indicator, self._shown = self._shown, None
        if indicator is not None:
            self.show_indicator(indicator, theme)


class _Spark(QWidget):
    """Latencies of the last minute as a small line, from 0 up."""

    def __init__(self, bar: QWidget, theme: Theme) -> None:
        super().__init__(bar)
        self._theme = theme
        self._line: list[tuple[float, float]] = []

    def show_line(self, line: list[tuple[float, float]]) -> None:
        self._line = line
        self.setVisible(bool(line))
        if line:
            latencies = [latency for _, latency in line]
            set_tip(
                self,
                f"Latency over the last minute: {min(latencies):.3f} to {max(latencies):.3f} s; "
                "the bottom is 0",
            )
        self.update()

    def restyle(self, theme: Theme) -> None:
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        metrics = QFontMetricsF(scaled_font(self, self._theme))
        return QSize(round(metrics.averageCharWidth() * _SPARK_CHARS), round(metrics.lineSpacing()))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.background))
        painter.setPen(QColor(self._theme.grid))
        painter.drawLine(0, self.height() - 1, self.width(), self.height() - 1)
        if self._line:
            highest = 1.25 * max(max(latency for _, latency in self._line), _MIN_SCALE_S)
            room = self.height() - 3
            painter.setPen(QPen(QColor(self._theme.foreground), 1))
            heights = [(t, room * max(0.0, latency) / highest) for t, latency in self._line]
            painter.drawPolyline(
                [QPointF(self.width() * (1 + t / KEPT_S), room + 1 - up) for t, up in heights]
            )
        painter.end()


def place_in_lines(cells: Iterable[QWidget], top_px: int, width_px: int) -> int:
    """Place widgets in lines, wrapped like words, so that none is clipped; returns the end, px."""
    margin, x, y, line_px = _MARGINS_PX[0], _MARGINS_PX[0], top_px + _MARGINS_PX[1], 0
    for cell in cells:
        hint = cell.sizeHint()
        if x > margin and x + hint.width() > width_px - margin:
            x, y, line_px = margin, y + line_px + 1, 0
        cell.setGeometry(x, y, hint.width(), hint.height())
        x += hint.width() + _GAP_PX
        line_px = max(line_px, hint.height())
    return y + line_px + _MARGINS_PX[1]


class StatusLine:
    """The line at the foot of the window: what is missing, what failed, the drawing rate."""

    def __init__(self, bar: QStatusBar, session: ViewSession, theme: Theme) -> None:
        self._session = session
        self._fault = ""
        self._theme = theme
        self._shows_fault: bool | None = None
        bar.setSizeGripEnabled(False)
        self.message = plain_label()
        self._rate = plain_label()
        set_tip(self._rate, "The window draws less often when it cannot keep up")
        bar.addWidget(self.message, 1)
        bar.addPermanentWidget(self._rate)
        bar.addPermanentWidget(plain_label("research use only"))

    @property
    def waiting(self) -> str:
        """What the window waits for, and what to do; empty once there was a signal."""
        if self._session.montage is not None:
            return ""
        signal = feed_of(self._session.feeds, "signal")
        if signal.state == "connecting":
            return f"connecting to {signal.name}"
        if self._session.choices:
            return "several signals are there: which one?\n(or start rtbrain view --stream NAME)"
        if signal.problem:
            return f"no signal: {signal.problem}"
        named = f"the stream {signal.name}" if signal.name else "a stream"
        return f"waiting for {named}\nstart rtbrain simulate or rtbrain replay, or the amplifier"

    def take(self, update: SessionUpdate) -> None:
        """Note the faults that were reported, and their end."""
        if update.other_decoder:
            self._fault = ""
        for event in update.events:
            if event.event in _FAULTS:
                reason = str(event.fields.get("reason", ""))
                fault = f"{event.fields.get('stream', 'decoder')} {event.event}: {reason}"
                self._fault = fault[:_MAX_FAULT_CHARS]
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
        set_tip(self.message, text)
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


class Banner(QWidget):
    """Bands across the window, shown only when they say something."""

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session = session
        self._t_last: dict[str, float] = {}
        centre = Qt.AlignmentFlag.AlignCenter
        self._labels = tuple(plain_label(alignment=centre, wordWrap=True) for _ in range(3))
        self.gone, self.amplitude, self.origin = self._labels
        for label in self._labels:
            label.hide()
        fill(QVBoxLayout(self), *self._labels)
        set_tip(self.amplitude, "Measured on the first 2 s of the signal's contacts")
        set_tip(self.origin, "From the header of the signal's stream (rtbrain/origin)")
        set_tip(self.gone, "Nothing in this window is current until it is back")
        self.restyle(theme)

    def take(self, update: SessionUpdate) -> None:
        """Note when signal and decodes arrived."""
        if update.chunks:
            self._t_last["signal"] = update.now
        if update.decodes:
            self._t_last["decode"] = update.now

    def draw(self, now: float) -> None:
        """Show what is lost, an amplitude that no brain has, and the origin of the signal."""
        feeds = self._session.feeds
        before = [label.text() for label in self._labels]
        texts = (
            lost_text(feeds, self._t_last, now),
            self._session.wrong_amplitude,
            origin_text(feeds),
        )
        for label, text in zip(self._labels, texts, strict=True):
            label.setText(f"▲ {text} ▲" if text else "")
            label.setVisible(bool(text))
        if before != [label.text() for label in self._labels]:
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
        self.amplitude.setStyleSheet(f"{style} background: {theme.warn}; color: {words};")
        self.gone.setStyleSheet(f"{style} background: {theme.bad}; color: {words};")
        self._fit_height()

    def _fit_height(self) -> None:
        # The docks of a main window ignore heightForWidth.
        shown = [label for label in self._labels if label.text()]
        self.setFixedHeight(sum(label.heightForWidth(self.width()) for label in shown))
