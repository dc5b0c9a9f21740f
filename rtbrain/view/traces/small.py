"""The small signal of a window that is about something else: five good contacts of the last 5 s."""

import time
from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from rtbrain.types import Chunk, Montage
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
_FIT_EVERY_S = 2.0
_SCALE_UV = 200.0
_HEAD_PX, _PLOT_PX, _ROW_PX, _LABEL_PX, _LINE_PX = 22, 120, 18, 32, 17
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
        self.bad: list[BadContact] = []
        self.scene = Scene(theme, page_s=_PAGE_S, scrolling=True)
        self._lines: dict[str, TraceLines] = {}
        self._t_arrived, self._fitted_at = 0.0, -np.inf
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def take(self, update: SessionUpdate) -> None:
        """Add the result of a poll."""
        montage = self._session.montage
        if montage is None:
            return
        if update.new_montage or self._montage is None:
            self._montage, self._rows = montage, []
        rows = five_good(montage, self._all_bad, self._rows)
        if rows != self._rows or self.scene.pages is None:
            self._rows, self._fitted_at = rows, -np.inf
            shown = montage.pick([montage.names[row] for row in rows])
            self.scene.pages = TracePages(shown, (_PAGE_S,))
            self.scene.lanes, self.scene.n_lanes = Lanes.of(shown), len(rows)
            self.scene.offsets = np.zeros(len(rows), np.float32)
            self.scene.scales_uv = dict.fromkeys(shown.kinds, _SCALE_UV)
        for chunk in update.chunks:
            data = np.ascontiguousarray(chunk.data[self._rows])
            self.scene.pages.add(Chunk(data, chunk.timestamps, chunk.first_sample, chunk.gap))
            self._t_arrived = update.now

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
        """Redraw the traces."""
        scene, cache, montage = self.scene, self.scene.cache, self._session.montage
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
        self.bad = self._bad.list(montage.names, self._all_bad, now)
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
        return QSize(theme.px(196), sum(map(theme.px, (_HEAD_PX, _PLOT_PX, 6, 2 * _ROW_PX))))

    minimumSizeHint = sizeHint  # noqa: N815

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the scene."""
        theme, scene = self.scene.theme, self.scene
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(theme.bg1))
            frame = QRectF(0.5, theme.px(_HEAD_PX), self.width() - 1, theme.px(_PLOT_PX))
            painter.fillRect(frame, QColor(theme.bg0))
            plot = frame.adjusted(theme.px(_LABEL_PX), 4, -3, -4)
            head = QRectF(0, 0, self.width(), theme.px(_HEAD_PX) - 4)
            painter.setFont(theme.font(12))
            paint_text(painter, head, say("signal.small_title"), theme.text2, _LEFT)
            if scene.cache is not None:
                uv = next(iter(scene.scales_uv.values()))
                paint_text(painter, head, say("signal.a_lane", uv=f"{uv:g}"), theme.text, _RIGHT)
                paint_page(painter, scene, plot, self._lines, grid=False)
                self._paint_labels(painter, plot)
            else:
                paint_text(
                    painter, frame, say("signal.none"), theme.faint, Qt.AlignmentFlag.AlignCenter
                )
            painter.setPen(QPen(QColor(theme.line), 1))
            painter.drawRect(frame)
            self._paint_bad(painter, frame.bottom() + theme.px(6))

    def _paint_labels(self, painter: QPainter, plot: QRectF) -> None:
        theme, names = self.scene.theme, self.scene.lanes.names
        painter.setFont(theme.font(11))
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
