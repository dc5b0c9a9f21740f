"""The spectrum panel: spectrogram of the chosen contact over the last 10 s."""

import numpy as np
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QFontMetricsF,
    QImage,
    QLinearGradient,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from rtbrain.types import Montage
from rtbrain.view.icons import hatch_brush
from rtbrain.view.spectra.cache import LIMITS_DB, NO_DATA, PAGE_S, SpectrumCache
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import (
    Theme,
    fill,
    frame_panel,
    paint_text,
    plain_label,
    set_tip,
    set_type,
)

_DRAW_EVERY_S = 0.1
_OLD_S = 1.5
_HEAD_PX, _GUTTER_PX, _AXIS_PX, _BAR_PX, _RIGHT_PX = 30, 34, 20, 8, 36
_TICKS_HZ = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_CENTRE = Qt.AlignmentFlag.AlignCenter


class SpectraPanel(QWidget):
    """Power of the chosen contact over its mean: 2 to 200 Hz, or all frequencies."""

    chosen = Signal(str)

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session = session
        self.cache: SpectrumCache | None = None
        self._t_arrived, self._drawn_at = -np.inf, -np.inf
        self.title, self.note = plain_label(say("signal.spectrum")), plain_label()
        self._contacts = QComboBox()
        self._contacts.hide()  # until there is one
        set_tip(self._contacts, say("signal.tip.contact"))
        self._contacts.setAccessibleName(say("signal.find"))
        self._contacts.currentIndexChanged.connect(self._choose_row)
        self.canvas = SpectrumCanvas(theme)
        head = QHBoxLayout()
        fill(head, self.title, self._contacts, margins=(10, 0, 10, 0), spacing=8)
        head.addStretch(1)
        head.addWidget(self.note)
        fill(QVBoxLayout(self), head, self.canvas, stretched=self.canvas, margins=(1, 1, 1, 1))
        frame_panel(self)
        self.range = QAction(say("signal.key.spectrum"), self)
        self.range.setShortcut("G")
        self.range.triggered.connect(lambda checked=False: self._toggle_range())
        self.addAction(self.range)
        self.restyle(theme)
        if session.montage is not None:
            self._begin(session.montage)

    @property
    def contact(self) -> str:
        """Label of the contact shown; empty before there is a signal."""
        return self._contacts.currentText()

    def choose(self, label: str) -> None:
        """Show a contact by label; an unknown one changes nothing."""
        row = self._contacts.findText(label)
        if row >= 0:
            self._contacts.setCurrentIndex(row)

    def step(self, by: int) -> None:
        """Show the contact a number of places further, around the end."""
        if self._contacts.count():
            at = (self._contacts.currentIndex() + by) % self._contacts.count()
            self._contacts.setCurrentIndex(at)

    def take(self, update: SessionUpdate) -> None:
        """Add the result of a poll."""
        montage = self._session.montage
        if montage is not None and (update.new_montage or self.cache is None):
            self._begin(montage)
        if self.cache is not None:
            for chunk in update.chunks:
                self.cache.take(chunk)
                self._t_arrived = update.now

    def draw(self, now: float) -> None:
        """Redraw the spectrum, at most ten times a second."""
        cache = self.cache
        if cache is None or not self.isVisible():
            return
        if self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._drawn_at = now
        # Not by the sender's stamps: it is what arrives that is live.
        behind_s = min(now - self._t_arrived, PAGE_S)
        self.canvas.show_spectrum(cache, behind_s if behind_s > _OLD_S else 0.0)
        self.note.setText(say("signal.spectrum_unit"))

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self.canvas.restyle(theme)
        set_type(self.title, theme, 12.5, 600)
        set_type(self.note, theme, 12, ink=theme.text2)
        self.title.setFixedHeight(theme.px(_HEAD_PX))
        self._contacts.setStyleSheet(
            f"font-size: {theme.px(12)}px; min-height: 0px; height: {theme.px(20)}px;"
        )
        self._drawn_at = -np.inf

    def _begin(self, montage: Montage) -> None:
        """Start over with these channels, at the same contact if it is among them."""
        before, full = self.contact, self.cache is not None and self.cache.full
        self.cache = SpectrumCache(montage)
        self.cache.choose(0, full)
        self._contacts.blockSignals(True)
        self._contacts.clear()
        self._contacts.addItems(montage.names)
        self._contacts.show()
        self._contacts.blockSignals(False)
        self._contacts.setCurrentIndex(max(0, self._contacts.findText(before)))
        self._choose_row(self._contacts.currentIndex())

    def _choose_row(self, row: int) -> None:
        if self.cache is not None and row >= 0:
            self.cache.choose(row)
            self.canvas.clear()
            self._drawn_at = -np.inf
            self.chosen.emit(self._contacts.itemText(row))

    def _toggle_range(self) -> None:
        if self.cache is not None:
            self.cache.choose(self._contacts.currentIndex(), not self.cache.full)
            self.canvas.clear()
            self._drawn_at = -np.inf


class SpectrumCanvas(QWidget):
    """Paints a spectrogram with its axes and its scale."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._cache: SpectrumCache | None = None
        self._old_s = 0.0
        self._image = QImage()
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(160, 80)
        self.restyle(theme)

    def show_spectrum(self, cache: SpectrumCache, old_s: float) -> None:
        """Show a spectrogram whose newest column is some seconds old."""
        self._cache, self._old_s = cache, old_s
        codes = np.ascontiguousarray(cache.image().T[::-1])
        height, width = codes.shape
        image = QImage(codes.data, width, height, width, QImage.Format.Format_Indexed8)
        image.setColorTable(self._colours)
        # Converted, so that neighbours mix when it is enlarged, and lost columns stay clear.
        self._image = image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)
        self.update()

    def clear(self) -> None:
        """Show nothing until there is a spectrogram of what was chosen."""
        self._image = QImage()
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self._colours = [colour.rgba() for colour in ramp_colours(theme, NO_DATA)]
        self._colours.append(QColor(0, 0, 0, 0).rgba())
        self.update()

    @property
    def plot(self) -> QRectF:
        """Inside of the axes, px."""
        px = self._theme.px
        width = self.width() - px(_GUTTER_PX) - px(_RIGHT_PX) - px(_BAR_PX)
        return QRectF(px(_GUTTER_PX), 2, max(1, width), max(1, self.height() - px(_AXIS_PX) - 2))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the spectrogram."""
        theme, plot = self._theme, self.plot
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(theme.bg0))
            painter.setFont(theme.font(11))
            if self._cache is None:
                painter.setFont(theme.font(12))
                said = say("signal.spectrum_none")
                paint_text(painter, QRectF(self.rect()), said, theme.text2, _CENTRE)
                return
            painter.fillRect(plot, hatch_brush(theme))
            self._paint_image(painter, plot, self._cache)
            self._paint_hertz(painter, plot, self._cache)
            self._paint_seconds(painter, plot)
            self._paint_scale(painter, plot)

    def _paint_image(self, painter: QPainter, plot: QRectF, cache: SpectrumCache) -> None:
        px_per_s = plot.width() / (cache.n_columns * cache.hop_s)
        painter.save()
        painter.setClipRect(plot)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(plot.translated(-self._old_s * px_per_s, 0), self._image)
        painter.restore()

    def _y(self, hertz: float, plot: QRectF, cache: SpectrumCache) -> float:
        low, high = np.log(cache.edges_hz[[0, -1]])
        return plot.bottom() - float((np.log(hertz) - low) / (high - low)) * plot.height()

    def _paint_hertz(self, painter: QPainter, plot: QRectF, cache: SpectrumCache) -> None:
        theme = self._theme
        line_px = QFontMetricsF(painter.font()).height()
        free = plot.bottom() + line_px
        lowest, highest = cache.edges_hz[[0, -1]]
        for hertz in _TICKS_HZ:
            if not lowest * 0.99 <= hertz <= highest * 1.01:
                continue
            y = self._y(hertz, plot, cache)
            painter.setPen(QPen(QColor(theme.text2), 1))
            painter.drawLine(round(plot.left()) - 4, round(y), round(plot.left()) - 1, round(y))
            middle = min(max(y, plot.top() + line_px / 2 - 2), plot.bottom() - line_px / 2 + 2)
            if middle + line_px / 2 <= free:
                box = QRectF(0, middle - line_px / 2, plot.left() - 6, line_px)
                text = f"{hertz // 1000}k" if hertz >= 1000 else f"{hertz}"
                paint_text(painter, box, text, theme.text2, _RIGHT)
                free = middle - line_px / 2
        mains_hz = cache.mains_hz()
        if mains_hz is not None:
            y = self._y(mains_hz, plot, cache)
            painter.setPen(QPen(QColor(theme.text), 1, Qt.PenStyle.DashLine))
            painter.drawLine(round(plot.left()), round(y), round(plot.right()), round(y))
            text = say("signal.mains", hz=f"{mains_hz:g}")
            width = QFontMetricsF(painter.font()).horizontalAdvance(text) + 8
            box = QRectF(plot.right() - width - 2, y - line_px - 1, width, line_px)
            painter.fillRect(box, QColor(theme.bg0))
            paint_text(painter, box, text, theme.text, _CENTRE)

    def _paint_seconds(self, painter: QPainter, plot: QRectF) -> None:
        theme = self._theme
        strip = QRectF(
            plot.left(), plot.bottom() + 2, plot.width(), self.height() - plot.bottom() - 3
        )
        paint_text(painter, strip, say("signal.seconds_ago", s=f"{PAGE_S:g}"), theme.text2, _LEFT)
        paint_text(painter, strip, f"{PAGE_S / 2:g}", theme.text2, _CENTRE)
        paint_text(painter, strip, say("signal.now"), theme.text2, _RIGHT)

    def _paint_scale(self, painter: QPainter, plot: QRectF) -> None:
        theme = self._theme
        bar = QRectF(plot.right() + 8, plot.top(), theme.px(_BAR_PX), plot.height())
        gradient = QLinearGradient(bar.bottomLeft(), bar.topLeft())
        for place, colour in enumerate(theme.ramp):
            gradient.setColorAt(place / (len(theme.ramp) - 1), QColor(colour))
        painter.setPen(QPen(QColor(theme.line), 1))
        painter.setBrush(gradient)
        painter.drawRect(bar)
        low, high = LIMITS_DB
        line_px = QFontMetricsF(painter.font()).height()
        texts = ((0.0, f"+{high:g}"), (0.25, "dB"), (0.5, "0"), (1.0, f"−{-low:g}"))
        for share, text in texts:
            box = QRectF(bar.right() + 4, 0, self.width() - bar.right() - 4, line_px)
            y = bar.top() + share * bar.height()
            box.moveTop(min(max(y - line_px / 2, bar.top() - 1), bar.bottom() - line_px + 1))
            paint_text(painter, box, text, theme.text2, _LEFT)


def ramp_colours(theme: Theme, n_colours: int) -> list[QColor]:
    """The ramp of a theme in so many steps."""
    inks = [QColor(colour) for colour in theme.ramp]
    ends = np.array([(ink.red(), ink.green(), ink.blue()) for ink in inks], np.float64)
    at = np.linspace(0, len(ends) - 1, n_colours)
    parts = [np.interp(at, np.arange(len(ends)), ends[:, part]) for part in range(3)]
    return [QColor(*rgb) for rgb in np.rint(np.stack(parts, axis=1)).astype(int).tolist()]
