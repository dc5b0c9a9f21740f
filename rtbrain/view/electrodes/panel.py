"""The electrode panel: where contacts lie, which are bad, and where high-gamma power is high."""

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
import scipy.fft
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QSizePolicy,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from rtbrain.buffer.rings import Ring
from rtbrain.types import Chunk, Floats, Montage
from rtbrain.view.electrodes.map import ContactStyle, ElectrodeMap
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, fill, paint_text, plain_label, scaled_font, set_tip
from rtbrain.view.traces.scene import bad_reason

_DRAW_EVERY_S = 0.25
_LIMIT_Z = 3.0
_N_COLOURS = 256
_HIGH_GAMMA = 1
_BAR_CHARS = 10
_GAP_PX = 8.0
_BAND_HZ = (70.0, 150.0)
_WINDOW_S = 0.5
_HOP_S = 0.25
_HISTORY_S = 60.0
_MIN_HISTORY_S = 10.0
# Harmonics of 50 and 60 Hz mains, and how far a Hann window of 0.5 s spreads a line.
_MAINS_HZ = (100.0, 120.0, 150.0)
_SPREAD_HZ = 4.0
# Of log10 of power: a contact whose power does not vary has no z-score.
_MIN_SPREAD = 1e-6


class ElectrodePanel(QWidget):
    """Contacts by position or by shaft, coloured by quality or power; grey unless live."""

    selected = Signal(str)

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session, self._theme = session, theme
        self._montage: Montage | None = None
        self._power: HighGamma | None = None
        self._stale = ""
        self._drawn_at = -np.inf
        table = pg.colormap.get("viridis").getLookupTable(nPts=_N_COLOURS, alpha=False)
        self._colours: list[str] = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in table]
        self.map = ElectrodeMap(theme)
        self.map.selected.connect(self.selected)
        self.key = ColourBar(theme, self._colours)
        self.choice = QComboBox()
        self.choice.addItems(("Quality", "High-gamma power"))
        self.choice.setAccessibleName("What colours the contacts")
        set_tip(self.choice, "What colours the contacts")
        self.choice.currentIndexChanged.connect(self._invalidate)
        top, shown = QHBoxLayout(), QStackedLayout()
        top.addWidget(self.choice)
        top.addStretch(1)
        text, centre = "Contacts are shown once there is a signal", Qt.AlignmentFlag.AlignCenter
        self.missing = plain_label(text, alignment=centre, wordWrap=True)
        self._stack = shown
        shown.addWidget(self.missing)
        shown.addWidget(self.map)
        column = QVBoxLayout(self)
        fill(column, top, shown, self.key, stretched=shown, margins=(4, 2, 4, 2), spacing=2)
        self.restyle(theme)

    def take(self, update: SessionUpdate) -> None:
        """Update the high-gamma power."""
        montage = self._session.montage
        if montage is not None and (update.new_montage or self._montage is None):
            self._begin(montage)
        if self._power is not None:
            for chunk in update.chunks:
                self._power.push(chunk)

    def draw(self, now: float) -> None:
        """Redraw the contacts, at most four times a second."""
        if self._montage is None or self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._drawn_at = now
        chosen = self.choice.currentIndex()
        signal = feed_of(self._session.feeds, "signal")
        self._stale = "" if signal.state == "live" else f"signal {signal.state}: last known state"
        reasons = [bad_reason(name, self._session.bad) for name in self._montage.names]
        n_bad = sum(bool(reason) for reason in reasons)
        if chosen == _HIGH_GAMMA:
            self.key.show_scale(*self._scale_text(), _LIMIT_Z, n_bad)
        else:
            self.key.show_quality(len(reasons) - n_bad, n_bad, self._stale)
        self.map.shade([self._shade(row, reason, chosen) for row, reason in enumerate(reasons)])

    def choose(self, label: str) -> None:
        """Ring a contact that was chosen elsewhere."""
        self.map.choose(label)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.map.restyle(theme)
        self.key.restyle(theme)
        self.missing.setStyleSheet(f"color: {theme.faint}; font-size: {1.2 * theme.font_pt:g}pt;")
        self._invalidate()

    def _begin(self, montage: Montage) -> None:
        self._montage, self._power = montage, HighGamma(montage)
        self.map.set_montage(montage)
        self._stack.setCurrentWidget(self.map)
        self._invalidate()

    def _invalidate(self) -> None:
        self._drawn_at = -np.inf

    def _scale_text(self) -> tuple[str, str]:
        """Unit of the scale, and why it shows nothing."""
        unit = "z of 70-150 Hz power over 1 min"
        power, problem = self._power, self._stale
        if power is None or self._montage is None or problem:
            return unit, problem
        if not power.possible:
            return unit, f"needs a rate above 300 Hz, the signal has {self._montage.sfreq_hz:g} Hz"
        return unit, f"in {power.waits_s:.0f} s of signal" if power.waits_s else ""

    def _shade(self, row: int, reason: str, chosen: int) -> ContactStyle:
        montage = self._montage
        if montage is None or self._power is None:
            return ContactStyle("", False, "")
        z = float(self._power.z[row])
        quality = f"bad, {reason}" if reason else "good"
        lines = [f"{montage.names[row]} ({montage.kinds[row]}): {quality}"]
        if np.isfinite(z):
            lines.append(f"high-gamma power: z = {z:+.1f}")
        place = () if montage.positions is None else montage.positions[row].tolist()
        if place and all(map(math.isfinite, place)):
            x, y, z_place = place
            lines.append(f"at {x:.1f}, {y:.1f}, {z_place:.1f} ({montage.space})")
        else:
            lines.append("position unknown")
        colour = self._theme.good
        if chosen == _HIGH_GAMMA:
            share = (min(max(z, -_LIMIT_Z), _LIMIT_Z) + _LIMIT_Z) / (2 * _LIMIT_Z)
            colour = self._colours[round(share * (_N_COLOURS - 1))] if np.isfinite(z) else ""
        if self._stale:
            colour = colour and self._theme.faint
            lines.append(self._stale)
        return ContactStyle(colour, bool(reason), "\n".join(lines), bool(self._stale))


class ColourBar(QWidget):
    """A line that explains the colours of the map."""

    def __init__(self, theme: Theme, colours: Sequence[str]) -> None:
        super().__init__()
        self._theme, self._colours = theme, colours
        # Texts and the names of their colours in the theme, and the limit of the scale.
        self._shown: tuple[list[tuple[str, str]], float | None] = ([], None)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """All its text."""
        return " ".join(text for text, _ in self._shown[0])

    def show_quality(self, n_good: int, n_bad: int, problem: str) -> None:
        """Explain good and bad."""
        good, bad = ("faint", "faint") if problem else ("good", "bad")
        self._show(problem, [(f"● good {n_good}", good), (f"✕ bad {n_bad}", bad)], None)

    def show_scale(self, unit: str, problem: str, limit: float, n_bad: int) -> None:
        """Explain the colour scale."""
        self._show(problem, [(f"✕ bad {n_bad}", "bad"), (unit, "foreground")], limit)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """One line."""
        metrics = QFontMetricsF(scaled_font(self, self._theme))
        return QSize(100, round(metrics.lineSpacing() + 4))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the line."""
        painter = QPainter(self)
        painter.setFont(scaled_font(self, self._theme))
        x, (texts, limit) = 2.0, self._shown
        if limit is not None:
            x = self._paint_bar(painter, x, limit)
        for text, colour in texts:
            x = self._paint_text(painter, x, text, getattr(self._theme, colour))
        painter.end()

    def _show(self, problem: str, texts: list[tuple[str, str]], limit: float | None) -> None:
        warning = [(f"▲ {problem}", "warn")] if problem else []
        shown = ([*warning, *texts], limit)
        if shown != self._shown:
            self._shown = shown
            set_tip(self, self.text)
            self.update()

    def _paint_bar(self, painter: QPainter, x: float, limit: float) -> float:
        x = self._paint_text(painter, x, f"{-limit:+g}", self._theme.foreground)
        width = painter.fontMetrics().averageCharWidth() * _BAR_CHARS
        bar = QRectF(x, self.height() * 0.25, width, self.height() * 0.5)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        last = len(self._colours) - 1
        for place in range(0, last + 1, 15):
            gradient.setColorAt(place / last, QColor(self._colours[place]))
        painter.fillRect(bar, QBrush(gradient))
        return self._paint_text(painter, x + width + _GAP_PX, f"{limit:+g}", self._theme.foreground)

    def _paint_text(self, painter: QPainter, x: float, text: str, colour: str) -> float:
        box = QRectF(x, 0, max(0.0, self.width() - x), self.height())
        return x + paint_text(painter, box, text, colour, Qt.AlignmentFlag.AlignVCenter) + _GAP_PX


class HighGamma:
    """Power from 70 to 150 Hz over the last 0.5 s, every 0.25 s, as a z-score of its logarithm.

    Bins within 4 Hz of the mains harmonics at 100, 120 and 150 Hz are left out. The signal is not
    re-referenced. A gap restarts the 0.5 s. Memory is bounded.

    References
    ----------
    Ray et al. 2008, J. Neurosci. 28:11526, doi:10.1523/JNEUROSCI.2848-08.2008; the window after
    Harris 1978, doi:10.1109/PROC.1978.10837.
    """

    def __init__(self, montage: Montage) -> None:
        n_channels, sfreq_hz = montage.n_channels, montage.sfreq_hz
        self.z: Floats = np.full(n_channels, np.nan, np.float32)
        self.n_windows = 0
        self.possible = sfreq_hz > 2 * _BAND_HZ[1]
        # A display may round its window to whole samples at any rate.
        self._n_window = round(_WINDOW_S * sfreq_hz)
        self._n_hop = max(1, round(_HOP_S * sfreq_hz))
        self._ring = Ring(n_channels, self._n_window)
        self._n_due = self._n_window
        freqs_hz = np.fft.rfftfreq(self._n_window, 1 / sfreq_hz)
        in_band = (freqs_hz >= _BAND_HZ[0]) & (freqs_hz <= _BAND_HZ[1])
        for mains_hz in _MAINS_HZ:
            in_band &= np.abs(freqs_hz - mains_hz) > _SPREAD_HZ
        self._bins = np.flatnonzero(in_band)
        self._taper = np.hanning(self._n_window).astype(np.float32)
        self._logs = np.full((round(_HISTORY_S / _HOP_S), n_channels), np.nan, np.float32)
        self._n_min = round(_MIN_HISTORY_S / _HOP_S)

    @property
    def waits_s(self) -> float:
        """Signal needed before there are z-scores, s."""
        return max(0, self._n_min - self.n_windows) * _HOP_S

    def push(self, chunk: Chunk) -> None:
        """Add a chunk, and compute every window it completes."""
        if not self.possible:
            return
        if chunk.gap:
            self._n_due = self._n_window
        start = 0
        while start < chunk.n_samples:
            stop = min(chunk.n_samples, start + self._n_due)
            self._ring.push(chunk.data[:, start:stop])
            self._n_due -= stop - start
            start = stop
            if self._n_due == 0:
                self._compute()
                self._n_due = self._n_hop

    def _compute(self) -> None:
        log_power = self._log_power()
        place = self.n_windows % len(self._logs)
        self._logs[place] = log_power
        self.n_windows += 1
        if self.n_windows < self._n_min:
            return
        past = np.ma.masked_invalid(self._logs[: min(self.n_windows, len(self._logs))])
        spread = np.ma.filled(past.std(axis=0), 0.0)
        known = (past.count(axis=0) >= self._n_min) & (spread > _MIN_SPREAD)
        z = (log_power - np.ma.filled(past.mean(axis=0), np.nan)) / np.maximum(spread, _MIN_SPREAD)
        self.z = np.where(known, z, np.nan).astype(np.float32)

    def _log_power(self) -> Floats:
        """log10 of the mean power of the band's bins, float32 [n_channels]; NaN without power."""
        recent = self._ring.last(self._n_window)
        tapered = (recent - recent.mean(axis=1, keepdims=True)) * self._taper
        spectrum = scipy.fft.rfft(tapered, axis=1)[:, self._bins]
        power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(power > 0, np.log10(power), np.nan).astype(np.float32)
