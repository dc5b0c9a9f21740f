"""Which front end, chosen inside the training windows of each fold; and again on all.

The score of a decoder whose front end was chosen on the windows that it is tested on is too high:
of 48 equal ones the best stands 0.04 to 0.1 AUC above the truth. So each fold chooses its own, on
blocks of its training windows alone, and the score is that of the procedure.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

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


class _Inside(NamedTuple):
    """Training windows of a fold, and the blocks of these that are left out in turn."""

    fold: int
    rows: Ints
    blocks: list[tuple[int, Ints, Ints]]  # number, and what is fitted and scored, places in rows


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
    inside = _inner_blocks(labelled, folds, embargo_s)

    def scores(one: FrontEnd) -> dict[tuple[int, int], Doubles]:
        found = _scores(features(one), labelled, inside)
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


def _inner_blocks(labelled: Labelled, folds: Sequence[Fold], embargo_s: float) -> list[_Inside]:
    """The other folds' own blocks, or where these are few, blocks inside each training set."""
    found = []
    if len(folds) >= _FEWEST_FOLDS:
        for number, fold in enumerate(folds):
            rows = fold.train
            others = [(other, one) for other, one in enumerate(folds) if other != number]
            blocks = [
                (other, _places(rows, one.train), _places(rows, one.test)) for other, one in others
            ]
            found.append(_Inside(number, rows, blocks))
        return found
    everything = np.arange(labelled.rows.size)
    for number, rows in (*((i, fold.train) for i, fold in enumerate(folds)), (ALL, everything)):
        inside = inner_folds(labelled.pick(rows), embargo_s=embargo_s)
        blocks = [(block, *of) for block, of in enumerate(inside.folds)]
        found.append(_Inside(number, rows[inside.rows], blocks))
    return found


def _places(rows: Ints, of: Ints) -> Ints:
    return np.flatnonzero(np.isin(rows, of))


def _scores(
    features: Floats, labelled: Labelled, inside: Sequence[_Inside]
) -> dict[tuple[int, int], Doubles]:
    """Score of every penalty by fold and block: of classes AUC, of values Pearson's r."""
    found = {}
    for fold, rows, blocks in inside:
        if not rows.size:
            continue
        targets, x = labelled.targets[rows], features[rows]
        y = np.eye(len(labelled.names))[targets] if labelled.task == "classification" else targets
        mean, scale = _standards(x)
        x -= mean
        x /= scale
        np.nan_to_num(x, copy=False)
        products = x @ x.T if x.shape[1] > len(x) else None
        for block, train, test in blocks:
            outputs = _ridge(x, products, y, train, test)
            found[fold, block] = np.array([_score(values, targets[test]) for values in outputs])
    return found


def _ridge(
    x: Floats, products: Floats | None, y: npt.NDArray[Any], train: Ints, test: Ints
) -> Floats:
    """Outputs [n_penalties, n_test, n_outputs]; of `products` between windows, if there are any."""
    out = np.full((len(_SHARES), test.size, y.shape[1]), np.nan, np.float32)
    if not train.size or not test.size:
        return out
    y_mean = y[train].mean(axis=0)
    right = (y[train] - y_mean).astype(np.float32)
    if products is None:
        mean = x[train].mean(axis=0)
        z, left = x[train] - mean, x[test] - mean
        inner, right = z.T @ z, z.T @ right
    else:  # of windows less the mean of those that are fitted, likewise
        inner, left = products[np.ix_(train, train)], products[np.ix_(test, train)]
        mean = inner.mean(axis=0)
        left = left - left.mean(axis=1, keepdims=True) - mean + mean.mean()
        inner = inner - mean - mean[:, None] + mean.mean()
    unit = float(np.trace(inner, dtype=np.float64)) / train.size or 1.0
    for number, share in enumerate(_SHARES):
        penalised = inner.copy()
        penalised.flat[:: len(inner) + 1] += share * unit
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

    For all windows, a block's score is the mean over the folds that it was scored without.
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
