"""`rtbrain bench view`: redraws a second, and what the window's process takes while it runs."""

import itertools
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyqtgraph as pg
from PySide6 import QtCore, QtWidgets

from rtbrain.check.bench.tables import BenchRow
from rtbrain.errors import SettingsError
from rtbrain.live.realtime_check import measure
from rtbrain.processes import (
    private_lsl_session,
    process_usage,
    require_running,
    running_command,
)
from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDecode
from rtbrain.types import Chunk, Floats, Montage
from rtbrain.units import to_samples
from rtbrain.view.streams.inlets import StreamHealth
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.theme import DARK
from rtbrain.view.traces.panel import TracePanel
from rtbrain.view.window import MainWindow

_SFREQ_HZ = 2048.0
_PAGE_S = 10.0
_REDRAWS_HZ = 20.0
_SHAFT = 8
_HOP_S = 0.25
_WIDTH_PX, _HEIGHT_PX = 1280, 800
_LIVE = StreamHealth("bench", "signal", "live", "", _SFREQ_HZ, _SFREQ_HZ, 0, 0, 0.0, 0.0, 0.0)
_REPEATS, _PLAIN_REPEATS = 100, 5
# Caches fill, modules are loaded late, and each thread takes its first memory.
_SETTLE_S = 120.0
_LOOK_EVERY_S = 0.5
_OPEN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class ViewUsage:
    """What a window's process took while it showed a live signal at its own rate."""

    cores: float
    memory_mib: float
    slope_mib_per_min: float
    minutes: float
    by_minute_mib: tuple[float, ...] = ()

    def __str__(self) -> str:
        table = ", ".join(f"{mib:.1f}" for mib in self.by_minute_mib)
        return (
            f"window process: {self.cores:.2f} cores, {self.memory_mib:.0f} MiB resident, "
            f"{self.slope_mib_per_min:+.2f} MiB a minute over {self.minutes:g} minutes"
            + (f" (minute by minute: {table} MiB)" if table else "")
        )


def measure_rows(n_channels: int) -> list[BenchRow]:
    """Times of a redraw of 10 s, in software, of so many channels and of half as many."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    # That platform warns of every window that it is of no size to a screen.
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")

    rows = []
    for n in dict.fromkeys((n_channels, max(1, n_channels // 2))):
        pages = Redraws(n)
        plain = f"a PlotDataItem a channel, {n} channels"
        reference = measure(pages.plain(), repeats=_PLAIN_REPEATS, warmup=1)
        rows.append(BenchRow.of(plain, reference))
        for mode in ("sweep", "scroll"):
            redraw = pages.traces(scrolling=mode == "scroll")
            timing = measure(redraw, repeats=_REPEATS, warmup=10)
            name = f"traces, {mode}, {n} channels: {1e3 / timing.median_ms:.0f} redraws a second"
            rows.append(BenchRow.of(name, timing, plain, reference.median_ms))
        timing = measure(pages.window(), repeats=_REPEATS, warmup=10)
        share = timing.median_ms * _REDRAWS_HZ / 1e3
        name = f"the whole window, {n} channels: {share:.2f} of a core"
        rows.append(BenchRow.of(name, timing, plain, reference.median_ms))
    return rows


class _Steady:
    """What the window asks of a session, of a signal and decodes that are always there."""

    feeds = (_LIVE, *(replace(_LIVE, kind=kind) for kind in ("decode", "status", "record")))
    marked: frozenset[str] = frozenset()
    choices, wrong_unit, unit_judged = (), None, True
    decode = DecodeHeader("bench-decode", ("move", "rest"), "probability", _HOP_S)

    def __init__(self, montage: Montage) -> None:
        self.montage = montage
        self.bad: dict[str, str] = {}

    def choose(self, signal: object) -> None:
        """There is nothing to choose from."""

    def look_again(self) -> None:
        """There is nothing to look for."""

    def close(self) -> None:
        """There is nothing to close."""


class _NoMarks:
    """Marks that go nowhere."""

    name = "bench"

    def repeat(self, labels: Iterable[str]) -> None:
        """Nobody listens."""


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

    def window(self) -> Callable[[], object]:
        """A call that takes 0.05 s of signal and decodes in and draws the whole window."""
        settings = QtCore.QSettings(os.devnull, QtCore.QSettings.Format.IniFormat)
        window = MainWindow(
            _Steady(self._montage),  # type: ignore[arg-type]
            _NoMarks(),  # type: ignore[arg-type]
            settings,
            make_chain=None,
        )
        window.pause_timers()
        window.show()
        self._application.processEvents()
        updates = map(_with_decodes, self._updates())
        for update in itertools.islice(updates, to_samples(_PAGE_S, _REDRAWS_HZ)):
            window.take(update)

        def redraw() -> None:
            update = next(updates)
            window.take(update)
            window.draw_all(update.now)
            self._application.processEvents()

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


def _with_decodes(update: SessionUpdate) -> SessionUpdate:
    """The same, with a decode where one is due."""
    due = math.floor(update.now / _HOP_S)
    if due * _HOP_S <= update.now - 1 / _REDRAWS_HZ:
        return update
    values = np.array([0.5 + 0.5 * math.sin(due / 8), 0.5 - 0.5 * math.sin(due / 8)], np.float32)
    row = ReceivedDecode(due * _HOP_S, update.now, values, True, 1.0, 0.2, 0.01)
    return replace(update, decodes=(row,))


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


def measure_usage(n_channels: int, minutes: float, folder: Path) -> ViewUsage:
    """Run the window on a simulated signal, and watch its process.

    Both have an LSL session of their own, so that the streams of others, which come and go, cost
    the window nothing; but not where the user has set LSL up himself.
    """
    name = f"rtbrain-bench-{os.getpid()}"
    shown_s = _SETTLE_S + 60 * minutes
    # With --wait it sends only to a window that has found it.
    sender = ["simulate", "--name", name, "--channels", str(n_channels), "--wait"]
    # It must still be there at the end of the watch, however slowly it starts.
    after_s = shown_s + _OPEN_WITHIN_S
    window = ["view", "--stream", name, "--headless-png", str(folder / "view.png")]
    window += ["--after", f"{after_s:g}"]
    log = folder / "view.log"
    with (
        private_lsl_session(folder),
        running_command(sender, folder / "simulate.log") as sending,
        running_command(window, log) as showing,
    ):
        seen = []
        end = time.monotonic() + shown_s
        while time.monotonic() < end:
            require_running({folder / "simulate.log": sending, log: showing})
            seen.append((time.monotonic(), *process_usage(showing.pid)))
            time.sleep(_LOOK_EVERY_S)
    sent_s = _sent_s((folder / "simulate.log").read_text(encoding="utf-8", errors="replace"))
    if sent_s < 60 * minutes:
        raise SettingsError(
            f"bench view: the window had {sent_s:g} s of signal in {minutes:g} minutes: are there "
            "too many LSL streams on this machine to find one more?"
        )
    return _fitted(seen, minutes)


def _sent_s(words: str) -> float:
    """Seconds of signal that were sent, by what `rtbrain simulate` says at its end."""
    found = re.findall(r"([0-9.]+) s of signal", words)  # lines of liblsl may follow it
    return float(found[-1]) if found else 0.0


def _fitted(seen: list[tuple[float, float, float]], minutes: float) -> ViewUsage:
    table = np.array(seen)
    table = table[table[:, 0] >= table[0, 0] + _SETTLE_S]
    t, cpu_s, memory_mib = table.T
    slope = np.polyfit(t - t[0], memory_mib, 1)[0] * 60
    cores = (cpu_s[-1] - cpu_s[0]) / (t[-1] - t[0])
    starts = np.searchsorted(t - t[0], np.arange(0, t[-1] - t[0], 60))
    by_minute = (*memory_mib[starts].tolist(), float(memory_mib[-1]))
    return ViewUsage(float(cores), float(memory_mib[-1]), float(slope), minutes, by_minute)
