"""Blocks of time inside the training windows, on which penalties and temperatures are chosen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from rtbrain.decoder import LinearReadout
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.softmax import (
    Standardiser,
    apply_temperature,
    balanced_weights,
    fit_softmax,
    fit_temperature,
    row_coordinates,
)
from rtbrain.learn.fit.splits import block_folds, subsample
from rtbrain.learn.metrics import balanced_accuracy, r_squared, roc_auc
from rtbrain.types import Doubles, Floats, Ints

Folds = Sequence[tuple[Ints, Ints]]
_MOST = 1000  # windows to choose on; overlapping neighbours add nothing
_FOLDS = (4, 3)  # two blocks cannot distinguish penalties or temperatures
_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C, strongest penalty first
_ALPHAS = (1e5, 1e4, 1e3, 1e2, 1e1, 1.0, 0.1)  # strongest first
_DEFAULT_C, _DEFAULT_ALPHA = 1e-3, 1e3
_WIDE = 4  # features per window from which a decomposition costs less than it saves


@dataclass(frozen=True, slots=True, eq=False)
class InnerFolds:
    """Some of the training windows, and folds of these."""

    rows: Ints  # int64 [n_inside]
    folds: Folds


def blocked_folds(n_windows: int, *, n_folds: int, embargo_windows: int) -> list[tuple[Ints, Ints]]:
    """Contiguous test blocks, training rows kept an embargo away from them."""
    rows = np.arange(n_windows)
    folds = []
    for block in np.array_split(rows, n_folds):
        far = (rows < block[0] - embargo_windows) | (rows > block[-1] + embargo_windows)
        folds.append((rows[far], block))
    return folds


def consecutive_blocks(labels: Ints, *, embargo_windows: int) -> InnerFolds:
    """Blocks of consecutive windows; those that lack a class on one side are left out."""
    rows = subsample(np.arange(labels.size), _MOST)
    embargo = math.ceil(embargo_windows * rows.size / labels.size)
    folds = [
        (train, test)
        for train, test in blocked_folds(rows.size, n_folds=_FOLDS[0], embargo_windows=embargo)
        if min(np.unique(labels[rows[part]]).size for part in (train, test)) > 1
    ]
    return InnerFolds(rows, folds)


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


def fit_logistic(
    features: Floats, labels: Ints, *, n_classes: int, embargo_windows: int
) -> FittedReadout:
    """Multinomial logistic readout of consecutive windows, its penalty chosen on time blocks."""
    absent = sorted(set(range(n_classes)) - set(labels.tolist()))
    if absent:
        raise ValueError(f"no window is labelled {absent}: record more of these classes")
    inside = consecutive_blocks(labels, embargo_windows=embargo_windows)
    everything = np.arange(labels.size)
    return _fit_classes(features, everything, labels, n_classes, inside, calibrate=False)


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
    return _fit_classes(features, kept.rows, kept.targets, len(kept.names), inside, calibrate=True)


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


def _fit_classes(
    features: Floats,
    rows: Ints,
    targets: Ints,
    n_classes: int,
    inside: InnerFolds,
    *,
    calibrate: bool,
) -> FittedReadout:
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
