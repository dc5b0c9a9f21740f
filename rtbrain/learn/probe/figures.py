"""Picture of a probe: score against the number of labelled windows, a line a row of the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from rtbrain.learn.probe.label_efficiency import LabelEfficiency

_DPI = 150


_QUIET = "#9a9a9a"


# Told apart by people who see few colours: Okabe & Ito, jfly.uni-koeln.de/color.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")


_MARKERS = "os^Dv"  # not as many as colours, so that the sixth group is not like the first


_DODGE = 0.012  # of the axis between lines, so that their bars do not hide each other


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A line of the picture."""

    label: str
    group: int
    is_control: bool
    estimates: Sequence[LabelEfficiency]


def draw_label_efficiency(
    path: Path, counts: Sequence[int], curves: Sequence[Curve], *, title: str
) -> None:
    """Draw AUC against labelled windows, with 95 % intervals."""
    figure = Figure(figsize=(8.6, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(0.5, color=_QUIET, linestyle=":", label="chance")
    width = np.log10(counts[-1] / counts[0]) if len(counts) > 1 else 1.0
    for place, curve in enumerate(curves):
        shift = 10 ** (_DODGE * width * (place - (len(curves) - 1) / 2))
        means = np.array([one.mean for one in curve.estimates])
        below = means - [one.low for one in curve.estimates]
        above = [one.high for one in curve.estimates] - means
        colour = _COLOURS[curve.group % len(_COLOURS)]
        axes.errorbar(
            np.array(counts) * shift,
            means,
            yerr=np.maximum([below, above], 0),
            color=colour,
            linestyle="--" if curve.is_control else "-",
            marker=_MARKERS[curve.group % len(_MARKERS)],
            markerfacecolor="white" if curve.is_control else colour,
            markersize=5,
            linewidth=1.6,
            elinewidth=0.9,
            capsize=2,
            label=curve.label,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(counts)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(counts), [str(count) for count in counts])
    axes.set(xlabel="labelled windows", ylabel="AUC, held-out time of held-out subjects")
    # The interval of two subjects can reach far past any area under a curve.
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))
    axes.set_title(title, fontsize=10)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    # Without the date and the version, the same probe gives the same bytes.
    figure.savefig(path, dpi=_DPI, format="png", metadata={"Software": None})
