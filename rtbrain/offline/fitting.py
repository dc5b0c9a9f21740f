"""Readouts fitted by scikit-learn, given back as one linear layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from rtbrain.decoder import LinearReadout
from rtbrain.types import Floats

__all__ = ["FittedReadout", "blocked_folds", "fit_logistic", "fit_ridge"]

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]

_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, strongest penalty first


@dataclass(frozen=True, slots=True, eq=False)
class FittedReadout:
    """A readout and how it was chosen.

    Attributes
    ----------
    readout : LinearReadout
        The standardiser is folded into its weights.
    c : float
        Inverse penalty chosen inside the training data.
    validation_score : float
        Mean balanced accuracy of that choice over the held-out blocks.
    feature_mean : ndarray, float32 [n_features]
        Mean of the features that it was fitted on: what stands in for those of a bad channel.
    """

    readout: LinearReadout
    c: float
    validation_score: float
    feature_mean: Floats


def blocked_folds(n_windows: int, *, n_folds: int, embargo_windows: int) -> list[tuple[Rows, Rows]]:
    """Contiguous test blocks, training rows kept an embargo away from them.

    Parameters
    ----------
    n_windows : int
        Consecutive windows.
    n_folds : int
        Blocks.
    embargo_windows : int
        Windows left out on both sides of a test block: no sample may be seen on both sides.

    Returns
    -------
    list of (train, test)
        Row numbers.
    """
    rows = np.arange(n_windows)
    folds = []
    for block in np.array_split(rows, n_folds):
        far = (rows < block[0] - embargo_windows) | (rows > block[-1] + embargo_windows)
        folds.append((rows[far], block))
    return folds


def fit_logistic(
    features: Floats,
    labels: Labels,
    *,
    n_classes: int,
    embargo_windows: int,
    n_folds: int = 4,
) -> FittedReadout:
    """Multinomial logistic readout, its penalty chosen on time blocks.

    Parameters
    ----------
    features : ndarray, float32 [n_windows, n_features]
        Consecutive population embeddings.
    labels : ndarray, int64 [n_windows]
        Class numbers.
    n_classes : int
        Outputs; every class must occur.
    embargo_windows : int
        See `blocked_folds`.

    Raises
    ------
    ValueError
        A class does not occur.
    """
    absent = sorted(set(range(n_classes)) - set(labels.tolist()))
    if absent:
        raise ValueError(f"no window is labelled {absent}: record more of these classes")
    folds = blocked_folds(features.shape[0], n_folds=n_folds, embargo_windows=embargo_windows)
    scores = [np.mean(_fold_scores(features, labels, folds, c)) for c in _PENALTIES]
    best = int(np.argmax(scores))
    scaler, model = _logistic(features, labels, _PENALTIES[best])
    weight, bias = model.coef_, model.intercept_
    if n_classes == 2:  # scikit-learn gives one logit: split it over the two rows
        weight, bias = np.vstack([-weight, weight]) / 2, np.hstack([-bias, bias]) / 2
    readout = _folded(weight, bias, scaler, task="classification")
    mean = scaler.mean_.astype(np.float32)
    return FittedReadout(readout, _PENALTIES[best], float(scores[best]), mean)


def fit_ridge(features: Floats, targets: Floats, *, alpha: float = 1.0) -> LinearReadout:
    """Ridge readout of continuous targets.

    Parameters
    ----------
    features : ndarray, float32 [n_windows, n_features]
        Population embeddings.
    targets : ndarray, float32 [n_windows, n_outputs]
        What to predict.
    alpha : float
        Penalty on standardised features.
    """
    scaler = StandardScaler().fit(features)
    model = Ridge(alpha=alpha).fit(scaler.transform(features), targets)
    return _folded(np.atleast_2d(model.coef_), model.intercept_, scaler, task="regression")


def _logistic(features: Floats, labels: Labels, c: float) -> tuple[Any, Any]:
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=c, max_iter=2000, class_weight="balanced")
    return scaler, model.fit(scaler.transform(features), labels)


def _fold_scores(
    features: Floats, labels: Labels, folds: Sequence[tuple[Rows, Rows]], c: float
) -> list[float]:
    scores = []
    for train, test in folds:
        if len(set(labels[train].tolist())) < 2 or len(set(labels[test].tolist())) < 2:
            continue
        scaler, model = _logistic(features[train], labels[train], c)
        predicted = model.predict(scaler.transform(features[test]))
        scores.append(float(balanced_accuracy_score(labels[test], predicted)))
    return scores or [0.0]


def _folded(weight: Any, bias: Any, scaler: Any, *, task: Any) -> LinearReadout:
    """Readout of raw features: w·((x − m)/s) + b = (w/s)·x + (b − (w/s)·m)."""
    scaled = weight / scaler.scale_
    return LinearReadout(
        scaled.astype(np.float32), (bias - scaled @ scaler.mean_).astype(np.float32), task
    )
