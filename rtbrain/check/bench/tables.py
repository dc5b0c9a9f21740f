"""Rows of the benchmark of a decoder's step: what it costs, beside the hop, the peak and others."""

import dataclasses
from collections.abc import Sequence
from typing import Any, BinaryIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from rich.box import SIMPLE
from rich.table import Table

from rtbrain.live.realtime_check import Timing
from rtbrain.terminal import table

# Told apart by people who see few colours: Okabe & Ito, jfly.uni-koeln.de/color.
_COLOURS = {
    "published pipeline": "#000000",
    "published": "#d55e00",
    "edge": "#0072b2",
    "streaming": "#009e73",
    "linear": "#cc79a7",
}
_OTHER_COLOUR = "#9a9a9a"
_STYLES = {
    ("torchscript", "fp32"): ("-", "o"),
    ("torchscript", "bf16"): ("--", "s"),
    ("openvino", "fp32"): ("-", "^"),
    ("openvino", "bf16"): ("--", "v"),
    ("openvino", "int8"): (":", "D"),
}
_OTHER_STYLE = ("-", "x")


@dataclasses.dataclass(frozen=True, slots=True)
class StepRow:
    """Cost of a step of one decoder on this machine."""

    mode: str
    runtime: str
    precision: str
    n_channels: int
    n_encoded: int = 0
    median_ms: float | None = None
    p99_ms: float | None = None
    hop_ms: float = 0.0
    gflop: float = 0.0
    floor_ms: float | None = None
    rss_mib: float | None = None
    added_mib: float | None = None
    compile_s: float | None = None
    ready_s: float | None = None
    algorithmic_ms: float = 0.0
    times_published: float | None = None
    difference: float | None = None
    lost_direction: float | None = None
    estimated_from: int | None = None
    parts_ms: dict[str, float] = dataclasses.field(default_factory=dict)
    unavailable: str = ""

    @property
    def name(self) -> str:
        """Mode, and what it runs on."""
        if self.runtime in ("none", "torch"):
            return self.mode
        return f"{self.mode} {self.runtime} {self.precision}"

    @property
    def share_of_hop(self) -> float | None:
        """Time of a step over the hop: above 1, windows are skipped."""
        return None if self.median_ms is None else self.median_ms / self.hop_ms

    @property
    def share_of_peak(self) -> float | None:
        """What the peak would need over what the encoders take: the operations are theirs."""
        if not self.floor_ms or not self.parts_ms.get("encoder"):
            return None
        return self.floor_ms / self.parts_ms["encoder"]

    @property
    def latency_ms(self) -> tuple[float, float] | None:
        """Latency of a decode when it is ready, and just before the next one is."""
        if self.median_ms is None:
            return None
        newest = self.algorithmic_ms + self.median_ms
        return newest, newest + self.hop_ms

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, shares included."""
        shares = {"share_of_hop": self.share_of_hop, "share_of_peak": self.share_of_peak}
        return dataclasses.asdict(self) | shares | {"latency_ms": self.latency_ms}


def step_tables(rows: Sequence[StepRow], title: str) -> tuple[Table, Table]:
    """Rich tables of the measured rows: times, and what they consist of.

    Two, since one would not fit a terminal of 80 columns.
    """
    times, means = [], []
    for row in rows:
        if row.unavailable:
            continue
        about, latency = "~" if row.estimated_from else "", row.latency_ms
        of = (row.name, str(row.n_channels))
        times.append(
            (
                *of,
                about + _text(row.median_ms),
                _text(row.p99_ms),
                about + _text(row.share_of_hop, 100),
                "" if latency is None else f"{latency[0] / 1e3:.2f}–{latency[1] / 1e3:.2f}",
                "" if row.times_published is None else about + _text(row.times_published),
            )
        )
        means.append(
            (
                *of,
                _text(row.gflop),
                _text(row.share_of_peak, 100),
                _text(row.rss_mib),
                _text(row.ready_s),
                "" if row.lost_direction is None else f"{max(row.lost_direction, 0):.0e}",
            )
        )
    of_times = ("decoder", "ch", "p50 ms", "p99 ms", "% hop", "latency s", "× publ.")
    of_means = ("decoder", "ch", "GFLOP", "% peak", "MiB", "ready s", "1 − cos")
    return table(title, of_times, times, box=SIMPLE), table("cost", of_means, means, box=SIMPLE)


def _text(number: float | None, times: float = 1.0) -> str:
    """Three digits, and no powers of ten."""
    if number is None:
        return ""
    number *= times
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def draw_costs(file: BinaryIO, rows: Sequence[StepRow], what: str) -> None:
    """Draw what a step costs against channels, log-log, with the line of real time."""
    drawn = [row for row in rows if row.median_ms is not None]
    figure = Figure(figsize=(8, 4.8), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in dict.fromkeys(row.name for row in drawn):
        line = [row for row in drawn if row.name == name]
        first = line[0]
        style, marker = _STYLES.get((first.runtime, first.precision), _OTHER_STYLE)
        colour = _COLOURS.get(first.mode, _OTHER_COLOUR)
        n_channels, costs_ms = [r.n_channels for r in line], [r.median_ms or 0 for r in line]
        # The first marker shows in the key, too, what the line runs on.
        axes.plot(
            n_channels, costs_ms, style, lw=1.4, label=name, color=colour, marker=marker, ms=5
        )
        slowest = [r.p99_ms or cost_ms for r, cost_ms in zip(line, costs_ms, strict=True)]
        axes.vlines(n_channels, costs_ms, slowest, color=colour, lw=1)
        for row, cost_ms in zip(line, costs_ms, strict=True):
            if row.estimated_from:
                axes.plot(row.n_channels, cost_ms, marker, color=colour, mfc="white", ms=5)
    for hop_ms in sorted({row.hop_ms for row in drawn}):
        modes = dict.fromkeys(row.mode for row in drawn if row.hop_ms == hop_ms)
        axes.axhline(hop_ms, color="#666666", lw=1, ls=(0, (6, 3)))
        axes.text(
            0.99,
            hop_ms * 1.06,
            f"real time: a hop of {hop_ms:.0f} ms ({', '.join(modes)})",
            fontsize=7,
            ha="right",
            transform=axes.get_yaxis_transform(),
        )
    axes.set(
        xscale="log", yscale="log", xlabel="channels", ylabel="median of a step, up to its p99, ms"
    )
    axes.set_xticks(sorted({row.n_channels for row in drawn}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#e5e5e5", lw=0.6)
    estimated = " (hollow: estimated)" if any(row.estimated_from for row in drawn) else ""
    axes.set_title(what + estimated, fontsize=10, loc="left")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(file, format="png")


@dataclasses.dataclass(frozen=True, slots=True)
class BenchRow:
    """A line of a benchmark's table."""

    name: str
    median_ms: float
    p99_ms: float
    ratio: float
    reference: str

    @classmethod
    def of(
        cls,
        name: str,
        timing: Timing,
        reference: str | None = None,
        reference_ms: float | None = None,
    ) -> "BenchRow":
        """Line of this timing; a line without a reference is its own."""
        ratio = 1.0 if reference_ms is None else reference_ms / timing.median_ms
        return cls(name, timing.median_ms, timing.p99_ms, ratio, reference or name)


def bench_table(rows: Sequence[BenchRow], title: str) -> Table:
    """Rich table of the lines, for a terminal."""
    headings = ("what", "median ms", "p99 ms", "× reference", "reference")
    cells = [
        (
            row.name,
            f"{row.median_ms:.3f}",
            f"{row.p99_ms:.3f}",
            "1" if row.reference == row.name else f"{row.ratio:.3g}",
            row.reference,
        )
        for row in rows
    ]
    return table(title, headings, cells)
