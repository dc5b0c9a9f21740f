"""Decodes against the truth: states at the moments that they describe, classes, values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from rtbrain.types import Doubles, Floats, Ints, Times

Reals = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of class probabilities."""

    balanced_accuracy: float
    auc: float
    n_windows: int


@dataclass(frozen=True, slots=True)
class ValueScores:
    """Scores of predicted values."""

    pearson_r: float
    r2: float
    n_windows: int


def states_at(times: Times, markers: Sequence[tuple[float, str]], labels: Sequence[str]) -> Ints:
    """Class that held at each time: that of the last marker at or before it.

    Parameters
    ----------
    times : ndarray, float64 [n_windows]
        Seconds.
    markers : sequence of (seconds, text)
        In the order of time; other texts are ignored.
    labels : sequence of str
        Names of the classes.

    Returns
    -------
    ndarray, int64 [n_windows]
        Class numbers; -1 before the first marker.
    """
    changes = [(stamp, labels.index(text)) for stamp, text in markers if text in labels]
    if not changes:
        return np.full(times.shape, -1, np.int64)
    stamps = np.array([stamp for stamp, _ in changes])
    classes = np.array([-1, *(number for _, number in changes)], np.int64)
    return classes[np.searchsorted(stamps, times, side="right")]


def score_classes(probabilities: Floats, states: Ints) -> ClassScores:
    """Score probabilities against states.

    Parameters
    ----------
    probabilities : ndarray, float32 [n_windows, n_classes]
        NaN rows and rows whose state is -1 are left out.
    states : ndarray, int64 [n_windows]
        Class numbers.
    """
    kept = (states >= 0) & np.isfinite(probabilities).all(axis=1)
    probabilities, states = probabilities[kept], states[kept]
    if np.unique(states).size < 2:
        return ClassScores(float("nan"), float("nan"), int(states.size))
    return ClassScores(
        balanced_accuracy(probabilities, states), roc_auc(probabilities, states), int(states.size)
    )


def balanced_accuracy(outputs: Reals, states: Ints) -> float:
    """Mean over the classes that occur of the share that was correct."""
    right = outputs.argmax(axis=1) == states
    return float(np.mean([right[states == number].mean() for number in np.unique(states)]))


def roc_auc(probabilities: Reals, states: Ints) -> float:
    """Area under the ROC curve: the mean over classes of each against the rest.

    References
    ----------
    Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747: the area is the rank sum.
    """
    numbers = [1] if probabilities.shape[1] == 2 else np.unique(states).tolist()
    areas = []
    for number in numbers:
        inside = states == number
        n_inside = np.count_nonzero(inside)
        n_pairs = n_inside * (states.size - n_inside)
        ranks = rankdata(probabilities[:, number])
        areas.append((ranks[inside].sum() - n_inside * (n_inside + 1) / 2) / n_pairs)
    return float(np.mean(areas))


def r_squared(predicted: Reals, targets: Reals) -> Doubles:
    """Share of the variance that is predicted, of each output: float64 [n_outputs]."""
    error = np.square(targets - predicted, dtype=np.float64).sum(axis=0)
    spread = np.square(targets - targets.mean(axis=0, dtype=np.float64)).sum(axis=0)
    share: Doubles = 1 - error / np.where(spread > 0, spread, np.nan)
    return share


def score_values(predicted: Reals, targets: Reals) -> ValueScores:
    """Score values against values, [n_windows, n_outputs]; rows with NaN are left out."""
    kept = np.isfinite(predicted).all(axis=1) & np.isfinite(targets).all(axis=1)
    predicted, targets = predicted[kept].astype(np.float64), targets[kept].astype(np.float64)
    if kept.sum() < 2:
        return ValueScores(float("nan"), float("nan"), int(kept.sum()))
    deviations = [values - values.mean(axis=0) for values in (predicted, targets)]
    lengths = [np.sqrt(np.square(values).sum(axis=0)) for values in deviations]
    product = lengths[0] * lengths[1]
    r = (deviations[0] * deviations[1]).sum(axis=0) / np.where(product > 0, product, np.nan)
    return ValueScores(
        float(r.mean()), float(r_squared(predicted, targets).mean()), int(kept.sum())
    )
