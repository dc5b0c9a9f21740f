"""Linear readouts, whose penalty and temperature are chosen on blocks of the training windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from rtbrain.decoder import LinearReadout, Memory
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.solvers import (
    RidgePath,
    balanced_weights,
    fit_ridge,
    fit_softmax,
    row_coordinates,
)
from rtbrain.learn.fit.splits import block_folds, subsample
from rtbrain.learn.metrics import balanced_accuracy, r_squared, roc_auc
from rtbrain.types import Doubles, Floats, Ints

Folds = Sequence[tuple[Ints, Ints]]
_MOST = 1000  # windows to choose on; overlapping neighbours add nothing
_FOLDS = (4, 3)  # two blocks cannot distinguish penalties or temperatures
_PENALTIES = np.logspace(-5, 0, 11)  # C, strongest penalty first
_SHARES = np.logspace(4, -4, 25)  # of the ridge's penalty in its scale, strongest first
_DEFAULT_C, _DEFAULT_SHARE = 1e-3, 1.0
_ROWS_AT_A_TIME = 256
_LOWEST, _HIGHEST = 0.01, 10.0  # uninformative held-out logits would make it infinite


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
        if len(folds) == n_folds:  # of few clips there are fewer
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


def contributions_of(
    readout: LinearReadout, features: Floats, rows: Ints, targets: npt.NDArray[Any]
) -> Doubles:
    """How far each feature moves the outputs towards their targets, float64 [n_features].

    Its weight times its covariance with the target, over all outputs: of classes, its part in the
    distance between their logits. On windows that were held out, a feature that carries nothing
    gives 0 on average, whatever its weight.
    """
    wanted = targets
    if readout.task == "classification":
        wanted = np.eye(readout.bias.size)[targets]
    wanted = wanted - wanted.mean(axis=0)
    covariance = np.zeros(readout.weight.shape)
    for first in range(0, rows.size, _ROWS_AT_A_TIME):
        part = slice(first, first + _ROWS_AT_A_TIME)
        covariance += wanted[part].T @ features[rows[part]]
    contributions: Doubles = (readout.weight * covariance).sum(axis=0)
    return contributions


def contact_weights(readout: LinearReadout, scale: Doubles, n_channels: int) -> Doubles:
    """How far each channel moves the outputs, float64 [n_channels].

    The length of its weights, each times the deviation of its feature, after the mean over
    classes, which changes nothing, is removed. A weight is not a pattern: a channel may have
    one because it carries noise that another's is rid of (Haufe et al. 2014,
    doi:10.1016/j.neuroimage.2013.10.067).
    """
    weight = readout.weight.astype(np.float64) * scale
    if readout.task == "classification":
        weight -= weight.mean(axis=0)
    by_channel = weight.reshape(weight.shape[0], n_channels, -1)
    lengths: Doubles = np.sqrt(np.square(by_channel).sum(axis=(0, 2)))
    return lengths


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
    # On busy cores, threads that wait for each other cost products more than they save.
    with threadpool_limits(1):
        if kept.task == "regression":
            return _fit_values(features, kept.rows, kept.targets.astype(np.float64), inside)
        n_classes = len(kept.names)
        return fit_classes(features, kept.rows, kept.targets, n_classes, inside, calibrate=True)


def targets_of(labelled: Labelled) -> Floats:
    """Targets as a column for each output, float32 [n_labelled, n_outputs]: of classes 1 and 0."""
    if labelled.task == "regression":
        values: Floats = labelled.targets.astype(np.float32)
        return values
    classes: Floats = np.eye(len(labelled.names), dtype=np.float32)[labelled.targets]
    return classes


def remember(features: Floats, labelled: Labelled, fitted: FittedReadout, most: int) -> Memory:
    """What a bundle keeps of the windows that a readout was fitted on."""
    scaler = Standardiser.of(features, labelled.rows)
    rows = features[labelled.rows]
    scaling = scaler.mean, scaler.scale
    penalty = fitted.c, fitted.temperature
    return Memory.of(rows, targets_of(labelled), scaling, *penalty, most=most)


def _fit_values(
    features: Floats, rows: Ints, targets: Doubles, inside: InnerFolds
) -> FittedReadout:
    scaler = Standardiser.of(features, rows)
    share, score = _DEFAULT_SHARE, float("nan")
    if inside.folds:
        space, truth = row_coordinates(scaler(features, rows[inside.rows])), targets[inside.rows]
        n_per_kept = rows.size / inside.rows.size
        scores = np.empty((len(_SHARES), len(inside.folds)))
        for number, (train, test) in enumerate(inside.folds):
            path = RidgePath.of(space[train], truth[train])
            for row, one in enumerate(_SHARES):
                found = path.predict(space[test], one * path.scale / n_per_kept)
                scores[row, number] = r_squared(found, truth[test]).mean()
        scores = scores[:, np.isfinite(scores).all(axis=0)]  # not of values that never change
        if scores.shape[1] > 1:
            # On 8 synthetic patients r within folds is 0.011 above that of the best mean. Pooled it
            # is no higher: the penalties of folds differ more, and so does their shrinkage.
            row = _strongest_as_good(scores)
            share, score = float(_SHARES[row]), float(scores[row].mean())
    weight, bias, penalty = fit_ridge(scaler(features, rows), targets, share)
    readout = _folded(weight, bias, scaler, task="regression")
    return FittedReadout(readout, 1 / penalty, score, scaler.mean.astype(np.float32))


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
        space = row_coordinates(scaler(features, rows[inside.rows]))
        n_per_kept = rows.size / inside.rows.size
        truth = targets[inside.rows]
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


def _chosen_penalty(
    space: Floats, targets: Ints, n_classes: int, folds: Folds, n_per_kept: float
) -> tuple[float, Doubles]:
    """C by AUC over the folds, and the held-out logits that it gave."""
    logits = np.full((len(_PENALTIES), targets.size, n_classes), np.nan)
    aucs = np.empty((len(_PENALTIES), len(folds)))
    for number, (train, test) in enumerate(folds):
        z, found = space[train], None
        for row, c in enumerate(_PENALTIES * n_per_kept):
            found = fit_softmax(
                z, targets[train], n_classes=n_classes, c=c, tolerance=1e-5, start=found
            )
            logits[row, test] = space[test] @ found[:, :-1].T + found[:, -1]
            aucs[row, number] = roc_auc(softmax(logits[row, test], axis=1), targets[test])
    row = _strongest_as_good(aucs)
    return float(_PENALTIES[row]), logits[row]


def _strongest_as_good(scores: Doubles) -> int:
    """First row (the strongest penalty) within a standard error of the best mean.

    A few blocks cannot distinguish penalties this close, and the stronger one is safer; after
    Breiman et al. 1984, Classification and regression trees, section 3.4.3.
    """
    means = scores.mean(axis=1)
    best = int(means.argmax())
    error = scores[best].std(ddof=1) / np.sqrt(scores.shape[1])
    return int(np.argmax(means >= means[best] - error))


def _folded(
    weight: Any, bias: Any, scaler: Standardiser, *, task: Literal["classification", "regression"]
) -> LinearReadout:
    """Readout of raw features: w·((x − m)/s) + b = (w/s)·x + (b − (w/s)·m)."""
    scaled = weight / scaler.scale
    return LinearReadout(
        scaled.astype(np.float32), (bias - scaled @ scaler.mean).astype(np.float32), task
    )


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
