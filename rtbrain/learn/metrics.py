"""Decodes against the truth: states at the moments that they describe, classes, values.

Every score is a dict: of classes ``auc`` and ``balanced_accuracy``, of values ``pearson_r`` and
``r2``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Floats, Ints, Times

Reals = npt.NDArray[np.floating]
Score = dict[str, float]
_ROUNDING = 1e-12  # of a sum of squares: what is left of a constant


def scores_of(outputs: npt.NDArray[Any], targets: npt.NDArray[Any]) -> Score:
    """Scores of probabilities or values [n_windows, n_outputs]; rows with NaN are left out.

    Targets are class numbers, int64 [n_windows], -1 where there is none, or values
    [n_windows, n_outputs].
    """
    if targets.dtype == np.int64:
        return score_classes(outputs, targets)
    return score_values(outputs, targets)


def states_at(times: Times, markers: Sequence[tuple[float, str]], labels: Sequence[str]) -> Ints:
    """Class number that held at each time, int64 [n_windows]: that of the last marker, or -1.

    Markers are (s, text) in the order of time; texts that are no label are ignored.
    """
    changes = [(stamp, labels.index(text)) for stamp, text in markers if text in labels]
    if not changes:
        return np.full(times.shape, -1, np.int64)
    stamps = np.array([stamp for stamp, _ in changes])
    classes = np.array([-1, *(number for _, number in changes)], np.int64)
    return classes[np.searchsorted(stamps, times, side="right")]


def count_confusions(outputs: Floats, targets: Ints) -> Ints:
    """Windows of each true class (rows) by the class decoded, int64 [n_classes, n_classes]."""
    kept, n = (targets >= 0) & np.isfinite(outputs).all(axis=1), outputs.shape[1]
    pairs = targets[kept] * n + outputs[kept].argmax(axis=1)
    return np.bincount(pairs, minlength=n**2).reshape(n, n).astype(np.int64)


def confusions(outputs: Floats, targets: Ints, names: Sequence[str]) -> dict[str, Any]:
    """The same for a report: names of the classes, and the windows as lists."""
    return {"classes": list(names), "windows": count_confusions(outputs, targets).tolist()}


def score_classes(probabilities: Floats, states: Ints) -> Score:
    """Score probabilities [n_windows, n_classes] against class numbers [n_windows]."""
    kept = (states >= 0) & np.isfinite(probabilities).all(axis=1)
    probabilities, states = probabilities[kept], states[kept]
    if np.unique(states).size < 2:
        return {"balanced_accuracy": math.nan, "auc": math.nan}
    return {
        "balanced_accuracy": balanced_accuracy(probabilities, states),
        "auc": roc_auc(probabilities, states),
    }


def balanced_accuracy(outputs: Reals, states: Ints) -> float:
    """Mean over the classes that occur of the share that was correct."""
    right = outputs.argmax(axis=1) == states
    return float(np.mean([right[states == number].mean() for number in np.unique(states)]))


def roc_auc(probabilities: Reals, states: Ints) -> float:
    """Area under the ROC curve: the mean over classes of each against the rest.

    References
    ----------
    Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747: the area is the share of pairs that
    are in order; pairs that tie count half.
    """
    numbers = [1] if probabilities.shape[1] == 2 else np.unique(states).tolist()
    areas = []
    for number in numbers:
        values, inside = probabilities[:, number], states == number
        within, without = np.sort(values[inside]), np.sort(values[~inside])
        behind = np.searchsorted(within, without, "left").sum()
        behind += np.searchsorted(within, without, "right").sum()
        areas.append(1 - behind / (2 * within.size * without.size))
    return float(np.mean(areas))


def roc_curve(values: Reals, inside: npt.NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Shares of false alarms and of hits at each threshold, from the highest down."""
    order = np.argsort(-values, kind="stable")
    last = np.append(np.flatnonzero(np.diff(values[order])), values.size - 1)  # of those that tie
    n_hits = np.append(0, np.cumsum(inside[order])[last])
    n_alarms = np.append(0, 1 + last) - n_hits
    return n_alarms / n_alarms[-1], n_hits / n_hits[-1]


def r_squared(predicted: Reals, targets: Reals) -> Doubles:
    """Share of the variance that is predicted, of each output: float64 [n_outputs]."""
    error = np.square(targets - predicted, dtype=np.float64).sum(axis=0)
    spread = np.square(targets - targets.mean(axis=0, dtype=np.float64)).sum(axis=0)
    share: Doubles = 1 - error / np.where(spread > 0, spread, np.nan)
    return share


def score_values(predicted: Reals, targets: Reals) -> Score:
    """Score values against values, [n_windows, n_outputs]."""
    kept = np.isfinite(predicted).all(axis=1) & np.isfinite(targets).all(axis=1)
    predicted, targets = predicted[kept].astype(np.float64), targets[kept].astype(np.float64)
    if kept.sum() < 2:
        return {"pearson_r": math.nan, "r2": math.nan}
    deviations = [values - values.mean(axis=0) for values in (predicted, targets)]
    lengths = [np.sqrt(np.square(values).sum(axis=0)) for values in deviations]
    product = lengths[0] * lengths[1]
    r = (deviations[0] * deviations[1]).sum(axis=0) / np.where(product > 0, product, np.nan)
    return {"pearson_r": float(r.mean()), "r2": float(r_squared(predicted, targets).mean())}


def scores_without_blocks(
    outputs: npt.NDArray[Any], targets: npt.NDArray[Any], block: Ints
) -> dict[str, Doubles]:
    """`scores_of` without each block of windows in turn: float64 [n_blocks] of each score.

    `block` is the number of the block of each window; blocks that hold no output are not counted.
    NaN where a class lies in that block only. By sums over the blocks, and of the area under the
    ROC curve by pairs: all, less those with a window of the block.
    """
    kept = np.isfinite(outputs).all(axis=1)
    if targets.dtype == np.int64:
        kept &= targets >= 0
    else:
        kept &= np.isfinite(targets).all(axis=1)
    outputs, targets = outputs[kept], targets[kept]
    block = np.unique(block[kept], return_inverse=True)[1].astype(np.int64)
    if targets.dtype != np.int64:
        columns = zip(outputs.T.astype(np.float64), targets.T.astype(np.float64), strict=True)
        of_outputs = [_values_without(x, y, block) for x, y in columns]
        return {name: np.mean([one[name] for one in of_outputs], axis=0) for name in of_outputs[0]}
    right, numbers = outputs.argmax(axis=1) == targets, np.unique(targets).tolist()
    if len(numbers) < 2:
        nothing = np.full(int(block.max(initial=-1)) + 1, math.nan)
        return {"balanced_accuracy": nothing, "auc": nothing}
    shares, areas = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for number in numbers:
            inside = targets == number
            shares.append(_left_out(right * inside, block) / _left_out(inside, block))
            if outputs.shape[1] > 2 or number == 1:
                areas.append(_area_without(outputs[:, number], inside, block))
    return {"balanced_accuracy": np.mean(shares, axis=0), "auc": np.mean(areas, axis=0)}


def _left_out(values: npt.NDArray[Any], block: Ints) -> Doubles:
    """Sum of values [n_windows] without each block."""
    of_blocks = np.bincount(block, values)
    left: Doubles = of_blocks.sum() - of_blocks
    return left


def _area_without(values: Reals, inside: npt.NDArray[np.bool_], block: Ints) -> Doubles:
    """Area under the ROC curve without each block."""
    within, without = np.sort(values[inside]), np.sort(values[~inside])
    # Of each window, twice the others that rank wrongly beside it, once those that tie.
    wrong = np.empty(values.size)
    for rows, others, sign in ((~inside, within, 1), (inside, without, -1)):
        below = sum(np.searchsorted(others, values[rows], side) for side in ("left", "right"))
        wrong[rows] = below if sign > 0 else 2 * others.size - below
    pairs = np.bincount(block, wrong)  # each pair counts in the blocks of both its windows
    order = np.argsort(block, kind="stable")
    ends = np.cumsum(np.bincount(block))
    for number, own_rows in enumerate(np.split(order, ends[:-1])):
        of_block, there = values[own_rows], inside[own_rows]
        own = np.sort(of_block[there])
        for side in ("left", "right"):
            pairs[number] -= np.searchsorted(own, of_block[~there], side).sum()
    area: Doubles = 1 - (wrong[inside].sum() - pairs) / (
        2 * _left_out(inside, block) * _left_out(~inside, block)
    )
    return area


def _values_without(x: Doubles, y: Doubles, block: Ints) -> dict[str, Doubles]:
    """Correlation and R² of one output without each block."""
    deviation_x, deviation_y = x - x.mean(), y - y.mean()
    products = (
        np.ones_like(x),
        deviation_x,
        deviation_y,
        deviation_x**2,
        deviation_y**2,
        deviation_x * deviation_y,
        (y - x) ** 2,
    )
    n, sum_x, sum_y, xx, yy, xy, error = (_left_out(values, block) for values in products)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_x, spread_y = xx - sum_x**2 / n, yy - sum_y**2 / n
        spread_x[spread_x <= _ROUNDING * xx] = np.nan
        spread_y[spread_y <= _ROUNDING * yy] = np.nan
        r = (xy - sum_x * sum_y / n) / np.sqrt(spread_x * spread_y)
        return {"pearson_r": r, "r2": 1 - error / spread_y}


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityCurve:
    """How often decodes of a given confidence were right."""

    confidence: Doubles  # float64 [n_bins]
    share: Doubles  # float64 [n_bins]
    counts: Ints  # int64 [n_bins]

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of confidence and share over decodes."""
        filled = self.counts > 0
        gaps = np.abs(self.confidence[filled] - self.share[filled])
        return float(np.average(gaps, weights=self.counts[filled]))


def reliability(probabilities: Floats, targets: Ints, *, n_bins: int = 10) -> ReliabilityCurve:
    """Confidence against being right, in bins."""
    kept = np.isfinite(probabilities).all(axis=1)
    confidence = probabilities[kept].max(axis=1).astype(np.float64)
    right = probabilities[kept].argmax(axis=1) == targets[kept]
    at = np.clip((confidence * n_bins).astype(np.int64), 0, n_bins - 1)
    counts = np.bincount(at, minlength=n_bins)
    filled = np.where(counts, counts, np.nan)
    mean = np.bincount(at, confidence, n_bins) / filled
    return ReliabilityCurve(mean, np.bincount(at, right, n_bins) / filled, counts)
