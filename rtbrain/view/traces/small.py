"""The small signal of a window that is about something else: five good contacts of the last 5 s."""

import time
from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.types import Chunk, Montage
from rtbrain.view.decodes.frame import face
from rtbrain.view.icons import paint_icon
from rtbrain.view.streams.inlets import feed_of
from rtbrain.view.streams.session import SessionUpdate, ViewSession
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, paint_text, set_tip
from rtbrain.view.traces.bad import BadContact, BadContacts, contacts_checked
from rtbrain.view.traces.pages import TracePages
from rtbrain.view.traces.paint import TraceLines, offsets, paint_page
from rtbrain.view.traces.scene import Lanes, Scene, bad_reason, fit_scale_uv

_PAGE_S = 5.0
_N_CONTACTS = 5
_FIT_EVERY_S, _DRAW_EVERY_S, _LIST_EVERY_S = 2.0, 0.2, 1.0
_SCALE_UV = 200.0
_WIDTH_PX, _HEAD_PX, _PLOT_PX, _ROW_PX = 196, 22, 120, 18
_LEAST_PLOT_PX = 60
# Room of the labels, at least and at most: for five letters.
_LABEL_PX, _MAX_LABEL_PX, _LABEL_PAD_PX = 32, 64, 9
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class SmallSignal(QWidget):
    """Five good contacts of the last 5 s in one ink, and which contacts are bad and why.

    `take` the updates of a session, and `draw` at times of the LSL clock; as the panels of the
    live window.
    """

    def __init__(self, session: ViewSession, theme: Theme) -> None:
        super().__init__()
        self._session = session
        self._montage: Montage | None = None
        self._rows: list[int] = []
        self._bad = BadContacts()
        self._found_bad: Mapping[str, str] | None = None
        self._judged: dict[str, str] | None = None  # for which the rows were chosen
        self.bad: list[BadContact] = []
        self.scene = Scene(theme, page_s=_PAGE_S, scrolling=True)
        self._lines: dict[str, TraceLines] = {}
        self._still: tuple[object, QPixmap] = None, QPixmap()  # what it is of, and the picture
        self._t_arrived = 0.0
        self._fitted_at = self._drawn_at = self._listed_at = -np.inf
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def take(self, update: SessionUpdate) -> None:
        """Add the result of a poll."""
        montage = self._session.montage
        if montage is None:
            return
        if update.new_montage or self._montage is None:
            self._montage, self._rows, self._judged = montage, [], None
        if (bad := self._all_bad) != self._judged:
            self._judged, self._listed_at = bad, -np.inf
            self._choose(montage, five_good(montage, bad, self._rows))
        if self.scene.pages is not None:
            for chunk in update.chunks:
                data = np.ascontiguousarray(chunk.data[self._rows])
                self.scene.pages.add(Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap))
                self._t_arrived = update.now

    def _choose(self, montage: Montage, rows: list[int]) -> None:
        """Begin an empty page of these rows, unless they are shown."""
        if rows == self._rows:
            return
        self._rows, self._fitted_at, scene = rows, -np.inf, self.scene
        shown = montage.pick([montage.names[row] for row in rows])
        width_px = (scene.theme.px(_WIDTH_PX) - self._label_px) * self.devicePixelRatioF()
        scene.pages = TracePages(shown, (_PAGE_S,), max(1, round(width_px)))
        scene.lanes, scene.n_lanes = Lanes.of(shown), len(rows)
        scene.offsets = np.zeros(len(rows), np.float32)
        scene.scales_uv = dict.fromkeys(shown.kinds, _SCALE_UV)

    @property
    def _label_px(self) -> float:
        """Room left of the traces: that of the widest label, within limits."""
        theme = self.scene.theme
        metrics = face(theme, 11).metrics
        widest = max(map(metrics.horizontalAdvance, self.scene.lanes.names), default=0.0)
        needed = widest + _LABEL_PAD_PX
        return min(max(needed, theme.px(_LABEL_PX)), theme.px(_MAX_LABEL_PX))

    def judge(self, bad: Mapping[str, str]) -> None:
        """Take bad contacts and why, as a check found them that is no decoder's."""
        self._found_bad = bad

    @property
    def _all_bad(self) -> dict[str, str]:
        return {**(self._found_bad or {}), **self._session.bad}

    @property
    def _checked(self) -> bool:
        """Whether anybody judges the contacts."""
        return self._found_bad is not None or contacts_checked(self._session.feeds)

    def draw(self, now: float) -> None:
        """Redraw the traces, at most five times a second."""
        scene, cache, montage = self.scene, self.scene.cache, self._session.montage
        if self._drawn_at <= now < self._drawn_at + _DRAW_EVERY_S:
            return
        self._drawn_at = now
        if montage is None or cache is None:
            self.update()
            return
        state = feed_of(self._session.feeds, "signal").state
        scene.old_s = 0.0 if state == "live" else max(now - self._t_arrived, 0.0)
        scene.t_wall = time.time()
        if now >= self._fitted_at + _FIT_EVERY_S and not scene.old_s:
            self._fitted_at = now
            scene.offsets = offsets(cache.low, cache.high)
            fitting_uv = fit_scale_uv(cache.low, cache.high) or _SCALE_UV
            scene.scales_uv = dict.fromkeys(scene.scales_uv, fitting_uv)
        if now >= self._listed_at + _LIST_EVERY_S:
            self._listed_at = now
            self.bad = self._bad.list(montage.names, self._all_bad, now, checked=self._checked)
            set_tip(self, "\n".join(map(str, self.bad)))
        self.update()

    def restyle(self, theme: Theme) -> None:
        """Apply a theme."""
        self.scene.theme = theme
        self._lines.clear()
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Head, traces, and two lines of bad contacts, always."""
        theme = self.scene.theme
        return QSize(theme.px(_WIDTH_PX), sum(map(theme.px, (_HEAD_PX, _PLOT_PX, 6, 2 * _ROW_PX))))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """One line of bad contacts: traces give way to what is below them."""
        theme = self.scene.theme
        return QSize(theme.px(_WIDTH_PX), theme.px(_ROW_PX))

    def _frame(self) -> QRectF:
        """Of the traces; empty where there is too little room for them."""
        theme = self.scene.theme
        room = self.height() - sum(map(theme.px, (_HEAD_PX, 6, 2 * _ROW_PX)))
        high = room if room >= theme.px(_LEAST_PLOT_PX) else 0
        return QRectF(0.5, theme.px(_HEAD_PX) if high else 0, self.width() - 1, high)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the scene."""
        scene, frame = self.scene, self._frame()
        plot = frame.adjusted(self._label_px, 4, -3, -4)
        with QPainter(self) as painter:
            painter.drawPixmap(0, 0, self._background(frame, plot))
            if scene.cache is not None and frame.height():
                paint_page(painter, scene, plot, self._lines, grid=False)

    def _background(self, frame: QRectF, plot: QRectF) -> QPixmap:
        """All but the traces, painted when it changes."""
        scene, theme, ratio = self.scene, self.scene.theme, self.devicePixelRatioF()
        there, uv = scene.cache is not None, next(iter(scene.scales_uv.values()), 0.0)
        n_all = self._montage.n_channels if self._montage else 0
        bad = [(one.name, one.short) for one in self.bad]
        key = (self.size(), ratio, theme, scene.lanes, there, uv, n_all, bad, self._checked)
        if key == self._still[0]:
            return self._still[1]
        picture = QPixmap(self.size() * ratio)
        picture.setDevicePixelRatio(ratio)
        picture.fill(QColor(theme.bg1))
        self._still = key, picture
        with QPainter(picture) as painter:
            self._paint_bad(painter, frame.bottom() + theme.px(6) * bool(frame.height()))
            if not frame.height():
                return picture
            painter.fillRect(frame, QColor(theme.bg0))
            head = QRectF(0, 0, self.width(), theme.px(_HEAD_PX) - 4)
            painter.setFont(theme.font(12))
            paint_text(painter, head, say("signal.small_title"), theme.text2, _LEFT)
            if there:
                paint_text(painter, head, say("signal.a_lane", uv=f"{uv:g}"), theme.text, _RIGHT)
                self._paint_labels(painter, plot)
            else:
                middle = Qt.AlignmentFlag.AlignCenter
                paint_text(painter, frame, say("signal.none"), theme.faint, middle)
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.drawRect(frame)
        return picture

    def _paint_labels(self, painter: QPainter, plot: QRectF) -> None:
        theme, names = self.scene.theme, self.scene.lanes.names
        painter.setFont(face(theme, 11).font)
        lane_px = plot.height() / len(names)
        for lane, name in enumerate(names):
            box = QRectF(5, plot.top() + lane * lane_px, plot.left() - 8, lane_px)
            paint_text(painter, box, name, theme.text2, _LEFT)

    def _paint_bad(self, painter: QPainter, top: float) -> None:
        """Two lines below the traces: how many are bad, and which."""
        if self._montage is None:
            return
        theme, row_px = self.scene.theme, self.scene.theme.px(_ROW_PX)
        icon = QRectF(0, top + (row_px - theme.px(13)) / 2, theme.px(13), theme.px(13))
        left = icon.right() + theme.px(6)
        line = QRectF(left, top, self.width() - left, row_px)
        painter.setFont(theme.font(12, 600))
        if not self.bad:
            paint_icon(painter, icon, "fine" if self._checked else "unchecked", theme)
            said = say("signal.none_bad", n_all=self._montage.n_channels)
            said = said if self._checked else say("signal.not_checked")
            paint_text(painter, line, said, theme.text2, _LEFT)
            return
        paint_icon(painter, icon, "look", theme)
        said = say("signal.n_bad", n=len(self.bad), n_all=self._montage.n_channels)
        paint_text(painter, line, said, theme.warn, _LEFT)
        line.translate(0, row_px)
        if line.bottom() > self.height():
            return
        for bad in self.bad:
            both = ((bad.name, 600, theme.text, 4), (bad.short, 400, theme.text2, 8))
            for text, weight, ink, gap in both:
                painter.setFont(theme.font(12, weight))
                needed = QFontMetricsF(painter.font()).horizontalAdvance(text)
                paint_text(painter, line, text, ink, _LEFT)
                line.setLeft(min(line.left() + needed + gap, line.right()))


def five_good(montage: Montage, bad: Mapping[str, str], before: list[int]) -> list[int]:
    """Rows of five good contacts, spread over all; those shown before stay if they are good."""
    good = [row for row, name in enumerate(montage.names) if not bad_reason(name, bad)]
    good = good or list(range(montage.n_channels))
    n = min(_N_CONTACTS, len(good))
    kept = [row for row in before if row in good]
    spread = [good[int((place + 0.5) * len(good) / n)] for place in range(n)]
    free = [row for row in (*spread, *good) if row not in kept]
    return sorted([*kept, *dict.fromkeys(free)][:n])
