"""Scores of windows that were held out, and how sure one may be of them.

Every score is a dict: of classes ``auc`` and ``balanced_accuracy``, of values ``pearson_r`` and
``r2``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from rtbrain.offline.fitting import fit_classifier, fit_regressor
from rtbrain.offline.labels import Labelled
from rtbrain.offline.scoring import score_classes, score_values
from rtbrain.offline.splits import Fold, time_blocks
from rtbrain.types import Floats

__all__ = [
    "CrossValidated",
    "FoldResult",
    "block_bootstrap",
    "cross_validate",
    "outputs_of",
    "scores_of",
    "spread",
]

Rows = npt.NDArray[np.int64]
Score = dict[str, float]
Interval = tuple[float, float]

_ROWS_AT_A_TIME = 1024
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """One fold, fitted and scored.

    Attributes
    ----------
    name : str
        What was held out.
    scores : dict
        Of its test windows; NaN where only one class was tested.
    c, temperature : float
        Chosen inside its training windows.
    n_train, n_test : int
        Windows.
    """

    name: str
    scores: Score
    c: float
    temperature: float
    n_train: int
    n_test: int


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidated:
    """Every fold, and all of them together.

    Attributes
    ----------
    outputs : ndarray, float32 [n_labelled, n_outputs]
        Probabilities or values of the window by the fold that held it out; NaN where none did.
    folds : tuple of FoldResult
        In the order of the folds.
    pooled : dict
        Scores over all held-out windows: lower than those by fold where folds differ in their
        offset.
    by_fold : dict
        Mean, standard deviation, lowest and highest of each score over the folds: see `spread`.
    """

    outputs: Floats
    folds: tuple[FoldResult, ...]
    pooled: Score
    by_fold: dict[str, Score]


def cross_validate(
    features: Floats,
    labelled: Labelled,
    folds: Sequence[Fold],
    *,
    embargo_s: float,
    recordings: Sequence[str] = (),
    most_windows: int = 20_000,
    on_fold: Callable[[], None] = lambda: None,
) -> CrossValidated:
    """Fit a readout on the training windows of each fold and score it on those held out.

    Parameters
    ----------
    features : ndarray, float32 [n_windows, n_features]
        Of all windows.
    labelled : Labelled
        Which of them have a label.
    folds : sequence of Fold
        From `rtbrain.offline.splits`.
    embargo_s, recordings, most_windows
        As in `rtbrain.offline.fitting.fit_classifier`.
    on_fold : callable
        Called after each fold.
    """
    fit = fit_classifier if labelled.task == "classification" else fit_regressor
    n_outputs = len(labelled.names)
    outputs = np.full((labelled.rows.size, n_outputs), np.nan, np.float32)
    results = []
    for fold in folds:
        fitted = fit(
            features,
            labelled,
            embargo_s=embargo_s,
            train=fold.train,
            recordings=recordings,
            most_windows=most_windows,
        )
        rows = labelled.rows[fold.test]
        outputs[fold.test] = outputs_of(fitted.readout, features, rows)
        scores = scores_of(outputs[fold.test], labelled.targets[fold.test])
        sizes = fold.train.size, fold.test.size
        results.append(FoldResult(fold.name, scores, fitted.c, fitted.temperature, *sizes))
        on_fold()
    pooled = scores_of(outputs, labelled.targets)
    by_fold = spread([result.scores for result in results])
    return CrossValidated(outputs, tuple(results), pooled, by_fold)


def outputs_of(readout: Any, features: Floats, rows: Rows) -> Floats:
    """What a readout gives for many windows, float32 [n_rows, n_outputs].

    Parameters
    ----------
    readout : LinearReadout
        Of raw features.
    features : ndarray, float32 [n_windows, n_features]
        Of all windows.
    rows : ndarray, int64 [n_rows]
        Which of them.
    """
    weight = readout.weight.astype(np.float64).T
    out = np.empty((rows.size, weight.shape[1]), np.float32)
    for first in range(0, rows.size, _ROWS_AT_A_TIME):
        part = slice(first, first + _ROWS_AT_A_TIME)
        values = features[rows[part]] @ weight + readout.bias
        out[part] = softmax(values, axis=1) if readout.task == "classification" else values
    return out


def scores_of(outputs: npt.NDArray[Any], targets: npt.NDArray[Any]) -> Score:
    """Scores of outputs that are no NaN, by the kind of their targets.

    Parameters
    ----------
    outputs : ndarray, float [n_windows, n_outputs]
        Probabilities, or values.
    targets : ndarray, int64 [n_windows], or float [n_windows, n_outputs]
        Class numbers, or values.
    """
    classes = targets.dtype == np.int64
    found = score_classes(outputs, targets) if classes else score_values(outputs, targets)
    return {name: value for name, value in asdict(found).items() if name != "n_windows"}


def spread(scores: Sequence[Mapping[str, float]]) -> dict[str, Score]:
    """Mean, standard deviation, lowest and highest of each score, over folds or seeds.

    Parameters
    ----------
    scores : sequence of dict
        The same names in each; NaN are left out. One alone has no deviation: NaN.
    """
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


def block_bootstrap(
    outputs: Floats,
    labelled: Labelled,
    *,
    block_s: float,
    seed: int,
    recordings: Sequence[str] = (),
    n_draws: int = 1000,
) -> dict[str, Interval]:
    """Middle 95 % of the pooled scores over draws of blocks of time, with replacement.

    Windows that overlap are no independent samples; blocks longer than a window and a state nearly
    are. Draws without two classes are left out.

    Parameters
    ----------
    outputs : ndarray, float32 [n_labelled, n_outputs]
        As of `cross_validate`.
    labelled : Labelled
        What was to be told.
    block_s : float
        Length of a block, s.
    seed : int
        Of the draws.
    recordings : sequence of str [n_labelled]
        As in `rtbrain.offline.splits.block_folds`.
    n_draws : int
        How many.

    References
    ----------
    Künsch 1989, The jackknife and the bootstrap for general stationary observations,
    doi:10.1214/aos/1176347265.
    """
    tested = np.flatnonzero(np.isfinite(outputs).all(axis=1))
    places = np.asarray(recordings)[tested].tolist() if len(recordings) else ()
    block = time_blocks(labelled.t_s[tested], block_s, places)
    order = np.argsort(block, kind="stable")
    blocks = np.split(tested[order], np.flatnonzero(np.diff(block[order])) + 1)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(n_draws):
        picks = rng.integers(0, len(blocks), len(blocks))
        rows = np.concatenate([blocks[pick] for pick in picks])
        drawn.append(scores_of(outputs[rows], labelled.targets[rows]))
    intervals = {}
    for name in drawn[0]:
        values = np.array([score[name] for score in drawn])
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, _INTERVAL) if values.size else (np.nan, np.nan)
        intervals[name] = (float(low), float(high))
    return intervals
