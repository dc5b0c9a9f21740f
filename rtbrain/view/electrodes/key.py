"""The line below the contacts that explains what is seen."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPaintEvent, QPen

from rtbrain.view.theme import Foot, Theme, paint_text, set_tip

_PAD_PX, _GAP_PX, _SIGN_PX, _BAR_PX = 10, 12.0, 10, 56
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class MapKey(Foot):
    """Signs with their counts or a colour scale, and a hint at the right end."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        # Signs, texts and names of their colours in the theme; hint; limit of the scale.
        self._shown: tuple[Sequence[tuple[str, str, str]], str, float] = ((), "", 0.0)

    @property
    def text(self) -> str:
        """All its text."""
        return ", ".join([text for _, text, _ in self._shown[0]] + [self._shown[1]]).strip(", ")

    def explain(self, signs: Sequence[tuple[str, str, str]], hint: str, limit: float = 0.0) -> None:
        """Show signs (``ring``, ``cross`` or none), each with a text and the name of a colour.

        With a `limit`, a colour scale from its negative to it comes first.
        """
        if (signs, hint, limit) != self._shown:
            self._shown = (signs, hint, limit)
            set_tip(self, self.text)
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the line."""
        theme = self._theme
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.fillRect(self.rect(), QColor(theme.bg0))
            painter.setFont(theme.font(11))
            line = QRectF(self.rect()).adjusted(_PAD_PX, 0, -_PAD_PX, 0)
            signs, hint, limit = self._shown
            if limit:
                self._paint_scale(painter, line, limit)
            for sign, text, ink in signs:
                if sign:
                    self._paint_sign(painter, line, sign, getattr(theme, ink))
                width = paint_text(painter, line, text, getattr(theme, ink), _LEFT)
                line.setLeft(min(line.left() + width + _GAP_PX, line.right()))
            if QFontMetricsF(painter.font()).horizontalAdvance(hint) <= line.width():
                paint_text(painter, line, hint, theme.text2, _RIGHT)

    def _paint_sign(self, painter: QPainter, line: QRectF, sign: str, ink: str) -> None:
        side = self._theme.px(_SIGN_PX)
        middle, arm = QPointF(line.left() + side / 2, line.center().y()), side * 0.36
        painter.setPen(QPen(QColor(ink), 1.6))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if sign == "ring":
            painter.drawEllipse(middle, arm, arm)
        else:
            for slant in (QPointF(arm, arm), QPointF(arm, -arm)):
                painter.drawLine(middle - slant, middle + slant)
        line.setLeft(line.left() + side + 3)

    def _paint_scale(self, painter: QPainter, line: QRectF, limit: float) -> None:
        theme = self._theme
        for part in (-1, 0, 1):
            if part:
                width = paint_text(painter, line, f"{part * limit:+g}", theme.text2, _LEFT)
                line.setLeft(line.left() + width + 5)
                continue
            bar = QRectF(line.left(), line.center().y() - 5, theme.px(_BAR_PX), 10)
            gradient = QLinearGradient(bar.topLeft(), bar.topRight())
            for place, colour in enumerate(theme.ramp):
                gradient.setColorAt(place / (len(theme.ramp) - 1), QColor(colour))
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.setBrush(gradient)
            painter.drawRect(bar)
            line.setLeft(bar.right() + 5)
        line.setLeft(line.left() + _GAP_PX)
