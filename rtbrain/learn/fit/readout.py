"""Linear readouts, whose penalty and temperature are chosen on blocks of the training windows.

scikit-learn's optimiser casts all features to float64 at each product; at 20,000 windows of
5,120 features these are 0.8 GB a copy. Here the products are float32, the parameters float64.
Legend: N windows, D features, R coordinates, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from rtbrain.decoder import LinearReadout
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.splits import block_folds, subsample
from rtbrain.learn.metrics import balanced_accuracy, r_squared, roc_auc
from rtbrain.types import Doubles, Floats, Ints

Folds = Sequence[tuple[Ints, Ints]]
_MOST = 1000  # windows to choose on; overlapping neighbours add nothing
_FOLDS = (4, 3)  # two blocks cannot distinguish penalties or temperatures
_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C, strongest penalty first
_ALPHAS = (1e5, 1e4, 1e3, 1e2, 1e1, 1.0, 0.1)  # strongest first
_DEFAULT_C, _DEFAULT_ALPHA = 1e-3, 1e3
_ROWS_AT_A_TIME = 1024
_MOST_ITERATIONS = 1000
_NOISE = 1e-6  # of the largest eigenvalue: below it, float32 products hold nothing
_LOWEST, _HIGHEST = 0.01, 10.0  # uninformative held-out logits would make it infinite
_WIDE = 4  # features per window from which a decomposition costs less than it saves


@dataclass(frozen=True, slots=True, eq=False)
class Standardiser:
    """Mean and deviation of each feature over the training windows."""

    mean: Doubles  # float64 [n_features]
    scale: Doubles  # float64 [n_features]

    @classmethod
    def of(cls, features: Floats, rows: Ints) -> "Standardiser":
        """Standardiser of these rows, summed in float64 a few rows at a time."""
        shift = features[rows[0]].astype(np.float64)
        total, squares = np.zeros_like(shift), np.zeros_like(shift)
        for first in range(0, rows.size, _ROWS_AT_A_TIME):
            part = features[rows[first : first + _ROWS_AT_A_TIME]] - shift
            total += part.sum(axis=0)
            squares += np.einsum("nd,nd->d", part, part)
        mean = total / rows.size
        variance = np.maximum(squares / rows.size - mean**2, 0)
        # Rounding leaves this much of a constant: not a scale to divide by.
        floor = 10 * np.finfo(np.float32).eps * np.maximum(np.abs(shift), np.abs(shift + mean))
        scale = np.sqrt(variance)
        return cls(shift + mean, np.where(scale > floor, scale, 1.0))

    def __call__(self, features: Floats, rows: Ints) -> Floats:
        """Standardised copy of these rows, float32 [n_rows, n_features]."""
        out = np.empty((rows.size, features.shape[1]), np.float32)
        for first in range(0, rows.size, _ROWS_AT_A_TIME):
            part = slice(first, first + _ROWS_AT_A_TIME)
            out[part] = (features[rows[part]] - self.mean) / self.scale
        return out


@dataclass(frozen=True, slots=True, eq=False)
class InnerFolds:
    """Some of the training windows, and folds of these."""

    rows: Ints  # int64 [n_inside]
    folds: Folds


def inner_folds(labelled: Labelled, *, embargo_s: float) -> InnerFolds:
    """Blocks of the training windows: four folds, or three, or none that each hold every class."""
    rows = subsample(np.arange(labelled.rows.size), _MOST)
    for n_folds in _FOLDS:
        try:
            folds = block_folds(labelled.pick(rows), n_folds=n_folds, embargo_s=embargo_s)
        except SettingsError:  # too few stretches of a class
            continue
        return InnerFolds(rows, [(fold.train, fold.test) for fold in folds])
    return InnerFolds(rows, [])


@dataclass(frozen=True, slots=True, eq=False)
class FittedReadout:
    """A readout and how it was chosen."""

    readout: LinearReadout
    c: float
    validation_score: float
    feature_mean: Floats  # float32 [n_features]
    temperature: float = 1.0


def fit_readout(
    features: Floats,
    labelled: Labelled,
    *,
    embargo_s: float,
    train: Ints | None = None,
    max_windows: int = 20_000,
) -> FittedReadout:
    """Linear readout of classes or values, chosen on blocks of time inside the training windows.

    Classes get a logistic regression with its penalty and a temperature, values a ridge
    regression.
    """
    everything = np.arange(labelled.rows.size)
    kept = labelled.pick(subsample(everything if train is None else train, max_windows))
    inside = inner_folds(kept, embargo_s=embargo_s)
    if kept.task == "regression":
        return _fit_values(features, kept.rows, kept.targets.astype(np.float64), inside)
    return fit_classes(features, kept.rows, kept.targets, len(kept.names), inside, calibrate=True)


def _fit_values(
    features: Floats, rows: Ints, targets: Doubles, inside: InnerFolds
) -> FittedReadout:
    scaler = Standardiser.of(features, rows)
    alpha, score = _DEFAULT_ALPHA, float("nan")
    if inside.folds:
        space = _rotated(scaler(features, rows[inside.rows]))
        share = inside.rows.size / rows.size
        with threadpool_limits(1):
            scores = [
                _ridge_score(space, targets[inside.rows], inside.folds, alpha * share)
                for alpha in _ALPHAS
            ]
        alpha, score = _ALPHAS[int(np.argmax(scores))], max(scores)
    model = Ridge(alpha=alpha).fit(scaler(features, rows), targets)
    weight, mean = np.atleast_2d(model.coef_), scaler.mean.astype(np.float32)
    readout = _folded(weight, model.intercept_, scaler, task="regression")
    return FittedReadout(readout, 1 / alpha, score, mean)


def fit_classes(
    features: Floats,
    rows: Ints,
    targets: Ints,
    n_classes: int,
    inside: InnerFolds,
    *,
    calibrate: bool,
) -> FittedReadout:
    """Logistic regression of these rows, its penalty chosen on the folds, and a temperature."""
    scaler = Standardiser.of(features, rows)
    c, temperature, score = _DEFAULT_C, 1.0, float("nan")
    if inside.folds:
        space = _rotated(scaler(features, rows[inside.rows]))
        n_per_kept = rows.size / inside.rows.size
        truth = targets[inside.rows]
        # On busy cores, threads that wait for each other cost small products more than they save.
        with threadpool_limits(1):
            c, logits = _chosen_penalty(space, truth, n_classes, inside.folds, n_per_kept)
        held_out = [balanced_accuracy(logits[test], truth[test]) for _, test in inside.folds]
        score = float(np.mean(held_out))
        if calibrate:
            temperature = fit_temperature(logits, truth, balanced_weights(truth, n_classes))
    z = scaler(features, rows)
    found = fit_softmax(z, targets, n_classes=n_classes, c=c, tolerance=1e-6)
    readout = apply_temperature(
        _folded(found[:, :-1], found[:, -1], scaler, task="classification"), temperature
    )
    return FittedReadout(readout, c, score, scaler.mean.astype(np.float32), temperature)


def _rotated(z: Floats) -> Floats:
    return row_coordinates(z) if z.shape[1] > _WIDE * z.shape[0] else z


def _chosen_penalty(
    space: Floats, targets: Ints, n_classes: int, folds: Folds, n_per_kept: float
) -> tuple[float, Doubles]:
    """C by AUC over the folds, and the held-out logits that it gave."""
    logits = np.full((len(_PENALTIES), targets.size, n_classes), np.nan)
    aucs = np.empty((len(_PENALTIES), len(folds)))
    for number, (train, test) in enumerate(folds):
        found: Doubles | None = None
        for row, c in enumerate(_PENALTIES):
            found = fit_softmax(
                space[train], targets[train], n_classes=n_classes, c=c * n_per_kept, start=found
            )
            logits[row, test] = space[test] @ found[:, :-1].T + found[:, -1]
            aucs[row, number] = roc_auc(softmax(logits[row, test], axis=1), targets[test])
    row = _strongest_as_good(aucs)
    return _PENALTIES[row], logits[row]


def _strongest_as_good(scores: Doubles) -> int:
    """First row (the strongest penalty) within a standard error of the best mean.

    A few blocks cannot distinguish penalties this close, and the stronger one is safer; after
    Breiman et al. 1984, Classification and regression trees, section 3.4.3.
    """
    means = scores.mean(axis=1)
    best = int(means.argmax())
    error = scores[best].std(ddof=1) / np.sqrt(scores.shape[1])
    return int(np.argmax(means >= means[best] - error))


def _ridge_score(space: Floats, targets: Doubles, folds: Folds, alpha: float) -> float:
    """Mean R² over folds and outputs."""
    scores = []
    for train, test in folds:
        found = Ridge(alpha=alpha).fit(space[train], targets[train]).predict(space[test])
        scores.append(r_squared(found.reshape(targets[test].shape), targets[test]).mean())
    return float(np.mean(scores))


def _folded(
    weight: Any, bias: Any, scaler: Standardiser, *, task: Literal["classification", "regression"]
) -> LinearReadout:
    """Readout of raw features: w·((x − m)/s) + b = (w/s)·x + (b − (w/s)·m)."""
    scaled = weight / scaler.scale
    return LinearReadout(
        scaled.astype(np.float32), (bias - scaled @ scaler.mean).astype(np.float32), task
    )


def row_coordinates(z: Floats) -> Floats:
    """Windows as coordinates in an orthonormal basis of the space that they span.

    A penalty on the length of the weights keeps them within that space, so that nothing is lost
    where there are more features than windows; it holds for any part of the windows too. It pays
    where many readouts are fitted on the same windows.

    References
    ----------
    Hastie & Tibshirani 2004, Efficient quadratic regularization for expression arrays,
    doi:10.1093/biostatistics/kxh010.
    """
    if z.shape[1] <= z.shape[0]:
        return z
    values, vectors = eigh((z @ z.T).astype(np.float64))
    kept = values > _NOISE * values[-1]
    if not kept.any():  # all windows are alike
        return z
    coordinates: Floats = (vectors[:, kept] * np.sqrt(values[kept])).astype(np.float32)
    return coordinates


def balanced_weights(targets: Ints, n_classes: int) -> Doubles:
    """Weight of each window so that every class weighs the same, with mean 1."""
    counts = np.bincount(targets, minlength=n_classes)
    weights: Doubles = targets.size / (np.count_nonzero(counts) * counts[targets])
    return weights


def fit_softmax(
    z: Floats,
    targets: Ints,
    *,
    n_classes: int,
    c: float,
    start: Doubles | None = None,
    tolerance: float = 1e-4,
) -> Doubles:
    """Weights of a multinomial logistic regression with balanced classes.

    Minimises ``sum_n w_n CE_n + |W|^2 / (2 C)`` by L-BFGS; of two classes the penalty is that of
    the one logit between them, so that C means what it means in scikit-learn.
    """
    N, D = z.shape
    share = balanced_weights(targets, n_classes) / N
    penalty = (2.0 if n_classes == 2 else 1.0) / (c * N)
    rows = np.arange(N)

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        found = flat.reshape(n_classes, D + 1)
        weight = found[:, :D]
        scores = z @ weight.astype(np.float32).T + found[:, D]  # [N, K]
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        wrong = np.exp(scores)
        wrong[rows, targets] -= 1
        wrong *= share[:, np.newaxis]
        gradient = np.empty_like(found)
        gradient[:, :D] = wrong.astype(np.float32).T @ z
        gradient[:, :D] += penalty * weight
        gradient[:, D] = wrong.sum(axis=0)
        value = -share @ scores[rows, targets] + penalty / 2 * np.vdot(weight, weight)
        return float(value), gradient.ravel()

    first = np.zeros((n_classes, D + 1)) if start is None else start
    found = minimize(
        loss,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MOST_ITERATIONS, "gtol": tolerance, "ftol": 1e-12},
    )
    weights: Doubles = found.x.reshape(n_classes, D + 1)
    return weights


def fit_temperature(
    logits: npt.NDArray[np.floating], targets: Ints, weights: Doubles | None = None
) -> float:
    """The number to divide held-out logits by.

    Minimises the cross-entropy of ``softmax(logits / T)``; from 0.01 (a strong penalty makes small
    logits) to 10.
    """
    rows = np.arange(targets.size)

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets]
        return -float(np.average(scores, weights=weights))

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def apply_temperature(readout: LinearReadout, temperature: float) -> LinearReadout:
    """Readout whose logits are divided by the temperature, folded into its weights."""
    weight = (readout.weight / temperature).astype(np.float32)
    return LinearReadout(weight, (readout.bias / temperature).astype(np.float32), readout.task)
