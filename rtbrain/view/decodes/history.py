"""Decodes of the last minute: the newest in words, spans without a valid one, and their plot."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainterPath
from PySide6.QtWidgets import QGraphicsPathItem

from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDecode, StatusEvent
from rtbrain.types import Floats, Mask, Times
from rtbrain.view.theme import Theme

PAGE_S = 60.0
# A hop below 0.15 s cannot be distinguished from the time between two polls of a busy window.
_MIN_LIMIT_S = 0.3
_BREAK_HOPS = 2.5
_EVENT_SPAN_S = 0.5
_EVENT_ROWS = 1024
_MAX_ROWS = 8192
_REASONS, _MAX_REASON = 64, 300
# A reason is sent when its decode is ready, which is after the end of its window.
_REASON_AFTER_S = 2.0
_TOUCHING_S = 1e-6
_LINE_PX = 2
_LABELS = 3
_MIN_LABEL_PX = 110
_MARGIN = 0.06
# Minimum distance between numbers on the vertical axis, in lines of text.
_TICK_LINES = 1.5
_FREE_TICK_LINES = 3.0
# A scale is narrowed only when less than a third of it is used.
_MIN_USED = 0.33
# With more classes than colours, the next round of lines is dashed, then dotted.
PEN_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


@dataclass(frozen=True, slots=True)
class InvalidSpan:
    """A span of time without a valid decode; `silent` if none came at all."""

    start: float
    stop: float
    reason: str
    silent: bool


class DecodeHistory:
    """Decodes of the last minute, in rings of bounded size."""

    def __init__(self, info: DecodeHeader) -> None:
        self.last: ReceivedDecode | None = None
        self._hop_s = info.hop_s
        n_rows, self._break_s = _EVENT_ROWS, _EVENT_SPAN_S
        if info.hop_s is not None:
            # Half as many again: decodes that catch up after a stall come faster.
            n_rows = min(_MAX_ROWS, math.ceil(1.5 * PAGE_S / info.hop_s) + 8)
            self._break_s = max(_BREAK_HOPS * info.hop_s, _MIN_LIMIT_S)
        self._t = np.full(n_rows, np.nan)
        self._values = np.full((n_rows, len(info.labels)), np.nan, np.float32)
        self._valid = np.zeros(n_rows, np.bool_)
        self._n = 0
        self._reasons: deque[tuple[float, str]] = deque(maxlen=_REASONS)

    def push(self, decode: ReceivedDecode) -> None:
        """Add a decode."""
        row = self._n % self._t.size
        self._t[row], self._values[row] = decode.t_stop, decode.values
        self._valid[row] = decode.valid
        self._n += 1
        self.last = decode

    def note(self, event: StatusEvent) -> None:
        """Note the reason of an ``invalid`` event."""
        if event.event == "invalid":
            self._reasons.append((event.t, str(event.fields.get("reason", ""))[:_MAX_REASON]))

    @property
    def reason(self) -> str:
        """Why the newest decode is invalid, as last reported; empty if it was not."""
        return self._reasons[-1][1] if self._reasons else ""

    def age_s(self, now: float) -> float:
        """Seconds since the end of the newest decode's window; NaN before the first decode.

        Counted from its arrival if its time stamp lies in the future, as from a wrong clock, so
        that a decode never looks newer than it can be.
        """
        if self.last is None:
            return math.nan
        return max(now - self.last.t_stop, now - self.last.t_arrived, 0.0)

    def is_old(self, now: float) -> bool:
        """Whether the newest decode is older than twice the hop; False for decodes at events."""
        if self._hop_s is None or self.last is None:
            return False
        return self.age_s(now) > max(2 * self._hop_s, _MIN_LIMIT_S)

    def page(self, now: float) -> tuple[Times, Floats, Mask]:
        """Times less `now`, s, values and validity of the last minute; NaN rows break lines."""
        t, values, valid = self._recent(now)
        if self._hop_s is not None and t.size > 1:
            after = np.flatnonzero(np.diff(t) > self._break_s) + 1
            t = np.insert(t, after, t[after] - self._hop_s)
            values = np.insert(values, after, np.nan, axis=0)
            valid = np.insert(valid, after, False)
        return t - now, values, valid

    def spans(self, now: float) -> list[InvalidSpan]:
        """Spans of the last minute without a valid decode, oldest first."""
        t, _, valid = self._recent(now)
        if not t.size:
            return []
        hop_s = self._hop_s or _EVENT_SPAN_S
        spans: list[InvalidSpan] = []
        before = t[0] - hop_s
        for stop, is_valid in zip(t.tolist(), valid.tolist(), strict=True):
            start = before
            if stop - before > self._break_s:
                start = stop - hop_s
                if self._hop_s is not None:
                    spans.append(InvalidSpan(before, start, "no decode", True))
            if not is_valid:
                _extend(spans, InvalidSpan(start, stop, self._reason_at(stop), False))
            before = stop
        if self._hop_s is not None and self.is_old(now) and before < now:
            spans.append(InvalidSpan(before, now, "no decode", True))
        return spans

    def _recent(self, now: float) -> tuple[Times, Floats, Mask]:
        kept = np.flatnonzero((self._t > now - PAGE_S) & (self._t <= now))
        # Sorted: a decode withdrawn during a stall is dated later than those that then catch up.
        rows = kept[np.argsort(self._t[kept], kind="stable")]
        return self._t[rows], self._values[rows], self._valid[rows]

    def _reason_at(self, t: float) -> str:
        for t_reported, reason in reversed(self._reasons):
            if t_reported <= t + _REASON_AFTER_S:
                return reason
        return ""


def _extend(spans: list[InvalidSpan], new: InvalidSpan) -> None:
    """Append a span, joined to the previous one if that ends here for the same reason."""
    last = spans[-1] if spans else None
    same = last is not None and not last.silent and last.reason == new.reason
    if same and last is not None and new.start <= last.stop + _TOUCHING_S:
        spans[-1] = replace(last, stop=new.stop)
    else:
        spans.append(new)


@dataclass(frozen=True, slots=True)
class DecisionText:
    """Text of the newest decode; `legend` holds output, label and value."""

    title: str
    detail: str
    state: str
    best: int = -1
    legend: tuple[tuple[int, str, str], ...] = ()
    quality: tuple[str, ...] = ()


def describe_decision(
    info: DecodeHeader, history: DecodeHistory, now: float, lost: bool
) -> DecisionText:
    """Text for the newest decode."""
    decode = history.last
    if decode is None:
        legend = _legend(info, np.full(len(info.labels), np.nan, np.float32))
        return DecisionText("...", "no decode has arrived yet", "none", legend=legend)
    chooses = np.isfinite(decode.values).any() and info.unit == "probability"
    best = int(np.nanargmax(decode.values)) if chooses else -1
    title = info.labels[best] if best >= 0 else _values_title(info, decode.values)
    detail = f"p = {decode.values[best]:.2f}" if best >= 0 else ""
    state, age = "good", f"{history.age_s(now):.1f} s"
    if not decode.valid:
        state, title, best = "invalid", "not valid", -1
        detail = history.reason or "the reason was reported before this window opened"
    if lost or history.is_old(now):
        state, detail = "old", f"{age} old: {detail}".removesuffix(": ")
    elif info.hop_s is None:
        detail = f"{detail}, {age} ago".removeprefix(", ")
    latency = f"{decode.age_s:.2f} s" if math.isfinite(decode.age_s) else "unknown"
    quality = (
        "✓ valid" if decode.valid else "✖ not valid",
        f"coverage {decode.coverage:.0%}, latency {latency}",
    )
    return DecisionText(title, detail, state, best, _legend(info, decode.values), quality)


def _values_title(info: DecodeHeader, values: Floats) -> str:
    if len(info.labels) == 1 and math.isfinite(values[0]):
        return f"{values[0]:.3g}"
    return "" if np.isfinite(values).any() else "no value"


def _legend(info: DecodeHeader, values: Floats) -> tuple[tuple[int, str, str], ...]:
    digits = ".2f" if info.unit == "probability" else ".3g"
    texts = [format(value, digits) if math.isfinite(value) else "-" for value in values]
    return tuple(zip(range(len(texts)), info.labels, texts, strict=True))


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
        self, plot: Any, outputs: Sequence[int], label: str, *, fixed: bool, lines: bool
    ) -> None:
        self.plot = plot
        self._outputs, self._fixed, self._lines = list(outputs), fixed, lines
        self._limits = (0.0, 1.0)
        self.hatches = {silent: QGraphicsPathItem() for silent in (False, True)}
        self.curves = [pg.PlotCurveItem(connect="finite") for _ in outputs]
        # Isolated decodes, which a line would not show.
        self.dots = [pg.ScatterPlotItem(size=6, pxMode=True) for _ in outputs]
        self._texts = [pg.TextItem(anchor=(0.5, 0)) for _ in range(_LABELS)]
        for item in (*self.hatches.values(), *self.curves, *self.dots, *self._texts):
            plot.addItem(item, ignoreBounds=True)
        self._label, self._density = label, math.nan
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
        self.ticks: list[float] = []  # of a fixed scale
        self._metrics = QFontMetricsF(QFont())

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
        self._metrics = QFontMetricsF(font)
        width_px = self._metrics.height() * 1.4 + self._metrics.horizontalAdvance("-0.00")
        self.plot.getAxis("left").setWidth(round(width_px))

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
        for text in self._texts:
            text.setVisible(bool(labelled))
            if labelled:
                start, stop, reason = labelled.pop()
                room_px = (stop - start) * px_per_s - 10
                right = Qt.TextElideMode.ElideRight
                text.setText(self._metrics.elidedText(reason, right, room_px))
                text.setPos((start + stop) / 2, high)
