"""Scores of windows that were held out, and how sure one may be of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import Standardiser, fit_readout, fit_softmax, row_coordinates
from rtbrain.learn.fit.splits import Fold, bootstrap_scores, subsample
from rtbrain.learn.metrics import Score, scores_of
from rtbrain.types import Doubles, Floats, Ints

Interval = tuple[float, float]
_ROWS_AT_A_TIME = 1024
_MOST = 1000  # windows that each run is fitted and scored on
_N_SHIFTS = 200


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidated:
    """Every fold, and all of them together."""

    outputs: Floats  # float32 [n_labelled, n_outputs]
    folds: list[Score]
    penalties: list[float]  # of each fold
    pooled: Score
    by_fold: dict[str, Score]


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

    def held_out(fold: Fold) -> tuple[Floats, float]:
        fitted = fit_readout(
            features, labelled, embargo_s=embargo_s, train=fold.train, max_windows=max_windows
        )
        outputs = outputs_of(fitted.readout, features, labelled.rows[fold.test])
        on_fold()
        return outputs, fitted.c

    return score_folds(labelled, folds, held_out)


def score_folds(
    labelled: Labelled, folds: Sequence[Fold], held_out: Callable[[Fold], tuple[Floats, float]]
) -> CrossValidated:
    """Scores of each fold and of all; `held_out` gives the outputs and the penalty of a fold."""
    outputs = np.full((labelled.rows.size, len(labelled.names)), np.nan, np.float32)
    scores, penalties = [], []
    for fold in folds:
        outputs[fold.test], c = held_out(fold)
        scores.append(scores_of(outputs[fold.test], labelled.targets[fold.test]))
        penalties.append(c)
    pooled = scores_of(outputs, labelled.targets)
    return CrossValidated(outputs, scores, penalties, pooled, summarise_folds(scores))


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


def block_bootstrap(outputs: Floats, labelled: Labelled, *, block_s: float) -> dict[str, Interval]:
    """Middle 95 % of the pooled scores over draws of blocks of time, with replacement.

    Overlapping windows are not independent samples; blocks longer than a window and a state nearly
    are. Draws without two classes are left out.

    References
    ----------
    Künsch 1989, The jackknife and the bootstrap for general stationary observations,
    doi:10.1214/aos/1176347265.
    """
    at = np.flatnonzero(np.isfinite(outputs).all(axis=1))
    outputs, tested = outputs[at], labelled.pick(at)
    return bootstrap_scores(
        lambda rows: scores_of(outputs[rows], tested.targets[rows]), tested, block_s=block_s
    )


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


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A fold whose features are standardised and rotated once for all shifts."""

    train: Ints  # into the labelled windows
    test: Ints
    z_train: Floats
    z_test: Floats
    c: float

    def outputs(self, targets: npt.NDArray[Any], n_outputs: int) -> Doubles:
        """Held-out outputs of a readout of these targets; NaN where one class is trained on."""
        found = np.full((self.test.size, n_outputs), np.nan)
        truth = targets[self.train]
        if targets.dtype != np.int64:
            model = Ridge(alpha=1 / self.c).fit(self.z_train, truth)
            found[:] = model.predict(self.z_test).reshape(found.shape)
        elif np.unique(truth).size > 1:
            weights = fit_softmax(self.z_train, truth, n_classes=n_outputs, c=self.c)
            found[:] = softmax(self.z_test @ weights[:, :-1].T + weights[:, -1], axis=1)
        return found


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
    prepared = [
        _prepare(features, labelled, fold, kept, c)
        for fold, c in zip(folds, validated.penalties, strict=True)
    ]
    scores = []
    # On busy cores, threads that wait for each other cost small products ten times what they save.
    with threadpool_limits(1):
        for share in _shares(labelled, embargo_s, n_permutations):
            targets = labelled.targets.copy()
            for part in labelled.parts:
                targets[part] = np.roll(targets[part], round(share * part.size), axis=0)
            outputs = np.full((labelled.rows.size, len(labelled.names)), np.nan)
            for fold in prepared:
                outputs[fold.test] = fold.outputs(targets, len(labelled.names))
            scores.append(scores_of(outputs, targets))
            on_permutation()
    return NullDistribution.of(scores)


def _prepare(features: Floats, labelled: Labelled, fold: Fold, kept: Ints, c: float) -> _Prepared:
    train, test = np.intersect1d(kept, fold.train), np.intersect1d(kept, fold.test)
    scaler = Standardiser.of(features, labelled.rows[train])
    z = row_coordinates(scaler(features, labelled.rows[np.concatenate((train, test))]))
    n_per_kept = fold.train.size / train.size
    return _Prepared(train, test, z[: train.size], z[train.size :], c * n_per_kept)


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
