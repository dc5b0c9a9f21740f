"""The health bar: every stream, the decoder, the age of its decodes, disk and recording."""

import html
import math

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from rtbrain.view.health.indicators import (
    DecoderStatus,
    Indicator,
    RecorderStatus,
    is_from_recorder,
    load_indicator,
    stream_indicator,
)
from rtbrain.view.health.latency import KEPT_S, LatencyHistory, ProcessorLoad
from rtbrain.view.layout import FlowLayout
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.streams.states import StreamHealth
from rtbrain.view.theme import Theme

_DRAW_EVERY_S = 0.2
_GAP_PX = 14
_SIGNS = {"good": "●", "warn": "▲", "bad": "✖", "faint": "○"}
_SPARK_LETTERS = 16
_OLD_HOPS = 2.0
_MIN_OLD_S = 0.3
_MIN_HIGH_S = 1e-3
_MAX_LETTERS = 80
_TIP = (
    "Age of the newest decode when it was ready: {age.total:.3f} s after the moment it describes\n"
    "algorithm {age.algorithm:.3f} s: from that moment to the end of the window\n"
    "transport {age.transport:.3f} s: from there until the decoder had the samples\n"
    "compute {age.compute:.3f} s: from there to the decode\n"
    "The way on to this window took {delivery_delay_s:.3f} s"
)


class HealthBar(QWidget):
    """A line of streams and a line of machinery; each word has a tool tip that says more."""

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session, self._theme = session, theme
        self._decoder, self._recorder = DecoderStatus(), RecorderStatus()
        self._ages, self._load = LatencyHistory(), ProcessorLoad()
        self._arrived = math.nan
        self._drawn_at = -math.inf
        self.streams = [_Cell() for _ in session.feeds]
        self.cells = {name: _Cell() for name in ("decoder", "age", "cpu", "disk", "recording")}
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
            if name == "age":
                self._lower.addWidget(self.spark)

    def take(self, update: SessionUpdate) -> None:
        """Keep what was told, and the ages of the decodes."""
        if update.other_decoder:
            self._decoder = DecoderStatus()
            self._ages.clear()
            if any(
                feed.kind == "record" and feed.state == "absent" for feed in self._session.feeds
            ):
                self._recorder = RecorderStatus()
        for event in update.events:
            self._decoder.update(event)
            self._recorder.update(event)
            if event.event == "connected" and not is_from_recorder(event):
                self._ages.clear()
        for row in update.decodes:
            self._ages.push(row)
            self._arrived = row.t_arrived

    def draw(self, now: float) -> None:
        """Say how everything does, five times a second at most."""
        if self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._drawn_at = now
        # Windows send marks under one name: one word for all of them.
        feeds = {(feed.kind, feed.name, feed.state): feed for feed in self._session.feeds}.values()
        while len(self.streams) < len(feeds):
            self.streams.append(_Cell())
            self._upper.addWidget(self.streams[-1])
        for cell, feed in zip(self.streams, feeds, strict=False):
            cell.say(stream_indicator(feed), self._theme)
        for cell in self.streams[len(feeds) :]:
            cell.hide()
        of_kind = {feed.kind: feed for feed in reversed(self._session.feeds)}
        words = {
            "decoder": self._decoder.indicator(of_kind["decode"], of_kind["status"]),
            "age": self._age_word(now, of_kind["signal"], of_kind["decode"]),
            "cpu": load_indicator(self._load.look(now)),
            "disk": self._recorder.disk_indicator(),
            "recording": self._recorder.indicator(of_kind["record"]),
        }
        for name, word in words.items():
            self.cells[name].say(word, self._theme)
        self.spark.show_line(self._ages.line(now))
        self._fit_height()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Be as high as the words need at this width."""
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
        # A main window's docks ask nobody how high a given width makes it.
        lines = self._upper, self._lower
        self.setFixedHeight(sum(line.heightForWidth(self.width()) for line in lines))

    def _age_word(self, now: float, signal: StreamHealth, decode_feed: StreamHealth) -> Indicator:
        age = self._ages.newest
        if decode_feed.state == "ended":
            return Indicator("age -", "faint", "The decoder has ended")
        if not math.isfinite(age.total):
            if signal.state != "live" or not math.isfinite(signal.t_last):
                return Indicator("age -", "faint", "Neither decodes nor signal come")
            old_s = max(0.0, now - signal.t_last)
            return Indicator(
                f"signal {old_s:.2f} s old", "good", "Age of the newest sample on arrival"
            )
        text = f"age {age.total:.2f} s"
        tip = _TIP.format(age=age, delivery_delay_s=self._ages.delivery_delay_s)
        decode, since_s = self._session.decode, now - self._arrived
        hop_s = None if decode is None else decode.hop_s
        if hop_s is not None and since_s > max(_OLD_HOPS * hop_s, _MIN_OLD_S):
            return Indicator(f"{text}, and no decode for {since_s:.1f} s", "bad", tip)
        if not math.isfinite(age.algorithm):
            return Indicator(text, "warn", f"{text}; its parts are told of a valid decode only")
        parts = f"algorithm {age.algorithm:.2f}, transport {age.transport:.2f}"
        return Indicator(f"{text}: {parts}, compute {age.compute:.2f}", "good", tip)


class _Cell(QLabel):
    """A sign and a few words."""

    def __init__(self) -> None:
        super().__init__()
        self.setTextFormat(Qt.TextFormat.RichText)
        self._said: Indicator | None = None

    def say(self, word: Indicator, theme: Theme) -> None:
        if word == self._said:
            return
        self._said = word
        self.setVisible(True)
        colour = getattr(theme, word.severity)
        shown = word.text if len(word.text) <= _MAX_LETTERS else f"{word.text[:_MAX_LETTERS]}…"
        text = html.escape(shown)
        if word.severity == "bad":
            text = f"<b><font color='{colour}'>{text}</font></b>"
        elif word.severity == "faint":
            text = f"<font color='{colour}'>{text}</font>"
        self.setText(f"<font color='{colour}'>{_SIGNS[word.severity]}</font>&nbsp;{text}")
        self.setToolTip(html.escape(word.tip).replace("\n", "<br>"))

    def restyle(self, theme: Theme) -> None:
        self.setStyleSheet(f"font-size: {theme.font_pt:g}pt;")
        word, self._said = self._said, None
        if word is not None:
            self.say(word, theme)


class _Spark(QWidget):
    """Ages of the last minute as a small line, from 0 up."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._line: list[tuple[float, float]] = []

    def show_line(self, line: list[tuple[float, float]]) -> None:
        self._line = line
        self.setVisible(bool(line))
        if line:
            ages = [age for _, age in line]
            self.setToolTip(
                f"Age of the decodes over the last minute: {min(ages):.3f} to {max(ages):.3f} s; "
                "the line's foot is 0"
            )
        self.update()

    def restyle(self, theme: Theme) -> None:
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        font = QFont(self.font())
        font.setPointSizeF(self._theme.font_pt)
        metrics = QFontMetricsF(font)
        return QSize(
            round(metrics.averageCharWidth() * _SPARK_LETTERS), round(metrics.lineSpacing())
        )

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.background))
        painter.setPen(QColor(self._theme.grid))
        painter.drawLine(0, self.height() - 1, self.width(), self.height() - 1)
        if self._line:
            highest = 1.25 * max(max(age for _, age in self._line), _MIN_HIGH_S)
            room = self.height() - 3
            painter.setPen(QPen(QColor(self._theme.foreground), 1))
            painter.drawPolyline(
                [
                    QPointF(
                        self.width() * (1 + t / KEPT_S),
                        self.height() - 2 - room * max(0.0, age) / highest,
                    )
                    for t, age in self._line
                ]
            )
        painter.end()
