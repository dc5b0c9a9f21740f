"""Scores of windows that were held out, and how sure one may be of them."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import Standardiser, contributions_of, fit_readout
from rtbrain.learn.fit.solvers import RidgePath, fit_softmaxes
from rtbrain.learn.fit.splits import Fold
from rtbrain.learn.metrics import Score, scores_of
from rtbrain.learn.nulls import (
    NullDistribution,
    NullTargets,
    clock_features,
    remove_drift,
    score_draws,
    time_order,
)
from rtbrain.learn.verdict import Clock, decisive
from rtbrain.types import Doubles, Floats, Ints

_ROWS_AT_A_TIME = 1024
_N_THREADS = min(2, os.cpu_count() or 1)  # each holds a copy of the windows of a fold


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidated:
    """Every fold, and all of them together."""

    outputs: Floats  # float32 [n_labelled, n_outputs]
    folds: list[Score]
    penalties: list[float]  # of each fold
    pooled: Score
    by_fold: dict[str, Score]
    contributions: Doubles | None  # float64 [n_features], of the features to the outputs
    fitted: list[Any]  # the readout of each fold


class HeldOut(NamedTuple):
    """A fold's outputs, float32 [n_test, n_outputs], and the readout that gave them."""

    outputs: Floats
    penalty: float = math.nan
    contributions: Doubles | None = None
    fitted: Any = None


def cross_validate(
    features: Floats,
    labelled: Labelled,
    folds: Sequence[Fold],
    *,
    by_fold: Sequence[Floats] = (),
    embargo_s: float,
    max_windows: int = 20_000,
    on_fold: Callable[[], None] = lambda: None,
) -> CrossValidated:
    """Fit a readout on the training windows of each fold and score it on those held out.

    `by_fold` are features of each fold's own, in place of `features`.
    """

    def held_out(fold: Fold, own: Floats) -> HeldOut:
        fitted = fit_readout(
            own, labelled, embargo_s=embargo_s, train=fold.train, max_windows=max_windows
        )
        readout, test = fitted.readout, labelled.pick(fold.test)
        return HeldOut(
            outputs_of(readout, own, test.rows),
            fitted.c,
            contributions_of(readout, own, test.rows, test.targets) if own is features else None,
            fitted,
        )

    # One core per fold rather than per product: see fit_readout.
    with threadpool_limits(1), ThreadPoolExecutor(_N_THREADS) as pool:
        found = pool.map(held_out, folds, by_fold or [features] * len(folds))
        return score_folds(labelled, folds, found, on_fold)


def score_folds(
    labelled: Labelled,
    folds: Sequence[Fold],
    held_out: Iterable[HeldOut],
    on_fold: Callable[[], None] = lambda: None,
) -> CrossValidated:
    """Scores of each fold and of all."""
    outputs = np.full((labelled.rows.size, len(labelled.names)), np.nan, np.float32)
    scores, penalties, contributions, fitted = [], [], [], []
    for fold, found in zip(folds, held_out, strict=True):
        outputs[fold.test] = found.outputs
        scores.append(scores_of(found.outputs, labelled.targets[fold.test]))
        penalties.append(found.penalty)
        fitted.append(found.fitted)
        if found.contributions is not None:
            contributions.append(found.contributions)
        on_fold()
    pooled = scores_of(outputs, labelled.targets)
    total = np.sum(contributions, axis=0) if contributions else None
    by_fold = summarise_folds(scores)
    return CrossValidated(outputs, scores, penalties, pooled, by_fold, total, fitted)


def outputs_of(readout: Any, features: Floats, rows: Ints) -> Floats:
    """What a readout gives for many windows, float32 [n_rows, n_outputs]."""
    weight = readout.weight.astype(np.float64).T
    out = np.empty((rows.size, weight.shape[1]), np.float32)
    for first in range(0, rows.size, _ROWS_AT_A_TIME):
        part = slice(first, first + _ROWS_AT_A_TIME)
        values = features[rows[part]] @ weight + readout.bias
        out[part] = softmax(values, axis=1) if readout.task == "classification" else values
    return out


def summarise_folds(scores: Sequence[Mapping[str, float]]) -> dict[str, Score]:
    """Mean, standard deviation, lowest and highest of each score, over folds or seeds."""
    found = {}
    for name in scores[0]:
        values = np.array([score[name] for score in scores])
        values = values[np.isfinite(values)]
        nothing = float("nan")
        found[name] = {
            "mean": float(values.mean()) if values.size else nothing,
            "std": float(values.std(ddof=1)) if values.size > 1 else nothing,
            "lowest": float(values.min()) if values.size else nothing,
            "highest": float(values.max()) if values.size else nothing,
        }
    return found


def null_distribution(
    features: Floats,
    labelled: Labelled,
    folds: Sequence[Fold],
    penalties: Sequence[float],
    draws: NullTargets,
    *,
    by_fold: Sequence[Floats] = (),
    with_drift_alone: bool = False,
    on_draw: Callable[[], None] = lambda: None,
) -> NullDistribution:
    """Fit and score again on every draw of the targets, the true ones among them.

    Only the last layer is fitted again, with the penalty of each fold, on the windows of the draws,
    without temperature. Where labels were shifted the same is done without slow drift, unless
    `with_drift_alone`. `by_fold` are features of each fold's own, in place of `features`: what a
    fold chose on the true labels of its training windows.
    """
    owns = by_fold or [features] * len(folds)
    rows = labelled.rows[draws.kept]
    unlike = {id(own): own[rows] for own in {id(own): own for own in owns}.values()}
    of_windows = [unlike[id(own)] for own in owns]
    scored = _refitted(of_windows, draws.targets, labelled, folds, penalties, draws.kept)
    on_draw()
    without = None
    if draws.without_drift is not None and not with_drift_alone:
        parts = labelled.pick(draws.kept).parts
        flat = {key: remove_drift(own, parts) for key, own in unlike.items()}
        level = [flat[id(own)] for own in owns]
        without = _refitted(level, draws.without_drift, labelled, folds, penalties, draws.kept)
    on_draw()
    return NullDistribution(draws, scored, without)


def score_clock(
    labelled: Labelled,
    folds: Sequence[Fold],
    draws: NullTargets | None,
    *,
    embargo_s: float,
    on_step: Callable[[], None] = lambda: None,
) -> tuple[CrossValidated, Clock]:
    """What time alone scores through the same folds, and its p value by the same draws."""
    time, key = clock_features(labelled), decisive(labelled.task)
    of_time = replace(labelled, rows=np.arange(labelled.rows.size))
    alone = cross_validate(time, of_time, folds, embargo_s=embargo_s, on_fold=on_step)
    p = math.nan
    if draws is not None:
        penalties = alone.penalties
        null = null_distribution(
            time, of_time, folds, penalties, draws, with_drift_alone=True, on_draw=on_step
        )
        p = null.p_value(key)
    return alone, Clock(alone.pooled[key], p, time_order(labelled))


def _refitted(
    by_fold: Sequence[Floats],
    targets: npt.NDArray[Any],
    labelled: Labelled,
    folds: Sequence[Fold],
    penalties: Sequence[float],
    kept: Ints,
) -> dict[str, Doubles]:
    """Held-out scores of each draw's targets [n_draws, n_kept] by the features of each fold."""
    outputs = np.full((len(targets), kept.size, len(labelled.names)), np.nan)

    def refit(fold: Fold, c: float, own: Floats) -> tuple[Ints, Doubles]:
        train, test = (np.flatnonzero(np.isin(kept, rows)) for rows in (fold.train, fold.test))
        if not train.size or not test.size:  # of a recording that takes no part
            return test[:0], outputs[:, :0]
        scaler = Standardiser.of(own, train)
        z, z_test = (scaler(own, part) for part in (train, test))
        c *= fold.train.size / train.size
        return test, _outputs_of_draws(z, z_test, targets[:, train], outputs.shape[2], c)

    with threadpool_limits(1), ThreadPoolExecutor(_N_THREADS) as pool:
        for test, found in pool.map(refit, folds, penalties, by_fold):
            outputs[:, test] = found
    return score_draws(outputs, targets)


def _outputs_of_draws(
    z_train: Floats, z_test: Floats, truth: npt.NDArray[Any], n_outputs: int, c: float
) -> Doubles:
    """Held-out outputs of a readout of each draw's targets [n_draws, n_train]; NaN of one class.

    float64 [n_draws, n_test, n_outputs].
    """
    if truth.dtype != np.int64:
        columns = np.moveaxis(truth.reshape(*truth.shape[:2], n_outputs), 0, 1)
        found = RidgePath.of(z_train, columns.reshape(len(z_train), -1)).predict(z_test, 1 / c)
        return np.moveaxis(found.reshape(len(z_test), -1, n_outputs), 1, 0)
    whole = [np.unique(targets).size > 1 for targets in truth]
    outputs = np.full((len(truth), len(z_test), n_outputs), np.nan)
    weights = fit_softmaxes(
        z_train, truth[whole], n_classes=n_outputs, c=np.full(sum(whole), c)
    )  # [P, K, D + 1]
    logits = z_test @ weights[..., :-1].reshape(-1, z_test.shape[1]).T
    logits = np.moveaxis(logits.reshape(len(z_test), -1, n_outputs), 1, 0)
    outputs[whole] = softmax(logits + weights[:, None, :, -1], axis=2)
    return outputs
