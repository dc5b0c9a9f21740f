"""The spectra panel: one contact's encoder spectrogram, wide spectrogram and power spectrum."""

import itertools

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QFont, QResizeEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from rtbrain.types import Montage
from rtbrain.view.spectra.cache import NO_DATA, PAGE_S, POWER_DB, Z_SCORES, SpectraCache
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, fill, plain_label, scaled_font, set_tip

_MAINS_HZ = (50, 60)
_POWER_UV2 = (1e-4, 1e5)
_TITLES = {
    False: ("encoder's frames, z", "all, dB re 1 µV²/Hz", "power, last 4 s"),
    True: ("encoder, z", "all, dB", "power"),
}
# Up to this frequency, an axis of decades has room for 3, 30 and 300.
_FEW_DECADES_HZ = 300.0
_EMPTY_HZ = 200.0  # highest frequency of the axes before there is a signal
_OLD_S = 1.5
_OLD_OPACITY = 0.4
# Wider than this many heights, the panel puts its plots side by side.
_SIDE_BY_SIDE = 1.6


class SpectraPanel(QWidget):
    """Spectra of the chosen contact over the last 10 s."""

    chosen = Signal(str)

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session = session
        self._theme = theme
        self.cache: SpectraCache | None = None
        self._wide_layout: bool | None = None
        self._old = False
        self._contacts = QComboBox()
        set_tip(self._contacts, "Contact to show  (, and .)")
        self._contacts.setAccessibleName("contact")
        self._contacts.currentIndexChanged.connect(self._choose_row)
        self.note = plain_label()
        head, title = QHBoxLayout(), plain_label("Spectra of")
        fill(
            head,
            title,
            self._contacts,
            self.note,
            stretched=self.note,
            margins=(4, 2, 4, 0),
            spacing=6,
        )
        self.canvas = pg.GraphicsLayoutWidget()
        self.canvas.ci.setContentsMargins(2, 2, 2, 2)
        set_tip(
            self.canvas,
            "Left: the encoder's frames (195 ms every 24 ms, 40 bins; of more than 256 contacts,\n"
            "every 49 ms or less often), z-scored over about 60 s.\n"
            "Middle: all frequencies, 250 ms frames. Right: Welch over 4 s; 50 and 60 Hz dashed.",
        )
        fill(QVBoxLayout(self), head, self.canvas, stretched=self.canvas, spacing=2)
        self._build()
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
                self.cache.take(chunk, self._session.bad)

    def draw(self, now: float) -> None:
        """Redraw the spectra."""
        cache = self.cache
        if cache is None or not self.isVisible():
            return
        behind_s = now - cache.t_stop if np.isfinite(cache.t_stop) else PAGE_S
        self._describe(behind_s)
        pictures = (
            (self._encoder_image, cache.encoder(), cache.frame_s, cache.highest_hz),
            (self._wide_image, cache.wide(), cache.wide_frame_s, cache.wide_highest_hz),
        )
        for image, codes, frame_s, highest_hz in pictures:
            image.setImage(codes, autoLevels=False, levels=(0, NO_DATA))
            # A column is at the middle of its frame.
            right_s = -behind_s - frame_s / 2 + cache.hop_s / 2
            page_s = cache.n_columns * cache.hop_s
            image.setRect(QRectF(right_s - page_s, 0.0, page_s, highest_hz))
        freqs_hz, power = cache.power()
        self._curve.setData(freqs_hz[1:], np.maximum(power[1:], _POWER_UV2[0]))

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.canvas.setBackground(theme.background)
        table = pg.colormap.get("viridis").getLookupTable(nPts=NO_DATA + 1, alpha=True)
        table[NO_DATA] = pg.mkColor(theme.grid).getRgb()
        font = scaled_font(self, theme, 0.85)
        for plot, title in zip(self._plots, _TITLES[theme.large], strict=True):
            plot.setTitle(title, color=theme.foreground, size=f"{theme.font_pt * 0.9:g}pt")
            for side in ("left", "bottom"):
                self._style_axis(plot.getAxis(side), font)
        for image in (self._encoder_image, self._wide_image):
            image.setLookupTable(table)
        for bar in self._bars:
            self._style_axis(bar.axis, font)
            # As high as the picture beside it, with room for its end labels.
            bar.layout.setContentsMargins(0, 1.9 * theme.font_pt, 0, 3.6 * theme.font_pt)
        self._style_curve()
        for line, hertz in zip(self._mains, _MAINS_HZ, strict=True):
            line.setPen(pg.mkPen(theme.faint, width=1, style=Qt.PenStyle.DashLine))
            line.label.setColor(theme.faint)
            line.label.setFormat(f"{hertz}")
            line.label.setFont(font)
            line.label.fill = pg.mkBrush(theme.background)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Arrange the plots side by side or in a column."""
        super().resizeEvent(event)
        self._lay_out(self.width() > _SIDE_BY_SIDE * self.height())

    def _describe(self, behind_s: float) -> None:
        """Say whether the spectra are old or the contact is bad; old ones are grey."""
        old = behind_s > _OLD_S
        reason = self._session.bad.get(self.contact)
        notes = [f"newest sample {behind_s:.0f} s ago"] if old else []
        notes += [f"bad: {reason}, not fed to the encoder"] if reason else []
        self.note.setText("; ".join(notes))
        if old != self._old:
            self._old = old
            self._style_curve()

    def _style_curve(self) -> None:
        colour = self._theme.faint if self._old else self._theme.classes[1]
        self._curve.setPen(pg.mkPen(colour, width=1))
        for image in (self._encoder_image, self._wide_image):
            image.setOpacity(_OLD_OPACITY if self._old else 1.0)

    def _style_axis(self, axis: pg.AxisItem, font: QFont) -> None:
        axis.setTickFont(font)
        axis.setPen(self._theme.faint)
        axis.setTextPen(self._theme.foreground)
        if axis.labelText:
            size = f"{self._theme.font_pt * 0.85:g}pt"
            axis.setLabel(axis.labelText, **{"color": self._theme.foreground, "font-size": size})

    def _build(self) -> None:
        self._plots = [pg.PlotItem(enableMenu=False) for _ in range(3)]
        self._encoder_image, self._wide_image = pg.ImageItem(), pg.ImageItem()
        encoder, wide, power = self._plots
        for plot, image in ((encoder, self._encoder_image), (wide, self._wide_image)):
            plot.addItem(image)
            plot.setLabel("bottom", "s before now")
            plot.setLabel("left", "Hz")
            plot.setXRange(-PAGE_S, 0, padding=0)
            plot.setYRange(0, _EMPTY_HZ, padding=0)
        power.setLogMode(x=True, y=True)
        power.setLabel("bottom", "Hz")
        power.setLabel("left", "µV²/Hz")
        power.setXRange(0, np.log10(_EMPTY_HZ), padding=0)
        power.getAxis("bottom").setTicks(decade_ticks(_EMPTY_HZ))
        power.setYRange(*np.log10(_POWER_UV2), padding=0)
        power.showGrid(x=True, y=True, alpha=0.25)
        self._curve = pg.PlotDataItem()
        power.addItem(self._curve)
        # Labels left of their lines: a low rate leaves no room on the right.
        self._mains = [
            pg.InfiniteLine(
                np.log10(hertz),
                label=f"{hertz}",
                labelOpts={"position": height, "anchors": [(1, 0.5), (1, 0.5)]},
            )
            for hertz, height in zip(_MAINS_HZ, (0.86, 0.68), strict=True)
        ]
        for line in self._mains:
            power.addItem(line)
        for plot in self._plots:
            plot.setMouseEnabled(x=False, y=False)
            plot.hideButtons()
        self._bars = [
            pg.ColorBarItem(values=limits, colorMap="viridis", interactive=False, width=10)
            for limits in (Z_SCORES, POWER_DB)
        ]

    def _lay_out(self, side_by_side: bool) -> None:
        if side_by_side == self._wide_layout:
            return
        self._wide_layout = side_by_side
        for item in (*self._plots, *self._bars):
            if item in self.canvas.ci.items:
                self.canvas.ci.removeItem(item)
        items = itertools.zip_longest(self._plots, self._bars)
        for place, (plot, bar) in enumerate(items):
            row, column = (0, 2 * place) if side_by_side else (place, 0)
            self.canvas.ci.addItem(plot, row, column)
            if bar is not None:
                self.canvas.ci.addItem(bar, row, column + 1)

    def _begin(self, montage: Montage) -> None:
        """Start over with these channels, at the same contact if it is among them."""
        before = self.contact
        self.cache = SpectraCache(montage)
        self._plots[0].setYRange(0, self.cache.highest_hz, padding=0)
        self._plots[1].setYRange(0, self.cache.wide_highest_hz, padding=0)
        self._plots[2].setXRange(0, np.log10(montage.sfreq_hz / 2), padding=0)
        self._plots[2].getAxis("bottom").setTicks(decade_ticks(montage.sfreq_hz / 2))
        self._contacts.blockSignals(True)
        self._contacts.clear()
        self._contacts.addItems(montage.names)
        self._contacts.blockSignals(False)
        self._contacts.setCurrentIndex(max(0, self._contacts.findText(before)))
        self._choose_row(self._contacts.currentIndex())

    def _choose_row(self, row: int) -> None:
        if self.cache is not None and row >= 0:
            self.cache.choose(row)
            self.chosen.emit(self._contacts.itemText(row))


def decade_ticks(highest_hz: float) -> list[list[tuple[float, str]]]:
    """Ticks of a logarithmic axis in Hz: with a number, and without."""
    decades = [10**place for place in range(6)]
    shown = {hz * part for hz in decades for part in (1, 3)}
    if highest_hz > _FEW_DECADES_HZ:
        shown = set(decades)
    others = {hz * part for hz in decades for part in range(2, 10)} - shown
    return [
        [(float(np.log10(hz)), f"{hz}") for hz in sorted(shown)],
        [(float(np.log10(hz)), "") for hz in sorted(others)],
    ]
