"""Scores of windows that were held out, and how sure one may be of them."""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import Standardiser, contributions_of, fit_readout
from rtbrain.learn.fit.solvers import RidgePath, fit_softmaxes
from rtbrain.learn.fit.splits import Fold, subsample
from rtbrain.learn.metrics import Score, scores_of
from rtbrain.types import Doubles, Floats, Ints

Interval = tuple[float, float]
_ROWS_AT_A_TIME = 1024
_MOST = 1000  # windows that each run is fitted and scored on
_N_SHIFTS = 200
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


class HeldOut(NamedTuple):
    """A fold's outputs, float32 [n_test, n_outputs], and the readout that gave them."""

    outputs: Floats
    penalty: float = math.nan
    contributions: Doubles | None = None


def cross_validate(
    features: Floats,
    labelled: Labelled,
    folds: Sequence[Fold],
    *,
    embargo_s: float,
    max_windows: int = 20_000,
    on_fold: Callable[[], None] = lambda: None,
) -> CrossValidated:
    """Fit a readout on the training windows of each fold and score it on those held out."""

    def held_out(fold: Fold) -> HeldOut:
        fitted = fit_readout(
            features, labelled, embargo_s=embargo_s, train=fold.train, max_windows=max_windows
        )
        readout, test = fitted.readout, labelled.pick(fold.test)
        return HeldOut(
            outputs_of(readout, features, test.rows),
            fitted.c,
            contributions_of(readout, features, test.rows, test.targets),
        )

    # One core per fold rather than per product: see fit_readout.
    with threadpool_limits(1), ThreadPoolExecutor(_N_THREADS) as pool:
        return score_folds(labelled, folds, pool.map(held_out, folds), on_fold)


def score_folds(
    labelled: Labelled,
    folds: Sequence[Fold],
    held_out: Iterable[HeldOut],
    on_fold: Callable[[], None] = lambda: None,
) -> CrossValidated:
    """Scores of each fold and of all."""
    outputs = np.full((labelled.rows.size, len(labelled.names)), np.nan, np.float32)
    scores, penalties, contributions = [], [], []
    for fold, found in zip(folds, held_out, strict=True):
        outputs[fold.test] = found.outputs
        scores.append(scores_of(found.outputs, labelled.targets[fold.test]))
        penalties.append(found.penalty)
        if found.contributions is not None:
            contributions.append(found.contributions)
        on_fold()
    pooled = scores_of(outputs, labelled.targets)
    total = np.sum(contributions, axis=0) if contributions else None
    return CrossValidated(outputs, scores, penalties, pooled, summarise_folds(scores), total)


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


@dataclass(frozen=True, slots=True, eq=False)
class NullDistribution:
    """Scores with labels shifted in time: what is reached without any information."""

    pooled: dict[str, Doubles]  # dict of ndarray, float64 [n_permutations]

    @classmethod
    def of(cls, scores: Sequence[Score]) -> "NullDistribution":
        """The scores of all shifts."""
        return cls({name: np.array([score[name] for score in scores]) for name in scores[0]})

    def interval(self, name: str) -> Interval:
        """Middle 95 % of a score."""
        values = self.pooled[name]
        low, high = np.percentile(values[np.isfinite(values)], (2.5, 97.5))
        return float(low), float(high)

    def p_value(self, name: str, score: float) -> float:
        """Share of the shifts, the true labels among them, that score as high or higher.

        References
        ----------
        Phipson & Smyth 2010, doi:10.2202/1544-6115.1585.
        """
        values = self.pooled[name]
        values = values[np.isfinite(values)]
        return float((1 + np.count_nonzero(values >= score)) / (1 + values.size))

    def summary(self, pooled: Score) -> dict[str, dict[str, Any]]:
        """Interval and p value of each pooled score, as plain values."""
        return {
            name: {
                "interval_95": self.interval(name),
                "p": self.p_value(name, pooled[name]),
                "n_permutations": int(values.size),
            }
            for name, values in self.pooled.items()
        }


def shifted_scores(outputs: Floats, targets: npt.NDArray[Any]) -> NullDistribution:
    """Scores of outputs against labels that are shifted round in time; nothing is fitted again.

    The first and last twentieth of the shifts are left out: they leave labels near their windows.
    """
    nearest = targets.shape[0] // 20 + 1
    shifts = np.linspace(nearest, targets.shape[0] - nearest, _N_SHIFTS)
    return NullDistribution.of(
        [
            scores_of(outputs, np.roll(targets, shift, axis=0))
            for shift in np.unique(np.rint(shifts).astype(np.int64))
        ]
    )


def null_distribution(
    features: Floats,
    labelled: Labelled,
    folds: Sequence[Fold],
    validated: CrossValidated,
    *,
    embargo_s: float,
    n_permutations: int = 100,
    on_permutation: Callable[[], None] = lambda: None,
) -> NullDistribution:
    """Fit and score again with the labels of each recording shifted round in time.

    A shift keeps how long states last and how slowly the signal drifts, which shuffling destroys;
    it is longer than the embargo either way round. States that alternate with one period come to
    lie on themselves again, and widen the interval. Only the last layer is fitted again, with the
    penalty that was chosen on the true labels, on 1000 windows at most, without temperature.

    References
    ----------
    Harris 2021, Nonsense correlations in neuroscience, doi:10.1101/2020.11.29.402719.
    """
    kept = subsample(np.arange(labelled.rows.size), _MOST)
    shifted = []
    for share in _shares(labelled, embargo_s, n_permutations):
        targets = labelled.targets.copy()
        for part in labelled.parts:
            targets[part] = np.roll(targets[part], round(share * part.size), axis=0)
        shifted.append(targets)
    outputs = np.full((len(shifted), labelled.rows.size, len(labelled.names)), np.nan)

    def refit(fold: Fold, c: float) -> tuple[Ints, Doubles]:
        train, test = np.intersect1d(kept, fold.train), np.intersect1d(kept, fold.test)
        scaler = Standardiser.of(features, labelled.rows[train])
        z, z_test = (scaler(features, labelled.rows[part]) for part in (train, test))
        truth = np.stack([targets[train] for targets in shifted])
        c *= fold.train.size / train.size
        return test, _outputs_of_shifts(z, z_test, truth, outputs.shape[2], c)

    with threadpool_limits(1), ThreadPoolExecutor(_N_THREADS) as pool:
        for test, found in pool.map(refit, folds, validated.penalties):
            outputs[:, test] = found
    scores = []
    for values, targets in zip(outputs, shifted, strict=True):
        scores.append(scores_of(values, targets))
        on_permutation()
    return NullDistribution.of(scores)


def _outputs_of_shifts(
    z_train: Floats, z_test: Floats, truth: npt.NDArray[Any], n_outputs: int, c: float
) -> Doubles:
    """Held-out outputs of a readout of each shift's targets [n_shifts, n_train]; NaN of one class.

    float64 [n_shifts, n_test, n_outputs].
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


def _shares(labelled: Labelled, embargo_s: float, n_permutations: int) -> Doubles:
    """Shifts as shares of each recording; the longest one decides how many there are."""
    longest = max(labelled.parts, key=len)
    t_s = labelled.t_s[longest]
    fewest = 1 + int(
        np.max(np.searchsorted(t_s, t_s + embargo_s, side="right") - np.arange(t_s.size))
    )
    possible = np.arange(fewest, longest.size - fewest + 1)
    if not possible.size:
        raise SettingsError(
            f"labels cannot be shifted by more than {embargo_s:g} s within {longest.size} windows: "
            "record more, or set n_permutations to 0"
        )
    rng = np.random.default_rng(0)
    drawn = rng.choice(possible, min(n_permutations, possible.size), replace=False)
    return np.sort(drawn) / longest.size
