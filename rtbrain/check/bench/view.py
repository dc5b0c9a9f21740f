"""`rtbrain bench view`: redraws a second, and what the window's process takes while it runs."""

import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from rtbrain.check.bench.tables import BenchRow
from rtbrain.check.bench.view_redraw import Redraws
from rtbrain.errors import SettingsError
from rtbrain.live.step_timing import measure
from rtbrain.processes import last_line, private_lsl_session, require_running, running_command

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

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def measure_redraws(n_channels: int) -> list[BenchRow]:
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
    return rows


def measure_view_usage(n_channels: int, minutes: float, folder: Path) -> ViewUsage:
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
    sent_s = _sent_s(last_line(folder / "simulate.log"))
    if sent_s < 60 * minutes:
        raise SettingsError(
            f"bench view: the window had {sent_s:g} s of signal in {minutes:g} minutes: are there "
            "too many LSL streams on this machine to find one more?"
        )
    return _fitted(seen, minutes)


def _sent_s(words: str) -> float:
    """Seconds of signal that were sent, by the last line of `rtbrain simulate`."""
    found = re.search(r"([0-9.]+) s of signal", words)
    return float(found.group(1)) if found else 0.0


def process_usage(pid: int) -> tuple[float, float]:
    """CPU time, s, and resident memory, MiB, of a process."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss / 2**20


def _fitted(seen: list[tuple[float, float, float]], minutes: float) -> ViewUsage:
    table = np.array(seen)
    table = table[table[:, 0] >= table[0, 0] + _SETTLE_S]
    t, cpu_s, memory_mib = table.T
    slope = np.polyfit(t - t[0], memory_mib, 1)[0] * 60
    cores = (cpu_s[-1] - cpu_s[0]) / (t[-1] - t[0])
    starts = np.searchsorted(t - t[0], np.arange(0, t[-1] - t[0], 60))
    by_minute = (*memory_mib[starts].tolist(), float(memory_mib[-1]))
    return ViewUsage(float(cores), float(memory_mib[-1]), float(slope), minutes, by_minute)
