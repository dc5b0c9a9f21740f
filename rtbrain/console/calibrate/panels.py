"""What the page Calibrate shows: what the participant sees, what is on, and the blocks in time."""

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.console.calibrate.now import Shown
from rtbrain.console.cues.schedule import Scene
from rtbrain.console.cues.screen import paint_scene
from rtbrain.marks import CUE_WORDS
from rtbrain.view.icons import hatch_brush
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, paint_text

_PAST_S, _AHEAD_S = 190.0, 55.0  # what the strip of blocks shows
_LEFT, _RIGHT = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


def ink_of(theme: Theme, shown: Shown, name: str) -> str:
    """The accent is that of the target class alone; pauses are quiet, other classes are text."""
    if name and name == shown.target:
        return theme.accent
    return theme.text2 if name in CUE_WORDS else theme.text


class PaintedPanel(QWidget):
    """A panel that is painted: ground, frame, and what `paint` adds."""

    def __init__(self, theme: Theme, size: tuple[int, int]) -> None:
        super().__init__()
        self.theme, self._size = theme, size
        self.shown = Shown()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_state(self, shown: Shown) -> None:
        """Show another moment."""
        if shown != self.shown:
            self.shown = shown
            self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Its size at 100 %, larger with the type."""
        return QSize(self._size[0], self.theme.px(self._size[1]))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As high, and narrower."""
        return QSize(min(160, self._size[0]), self.theme.px(self._size[1]))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint ground, frame and content."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(QColor(self.theme.line), 1))
            painter.setBrush(QColor(self.theme.bg0))
            painter.drawRoundedRect(QRectF(0.5, 0.5, self.width() - 1, self.height() - 1), 3, 3)
            self.paint(painter)

    def paint(self, painter: QPainter) -> None:
        """Paint what is in the frame."""

    def text(
        self,
        painter: QPainter,
        box: tuple[float, float, float, float],
        words: str,
        px: float = 12.5,
        weight: int = 400,
        ink: str = "",
        align: Qt.AlignmentFlag = _LEFT,
    ) -> float:
        """One line in a box of x, y, width, height at 100 %; returns its width, px."""
        painter.setFont(self.theme.font(px, weight))
        return paint_text(painter, QRectF(*box), words, ink or self.theme.text2, align | _MIDDLE)

    def bar(self, painter: QPainter, box: QRectF, share: float, ink: str) -> None:
        """A bar that is filled from the left."""
        painter.setPen(QPen(QColor(self.theme.ctl), 1))
        painter.setBrush(QColor(self.theme.bg2))
        painter.drawRoundedRect(box, 2, 2)
        if share > 0:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(ink))
            filled = QRectF(box)
            filled.setWidth(max(2.0, min(1.0, share) * box.width()))
            painter.drawRoundedRect(filled, 2, 2)


class Preview(QWidget):
    """What the participant sees, black in every theme."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self._scene: Scene | None = None
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(say("calibrate.seen"))

    def show_scene(self, scene: Scene | None) -> None:
        """Show a scene; None is black."""
        if scene != self._scene:
            self._scene = scene
            self.update()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme = theme
        self.updateGeometry()

    def sizeHint(self) -> QSize:  # noqa: N802
        """A display, small."""
        return QSize(300, self.theme.px(230))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the screen, and a caption under it."""
        caption = self.theme.px(24)
        with QPainter(self) as painter:
            width, height = self.width(), self.height() - caption
            paint_scene(painter, width, height, self._scene)
            painter.setPen(QPen(QColor(self.theme.ctl), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(0.5, 0.5, width - 1, height - 1))
            painter.setFont(self.theme.font(12))
            box = QRectF(0, height + 2, width, caption - 2)
            paint_text(painter, box, say("calibrate.seen"), self.theme.text2, _LEFT | _MIDDLE)


class CurrentBlock(PaintedPanel):
    """The block that is on and how long still; or the last marker of another program."""

    def paint(self, painter: QPainter) -> None:
        """Paint head, word and number, a bar, and what comes next."""
        theme, shown, k = self.theme, self.shown, self.theme.scale
        left, width = 16.0, self.width() - 32.0
        state = shown.state
        word, number = state.word, state.number
        ink = theme.accent if word == shown.target else theme.text if number else theme.text2
        self.text(painter, (left, 10 * k, width, 20 * k), state.head)
        self.text(painter, (left, 10 * k, width, 20 * k), state.right, align=_RIGHT)
        taken = self.text(
            painter, (left, 30 * k, width, 42 * k), number, 33, 700, theme.text, _RIGHT
        )
        px = 33.0
        painter.setFont(theme.font(px, 700))
        while px > 20 and painter.fontMetrics().horizontalAdvance(word) > width - taken - 12:
            px -= 1
            painter.setFont(theme.font(px, 700))
        self.text(painter, (left, 30 * k, width - taken - 12, 42 * k), word, px, 700, ink)
        if shown.state.on is not None and shown.state.due is not None:
            lasts = max(1e-3, shown.state.due - shown.state.on[0])
            bar = QRectF(left + 0.5, 77.5 * k, width, 11 * k)
            self.bar(painter, bar, (shown.now - shown.state.on[0]) / lasts, ink)
        room = self.text(painter, (left, 96 * k, width, 20 * k), state.below_right, align=_RIGHT)
        painter.setFont(theme.font(12.5))
        painter.setPen(QColor(theme.text))
        lines = QRectF(left, 98 * k, width - room - 12, 40 * k)
        painter.drawText(lines, Qt.TextFlag.TextWordWrap, state.below)


class BlockStrip(PaintedPanel):
    """Blocks in time, a row for each class: collected, left out, to come."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, (480, 122))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.MinimumExpanding)
        self.setMaximumHeight(theme.px(200))

    def paint(self, painter: QPainter) -> None:
        """Paint rows of blocks, and now."""
        theme, shown, k = self.theme, self.shown, self.theme.scale
        x = 11.0 + self.text(
            painter, (11, 6 * k, 200, 20 * k), say("calibrate.blocks"), 12.5, 600, theme.text
        )
        self.text(painter, (x + 12, 6 * k, self.width() - x - 20, 20 * k), say("calibrate.legend"))
        gutter, right = 62.0, self.width() - 12.0
        rows = max(1, len(shown.classes))
        top, bottom = 32 * k, self.height() - 26 * k
        pitch = min(40 * k, (bottom - top) / rows)
        per_s = (right - gutter) / (_PAST_S + _AHEAD_S)

        def at(t: float) -> float:
            return gutter + (t - shown.now + _PAST_S) * per_s

        for number, name in enumerate(shown.classes):
            y = top + number * pitch
            ink = theme.accent if name == shown.target else theme.trace2
            box = (4.0, y, gutter - 10, pitch)
            bold = 600 if name == shown.target else 400
            of_label = theme.accent if name == shown.target else theme.text2
            self.text(painter, box, name, 11, bold, of_label, _RIGHT)
            for block in shown.blocks:
                if block.text == name and block.stop_s > shown.now - _PAST_S:
                    kind = "left out" if block.reason else "collected"
                    self._block(painter, at(block.start_s), at(block.stop_s), y, pitch, ink, kind)
            if shown.state.on is not None and shown.state.on[1] == name:
                self._block(
                    painter, at(shown.state.on[0]), at(shown.now), y, pitch, ink, "collected"
                )
                if shown.state.due is not None:
                    ends = at(shown.now), at(shown.state.due)
                    self._block(painter, *ends, y, pitch, ink, "to come")
            for begin, end, text in shown.coming:
                if text == name and begin < shown.now + _AHEAD_S:
                    self._block(painter, at(begin), min(right, at(end)), y, pitch, ink, "to come")
        painter.setPen(QPen(QColor(theme.text), 2))
        painter.drawLine(QPointF(at(shown.now), top - 4), QPointF(at(shown.now), bottom + 2))
        for ago in (180, 120, 60):
            box = (at(shown.now - ago) - 50, bottom, 100, 22 * k)
            words = say("calibrate.ago", seconds=ago)
            self.text(painter, box, words, 11, align=Qt.AlignmentFlag.AlignHCenter)
        for t, words in ((0, say("calibrate.now")), (40, say("calibrate.ahead", seconds=40))):
            box = (at(shown.now + t) - 40, bottom, 80, 22 * k)
            self.text(painter, box, words, 11, align=Qt.AlignmentFlag.AlignHCenter)

    def _block(
        self, painter: QPainter, x0: float, x1: float, y: float, pitch: float, ink: str, kind: str
    ) -> None:
        box = QRectF(max(60.0, x0) + 0.5, y + 3.5, 0, pitch - 7)
        box.setRight(max(box.left() + 2, x1 - 0.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if kind == "collected":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(ink))
        elif kind == "left out":
            painter.setPen(QPen(QColor(self.theme.ctl), 1))
            painter.setBrush(hatch_brush(self.theme, self.theme.text2))
        else:
            painter.setPen(QPen(QColor(ink), 1.3, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(box, 2, 2)
