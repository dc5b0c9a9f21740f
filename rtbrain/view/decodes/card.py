"""The decision card: the newest decode in words, and the widget that shows it large."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.view.decodes.history import DecodeHistory
from rtbrain.view.theme import Theme, paint_text, scaled_font

_TITLE = 2.2
_MIN_TITLE = 1.1
_PAD_PX = 6
_WIDTH_CHARS = 26
_HATCH_ALPHA = 110
_MAX_LEGEND = 6
# With more classes than colours, the next round of lines is dashed, then dotted.
PEN_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


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
        return DecisionText("...", "no decode has arrived yet", "none", legend=_legend(info, None))
    finite = np.isfinite(decode.values)
    is_class = info.unit == "probability"
    best = int(np.nanargmax(decode.values)) if finite.any() and is_class else -1
    title = info.labels[best] if best >= 0 else _values_title(info, decode.values)
    detail = f"p = {decode.values[best]:.2f}" if best >= 0 else ""
    state = "good"
    old = f"{history.age_s(now):.1f} s old"
    if not decode.valid:
        state, title, best = "invalid", "not valid", -1
        detail = history.reason or "the reason was reported before this window opened"
    if lost or history.is_old(now):
        detail = f"{old}: {detail}" if detail else old
        state = "old"
    elif info.hop_s is None:
        detail = f"{detail}, {history.age_s(now):.1f} s ago".removeprefix(", ")
    quality = (
        "✓ valid" if decode.valid else "✖ not valid",
        f"coverage {decode.coverage:.0%}, latency "
        + (f"{decode.age_s:.2f} s" if math.isfinite(decode.age_s) else "unknown"),
    )
    return DecisionText(title, detail, state, best, _legend(info, decode.values), quality)


def _values_title(info: DecodeHeader, values: Sequence[float] | np.ndarray) -> str:
    if len(info.labels) == 1 and math.isfinite(values[0]):
        return f"{values[0]:.3g}"
    return "" if np.isfinite(values).any() else "no value"


def _legend(
    info: DecodeHeader, values: Sequence[float] | np.ndarray | None
) -> tuple[tuple[int, str, str], ...]:
    digits = ".2f" if info.unit == "probability" else ".3g"
    texts = ["-"] * len(info.labels)
    if values is not None:
        texts = [format(value, digits) if math.isfinite(value) else "-" for value in values]
    return tuple((place, label, texts[place]) for place, label in enumerate(info.labels))


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
        self.setToolTip(
            "\n".join(filter(None, (decision.title, decision.detail, *decision.quality)))
        )
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
        return QSize(
            round(metrics.averageCharWidth() * _WIDTH_CHARS + 2 * _PAD_PX),
            round(metrics.lineSpacing() * n_lines),
        )

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
        width = self.width() - 2 * _PAD_PX
        scale = _TITLE
        while (
            scale > _MIN_TITLE and self._metrics(scale, True).horizontalAdvance(shown.title) > width
        ):
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
