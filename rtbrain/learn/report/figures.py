"""Pictures beside reports: made without a display, written whole, the same bytes each time."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rtbrain.channels import places_of
from rtbrain.files import write_atomically
from rtbrain.learn.metrics import count_confusions, reliability, roc_curve
from rtbrain.types import Doubles, Floats, Ints, Montage

GREY = "#9a9a9a"
# Distinct for colour-blind readers too: Okabe & Ito, jfly.uni-koeln.de/color.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_COLOUR = "#1f5fa8"
_CONTACT_INCHES = 0.14


def new_figure(width_in: float, height_in: float) -> Figure:
    """Empty figure that needs no display."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width_in: float, height_in: float) -> tuple[Figure, Any]:
    """Empty figure with one pair of axes, without spines at the top and right."""
    figure = new_figure(width_in, height_in)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def png(figure: Figure, *, dpi: int = 150) -> bytes:
    """PNG of a figure, without date and version: the same figures give the same bytes."""
    out = io.BytesIO()
    figure.savefig(out, dpi=dpi, format="png", metadata={"Software": None})
    return out.getvalue()


def save_figure(figure: Figure, path: Path, *, dpi: int = 150) -> None:
    """Write a PNG, whole or not at all."""
    write_atomically(path, png(figure, dpi=dpi))


def draw_confusion(outputs: Floats, targets: Ints, names: Sequence[str]) -> Figure:
    """Which class was taken for which: shares of each true class, counts below."""
    counts, n_classes = count_confusions(outputs, targets), len(names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.7 * n_classes
    figure, axes = new_axes(side + 0.6, side)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for true, decoded in np.ndindex(n_classes, n_classes):
        share = shares[true, decoded]
        text = f"{share:.0%}\n{counts[true, decoded]}"
        colour = "white" if share > 0.6 else "black"
        axes.text(decoded, true, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(n_classes), names, rotation=30 if n_classes > 3 else 0)
    axes.set_yticks(range(n_classes), names)
    axes.set(xlabel="decoded", ylabel="true", title="Held-out windows")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure


def draw_roc(outputs: Floats, targets: Ints, names: Sequence[str]) -> Figure:
    """ROC curve of each class against the rest; of two classes, of the second."""
    kept = np.isfinite(outputs).all(axis=1)
    figure, axes = new_axes(4.6, 4.6)
    numbers = [1] if len(names) == 2 else np.unique(targets[kept]).tolist()
    for number in numbers:
        alarms, hits = roc_curve(outputs[kept, number], targets[kept] == number)
        area = float(np.diff(alarms) @ (hits[1:] + hits[:-1]) / 2)
        label = f"{names[number]}: AUC {area:.2f}"
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(alarms, hits, color=colour, label=label, drawstyle="steps-post")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="no information: AUC 0.5")
    axes.set(
        xlabel="false alarms, share",
        ylabel="hits, share",
        title="ROC, held-out windows",
        aspect="equal",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
    )
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    return figure


def draw_reliability(outputs: Floats, targets: Ints) -> Figure:
    """How often decodes were right against how sure they were, and how many there were."""
    found = reliability(outputs, targets)
    n_bins = found.counts.size
    centres = (np.arange(n_bins) + 0.5) / n_bins
    figure = new_figure(4.6, 5.2)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    filled = found.counts > 0
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="calibrated")
    axes.plot(
        found.confidence[filled], found.share[filled], "o-", color=_COLOUR, label="held-out windows"
    )
    title = f"Reliability: expected calibration error {found.error:.2f}"
    axes.set(ylabel="share that was right", ylim=(-0.02, 1.02), title=title)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    below.bar(centres, found.counts, width=0.9 / n_bins, color=_COLOUR)
    lowest = 1 / outputs.shape[1] - 0.05
    below.set(xlabel="probability of the decoded class", ylabel="windows", xlim=(lowest, 1.02))
    for part in (axes, below):
        part.spines[["top", "right"]].set_visible(False)
    return figure


def draw_lags(found: Mapping[str, Any], interval: tuple[float, float]) -> Figure:
    """Score against the moment that the label is taken from, back from now."""
    figure, axes = new_axes(5.2, 3.6)
    back_ms = -1000 * np.array(found["lags_s"])
    axes.plot(back_ms, found["scores"], "o-", color=_COLOUR, markersize=4, label="held-out windows")
    now = f"true now, decodes held: {found['now']:.2f}"
    axes.plot([0], [found["now"]], "D", color=COLOURS[1], label=now)
    fitted_ms = -1000 * found["fitted_s"]
    axes.plot([fitted_ms] * 2, interval, "_-", color=GREY, label="as fitted, 95 % interval")
    axes.axvline(-1000 * found["described_s"], color=GREY, linestyle=":", label="moment described")
    axes.set(
        xlabel="time of the label from the newest sample, ms",
        ylabel="AUC" if found["score"] == "auc" else "R²",
        title="Score by the time of the label",
    )
    axes.legend(frameon=False, fontsize=9)
    return figure


def draw_electrodes(montage: Montage, weights: Doubles) -> Figure:
    """A bar per contact, grouped by shaft, in the order of their numbers."""
    shafts: dict[str, list[tuple[int, int]]] = {}
    for row, (name, place) in enumerate(zip(montage.names, places_of(montage.names), strict=True)):
        stem, number = place[:2] if place else (name, 0)
        shafts.setdefault(stem, []).append((number, row))
    figure, axes = new_axes(
        max(4.6, 1.2 + _CONTACT_INCHES * (montage.n_channels + len(shafts))), 3.4
    )
    at = 0
    middles, ticks, labels = [], [], []
    for order, members in enumerate(shafts.values()):
        rows = [row for _, row in sorted(members)]
        places = np.arange(at, at + len(rows))
        colour = COLOURS[order % 2 * 5]
        axes.bar(places, weights[rows], width=0.85, color=colour)
        middles.append(float(places.mean()))
        ticks += places.tolist()
        labels += [montage.names[row] for row in rows]
        at += len(rows) + 1
    axes.set_xticks(ticks, labels, rotation=90, fontsize=6)
    axes.set_xlim(-1, at - 1)
    top = axes.secondary_xaxis("top")
    top.set_xticks(middles, list(shafts), fontsize=8)
    top.tick_params(length=0)
    top.spines["top"].set_visible(False)
    axes.set(ylabel="weight per deviation", title="Contacts that move the decode", ylim=(0, None))
    return figure


def draw_fit(
    outputs: Floats,
    classes: Ints | None,
    names: Sequence[str],
    montage: Montage,
    weights: Doubles | None,
    lags: Mapping[str, Any],
    interval: tuple[float, float],
) -> dict[str, bytes]:
    """PNGs of held-out decodes of classes, of scores by lag, and of the contacts' weights.

    Each where there is any.
    """
    figures = {}
    if classes is not None:
        figures["confusion.png"] = draw_confusion(outputs, classes, names)
        figures["roc.png"] = draw_roc(outputs, classes, names)
        figures["reliability.png"] = draw_reliability(outputs, classes)
    if lags:
        figures["lag.png"] = draw_lags(lags, interval)
    if weights is not None:
        figures["electrodes.png"] = draw_electrodes(montage, weights)
    return {name: png(figure) for name, figure in figures.items()}
