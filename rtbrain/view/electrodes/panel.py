"""The electrode panel: where contacts lie, which are bad, and where high-gamma power is high."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFontMetricsF,
    QLinearGradient,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from rtbrain.types import Montage
from rtbrain.view.electrodes.high_gamma import HighGamma
from rtbrain.view.electrodes.map import ContactStyle, ElectrodeMap
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, paint_text, scaled_font
from rtbrain.view.traces.scene import bad_reason

_DRAW_EVERY_S = 0.25
_LIMIT_Z = 3.0
_N_COLOURS = 256
_COLOURINGS = ("Quality", "High-gamma power")
_HIGH_GAMMA = 1
_BAR_CHARS = 10
_GAP_PX = 8.0


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
        self.choice.setAccessibleName("What colours the contacts")
        self.choice.addItems(_COLOURINGS)
        self.choice.setToolTip("What colours the contacts")
        self.choice.currentIndexChanged.connect(self._invalidate)
        top = QHBoxLayout()
        top.addWidget(self.choice)
        top.addStretch(1)
        self.missing = QLabel("Contacts are shown once there is a signal")
        self.missing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.missing.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 2, 4, 2)
        column.setSpacing(2)
        column.addLayout(top)
        column.addWidget(self.missing, 1)
        column.addWidget(self.map, 1)
        column.addWidget(self.key)
        self.map.hide()
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
        self.missing.hide()
        self.map.show()
        self._invalidate()

    def _invalidate(self) -> None:
        self._drawn_at = -np.inf

    def _scale_text(self) -> tuple[str, str]:
        """Unit of the scale, and why it shows nothing."""
        unit = "z of 70-150 Hz power over 1 min"
        power = self._power
        if self._stale:
            return unit, self._stale
        if power is None or self._montage is None:
            return unit, ""
        if not power.possible:
            return unit, f"needs a rate above 300 Hz, the signal has {self._montage.sfreq_hz:g} Hz"
        if power.waits_s:
            return unit, f"in {power.waits_s:.0f} s of signal"
        return unit, ""

    def _shade(self, row: int, reason: str, chosen: int) -> ContactStyle:
        montage = self._montage
        if montage is None or self._power is None:
            return ContactStyle("", False, "")
        z = float(self._power.z[row])
        lines = [
            f"{montage.names[row]} ({montage.kinds[row]}): "
            + (f"bad, {reason}" if reason else "good")
        ]
        if np.isfinite(z):
            lines.append(f"high-gamma power: z = {z:+.1f}")
        if montage.positions is not None and montage.placed[row]:
            x, y, z_place = montage.positions[row].tolist()
            lines.append(f"at {x:.1f}, {y:.1f}, {z_place:.1f} ({montage.space})")
        else:
            lines.append("position unknown")
        colour = self._theme.good
        if chosen == _HIGH_GAMMA:
            colour = self._colour_of(z)
        if self._stale:
            colour = colour and self._theme.faint
            lines.append(self._stale)
        return ContactStyle(colour, bool(reason), "\n".join(lines), bool(self._stale))

    def _colour_of(self, z: float) -> str:
        if not np.isfinite(z):
            return ""
        share = (min(max(z, -_LIMIT_Z), _LIMIT_Z) + _LIMIT_Z) / (2 * _LIMIT_Z)
        return self._colours[round(share * (_N_COLOURS - 1))]


@dataclass(frozen=True, slots=True)
class _Shown:
    texts: tuple[tuple[str, str], ...]  # text, and the name of its colour in the theme
    limit: float | None


class ColourBar(QWidget):
    """A line that explains the colours of the map."""

    def __init__(self, theme: Theme, colours: Sequence[str]) -> None:
        super().__init__()
        self._theme, self._colours = theme, colours
        self._shown = _Shown((), None)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """All its text."""
        return " ".join(text for text, _ in self._shown.texts)

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
        x = 2.0
        if self._shown.limit is not None:
            x = self._paint_bar(painter, x, self._shown.limit)
        for text, colour in self._shown.texts:
            x = self._paint_text(painter, x, text, getattr(self._theme, colour))
        painter.end()

    def _show(self, problem: str, texts: list[tuple[str, str]], limit: float | None) -> None:
        warning = [(f"▲ {problem}", "warn")] if problem else []
        shown = _Shown((*warning, *texts), limit)
        if shown != self._shown:
            self._shown = shown
            self.setToolTip(self.text)
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
