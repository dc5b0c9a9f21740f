"""What the colours of the contacts mean: a key of signs, or a bar with its unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetricsF,
    QLinearGradient,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.view.theme import Theme

__all__ = ["ColourKey"]

_BAR_LETTERS = 10
_GAP_PX = 8.0


@dataclass(frozen=True, slots=True)
class _Shown:
    words: tuple[tuple[str, str], ...]  # text, and the name of its colour in the theme
    limit: float | None


class ColourKey(QWidget):
    """A line that explains the map's colours.

    Parameters
    ----------
    theme : Theme
        Colours and size of type.
    colours : sequence of str
        Of the scale, lowest first, ``#rrggbb``.
    """

    def __init__(self, theme: Theme, colours: Sequence[str]) -> None:
        super().__init__()
        self._theme, self._colours = theme, colours
        self._shown = _Shown((), None)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """All its words."""
        return " ".join(text for text, _ in self._shown.words)

    def show_quality(self, n_good: int, n_bad: int, amiss: str) -> None:
        """Explain good and bad.

        Parameters
        ----------
        n_good, n_bad : int
            How many contacts.
        amiss : str
            Why they are grey; empty where they are not.
        """
        colours = ("faint", "faint") if amiss else ("good", "bad")
        words = [(f"▲ {amiss}", "warn")] if amiss else []
        words += zip((f"● good {n_good}", f"✕ bad {n_bad}"), colours, strict=True)
        self._show(_Shown(tuple(words), None))

    def show_scale(self, unit: str, amiss: str, limit: float, n_bad: int) -> None:
        """Explain the colour scale.

        Parameters
        ----------
        unit : str
            What it is of.
        amiss : str
            Why there are no values; empty where there are.
        limit : float
            It goes from less this to plus this.
        n_bad : int
            How many contacts are bad.
        """
        words = [(f"▲ {amiss}", "warn")] if amiss else []
        words += [(f"✕ bad {n_bad}", "bad"), (unit, "foreground")]
        self._show(_Shown(tuple(words), limit))

    def restyle(self, theme: Theme) -> None:
        """Take other colours or another size of type."""
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """A line."""
        return QSize(100, round(QFontMetricsF(self._font()).lineSpacing() + 4))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint it."""
        painter = QPainter(self)
        painter.setFont(self._font())
        x = 2.0
        if self._shown.limit is not None:
            x = self._paint_bar(painter, x, self._shown.limit)
        for text, colour in self._shown.words:
            x = self._paint_text(painter, x, text, getattr(self._theme, colour))
        painter.end()

    def _show(self, shown: _Shown) -> None:
        if shown != self._shown:
            self._shown = shown
            self.setToolTip(self.text)
            self.update()

    def _paint_bar(self, painter: QPainter, x: float, limit: float) -> float:
        x = self._paint_text(painter, x, f"{-limit:+g}", self._theme.foreground)
        width = QFontMetricsF(self._font()).averageCharWidth() * _BAR_LETTERS
        bar = QRectF(x, self.height() * 0.25, width, self.height() * 0.5)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        last = len(self._colours) - 1
        for place in range(0, last + 1, 15):
            gradient.setColorAt(place / last, QColor(self._colours[place]))
        painter.fillRect(bar, QBrush(gradient))
        return self._paint_text(painter, x + width + _GAP_PX, f"{limit:+g}", self._theme.foreground)

    def _paint_text(self, painter: QPainter, x: float, text: str, colour: str) -> float:
        metrics = QFontMetricsF(self._font())
        room = max(0.0, self.width() - x)
        painter.setPen(QColor(colour))
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
        box = QRectF(x, 0, room, self.height())
        painter.drawText(box, int(Qt.AlignmentFlag.AlignVCenter), shown)
        return x + metrics.horizontalAdvance(shown) + _GAP_PX

    def _font(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(self._theme.font_pt)
        return font
