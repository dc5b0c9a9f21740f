"""Benchmark of the traces: a redraw of a whole page, against a plain plot item a channel."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pyqtgraph as pg
from PySide6 import QtWidgets

from rtbrain.types import Chunk, Floats, Montage, to_samples
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.streams.states import StreamHealth
from rtbrain.view.theme import DARK
from rtbrain.view.traces.panel import TracePanel

_SFREQ_HZ = 2048.0
_PAGE_S = 10.0
_REDRAWS_HZ = 20.0
_SHAFT = 8
_WIDTH_PX, _HEIGHT_PX = 1280, 800
_LIVE = StreamHealth("bench", "signal", "live", "", _SFREQ_HZ, _SFREQ_HZ, 0, 0, 0.0, 0.0, 0.0)


class _Steady:
    """What the panel asks of a session, of a signal that is always there."""

    feeds = (_LIVE,)
    marked: frozenset[str] = frozenset()

    def __init__(self, montage: Montage) -> None:
        self.montage = montage
        self.bad: dict[str, str] = {}


class Redraws:
    """Pages of 10 s at 2048 Hz in a window of 1280 x 800, redrawn with 0.05 s more each time."""

    def __init__(self, n_channels: int) -> None:
        self._application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
        names = tuple(f"S{row // _SHAFT}E{row % _SHAFT + 1}" for row in range(n_channels))
        self._montage = Montage(names, ("seeg",) * n_channels, _SFREQ_HZ)
        self._signal = _signal(n_channels)

    def traces(self, *, scrolling: bool) -> Callable[[], object]:
        """A call that takes 0.05 s of signal in and draws the panel of traces."""
        panel = TracePanel(_Steady(self._montage), DARK)  # type: ignore[arg-type]
        panel.controls.mode.setCurrentIndex(int(scrolling))
        panel.resize(_WIDTH_PX, _HEIGHT_PX)
        panel.show()
        self._application.processEvents()  # what was never shown is not painted
        updates = self._updates()
        for update in itertools.islice(updates, to_samples(_PAGE_S, _REDRAWS_HZ)):
            panel.take(update)
        panel.see(len(self._signal))

        def redraw() -> None:
            update = next(updates)
            panel.take(update)
            panel.draw(update.now)
            panel.canvas.repaint()

        return redraw

    def plain(self) -> Callable[[], object]:
        """A call that gives a `pyqtgraph.PlotDataItem` a channel its page anew and draws them."""
        plot = pg.PlotWidget()
        plot.resize(_WIDTH_PX, _HEIGHT_PX)
        plot.setYRange(-1, len(self._signal))
        plot.setXRange(0, _PAGE_S)
        items = [plot.plot() for _ in self._signal]
        plot.show()
        self._application.processEvents()
        n_page = to_samples(_PAGE_S, _SFREQ_HZ)
        times_s = np.arange(n_page) / _SFREQ_HZ
        scale_uv = 6 * float(self._signal.std())
        hop = round(_SFREQ_HZ / _REDRAWS_HZ)
        starts = itertools.cycle(range(0, self._signal.shape[1] - n_page, hop))

        def redraw() -> None:
            start = next(starts)
            for row, (item, trace) in enumerate(zip(items, self._signal, strict=True)):
                item.setData(times_s, row + trace[start : start + n_page] / scale_uv)
            plot.viewport().repaint()

        return redraw

    def _updates(self) -> Iterator[SessionUpdate]:
        """Signal without end, 0.05 s at a time."""
        edges = np.rint(np.arange(0, 1e7) * _SFREQ_HZ / _REDRAWS_HZ).astype(np.int64)
        for first, stop in itertools.pairwise(edges.tolist()):
            numbers = np.arange(first, stop)
            data = self._signal[:, numbers % self._signal.shape[1]]
            stamps = numbers / _SFREQ_HZ
            yield SessionUpdate(float(stamps[-1]), (Chunk(data, stamps, first),))


def _signal(n_channels: int) -> Floats:
    """Slow waves, mains and noise, 12 s: float32 [n_channels, n_samples] µV."""
    rng = np.random.default_rng(0)
    n_samples = to_samples(1.2 * _PAGE_S, _SFREQ_HZ)
    t = np.arange(n_samples) / _SFREQ_HZ
    signal = rng.normal(0, 10, (n_channels, n_samples))
    for hz in (0.7, 3.1, 9.7, 60.0):
        phase = rng.uniform(0, 2 * np.pi, (n_channels, 1))
        signal += rng.uniform(10, 40, (n_channels, 1)) * np.sin(2 * np.pi * hz * t + phase)
    return signal.astype(np.float32)
