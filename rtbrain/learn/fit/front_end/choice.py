"""Which front end, chosen inside the training windows of each fold; and again on all.

The score of a decoder whose front end was chosen on the windows that it is tested on is too high:
of 48 equal ones the best stands 0.04 to 0.1 AUC above the truth. So each fold chooses its own, on
blocks of its training windows alone, and the score is that of the procedure.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg.lapack import sposv
from threadpoolctl import threadpool_limits

from rtbrain.learn.fit.front_end.names import FrontEnd
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import inner_folds
from rtbrain.learn.fit.splits import Fold
from rtbrain.learn.metrics import roc_auc, score_values
from rtbrain.types import Doubles, Floats, Ints

ALL = -1  # in place of a fold's number: all windows
_FEWEST_FOLDS = 4  # whose blocks, but for the one held out, are enough to choose on
_SHARES = np.logspace(2, -2, 5)  # of the ridge's penalty in its scale, strongest first
_N_ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class _Split:
    """Windows to fit on, and those to score, each for the choice of a fold."""

    train: Ints
    tests: tuple[tuple[int, int, Ints], ...]  # fold that chooses, block, windows


@dataclass(frozen=True, slots=True, eq=False)
class FrontEndChoice:
    """What each fold chose, and what all windows together did."""

    default: FrontEnd
    by_fold: tuple[FrontEnd, ...]
    chosen: FrontEnd
    inner_scores: dict[str, float]  # of every front end, over all windows: too high
    n_windows: int

    @property
    def report(self) -> dict[str, Any]:
        """As plain values."""
        counts = Counter(one.name for one in self.by_fold)
        return {
            "default": self.default.name,
            "chosen": self.chosen.name,
            "folds": dict(counts.most_common()),
            "inner_scores_too_high": self.inner_scores,
            "windows": self.n_windows,
        }


def choose_front_end(
    features: Callable[[FrontEnd], Floats],
    front_ends: Sequence[FrontEnd],
    default: FrontEnd,
    labelled: Labelled,
    folds: Sequence[Fold],
    *,
    embargo_s: float,
    on_front_end: Callable[[], None] = lambda: None,
) -> FrontEndChoice:
    """Choose by ridge regression for each fold and for all windows.

    The default stays unless it loses to the best by more than two standard errors over the blocks
    that it is scored on.

    Parameters
    ----------
    features : callable
        Gives a front end's features of the labelled windows, float32 [n_labelled, n_features].
    """
    splits = _splits(labelled, folds, embargo_s)

    def scores(one: FrontEnd) -> dict[tuple[int, int], Doubles]:
        found = _scores(features(one), labelled, splits)
        on_front_end()
        return found

    with threadpool_limits(1), ThreadPoolExecutor(2) as pool:
        every = list(pool.map(scores, front_ends))
    at = front_ends.index(default)
    picks = [_pick(_table(every, fold), at) for fold in (*range(len(folds)), ALL)]
    table = _table(every, ALL)
    means = table.mean(axis=1) if table.size else np.full(len(front_ends), np.nan)
    names = (one.name for one in front_ends)
    return FrontEndChoice(
        default,
        tuple(front_ends[pick] for pick in picks[:-1]),
        front_ends[picks[-1]],
        dict(zip(names, means.tolist(), strict=True)),
        labelled.rows.size,
    )


def _splits(labelled: Labelled, folds: Sequence[Fold], embargo_s: float) -> list[_Split]:
    """Pairs of the folds' own blocks, or where these are few, blocks inside each training set.

    What is fitted without two blocks serves the choice of both.
    """
    if len(folds) >= _FEWEST_FOLDS:
        return [
            _Split(
                np.intersect1d(one.train, other.train),
                (
                    (i, j, np.intersect1d(other.test, one.train)),
                    (j, i, np.intersect1d(one.test, other.train)),
                ),
            )
            for (i, one), (j, other) in combinations(enumerate(folds), 2)
        ]
    splits = []
    everything = np.arange(labelled.rows.size)
    for number, rows in (*((i, fold.train) for i, fold in enumerate(folds)), (ALL, everything)):
        inside = inner_folds(labelled.pick(rows), embargo_s=embargo_s)
        for block, (train, test) in enumerate(inside.folds):
            kept = rows[inside.rows]
            splits.append(_Split(kept[train], ((number, block, kept[test]),)))
    return splits


def _scores(
    features: Floats, labelled: Labelled, splits: Sequence[_Split]
) -> dict[tuple[int, int], Doubles]:
    """Score of every penalty by fold and block: of classes AUC, of values Pearson's r."""
    wanted = labelled.targets
    y = np.eye(len(labelled.names))[wanted] if labelled.task == "classification" else wanted
    found = {}
    for split in splits:
        rows = np.concatenate([test for _, _, test in split.tests])
        outputs = _ridge(features[split.train], y[split.train], features[rows])
        start = 0
        for fold, block, test in split.tests:
            part = outputs[:, start : start + test.size]
            found[fold, block] = np.array([_score(values, wanted[test]) for values in part])
            start += test.size
    return found


def _ridge(train: Floats, y: npt.NDArray[Any], test: Floats) -> Floats:
    """Outputs [n_penalties, n_test, n_outputs], in the smaller of the spaces of both sides."""
    out = np.full((len(_SHARES), len(test), y.shape[1]), np.nan, np.float32)
    if not train.size or not test.size:
        return out
    mean, scale = _standards(train)
    z, z_test = ((np.nan_to_num(x - mean) / scale).astype(np.float32) for x in (train, test))
    y_mean = y.mean(axis=0)
    centred = (y - y_mean).astype(np.float32)
    dual = z.shape[1] > len(z)
    products = z @ z.T if dual else z.T @ z
    right = centred if dual else z.T @ centred
    left = z_test @ z.T if dual else z_test
    unit = float(np.einsum("nd,nd->", z, z, dtype=np.float64)) / len(z) or 1.0
    for number, share in enumerate(_SHARES):
        penalised = products.copy()
        penalised.flat[:: len(products) + 1] += share * unit
        _, solution, failed = sposv(penalised, right, lower=1, overwrite_a=1)
        if not failed:
            out[number] = left @ solution + y_mean
    return out


def _standards(train: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each feature, of what is known of it; 0 and 1 where that is nothing."""
    known = np.isfinite(train)
    if known.all():
        mean = train.mean(axis=0)
        scale = train.std(axis=0)
    else:
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, train, 0).sum(axis=0) / n
        scale = np.sqrt(np.square(np.where(known, train - mean, 0)).sum(axis=0) / n)
    return mean.astype(np.float32), np.where(scale > 1e-6, scale, 1).astype(np.float32)


def _score(outputs: Floats, targets: npt.NDArray[Any]) -> float:
    if not np.isfinite(outputs).all():
        return np.nan
    if targets.dtype != np.int64:
        return score_values(outputs, targets)["pearson_r"]
    return roc_auc(outputs, targets) if np.unique(targets).size > 1 else np.nan


def _table(every: Sequence[dict[tuple[int, int], Doubles]], fold: int) -> Doubles:
    """Scores [n_front_ends, n_blocks], each front end at its best penalty; blocks with all alone.

    For all windows, a block's score is the mean over the folds without which it was scored.
    """
    keys = list(every[0])
    own = [key for key in keys if key[0] == fold]
    blocks = [[key] for key in own]
    if fold == ALL and not own:
        blocks = [[key for key in keys if key[1] == block] for block in {key[1] for key in keys}]
    if not blocks:
        return np.empty((len(every), 0))
    with np.errstate(invalid="ignore"):
        scores = np.array(
            [[np.mean([one[key] for key in block], axis=0) for block in blocks] for one in every]
        )  # [front ends, blocks, penalties]
    scores = scores[:, np.isfinite(scores).all(axis=(0, 2))]
    best = scores.mean(axis=1).argmax(axis=1) if scores.shape[1] else np.zeros(len(every), int)
    found: Doubles = scores[np.arange(len(every)), :, best]
    return found


def _pick(table: Doubles, default: int) -> int:
    """Row of the best mean, where it stands clear of the default's."""
    if table.shape[1] < 2:
        return default
    best = int(table.mean(axis=1).argmax())
    gain = table[best] - table[default]
    error = gain.std(ddof=1) / np.sqrt(gain.size)
    return best if gain.mean() > _N_ERRORS * error else default
