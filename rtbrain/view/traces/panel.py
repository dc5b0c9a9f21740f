"""The signal row: every channel of the signal, page by page, what happened, and what is bad."""

import math
import time
from collections.abc import Callable
from copy import deepcopy

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QScrollBar, QVBoxLayout, QWidget

from rtbrain.errors import RtbrainError
from rtbrain.stage import SignalStage
from rtbrain.types import Montage
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill, frame_panel
from rtbrain.view.traces.bad import BadContacts, contacts_checked
from rtbrain.view.traces.canvas import TraceCanvas
from rtbrain.view.traces.controls import TraceControls
from rtbrain.view.traces.frame import ROW_PX, bars_uv
from rtbrain.view.traces.pages import TracePages
from rtbrain.view.traces.paint import offsets
from rtbrain.view.traces.scene import Lanes, bad_reason, contact_of, fit_scale_uv, step_scale_uv
from rtbrain.view.traces.strip import BadStrip

# Reference ("car", "bipolar", "laplacian", "none"), mains frequency in Hz or None, montage.
BuildChain = Callable[[str, float | None, Montage], SignalStage]
_SCALE_UV = 200.0
_OFFSET_EVERY_S = 0.5
_LIST_EVERY_S = 1.0
_FIT_AFTER_S = 2.0
_OLD_S = 1.5
_MIN_LANES = 4


class TracePanel(QWidget):
    """Traces of all channels, as a sweep or a scrolling page of 5 to 30 s.

    Each trace is drawn without its offset, its median over the page, and clipped 1.5 lanes from the
    middle of its lane. If not all channels are legible at once, they fill several pages of lanes.
    Reference and notch affect the display only; changing them, or the channels, starts a new page.
    """

    marked = Signal(str, bool)
    chosen = Signal(str)
    refused = Signal(str)  # a sentence: why something was not done

    def __init__(
        self, session: ViewSession, theme: Theme, make_chain: BuildChain | None = None
    ) -> None:
        super().__init__()
        self._session, self._make_chain = session, make_chain
        self._chain: SignalStage | None = None
        self._pages: TracePages | None = None
        self._frozen = False
        self._t_first: float | None = None
        self._t_arrived = 0.0
        self._label = ""
        self._offsets_at = self._listed_at = -float("inf")
        self._fit_pending = True
        self._fits_legible = True
        self._bad: dict[str, str] | None = None
        self._bad_contacts = BadContacts()
        self.controls = TraceControls()
        self.canvas = TraceCanvas(theme)
        self.strip = BadStrip(theme)
        self.scrollbar = QScrollBar(Qt.Orientation.Vertical)
        self.scrollbar.hide()
        self.controls.reference.setEnabled(make_chain is not None)
        self.controls.notch.setEnabled(make_chain is not None)
        row, column = QHBoxLayout(), QVBoxLayout(self)
        fill(row, self.canvas, self.scrollbar, stretched=self.canvas)
        fill(column, self.controls, row, self.strip, stretched=row, margins=(1, 1, 1, 1))
        frame_panel(self)
        self._connect()
        self._apply_controls()
        self.restyle(theme)

    @property
    def page_s(self) -> float:
        """Length of the page, s; NaN without a signal."""
        return math.nan if self._session.montage is None else self.controls.page_s

    def take(self, update: SessionUpdate) -> None:
        """Add the result of a poll."""
        if self._session.montage is None:
            return
        if update.new_montage or self._pages is None:
            self._fit_pending = True
            self._begin(self._session.montage)
        pages = self._pages
        if pages is None:
            return
        for chunk in update.chunks:
            if self._chain is not None and chunk.gap:
                self._chain.reset()
            pages.add(chunk if self._chain is None else self._chain(chunk))
            self._t_arrived = update.now
        for t, text in update.markers:
            pages.mark(t, text)
        for found in update.detections:
            pages.detect(found.t, found.label)
        if self._t_first is None:
            self._t_first = pages.t_newest

    def freeze(self, on: bool) -> None:
        """Show the page as it is now, whatever comes and is repainted, or go on."""
        self._frozen = on
        self.canvas.scene.pages = deepcopy(self._pages) if on else self._pages

    def draw(self, now: float) -> None:
        """Redraw the page from its cache."""
        scene = self.canvas.scene
        if self._fits_legible and scene.n_lanes != self._legible():
            self._see(self._legible())
        self._follow_bad(now)
        if now >= self._offsets_at + _OFFSET_EVERY_S:
            self._offsets_at = now
            self._follow_offsets()
        state = feed_of(self._session.feeds, "signal").state
        old_s = now - self._t_arrived
        is_old = scene.cache is not None and state != "live" and old_s >= _OLD_S
        scene.old_s = old_s if is_old else 0.0
        scene.t_wall = time.time()
        self._describe()
        self.canvas.refresh()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        for part in (self.canvas, self.controls, self.strip):
            part.restyle(theme)

    def choose(self, label: str) -> None:
        """Mark the chosen contact by its label, or else its first pair; does not emit `chosen`."""
        scene = self.canvas.scene
        names, self._label = scene.lanes.names, label
        if scene.chosen is None or self._contact(scene.chosen) != label:
            found = (lane for lane in range(len(names)) if self._contact(lane) == label)
            scene.chosen = next(found, None)
        self.canvas.refresh()

    def _contact(self, lane: int) -> str:
        """Contact of a lane; the first of a pair."""
        names, montage = self.canvas.scene.lanes.names, self._session.montage
        return contact_of(names[lane], () if montage is None else montage.names)

    def find_label(self, text: str) -> bool:
        """Show and choose the channel of a label; False if there is none."""
        scene = self.canvas.scene
        found = scene.lanes.find(text)
        self.controls.search.setStyleSheet("")
        if found is not None:
            if found not in scene.seen:
                self._show_from(found - scene.n_lanes // 2)
            self._choose_lane(found)
            self.canvas.setFocus()
        elif text.strip():
            self.controls.search.setStyleSheet(f"border: 1px solid {scene.theme.bad}")
        return found is not None

    def toggle_bad(self, lane: int) -> None:
        """Mark the channel of a lane as bad, or as good again, and emit `marked`."""
        name, montage = self.canvas.scene.lanes.names[lane], self._session.montage
        if montage is None or name not in montage.names:
            self.refused.emit(say("signal.is_pair", name=name))
            return
        bad = name not in self._session.marked
        self._session.mark(name, bad)
        self.marked.emit(name, bad)

    def fit_scale(self) -> None:
        """Set the scale of each chosen kind so that most traces fit their lanes."""
        scene, cache = self.canvas.scene, self.canvas.scene.cache
        if cache is None:
            return
        for kind in self.controls.chosen_kinds(self._kinds()):
            lanes = zip(scene.lanes.rows, scene.lanes.kinds, scene.lanes.names, strict=True)
            rows = [row for row, of, name in lanes if of == kind and name not in scene.bad]
            fitting_uv = fit_scale_uv(cache.low[rows], cache.high[rows])
            scene.scales_uv[kind] = fitting_uv or scene.scales_uv[kind]
        self.canvas.update()

    def _connect(self) -> None:
        scene = self.canvas.scene
        self.controls.changed.connect(self._apply_controls)
        self.controls.chain_changed.connect(self._change_chain)
        self.controls.scaled.connect(self._scale)
        self.controls.fitted.connect(self.fit_scale)
        self.controls.searched.connect(self.find_label)
        self.canvas.label_clicked.connect(self._click)
        self.strip.chosen.connect(self.find_label)
        self.canvas.wheeled.connect(lambda by: self._move(2 * by))
        self.scrollbar.valueChanged.connect(self._show_from)
        for name, keys, effect in [
            *self.controls.keys(),
            (say("signal.key.next_page"), "PgDown", lambda: self._move(scene.n_lanes)),
            (say("signal.key.previous_page"), "PgUp", lambda: self._move(-scene.n_lanes)),
            (say("signal.key.fewer"), "Shift+PgDown", lambda: self.see(scene.n_lanes // 2)),
            (say("signal.key.more"), "Shift+PgUp", lambda: self.see(2 * scene.n_lanes)),
            (say("signal.key.legible"), "Home", self._show_legible),
            (say("signal.key.up"), "Up", lambda: self._move(-1)),
            (say("signal.key.down"), "Down", lambda: self._move(1)),
            (say("signal.key.bad"), "B", self._toggle_chosen),
        ]:
            action = QAction(name, self)
            action.setShortcut(keys)
            # Qt passes whether the action is checked.
            action.triggered.connect(lambda checked=False, effect=effect: effect())
            self.addAction(action)

    def _kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.canvas.scene.lanes.kinds))

    def _begin(self, montage: Montage) -> None:
        """Start an empty page for these channels, behind the display's chain."""
        reference, notch_hz = self.controls.chain
        self._chain = None
        if self._make_chain is not None and (reference, notch_hz) != ("none", None):
            try:
                self._chain = self._make_chain(reference, notch_hz, montage)
                montage = self._chain.montage
            except RtbrainError as error:
                self.refused.emit(str(error))
                self.controls.reset_chain()
        scene = self.canvas.scene
        self._pages, scene.lanes, scene.chosen = TracePages(montage), Lanes.of(montage), None
        self.freeze(self._frozen)
        # Qt may paint before the next call of `draw`.
        scene.offsets = np.zeros(montage.n_channels, np.float32)
        self._bad = None
        self.choose(self._label)
        self._t_first, self._offsets_at = None, -float("inf")
        kinds = self._kinds()
        scene.scales_uv = {kind: scene.scales_uv.get(kind, _SCALE_UV) for kind in kinds}
        self.controls.offer_kinds(kinds)
        scene.first_lane = 0
        self._show_legible()

    def _change_chain(self) -> None:
        if self._session.montage is not None:
            self._begin(self._session.montage)
        self.canvas.update()

    def _apply_controls(self) -> None:
        scene = self.canvas.scene
        scene.page_s, scene.scrolling = self.controls.page_s, self.controls.scrolling
        self._offsets_at = -float("inf")
        self.canvas.update()

    def _scale(self, steps: int) -> None:
        scales_uv = self.canvas.scene.scales_uv
        for kind in self.controls.chosen_kinds(self._kinds()):
            scales_uv[kind] = step_scale_uv(scales_uv[kind], steps)
        self._fit_pending = False
        self.canvas.update()

    def see(self, n_lanes: int) -> None:
        """Show a number of channels at once, legible or not."""
        self._fits_legible = False
        self._see(n_lanes)

    def _legible(self) -> int:
        """Number of lanes whose labels are all drawn at this height."""
        scene = self.canvas.scene
        n_rows = int(self.canvas.plot.height() / (scene.theme.scale * ROW_PX))
        return min(max(_MIN_LANES, n_rows), len(scene.lanes))

    def _show_legible(self) -> None:
        self._fits_legible = True
        self._see(self._legible())

    def _move(self, n_lanes: int) -> None:
        self._show_from(self.canvas.scene.first_lane + n_lanes)

    def _see(self, n_lanes: int) -> None:
        scene = self.canvas.scene
        n_all = len(scene.lanes)
        scene.n_lanes = min(max(n_lanes, _MIN_LANES), n_all)
        with QSignalBlocker(self.scrollbar):
            self.scrollbar.setRange(0, n_all - scene.n_lanes)
            self.scrollbar.setPageStep(scene.n_lanes)
        self.scrollbar.setVisible(scene.n_lanes < n_all)
        self._show_from(scene.first_lane)

    def _show_from(self, lane: int) -> None:
        scene = self.canvas.scene
        scene.first_lane = max(0, min(lane, len(scene.lanes) - scene.n_lanes))
        self.scrollbar.setValue(scene.first_lane)
        self.canvas.update()

    def _click(self, lane: int, marks: bool) -> None:
        if marks:
            self.toggle_bad(lane)
        else:
            self._choose_lane(lane)

    def _choose_lane(self, lane: int) -> None:
        self.canvas.scene.chosen = lane
        label = self._contact(lane)
        self.choose(label)
        self.chosen.emit(label)

    def _toggle_chosen(self) -> None:
        if self.canvas.scene.chosen is not None:
            self.toggle_bad(self.canvas.scene.chosen)

    def _follow_bad(self, now: float) -> None:
        scene, session = self.canvas.scene, self._session
        fresh = self._bad is not session.bad
        if session.montage is None or not (fresh or now >= self._listed_at + _LIST_EVERY_S):
            return
        if fresh:
            self._bad = session.bad
            reasons = {name: bad_reason(name, session.bad) for name in scene.lanes.names}
            scene.bad = {name: reason for name, reason in reasons.items() if reason}
        self._listed_at = now
        checked, names = contacts_checked(session.feeds), session.montage.names
        listed = self._bad_contacts.list(names, session.bad, now, checked=checked)
        self.strip.show_bad(listed, session.montage.n_channels, checked=checked)

    def _describe(self) -> None:
        """Say which contacts are shown, and the scale."""
        scene, controls = self.canvas.scene, self.controls
        if not scene.lanes:
            return
        first, last, n_all = scene.seen.start + 1, scene.seen.stop, len(scene.lanes)
        key = "signal.shown_short" if controls.is_narrow else "signal.shown"
        shown = say(key, first=first, last=last, n_all=n_all)
        bars = bars_uv(scene, self.canvas.plot)
        kind = controls.chosen_kinds(self._kinds())[0]
        scale = say("signal.a_lane", uv=f"{bars[kind]:g}")
        controls.describe(shown, scale)

    def _follow_offsets(self) -> None:
        scene, cache = self.canvas.scene, self.canvas.scene.cache
        if cache is None or scene.pages is None:
            return
        scene.offsets = offsets(cache.low, cache.high)
        newest, first = scene.pages.t_newest, self._t_first
        if self._fit_pending and newest is not None and newest - (first or newest) >= _FIT_AFTER_S:
            self._fit_pending = False
            self.fit_scale()
