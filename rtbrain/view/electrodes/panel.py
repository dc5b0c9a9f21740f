"""The contacts panel: where contacts lie, which are bad, and where high-gamma power is high."""

import math

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QPushButton,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from rtbrain.types import Montage
from rtbrain.view.electrodes.key import MapKey
from rtbrain.view.electrodes.map import ContactStyle, ElectrodeMap
from rtbrain.view.electrodes.power import HighGamma
from rtbrain.view.spectra.panel import ramp_colours
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import is_by_hand, reason_text, say
from rtbrain.view.theme import Theme, fill, frame_panel, plain_label, set_tip, set_type
from rtbrain.view.traces.bad import contacts_checked
from rtbrain.view.traces.scene import bad_reason

_DRAW_EVERY_S = 0.25
_OLD_S = 1.5
_LIMIT_Z = 3.0
_N_COLOURS = 255
_POWER = 1
_HEAD_PX = 30
# Windows as wide as this show contacts from above, unless a person chose otherwise.
_WIDE_PX = 1600


class ElectrodePanel(QWidget):
    """Contacts by shaft or from above, by quality or power; dashed unless the signal is live."""

    selected = Signal(str)
    marked = Signal(str, bool)

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session, self._theme = session, theme
        self._montage: Montage | None = None
        self._power: HighGamma | None = None
        self._t_arrived = 0.0
        self._drawn_at = -np.inf
        self._chose_view = False
        self.map = ElectrodeMap(theme)
        self.map.selected.connect(self.selected)
        self.map.marked.connect(self._toggle_bad)
        self.key = MapKey(theme)
        self._title = plain_label(say("signal.contacts"))
        self.choice = QButtonGroup(self)
        for number, name in enumerate(("quality", "power")):
            button = QPushButton(say(f"signal.show.{name}"))
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            set_tip(button, say(f"signal.tip.{name}"))
            self.choice.addButton(button, number)
        self.choice.button(0).setChecked(True)
        self.choice.idToggled.connect(lambda number, on: self._invalidate())
        self.view = QComboBox()
        self.view.addItems([say("signal.view.shaft"), say("signal.view.above")])
        self.view.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        set_tip(self.view, say("signal.tip.view"))
        self.view.activated.connect(self._choose_view)
        head, buttons, self._stack = QHBoxLayout(), QHBoxLayout(), QStackedLayout()
        fill(buttons, *self.choice.buttons())
        fill(head, self._title, buttons, margins=(10, 0, 10, 0), spacing=10)
        head.addStretch(1)
        head.addWidget(self.view)
        self.missing = plain_label(
            say("signal.spectrum_none"), alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True
        )
        self._stack.addWidget(self.missing)
        self._stack.addWidget(self.map)
        column, margins = QVBoxLayout(self), (1, 1, 1, 1)
        fill(column, head, self._stack, self.key, stretched=self._stack, margins=margins)
        frame_panel(self)
        self.restyle(theme)

    def take(self, update: SessionUpdate) -> None:
        """Update the high-gamma power."""
        montage = self._session.montage
        if montage is not None and (update.new_montage or self._montage is None):
            self._begin(montage)
        if self._power is not None:
            for chunk in update.chunks:
                self._power.push(chunk)
                self._t_arrived = update.now

    def draw(self, now: float) -> None:
        """Redraw the contacts, at most four times a second."""
        if self._montage is None or self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._drawn_at = now
        session, shows_power = self._session, self.choice.checkedId() == _POWER
        if not self._chose_view:
            self._show_view(self.window().width() >= _WIDE_PX)
        reasons = [bad_reason(name, session.bad) for name in self._montage.names]
        is_old = feed_of(session.feeds, "signal").state != "live"
        is_old = is_old and now - self._t_arrived >= _OLD_S
        colours = ramp_colours(self._theme, _N_COLOURS) if shows_power else []
        names = [colour.name() for colour in colours]
        styles = [self._style(row, reason, names) for row, reason in enumerate(reasons)]
        self.map.style_contacts(styles, old=is_old)
        self._explain(
            sum(map(bool, reasons)), shows_power, now - self._t_arrived if is_old else 0.0
        )

    def choose(self, label: str) -> None:
        """Ring a contact that was chosen elsewhere."""
        self.map.choose(label)

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self._theme = theme
        self.map.restyle(theme)
        self.key.restyle(theme)
        set_type(self._title, theme, 12.5, 600)
        self._title.setFixedHeight(theme.px(_HEAD_PX))
        set_type(self.missing, theme, 12, ink=theme.text2)
        for part in (self.view, *self.choice.buttons()):
            part.setStyleSheet(
                f"font-size: {theme.px(12)}px; min-height: 0px; height: {theme.px(20)}px;"
                f"padding: 0px {theme.px(7)}px; border-radius: 2px;"
            )
        self._invalidate()

    def _begin(self, montage: Montage) -> None:
        self._montage, self._power = montage, HighGamma(montage)
        self.map.set_montage(montage)
        self._stack.setCurrentWidget(self.map)
        self.view.setEnabled(bool(montage.placed.any()))
        self._invalidate()

    def _invalidate(self) -> None:
        self._drawn_at = -np.inf

    def _choose_view(self, number: int) -> None:
        self._chose_view = True
        self._show_view(bool(number))

    def _show_view(self, from_above: bool) -> None:
        from_above = from_above and self._montage is not None and bool(self._montage.placed.any())
        self.view.setCurrentIndex(int(from_above))
        self.map.show_from_above(from_above)

    def _toggle_bad(self, label: str) -> None:
        self.marked.emit(label, label not in self._session.marked)

    def _explain(self, n_bad: int, shows_power: bool, old_s: float) -> None:
        if self._montage is None or self._power is None:
            return
        if old_s:
            self.key.explain((("", say("signal.old_map", s=f"{old_s:.1f}"), "text2"),), "")
            return
        if shows_power:
            rate_hz, waits_s = self._montage.sfreq_hz, self._power.waits_s
            unit = say("signal.power_unit")
            if not self._power.possible:
                unit = say("signal.power_too_slow", hz=f"{rate_hz:g}")
            elif waits_s:
                unit = say("signal.power_waits", s=f"{waits_s:.0f}")
            limit = 0.0 if waits_s or not self._power.possible else _LIMIT_Z
            self.key.explain((("", unit, "text2"),), "", limit)
            return
        checked = contacts_checked(self._session.feeds)
        good = say("signal.n_good" if checked else "signal.n_unchecked", n=self._n - n_bad)
        signs = [("ring", good, "text2")]
        if n_bad or checked:
            signs.append(("cross", say("signal.n_bad_only", n=n_bad), "warn" if n_bad else "text2"))
        placed = bool(self._montage.placed.any())
        self.key.explain(tuple(signs), say("signal.map_hint" if placed else "signal.no_positions"))

    @property
    def _n(self) -> int:
        return 0 if self._montage is None else self._montage.n_channels

    def _style(self, row: int, reason: str, colours: list[str]) -> ContactStyle:
        montage = self._montage
        if montage is None or self._power is None:
            return ContactStyle("")
        z = float(self._power.z[row])
        quality = say("signal.bad", reason=reason_text(reason)) if reason else say("signal.good")
        lines = [f"{montage.names[row]} ({montage.kinds[row]}): {quality}"]
        if np.isfinite(z):
            lines.append(say("signal.power_tip", z=f"{z:+.1f}"))
        place = () if montage.positions is None else montage.positions[row].tolist()
        if place and all(map(math.isfinite, place)):
            at = ", ".join(f"{part:.1f}" for part in place)
            lines.append(say("signal.position", at=at, space=montage.space))
        else:
            lines.append(say("signal.no_position"))
        fill_colour = ""
        if colours and np.isfinite(z):
            share = (min(max(z, -_LIMIT_Z), _LIMIT_Z) + _LIMIT_Z) / (2 * _LIMIT_Z)
            fill_colour = colours[round(share * (_N_COLOURS - 1))]
        return ContactStyle("\n".join(lines), bool(reason), is_by_hand(reason), fill_colour)
