"""The health bar: streams, decoder, latency, processors, disk and recording."""

import html
import math

import psutil
from PySide6.QtCore import QPoint, QPointF, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QLabel, QLayout, QLayoutItem, QVBoxLayout, QWidget

from rtbrain.view.health.indicators import (
    KEPT_S,
    DecoderStatus,
    Indicator,
    LatencyHistory,
    RecorderStatus,
    is_from_recorder,
    load_indicator,
    stream_indicator,
)
from rtbrain.view.streams.inlets import StreamHealth, feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, scaled_font

_DRAW_EVERY_S = 0.2
_GAP_PX = 14
_SYMBOLS = {"good": "●", "warn": "▲", "bad": "✖", "faint": "○"}
_SPARK_CHARS = 16
_OLD_HOPS = 2.0
_MIN_OLD_S = 0.3
_LOAD_EVERY_S = 2.0
_MIN_SCALE_S = 1e-3
_MAX_CHARS = 80
_TIP = (
    "Latency of the newest decode: ready {parts.total:.3f} s after the moment it describes\n"
    "algorithm {parts.algorithm:.3f} s: from that moment to the end of the window\n"
    "transport {parts.transport:.3f} s: from there until the decoder had the samples\n"
    "compute {parts.compute:.3f} s: from there to the decode\n"
    "Delivery to this window took {delivery_delay_s:.3f} s"
)


class HealthBar(QWidget):
    """A line of streams and a line of components; each indicator has a tool tip with details."""

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session, self._theme = session, theme
        self._decoder, self._recorder = DecoderStatus(), RecorderStatus()
        self._latency = LatencyHistory()
        self._load, self._load_at = math.nan, -math.inf
        psutil.cpu_percent()  # the next call reports the load since this one
        self._t_arrived = math.nan
        self._drawn_at = -math.inf
        self.streams = [_Cell() for _ in session.feeds]
        self.cells = {name: _Cell() for name in ("decoder", "latency", "cpu", "disk", "recording")}
        self.spark = _Spark(theme)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        lines = QWidget(), QWidget()
        self._upper, self._lower = FlowLayout(lines[0], _GAP_PX), FlowLayout(lines[1], _GAP_PX)
        for line in lines:
            column.addWidget(line)
        for cell in self.streams:
            self._upper.addWidget(cell)
        for name, cell in self.cells.items():
            self._lower.addWidget(cell)
            if name == "latency":
                self._lower.addWidget(self.spark)

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
            self._t_arrived = decode.t_arrived

    def draw(self, now: float) -> None:
        """Update every indicator, at most five times a second."""
        if self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._drawn_at = now
        # Several windows send marks under one name: one indicator for all of them.
        feeds = {(feed.kind, feed.name, feed.state): feed for feed in self._session.feeds}.values()
        while len(self.streams) < len(feeds):
            self.streams.append(_Cell())
            self._upper.addWidget(self.streams[-1])
        for cell, feed in zip(self.streams, feeds, strict=False):
            cell.show_indicator(stream_indicator(feed), self._theme)
        for cell in self.streams[len(feeds) :]:
            cell.hide()
        if now >= self._load_at + _LOAD_EVERY_S:
            self._load, self._load_at = psutil.cpu_percent() / 100, now
        signal, decode, status, record = self._session.feeds[:4]
        indicators = {
            "decoder": self._decoder.indicator(decode, status),
            "latency": self._latency_indicator(now, signal, decode),
            "cpu": load_indicator(self._load),
            "disk": self._recorder.disk_indicator(),
            "recording": self._recorder.indicator(record),
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
        # The docks of a main window ignore heightForWidth.
        lines = self._upper, self._lower
        self.setFixedHeight(sum(line.heightForWidth(self.width()) for line in lines))

    def _latency_indicator(
        self, now: float, signal: StreamHealth, decodes: StreamHealth
    ) -> Indicator:
        parts = self._latency.newest
        if decodes.state == "ended":
            return Indicator("latency -", "faint", "The decoder has ended")
        if not math.isfinite(parts.total):
            if signal.state != "live" or not math.isfinite(signal.t_last):
                return Indicator("latency -", "faint", "Neither decodes nor signal arrive")
            old_s = max(0.0, now - signal.t_last)
            return Indicator(
                f"signal {old_s:.2f} s old", "good", "Age of the newest sample on arrival"
            )
        text = f"latency {parts.total:.2f} s"
        tip = _TIP.format(parts=parts, delivery_delay_s=self._latency.delivery_delay_s)
        header, since_s = self._session.decode, now - self._t_arrived
        hop_s = None if header is None else header.hop_s
        if hop_s is not None and since_s > max(_OLD_HOPS * hop_s, _MIN_OLD_S):
            return Indicator(f"{text}, and no decode for {since_s:.1f} s", "bad", tip)
        if not math.isfinite(parts.algorithm):
            return Indicator(text, "warn", f"{text}; its parts are known for valid decodes only")
        text += f": algorithm {parts.algorithm:.2f}, transport {parts.transport:.2f}"
        return Indicator(f"{text}, compute {parts.compute:.2f}", "good", tip)


class _Cell(QLabel):
    """A symbol and a few words."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self._shown: Indicator | None = None

    def show_indicator(self, indicator: Indicator, theme: Theme) -> None:
        if indicator == self._shown:
            return
        self._shown = indicator
        self.setVisible(True)
        colour = getattr(theme, indicator.severity)
        text = indicator.text
        text = html.escape(text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}…")
        if indicator.severity == "bad":
            text = f"<b><font color='{colour}'>{text}</font></b>"
        elif indicator.severity == "faint":
            text = f"<font color='{colour}'>{text}</font>"
        self.setText(f"<font color='{colour}'>{_SYMBOLS[indicator.severity]}</font>&nbsp;{text}")
        self.setToolTip(html.escape(indicator.tip).replace("\n", "<br>"))

    def restyle(self, theme: Theme) -> None:
        self.setStyleSheet(f"font-size: {theme.font_pt:g}pt;")
        indicator, self._shown = self._shown, None
        if indicator is not None:
            self.show_indicator(indicator, theme)


class _Spark(QWidget):
    """Latencies of the last minute as a small line, from 0 up."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._line: list[tuple[float, float]] = []

    def show_line(self, line: list[tuple[float, float]]) -> None:
        self._line = line
        self.setVisible(bool(line))
        if line:
            latencies = [latency for _, latency in line]
            self.setToolTip(
                f"Latency over the last minute: {min(latencies):.3f} to {max(latencies):.3f} s; "
                "the bottom is 0"
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
            painter.drawPolyline(
                [
                    QPointF(
                        self.width() * (1 + t / KEPT_S),
                        self.height() - 2 - room * max(0.0, latency) / highest,
                    )
                    for t, latency in self._line
                ]
            )
        painter.end()


class FlowLayout(QLayout):
    """Widgets in lines, wrapped like words, so that none is clipped."""

    def __init__(self, parent: QWidget, gap_px: int) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self._gap_px = gap_px
        self.setContentsMargins(6, 2, 6, 2)

    def addItem(self, item: QLayoutItem) -> None:  # noqa: N802
        """Append an item."""
        self._items.append(item)

    def count(self) -> int:
        """Number of items."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        """Item by index; None past the end."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:  # noqa: N802
        """Remove an item by index; None past the end."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:  # noqa: N802
        """Neither."""
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """True: a narrower layout has more lines."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Height at a width, px."""
        return self._place(QRect(0, 0, width, 0), move=False)

    def setGeometry(self, rect: QRect) -> None:  # noqa: N802
        """Place every item."""
        super().setGeometry(rect)
        self._place(rect, move=True)

    def sizeHint(self) -> QSize:  # noqa: N802
        """The minimum size."""
        return self.minimumSize()

    def minimumSize(self) -> QSize:  # noqa: N802
        """Size of the widest item, on one line."""
        size = QSize()
        for item in self._shown():
            size = size.expandedTo(item.minimumSize())
        margins = self.contentsMargins()
        return size + QSize(margins.left() + margins.right(), margins.top() + margins.bottom())

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _place(self, rect: QRect, move: bool) -> int:
        margins = self.contentsMargins()
        inside = rect.marginsRemoved(margins)
        x, y, line_px = inside.x(), inside.y(), 0
        for item in self._shown():
            hint = item.sizeHint()
            if x > inside.x() and x + hint.width() > inside.right() + 1:
                x, y, line_px = inside.x(), y + line_px + 1, 0
            if move:
                width = min(hint.width(), inside.width())
                item.setGeometry(QRect(QPoint(x, y), QSize(width, hint.height())))
            x += hint.width() + self._gap_px
            line_px = max(line_px, hint.height())
        return y + line_px + margins.bottom() - rect.y()
