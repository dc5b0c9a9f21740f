"""What the decoder says now: in words that are pure of Qt, and the card that shows them large."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.view.decodes.history import DecodeHistory
from rtbrain.view.theme import Theme

_TITLE = 2.2
_MIN_TITLE = 1.1
_PAD_PX = 6
_LETTERS = 26
_HATCH_ALPHA = 110
_MAX_LEGEND = 6
# Where there are more classes than colours, the next round of lines is dashed, then dotted.
PEN_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


@dataclass(frozen=True, slots=True)
class DecisionText:
    """What is shown of the newest decode."""

    title: str
    detail: str
    state: str
    best: int = -1
    legend: tuple[tuple[int, str, str], ...] = ()
    worth: tuple[str, ...] = ()


def describe_decision(
    info: DecodeHeader, history: DecodeHistory, now: float, lost: bool
) -> DecisionText:
    """Words for the newest decode."""
    row = history.last
    if row is None:
        return DecisionText("...", "no decode has come yet", "none", legend=_legend(info, None))
    finite = np.isfinite(row.values)
    is_class = info.unit == "probability"
    best = int(np.nanargmax(row.values)) if finite.any() and is_class else -1
    title = info.labels[best] if best >= 0 else _values_title(info, row.values)
    detail = f"p = {row.values[best]:.2f}" if best >= 0 else ""
    state = "good"
    old = f"{history.age_s(now):.1f} s old"
    if not row.valid:
        state, title, best = "invalid", "not valid", -1
        detail = history.reason or "the reason was told before this window opened"
    if lost or history.is_old(now):
        detail = f"{old}: {detail}" if detail else old
        state = "old"
    elif info.hop_s is None:
        detail = f"{detail}, {history.age_s(now):.1f} s ago".removeprefix(", ")
    worth = (
        "✓ valid" if row.valid else "✖ not valid",
        f"coverage {row.coverage:.0%}, age "
        + (f"{row.age_s:.2f} s" if math.isfinite(row.age_s) else "unknown"),
    )
    return DecisionText(title, detail, state, best, _legend(info, row.values), worth)


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
    """The newest decode, large, with a key to the colours of the lines."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.shown = DecisionText("", "", "none")
        self.lie(False)

    def lie(self, above: bool) -> None:
        """Lie above the plot, only as high as needed, or stand beside it."""
        fixed, free = QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding
        self.setSizePolicy(*((free, fixed) if above else (fixed, free)))

    def show_decision(self, decision: DecisionText) -> None:
        """Show this, if it is not what is shown already."""
        if decision == self.shown:
            return
        before = self.sizeHint()
        self.shown = decision
        if self.sizeHint() != before:
            self.updateGeometry()
        self.setToolTip("\n".join(filter(None, (decision.title, decision.detail, *decision.worth))))
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """As wide as its longest line, and as high as the key to the colours needs."""
        metrics = QFontMetricsF(self._font(1.0))
        n_lines = 5.5 + min(len(self.shown.legend), _MAX_LEGEND) + len(self.shown.worth)
        return QSize(
            round(metrics.averageCharWidth() * _LETTERS + 2 * _PAD_PX),
            round(metrics.lineSpacing() * n_lines),
        )

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As wide as it asks for; the key to the colours may be cut short."""
        height = QFontMetricsF(self._font(1.0)).lineSpacing()
        return QSize(self.sizeHint().width(), round(height * 6.5))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme, it = self._theme, self.shown
        painter.fillRect(self.rect(), QColor(theme.background))
        if it.state == "invalid":
            hatch = QColor(theme.warn)
            hatch.setAlpha(_HATCH_ALPHA)
            # Above the words, not through them.
            strip = QRectF(0, 0, self.width(), self._font_px(1.0) * 0.8)
            painter.fillRect(strip, QBrush(hatch, Qt.BrushStyle.BDiagPattern))
        bottom = self._paint_worth(painter)
        top = self._paint_title(painter)
        self._paint_legend(painter, top, bottom)
        painter.end()

    def _paint_title(self, painter: QPainter) -> float:
        theme, it = self._theme, self.shown
        colour = {"good": theme.foreground, "invalid": theme.warn}.get(it.state, theme.faint)
        if it.state == "good" and it.best >= 0:
            colour = theme.classes[it.best % len(theme.classes)]
        width = self.width() - 2 * _PAD_PX
        scale = _TITLE
        while scale > _MIN_TITLE and _width_px(self._font(scale, True), it.title) > width:
            scale -= 0.1
        y = self._font_px(1.0) * (1.0 if it.state == "invalid" else 0.2)
        y = self._line(painter, it.title, y, colour, self._font(scale, True)) if it.title else y
        # A reason may need two lines.
        metrics = QFontMetricsF(self._font(1.0))
        box = QRectF(_PAD_PX, y, width, 2 * metrics.lineSpacing())
        painter.setFont(self._font(1.0))
        painter.setPen(QColor(theme.faint if it.state == "old" else theme.foreground))
        wraps = _width_px(self._font(1.0), it.detail) > width
        flags = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        painter.drawText(box, flags | int(Qt.TextFlag.TextWordWrap), it.detail)
        return y + metrics.lineSpacing() * (2 if wraps else 1) + 2

    def _paint_worth(self, painter: QPainter) -> float:
        font = self._font(1.0)
        height = QFontMetricsF(font).lineSpacing()
        y = top = self.height() - 2 - height * len(self.shown.worth)
        for line in self.shown.worth:
            y = self._line(painter, line, y, self._theme.faint, font)
        return top

    def _paint_legend(self, painter: QPainter, top: float, bottom: float) -> None:
        theme, it, font = self._theme, self.shown, self._font(1.0)
        height = QFontMetricsF(font).lineSpacing()
        n_fit = max(0, int((bottom - top) / height))
        entries = it.legend
        if len(entries) > n_fit:  # the most probable ones
            ordered = sorted(it.legend, key=lambda entry: entry[2], reverse=True)
            entries = tuple(sorted(ordered[: max(0, n_fit - 1)]))
        y = top
        for place, label, value in entries:
            style = PEN_STYLES[place // len(theme.classes) % len(PEN_STYLES)]
            colour = theme.classes[place % len(theme.classes)]
            grey = it.state == "old"
            pen = QPen(QColor(theme.faint if grey else colour), 3, style)
            painter.setPen(pen)
            middle = round(y + height / 2)
            painter.drawLine(_PAD_PX, middle, _PAD_PX + round(height), middle)
            value_px = _width_px(font, "0.000")
            left = _PAD_PX + height + 6
            self._line(
                painter, label, y, theme.faint if grey else theme.foreground, font, left, value_px
            )
            painter.drawText(
                QRectF(0, y, self.width() - _PAD_PX, height),
                int(Qt.AlignmentFlag.AlignRight),
                value,
            )
            y += height
        if len(entries) < len(it.legend) and n_fit:
            self._line(painter, f"and {len(it.legend) - len(entries)} more", y, theme.faint, font)

    def _line(
        self,
        painter: QPainter,
        text: str,
        y: float,
        colour: str,
        font: QFont,
        left: float = _PAD_PX,
        right: float = 0.0,
    ) -> float:
        """Draw a line of text, shortened to what fits; where the next one goes."""
        metrics = QFontMetricsF(font)
        width = self.width() - left - right - _PAD_PX
        painter.setFont(font)
        painter.setPen(QColor(colour))
        fitting = metrics.elidedText(text, Qt.TextElideMode.ElideRight, width)
        painter.drawText(QRectF(left, y, width + 1, metrics.lineSpacing()), 0, fitting)
        return y + metrics.lineSpacing()

    def _font(self, scale: float, bold: bool = False) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(self._theme.font_pt * scale)
        font.setBold(bold)
        return font

    def _font_px(self, scale: float) -> float:
        return QFontMetricsF(self._font(scale)).height()


def _width_px(font: QFont, text: str) -> float:
    return QFontMetricsF(font).horizontalAdvance(text)
