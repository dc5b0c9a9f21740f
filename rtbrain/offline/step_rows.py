"""Rows of the benchmark of a decoder's step: what it costs, beside the hop, the peak and others."""

import dataclasses
from collections.abc import Sequence
from typing import Any, BinaryIO

from rich.box import SIMPLE
from rich.table import Table

__all__ = ["StepRow", "draw_costs", "step_tables"]

# Told apart by people who see few colours: Okabe & Ito, jfly.uni-koeln.de/color.
_COLOURS = {
    "published way": "#000000",
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
    """Cost of a step of one decoder on this machine.

    Attributes
    ----------
    mode, runtime, precision : str
        Which decoder, on what.
    n_channels, n_encoded : int
        Contacts of the stream, and channels that reach the encoder.
    median_ms, p99_ms : float or None
        Time of a step, ms; no percentile of fewer than 100 steps, or where it is estimated.
    hop_ms : float
        Time that there is for it.
    gflop : float
        Operations of a step, by formula.
    floor_ms : float or None
        What the machine's measured peak would need for them, each at its own precision.
    rss_mib, added_mib : float or None
        Resident memory of a process that does nothing else, MiB, and how much of it came with the
        decoder, over the libraries.
    compile_s, ready_s : float or None
        From nothing to the first step, with an empty cache of compiled encoders and with a full
        one.
    algorithmic_ms : float
        From the moment that a decode describes to its window's end.
    times_published : float or None
        How many times less than the published way takes here, in the same run.
    difference, lost_direction : float or None
        Of the channels' embeddings from those of the eager encoder: the largest, and 1 - cos.
    estimated_from : int or None
        Contacts that were measured, where these were not.
    parts_ms : dict
        Median of each part of the step.
    unavailable : str
        Why it cannot be run here; empty where it was.
    """

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
    def age_ms(self) -> tuple[float, float] | None:
        """Age of a decode when it is ready, and just before the next one is."""
        if self.median_ms is None:
            return None
        newest = self.algorithmic_ms + self.median_ms
        return newest, newest + self.hop_ms

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, shares included."""
        shares = {"share_of_hop": self.share_of_hop, "share_of_peak": self.share_of_peak}
        return dataclasses.asdict(self) | shares | {"age_ms": self.age_ms}


def step_tables(rows: Sequence[StepRow], title: str) -> tuple[Table, Table]:
    """Rich tables of the rows that could be measured: times, and what they are made of.

    Two, since one would not fit a terminal of 80 columns.

    Parameters
    ----------
    rows : sequence of StepRow
        In order.
    title : str
        Heading of the first.
    """
    times = _table(title, "p50 ms", "p99 ms", "% hop", "age s", "× publ.")
    means = _table("what it takes", "GFLOP", "% peak", "MiB", "ready s", "1 − cos")
    for row in rows:
        if row.unavailable:
            continue
        about = "~" if row.estimated_from else ""
        age = row.age_ms
        times.add_row(
            row.name,
            str(row.n_channels),
            about + _text(row.median_ms),
            _text(row.p99_ms),
            about + _text(row.share_of_hop, 100),
            "" if age is None else f"{age[0] / 1e3:.2f}–{age[1] / 1e3:.2f}",
            "" if row.times_published is None else about + _text(row.times_published),
        )
        means.add_row(
            row.name,
            str(row.n_channels),
            _text(row.gflop),
            _text(row.share_of_peak, 100),
            _text(row.rss_mib),
            _text(row.ready_s),
            "" if row.lost_direction is None else f"{max(row.lost_direction, 0):.0e}",
        )
    return times, means


def _table(title: str, *headings: str) -> Table:
    drawn = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0))
    drawn.add_column("decoder", no_wrap=True)
    for heading in ("ch", *headings):
        drawn.add_column(heading, justify="right", no_wrap=True)
    return drawn


def _text(number: float | None, times: float = 1.0) -> str:
    """Three digits, and no powers of ten."""
    if number is None:
        return ""
    number *= times
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def draw_costs(file: BinaryIO, rows: Sequence[StepRow], what: str) -> None:
    """Draw what a step costs against channels, log-log, with the line of real time.

    Parameters
    ----------
    file : binary file
        Where the PNG goes.
    rows : sequence of StepRow
        Those that could not be measured are left out; estimated ones are hollow.
    what : str
        What a step holds, for the title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

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
        # The first marker tells in the key, too, what the line runs on.
        axes.plot(
            n_channels, costs_ms, style, lw=1.4, label=name, color=colour, marker=marker, ms=5
        )
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
    axes.set(xscale="log", yscale="log", xlabel="channels", ylabel="median of a step, ms")
    axes.set_xticks(sorted({row.n_channels for row in drawn}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color="#e5e5e5", lw=0.6)
    estimated = " (hollow: estimated)" if any(row.estimated_from for row in drawn) else ""
    axes.set_title(what + estimated, fontsize=10, loc="left")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(file, format="png")
