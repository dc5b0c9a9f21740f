"""Decodes against markers: which state was it at the moment that each decode describes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from rtbrain.types import Floats, Times

__all__ = ["Scores", "score_classes", "states_at"]

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scores:
    """How well classes were told apart.

    Attributes
    ----------
    balanced_accuracy, auc : float
        Mean recall over classes; area under the ROC curve (one against the rest). NaN where only
        one class occurred.
    n_windows : int
        How many decodes were scored.
    """

    balanced_accuracy: float
    auc: float
    n_windows: int


def states_at(times: Times, markers: Sequence[tuple[float, str]], labels: Sequence[str]) -> Labels:
    """Class that held at each time: that of the last marker at or before it.

    Parameters
    ----------
    times : ndarray, float64 [n_windows]
        Seconds.
    markers : sequence of (seconds, text)
        In the order of time; texts that are no label are passed over.
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


def score_classes(probabilities: Floats, states: Labels) -> Scores:
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
        return Scores(float("nan"), float("nan"), int(states.size))
    accuracy = balanced_accuracy_score(states, probabilities.argmax(axis=1))
    if probabilities.shape[1] == 2:
        auc = roc_auc_score(states, probabilities[:, 1])
    else:
        auc = roc_auc_score(states, probabilities, multi_class="ovr")
    return Scores(float(accuracy), float(auc), int(states.size))
