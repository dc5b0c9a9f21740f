"""Pictures of a fit: what was confused, how ranks and probabilities held, which contacts count."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table
from sklearn.metrics import auc, roc_curve

from rtbrain.decoder import LinearReadout
from rtbrain.learn.fit.gather import MAIN, LabelledFeatures
from rtbrain.learn.fit.scores import DecoderScores, select_rows
from rtbrain.learn.fit.softmax import Standardiser, reliability
from rtbrain.types import Doubles, Floats, Ints, Montage

_DPI = 150
_COLOUR, _QUIET = "#1f5fa8", "#9a9a9a"
# Told apart by people who see few colours: Okabe & Ito, jfly.uni-koeln.de/color.
_CLASS_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_CONTACT_INCHES = 0.14
_TITLES = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "pearson_r": "r", "r2": "R²"}


def draw_confusion(path: Path, outputs: Floats, targets: Ints, names: Sequence[str]) -> None:
    """Draw which class was taken for which: shares of each true class, counts below."""
    kept = np.isfinite(outputs).all(axis=1)
    n_classes = len(names)
    pairs = targets[kept] * n_classes + outputs[kept].argmax(axis=1)
    counts = np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.7 * n_classes
    figure, axes = _figure(side + 0.6, side)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for true, told in np.ndindex(n_classes, n_classes):
        share = shares[true, told]
        text = f"{share:.0%}\n{counts[true, told]}"
        colour = "white" if share > 0.6 else "black"
        axes.text(told, true, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(n_classes), names, rotation=30 if n_classes > 3 else 0)
    axes.set_yticks(range(n_classes), names)
    axes.set(xlabel="decoded", ylabel="true", title="Held-out windows")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    _save(figure, path)


def draw_roc(
    path: Path,
    outputs: Floats,
    targets: Ints,
    names: Sequence[str],
    *,
    chance: tuple[float, float] | None,
) -> None:
    """Draw the ROC curve of each class against the rest; of two classes, of the second."""
    kept = np.isfinite(outputs).all(axis=1)
    figure, axes = _figure(4.6, 4.6)
    numbers = [1] if len(names) == 2 else np.unique(targets[kept]).tolist()
    for number in numbers:
        alarms, hits, _ = roc_curve(targets[kept] == number, outputs[kept, number])
        label = f"{names[number]}: AUC {auc(alarms, hits):.2f}"
        colour = _CLASS_COLOURS[number % len(_CLASS_COLOURS)]
        axes.plot(alarms, hits, color=colour, label=label, drawstyle="steps-post")
    told = "chance" if chance is None else f"chance: AUC {chance[0]:.2f} to {chance[1]:.2f}"
    axes.plot([0, 1], [0, 1], color=_QUIET, linestyle="--", label=told)
    axes.set(
        xlabel="false alarms, share",
        ylabel="hits, share",
        title="ROC, held-out windows",
        aspect="equal",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
    )
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    _save(figure, path)


def draw_reliability(path: Path, outputs: Floats, targets: Ints) -> None:
    """Draw how often decodes were right against how sure they were, and how many there were."""
    found = reliability(outputs, targets)
    n_bins = found.counts.size
    centres = (np.arange(n_bins) + 0.5) / n_bins
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    filled = found.counts > 0
    axes.plot([0, 1], [0, 1], color=_QUIET, linestyle="--", label="calibrated")
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
    _save(figure, path)


def contact_weights(readout: LinearReadout, scale: Doubles, n_channels: int) -> Doubles:
    """How far each channel moves the outputs, float64 [n_channels].

    The length of its weights, each times the deviation of its feature, after the mean over
    classes, which changes nothing, is taken off. A weight is not a pattern: a channel may have
    one because it carries noise that another's is rid of (Haufe et al. 2014,
    doi:10.1016/j.neuroimage.2013.10.067).
    """
    weight = readout.weight.astype(np.float64) * scale
    if readout.task == "classification":
        weight -= weight.mean(axis=0)
    by_channel = weight.reshape(weight.shape[0], n_channels, -1)
    lengths: Doubles = np.sqrt(np.square(by_channel).sum(axis=(0, 2)))
    return lengths


def draw_electrodes(path: Path, montage: Montage, weights: Doubles) -> None:
    """Draw a bar a contact, grouped by shaft, in the order of their numbers."""
    shafts: dict[str, list[tuple[int, int]]] = {}
    for row, name in enumerate(montage.names):
        stem, number = _place(name)
        shafts.setdefault(stem, []).append((number, row))
    figure, axes = _figure(
        max(4.6, 1.2 + _CONTACT_INCHES * (montage.n_channels + len(shafts))), 3.4
    )
    at = 0
    middles, ticks, labels = [], [], []
    for order, members in enumerate(shafts.values()):
        rows = [row for _, row in sorted(members)]
        places = np.arange(at, at + len(rows))
        colour = _CLASS_COLOURS[order % 2 * 5]
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
    _save(figure, path)


def _place(name: str) -> tuple[str, int]:
    """Shaft and number of a contact; of ``A1-A2``, of the first."""
    found = re.match(r"(.*?)(\d+)", name)
    return (found[1].rstrip("_- ") or name, int(found[2])) if found else (name, 0)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    # Without the date and the version, the same fit gives the same bytes.
    figure.savefig(path, dpi=_DPI, format="png", metadata={"Software": None})


def draw_fit(
    gathered: LabelledFeatures, scored: DecoderScores, readout: LinearReadout, *, linear: bool
) -> dict[str, bytes]:
    """PNGs of the held-out decodes and, where there is no encoder, of the contacts' weights."""
    labelled, outputs = gathered.labelled, scored.validated[MAIN].outputs
    with tempfile.TemporaryDirectory(prefix="rtbrain-figures-") as scratch:
        folder = Path(scratch)
        if labelled.task == "classification":
            chance = None if scored.chance is None else scored.chance.interval("auc")
            draw_confusion(folder / "confusion.png", outputs, labelled.targets, labelled.names)
            draw_roc(folder / "roc.png", outputs, labelled.targets, labelled.names, chance=chance)
            draw_reliability(folder / "reliability.png", outputs, labelled.targets)
        if linear:
            montage = gathered.pipeline.signal.montage
            scale = Standardiser.of(select_rows(gathered, MAIN).features, labelled.rows).scale
            weights = contact_weights(readout, scale, montage.n_channels)
            draw_electrodes(folder / "electrodes.png", montage, weights)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def fit_table(report: Mapping[str, Any]) -> Table:
    """Scores of the decoder and its controls on held-out time."""
    keys = [key for key in _TITLES if key in report["scores"]["decoder"]["pooled"]]
    split = report["split"]
    table = Table(
        title=f"held out by {split['kind']}: {len(split['folds'])} folds, embargo "
        f"{split['embargo_s']:g} s, {report['windows']} windows",
        caption="first line: pooled over folds [95 % over blocks of time]; second: mean ± SD by "
        f"fold. Encoder: {report['encoder']}",
        show_lines=True,
    )
    table.add_column("", no_wrap=True)
    for key in keys:
        table.add_column(_TITLES[key], justify="right", no_wrap=True)
    for name, scores in report["scores"].items():
        cells = [f"{_pooled(scores, key)}\n{_by_fold(scores['by_fold'][key])}" for key in keys]
        table.add_row(name, *cells)
    if "null_distribution" in report:
        of_readout = " (readout)" if "frozen PopT" in report["scores"] else ""
        told = (_shifted(report["null_distribution"][key]) for key in keys)
        table.add_row(f"labels shifted{of_readout}", *told)
    if "unsafe_random_split" in report:
        leaky = report["unsafe_random_split"]["pooled"]
        table.add_row(
            "UNSAFE random split", *(f"{leaky[key]:.3f}\nleaks" for key in keys), style="red"
        )
    return table


def _shifted(chance: Mapping[str, Any]) -> str:
    low, high = chance["interval_95"]
    return f"{low:.3f} to {high:.3f}\np {chance['p']:.3f}"


def _pooled(scores: Mapping[str, Any], key: str) -> str:
    told = f"{scores['pooled'][key]:.3f}"
    if "pooled_interval_95" in scores:
        low, high = scores["pooled_interval_95"][key]
        return f"{told} [{low:.3f}, {high:.3f}]"
    over = scores["pooled_over_seeds"][key]
    return f"{told} (seeds {over['lowest']:.3f} to {over['highest']:.3f})"


def _by_fold(spread: Mapping[str, float]) -> str:
    return f"{spread['mean']:.3f} ± {spread['std']:.3f}"
