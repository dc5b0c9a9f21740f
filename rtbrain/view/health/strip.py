"""The strip and the frame of a window whose signal is nobody's brain."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import QWidget

from rtbrain.view.texts import say, texts
from rtbrain.view.theme import Theme

_FRAME_PX = 3
_STRIPE_PX = 22
_LETTERS_PX = 2.0
_PAD_PX = 18
_GAP_PX = 11


class OriginStrip(QWidget):
    """Says across the window where the signal comes from, and frames it; hidden for an amplifier.

    `frame` are four thin widgets above a window, which `place_frame` puts round it.
    """

    def __init__(self, window: QWidget, theme: Theme) -> None:
        super().__init__(window)
        self._theme, self.origin = theme, ""
        self.frame = [QWidget(window) for _ in range(4)]
        self.hide()
        for side in self.frame:
            side.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            side.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
            side.hide()
        self.restyle(theme)

    @property
    def words(self) -> tuple[str, str]:
        """The word and the sentence of the strip; both empty for an amplifier."""
        key = f"origin.{self.origin.replace(' ', '_')}"
        if not self.origin:
            return "", ""
        if f"{key}.word" not in texts():
            return self.origin.upper(), say("origin.other")
        return say(f"{key}.word"), say(f"{key}.sentence")

    def show_origin(self, origin: str) -> bool:
        """Show where the signal comes from, as its header says; returns whether that is new."""
        if origin == self.origin:
            return False
        self.origin = origin
        self.setAccessibleName(" ".join(self.words))
        for widget in (self, *self.frame):
            widget.setVisible(bool(origin))
        self.update()
        return True

    def place_frame(self, width: int, height: int) -> None:
        """Put the frame round a window of this size."""
        thick = self._theme.px(_FRAME_PX)
        for side, box in zip(
            self.frame,
            (
                (0, 0, width, thick),
                (0, height - thick, width, thick),
                (0, 0, thick, height),
                (width - thick, 0, thick, height),
            ),
            strict=True,
        ):
            side.setGeometry(*box)
            side.raise_()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        for side in self.frame:
            side.setStyleSheet(f"background: {theme.origin};")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint stripes, and the words on a plain ground in the middle."""
        theme, height = self._theme, self.height()
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.fillRect(self.rect(), QColor(theme.origin))
            painter.setPen(Qt.PenStyle.NoPen)
            dark = QColor(theme.origin)
            stripe = QColor(theme.bg2 if theme.name == "dark" else theme.bg0)
            stripe.setAlphaF(0.42)
            painter.setBrush(stripe)
            step = theme.px(_STRIPE_PX)
            for at in range(-2 * step, self.width() + step, 2 * step):
                ends = (at, height), (at + step, height), (at + step + height, 0), (at + height, 0)
                painter.drawPolygon(QPolygonF([QPointF(*end) for end in ends]))
            word, sentence = self.words
            bold, plain = theme.font(12, 800), theme.font(12)
            bold.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, theme.px(_LETTERS_PX))
            wide = QFontMetricsF(bold).horizontalAdvance(word)
            total = wide + theme.px(_GAP_PX) + QFontMetricsF(plain).horizontalAdvance(sentence)
            left = (self.width() - total) / 2
            pad = theme.px(_PAD_PX)
            painter.fillRect(QRectF(left - pad, 0, total + 2 * pad, height), dark)
            painter.setPen(QColor(theme.on_origin))
            middle = Qt.AlignmentFlag.AlignVCenter
            for font, text, x in (
                (bold, word, left),
                (plain, sentence, left + wide + theme.px(_GAP_PX)),
            ):
                painter.setFont(font)
                painter.drawText(QRectF(x, 0, self.width() - x, height), middle, text)
