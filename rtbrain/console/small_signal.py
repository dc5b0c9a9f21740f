"""The small signal at the foot of the rail: five contacts, five seconds, and what is bad."""

from collections import deque

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.types import Floats, Times
from rtbrain.view.icons import hatch_brush, paint_icon
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, paint_text

_SHOWN_S, _ROWS, _POINTS_HZ = 5.0, 5, 80.0
_HEIGHT_PX, _BOX_PX, _DRAW_EVERY_S, _GAP_S = 186, 120, 0.1, 0.1
_SCALES_UV = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class SmallSignal(QWidget):
    """Traces of a few good contacts, each minus its mean, in one scale."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._live: ViewSession | None = None
        self._rows: list[int] = []
        self._names: tuple[str, ...] = ()
        self._times: deque[float] = deque()
        self._values: deque[Floats] = deque()
        self._rest: tuple[Floats, Times] | None = None
        self._now, self._drawn_at = 0.0, -1e9
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.restyle(theme)

    def read(self, live: ViewSession | None) -> None:
        """Follow these streams from now on."""
        self._live = live
        self._forget()

    def take(self, update: SessionUpdate) -> None:
        """Keep the newest seconds, thinned to what can be seen."""
        live = self._live
        if live is None or live.montage is None:
            return
        if update.new_montage or not self._rows:
            self._forget()
            good = [i for i, name in enumerate(live.montage.names) if name not in live.bad]
            rows = np.linspace(0, len(good) - 1, min(_ROWS, len(good))).round().astype(int)
            self._rows = [good[row] for row in rows]
            self._names = tuple(live.montage.names[row] for row in self._rows)
        every = max(1, round(live.montage.sfreq_hz / _POINTS_HZ))
        for chunk in update.chunks:
            data, stamps = chunk.data[self._rows], chunk.timestamps
            if self._rest is not None:
                data = np.concatenate([self._rest[0], data], axis=1)
                stamps = np.concatenate([self._rest[1], stamps])
            n = data.shape[1] // every * every
            self._rest = data[:, n:], stamps[n:]
            means = data[:, :n].reshape(len(self._rows), -1, every).mean(axis=2)
            for t, values in zip(stamps[:n:every], means.T, strict=True):
                self._times.append(float(t))
                self._values.append(values)
        while self._times and self._times[0] < update.now - _SHOWN_S:
            self._times.popleft()
            self._values.popleft()

    def draw(self, now: float) -> None:
        """Show the seconds up to now."""
        if self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._now = self._drawn_at = now
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self._theme = theme
        self.setFixedHeight(theme.px(_HEIGHT_PX))
        self.update()

    def _forget(self) -> None:
        self._rows, self._rest = [], None
        self._times.clear()
        self._values.clear()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint head, traces and the line of bad contacts."""
        theme, left = self._theme, float(self._theme.px(12))
        width = self.width() - 2 * left
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(theme.line))
        painter.drawLine(QPointF(0, 0.5), QPointF(self.width(), 0.5))
        painter.setFont(theme.font(12))
        head = QRectF(left, theme.px(8), width, theme.px(18))
        paint_text(painter, head, say("session.signal_now"), theme.text2)
        box = QRectF(left, theme.px(31), width, theme.px(_BOX_PX))
        painter.setPen(QPen(QColor(theme.line), 1))
        painter.setBrush(QColor(theme.bg0))
        painter.drawRoundedRect(box, 3, 3)
        if len(self._times) > 1:
            scale = self._paint_traces(painter, box)
            painter.setFont(theme.font(12))
            paint_text(painter, head, f"{scale} µV", theme.text2, Qt.AlignmentFlag.AlignRight)
        else:
            painter.setFont(theme.font(12))
            align = Qt.AlignmentFlag.AlignCenter
            paint_text(painter, box, say("session.no_signal_yet"), theme.faint, align)
        self._paint_bad(painter, QRectF(left, box.bottom() + theme.px(8), width, theme.px(20)))
        painter.end()

    def _paint_traces(self, painter: QPainter, box: QRectF) -> int:
        theme, live = self._theme, self._live
        times = np.array(self._times)
        values = np.array(self._values).T  # [rows, points]
        values = values - values.mean(axis=1, keepdims=True)
        spread = float(np.median(np.percentile(np.abs(values), 98, axis=1))) * 2
        scale = next((one for one in _SCALES_UV if one >= spread), _SCALES_UV[-1])
        gutter = theme.px(40)
        height = box.height() / max(1, len(values))
        old = live is not None and feed_of(live.feeds, "signal").state != "live"
        ink = theme.trace_bad if old else theme.trace
        x = box.left() + gutter + (times - self._now + _SHOWN_S) / _SHOWN_S * (box.width() - gutter)
        # No line across a gap.
        gaps = np.flatnonzero(np.diff(times) > _GAP_S) + 1
        parts = [part.tolist() for part in np.split(np.arange(times.size), gaps)]
        painter.setFont(theme.font(11))
        for row, trace in enumerate(values):
            middle = box.top() + (row + 0.5) * height
            label = QRectF(box.left() + 5, middle - height / 2, gutter - 6, height)
            align = Qt.AlignmentFlag.AlignVCenter
            paint_text(painter, label, self._names[row], theme.text2, align)
            y = middle - np.clip(trace / scale, -0.8, 0.8) * height
            painter.setPen(QPen(QColor(ink), 1))
            for part in parts:
                points = [QPointF(x[i], y[i]) for i in part if x[i] > label.right()]
                painter.drawPolyline(QPolygonF(points))
        if old:
            since = QRectF(box)
            since.setLeft(max(box.left() + gutter, float(x[-1])))
            painter.fillRect(since, hatch_brush(theme))
        return scale

    def _paint_bad(self, painter: QPainter, line: QRectF) -> None:
        theme, live = self._theme, self._live
        if live is None or live.montage is None:
            return
        names = live.montage.names
        bad = {name: live.bad[name] for name in names if name in live.bad}
        painter.setFont(theme.font(12, 600))
        size = theme.px(13)
        if not bad:
            paint_icon(painter, QRectF(line.left(), line.top() + 2, size, size), "fine", theme)
            line.setLeft(line.left() + size + 6)
            paint_text(painter, line, say("session.all_good", total=len(names)), theme.text2)
            return
        paint_icon(painter, QRectF(line.left(), line.top() + 2, size, size), "look", theme)
        line.setLeft(line.left() + size + 6)
        listed = ", ".join(f"{name} {why}" for name, why in list(bad.items())[:3])
        text = say("session.bad_contacts", bad=len(bad), total=len(names), which=listed)
        paint_text(painter, line, text, theme.warn)
