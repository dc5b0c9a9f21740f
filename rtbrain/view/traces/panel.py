"""The trace panel: every channel of the signal, page by page."""

from collections.abc import Callable

import numpy as np
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QScrollBar, QVBoxLayout, QWidget

from rtbrain.errors import RtbrainError
from rtbrain.stage import SignalStage
from rtbrain.types import Chunk, Montage
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.theme import Theme, fill
from rtbrain.view.traces.canvas import TraceCanvas, TraceControls
from rtbrain.view.traces.paint import offsets
from rtbrain.view.traces.scene import (
    Lanes,
    TracePages,
    bad_reason,
    describe_scene,
    explain_stale,
    fit_scale_uv,
    step_scale_uv,
)

# Reference ("car", "bipolar", "laplacian", "none"), mains frequency in Hz or None, montage.
BuildChain = Callable[[str, float | None, Montage], SignalStage]
_SCALE_UV = 200.0
_OFFSET_EVERY_S = 0.5
_FIT_AFTER_S = 2.0
_MIN_LANES = 4
# Height of a lane in lines of text: closer traces merge into a block of colour. Lanes may be
# somewhat closer if all of them then fit on one page.
_MIN_LANE_LINES, _MIN_ONE_PAGE_LINES = 0.5, 0.35


class TracePanel(QWidget):
    """Traces of all channels, as a sweep or a scrolling page of 5 to 30 s.

    Each trace is drawn without its offset, its median over the page, and clipped 1.5 lanes from the
    middle of its lane. If not all channels are legible at once, they fill several pages of lanes.
    Reference and notch affect the display only; changing them, or the channels, starts a new page.
    """

    marked = Signal(str, bool)

    def __init__(
        self, session: ViewSession, theme: Theme, make_chain: BuildChain | None = None
    ) -> None:
        super().__init__()
        self._session, self._make_chain = session, make_chain
        self._chain: SignalStage | None = None
        self._refused = ""
        self._t_first: float | None = None
        self._offsets_at = -float("inf")
        self._fit_pending = True
        self._fits_legible = True
        self._bad: dict[str, str] | None = None
        self.controls = TraceControls()
        self.canvas = TraceCanvas(theme)
        self.scrollbar = QScrollBar(Qt.Orientation.Vertical)
        self.scrollbar.hide()
        self.controls.reference.setEnabled(make_chain is not None)
        self.controls.notch.setEnabled(make_chain is not None)
        row = QHBoxLayout()
        fill(row, self.canvas, self.scrollbar, stretched=self.canvas)
        fill(QVBoxLayout(self), self.controls, row, stretched=row, spacing=2)
        self._connect()
        self._apply_controls()

    def take(self, update: SessionUpdate) -> None:
        """Add the result of a poll."""
        if self._session.montage is None:
            return
        if update.new_montage or self.canvas.scene.pages is None:
            self._fit_pending = True
            self._begin(self._session.montage)
        pages = self.canvas.scene.pages
        if pages is None:
            return
        for chunk in update.chunks:
            pages.add(self._through_chain(chunk))
        for t, text in update.markers:
            pages.mark(t, text)
        if self._t_first is None:
            self._t_first = pages.t_newest

    def draw(self, now: float) -> None:
        """Redraw the page from its cache."""
        scene = self.canvas.scene
        if self._fits_legible and scene.n_lanes != self._legible():
            self._see(self._legible())
        if self._bad is not self._session.bad and scene.lanes:
            self._bad = self._session.bad
            reasons = {name: bad_reason(name, self._bad) for name in scene.lanes.names}
            scene.bad = {name: reason for name, reason in reasons.items() if reason}
        if now >= self._offsets_at + _OFFSET_EVERY_S:
            self._offsets_at = now
            self._follow_offsets()
        feed = feed_of(self._session.feeds, "signal")
        newest = None if scene.pages is None else scene.pages.t_newest
        scene.stale = explain_stale(feed, self._session.montage is not None, newest, now)
        scene.message = self._refused or describe_scene(scene)
        self.canvas.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self.canvas.restyle(theme)

    def find_label(self, text: str) -> bool:
        """Show and highlight the channel of a label; False if there is none."""
        scene = self.canvas.scene
        scene.highlighted = scene.lanes.find(text)
        self.controls.search.setStyleSheet("")
        if scene.highlighted is not None:
            if scene.highlighted not in scene.seen:
                self._show_from(scene.highlighted - scene.n_lanes // 2)
            self.canvas.setFocus()
        elif text.strip():
            self.controls.search.setStyleSheet(f"border: 1px solid {scene.theme.bad}")
        self.canvas.update()
        return scene.highlighted is not None

    def toggle_bad(self, lane: int) -> None:
        """Mark the channel of a lane as bad, or as good again, and emit `marked`."""
        name, montage = self.canvas.scene.lanes.names[lane], self._session.montage
        if montage is None or name not in montage.names:
            self._refused = f"{name} is a pair: set the reference to none, then mark its contacts"
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
        self.canvas.label_clicked.connect(self.toggle_bad)
        self.canvas.wheeled.connect(lambda by: self._move(2 * by))
        self.scrollbar.valueChanged.connect(self._show_from)
        for name, keys, effect in [
            *self.controls.keys(),
            ("Next page of channels", "PgDown", lambda: self._move(scene.n_lanes)),
            ("Previous page of channels", "PgUp", lambda: self._move(-scene.n_lanes)),
            ("Fewer channels", "Shift+PgDown", lambda: self.see(scene.n_lanes // 2)),
            ("More channels", "Shift+PgUp", lambda: self.see(2 * scene.n_lanes)),
            ("As many channels as are legible", "Home", self._show_legible),
            ("Channels further up", "Up", lambda: self._move(-1)),
            ("Channels further down", "Down", lambda: self._move(1)),
            ("Bad, or no longer bad", "B", self._toggle_found),
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
        self._chain, self._refused = None, ""
        if self._make_chain is not None and (reference, notch_hz) != ("none", None):
            try:
                self._chain = self._make_chain(reference, notch_hz, montage)
                montage = self._chain.montage
            except RtbrainError as error:
                self._refused = str(error)
                self.controls.reset_chain()
        scene = self.canvas.scene
        scene.pages, scene.lanes = TracePages(montage), Lanes.of(montage)
        # Qt may paint before the next call of `draw`.
        scene.offsets = np.zeros(montage.n_channels, np.float32)
        scene.highlighted, self._bad = None, None
        self._t_first, self._offsets_at = None, -float("inf")
        kinds = self._kinds()
        scene.scales_uv = {kind: scene.scales_uv.get(kind, _SCALE_UV) for kind in kinds}
        self.controls.offer_kinds(kinds)
        scene.first_lane = 0
        self._show_legible()

    def _through_chain(self, chunk: Chunk) -> Chunk:
        if self._chain is None:
            return chunk
        if chunk.gap:
            self._chain.reset()
        return self._chain(chunk)

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
        """Number of lanes that are legible at this height."""
        n_all = len(self.canvas.scene.lanes)
        n_lines = self.canvas.plot.height() / self.canvas.fontMetrics().height()
        if n_all <= n_lines / _MIN_ONE_PAGE_LINES:
            return n_all
        return max(_MIN_LANES, int(n_lines / _MIN_LANE_LINES))

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

    def _toggle_found(self) -> None:
        if self.canvas.scene.highlighted is not None:
            self.toggle_bad(self.canvas.scene.highlighted)

    def _follow_offsets(self) -> None:
        scene, cache = self.canvas.scene, self.canvas.scene.cache
        if cache is None or scene.pages is None:
            return
        scene.offsets = offsets(cache.low, cache.high)
        newest, first = scene.pages.t_newest, self._t_first
        if self._fit_pending and newest is not None and newest - (first or newest) >= _FIT_AFTER_S:
            self._fit_pending = False
            self.fit_scale()
