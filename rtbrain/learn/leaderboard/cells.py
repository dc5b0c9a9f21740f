"""Cells of the leaderboard: a task, a regime, a session and a fold, scored for every row."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.build import SETTLING_S
from rtbrain.learn.fit.readout import Standardiser
from rtbrain.learn.fit.solvers import RidgePath
from rtbrain.learn.intervals import Blocks, jackknife
from rtbrain.learn.leaderboard.film import MAX_A_CLASS, WINDOW_S
from rtbrain.learn.leaderboard.rows import FLOOR
from rtbrain.learn.leaderboard.sessions import BEFORE_S, Session
from rtbrain.learn.metrics import roc_auc, score_values
from rtbrain.types import Doubles, Floats, Ints

WITHIN, ACROSS_SESSIONS, ACROSS_SUBJECTS = "within session", "across sessions", "across subjects"
REGIMES = (WITHIN, ACROSS_SESSIONS, ACROSS_SUBJECTS)
UPSTREAM, STRICT = "upstream", "strict"
SPLITS = (UPSTREAM, STRICT)
IDEAL, CLOCK, ORDER, SHIFTED = "ideal feature", "clock, 51 nearest", "time order", "labels shifted"
_NEAREST = 51
_LEAST_A_CLASS = 4
_SHARES = np.logspace(4, -4, 25)  # of the ridge's penalty, strongest first
_EMBARGO_S = WINDOW_S + BEFORE_S + SETTLING_S


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """Labelled events of a task in a session: of classes as many of each, by rank in turn."""

    session: Session
    rows: Ints  # int64 [n_items], events
    labels: npt.NDArray[Any]  # [n_items], int64 of classes, 1, 0, 1, 0, ..., or float64 values

    @property
    def times_s(self) -> Doubles:
        """When each begins, float64 [n_items]."""
        return self.session.film.times_s[self.rows]

    @property
    def targets(self) -> Doubles:
        """What is regressed on, [n_items, n_outputs]: one number, or of many classes one each."""
        n_classes = int(self.labels.max()) + 1
        if self.labels.dtype != np.int64 or n_classes == 2:
            return self.labels[:, np.newaxis].astype(np.float64)
        return np.asarray(np.eye(n_classes)[self.labels])

    def pick(self, at: Ints) -> "Items":
        """Some of them."""
        return Items(self.session, self.rows[at], self.labels[at])


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Items to train on, to choose the penalty on, and to test on once."""

    split: str
    number: int
    train: Items
    validation: Items
    test: Items

    @property
    def whole(self) -> bool:
        """Whether each part has a few items, of every class."""
        parts = self.train, self.validation, self.test
        if self.train.labels.dtype != np.int64:
            return min(one.rows.size for one in parts) >= 4 * _LEAST_A_CLASS
        n = max(int(one.labels.max(initial=0)) for one in parts) + 1
        counts = [np.bincount(one.labels, minlength=n).min() for one in parts]
        return bool(min(counts) >= _LEAST_A_CLASS)


@dataclass(frozen=True, slots=True)
class Cell:
    """Score of one row in one fold."""

    row: str
    task: str
    regime: str
    split: str
    subject: int
    session: int
    fold: int
    score: float  # AUC, of four classes the mean of each against the others; of values r
    error: float  # over blocks of a sentence and the pause after it
    independent: float  # standard error if windows were independent
    n_test: int
    ceiling: float
    bound: float


def task_items(session: Session, task: str) -> Items:
    """Items as Neuroprobe draws them: equal classes, interleaved by rank in their class.

    Values stay in the order of time.

    References
    ----------
    Zahorodnii et al. 2025, Neuroprobe, arXiv:2509.21671.
    """
    rows, labels = session.film.labels(task)
    kept = session.clean[rows]
    if labels.dtype != np.int64:
        return Items(session, rows[kept], labels[kept])
    order = (1, 0) if labels.max() == 1 else (0, 1, 2, 3)
    classes = [rows[kept & (labels == label)] for label in order]
    n = min(*(one.size for one in classes), MAX_A_CLASS)
    # The benchmark's generator.
    rng = np.random.RandomState(42)
    drawn = [np.sort(rng.choice(one, n, replace=False)) for one in classes]
    return Items(session, np.stack(drawn, 1).ravel(), np.tile(order, n))


def within_folds(items: Items) -> Iterator[Fold]:
    """Two halves by rank, as the benchmark cuts them, and two halves of the time."""
    halves = np.array_split(np.arange(items.rows.size), 2)
    for number, test in enumerate(halves):
        validation, tested = np.array_split(test, 2)
        parts = [items.pick(at) for at in (halves[1 - number], validation, tested)]
        yield Fold(UPSTREAM, number, *parts)
    times_s, end_s = items.times_s, items.session.film.times_s[-1]
    for number in (0, 1):
        low_s, high_s = number * end_s / 2, (number + 1) * end_s / 2
        far = (times_s < low_s - _EMBARGO_S) | (times_s > high_s + _EMBARGO_S)
        yield Fold(
            STRICT,
            number,
            items.pick(np.flatnonzero(far)),
            *_halves_in_time(items, low_s, high_s),
        )


def other_folds(train: Items, target: Items) -> Iterator[Fold]:
    """Trained on another session; the target's items are halved by rank, and by time."""
    validation, tested = np.array_split(np.arange(target.rows.size), 2)
    yield Fold(UPSTREAM, 0, train, target.pick(validation), target.pick(tested))
    yield Fold(STRICT, 0, train, *_halves_in_time(target, 0.0, target.session.film.times_s[-1]))


def _halves_in_time(items: Items, low_s: float, high_s: float) -> tuple[Items, Items]:
    """Items of a stretch of time to choose on, and to test on, an embargo apart."""
    times_s, middle_s = items.times_s, (low_s + high_s) / 2
    before = (times_s >= low_s) & (times_s < middle_s - _EMBARGO_S / 2)
    after = (times_s >= middle_s + _EMBARGO_S / 2) & (times_s <= high_s)
    return items.pick(np.flatnonzero(before)), items.pick(np.flatnonzero(after))


class Ridge:
    """Ridge regressions for all penalties on the same training items, of several targets."""

    def __init__(self, features: Floats, targets: Doubles) -> None:
        everything = np.arange(len(features))
        self._standard = Standardiser.of(features, everything)
        self._path = RidgePath.of(self._standard(features, everything), targets)

    def outputs(self, features: Floats) -> Doubles:
        """Outputs for each penalty, strongest first: float64 [n_penalties, n_items, n_targets]."""
        path = self._path
        z = self._standard(features, np.arange(len(features)))
        coordinates = ((z - path.z_mean) @ path.axes).astype(np.float64)
        shrunk = path.squares + _SHARES[:, np.newaxis] * path.scale
        return np.asarray(coordinates @ (path.products / shrunk[..., np.newaxis]))


def best_outputs(chosen_on: Doubles, others: Items, test: Doubles) -> Doubles:
    """Outputs of test items for the penalty with the best score on others, [n_items, n_outputs]."""
    scores = [score(outputs, others.labels) for outputs in chosen_on]
    # Of equal ones the weakest, as the benchmark's reference readout does.
    return np.asarray(test[len(scores) - 1 - int(np.argmax(scores[::-1]))])


def score(outputs: Doubles, labels: npt.NDArray[Any]) -> float:
    """AUC of classes, correlation of values; 0 where all outputs are alike."""
    if labels.dtype == np.int64:
        return roc_auc(_by_class(outputs), labels)
    return float(np.nan_to_num(score_values(outputs, labels[:, np.newaxis])["pearson_r"]))


def _by_class(outputs: Doubles) -> Doubles:
    return np.concatenate([-outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs


def nearest_mean(times_s: Doubles, train_s: Doubles, targets: Doubles) -> Doubles:
    """Mean target of the 51 training items nearest in time, or of all where there are less."""
    n = min(_NEAREST, train_s.size)
    distance = np.abs(times_s[:, np.newaxis] - train_s)
    nearest = np.argpartition(distance, n - 1, axis=1)[:, :n]
    return np.asarray(targets[nearest].mean(axis=1))


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What the rows learned from some items."""

    items: Items
    ridges: dict[str, Ridge]


def train(items: Items, features: Mapping[str, Floats]) -> Trained:
    """Ridge regressions of every row, with the labels and with labels shifted in time."""
    shifted = Items(items.session, items.rows, shifted_labels(items))
    targets = np.concatenate([items.targets, shifted.targets], axis=1)
    ridges = {name: Ridge(reader(of)(items), targets) for name, of in features.items()}
    return Trained(items, ridges)


def reader(values: Floats) -> Callable[[Items], Floats]:
    """Features of items, all contacts in a row."""
    return lambda items: values[items.rows].reshape(items.rows.size, -1)


def score_fold(
    fold: Fold,
    regime: str,
    task: str,
    trained: Trained,
    features: Mapping[str, Callable[[Items], Floats]],
) -> Iterator[Cell]:
    """Every row's score in a fold. `features` gives those of some items, by row."""
    test, others = fold.test, fold.validation
    n_outputs = fold.train.targets.shape[1]
    outputs: dict[str, Doubles] = {}
    for name, ridge in trained.ridges.items():
        found = [ridge.outputs(features[name](one)) for one in (others, test)]
        true, shifted = zip(*(np.split(one, [n_outputs], axis=2) for one in found), strict=True)
        outputs[name] = best_outputs(true[0], others, true[1])
        if name == FLOOR:
            outputs[SHIFTED] = best_outputs(shifted[0], others, shifted[1])
    outputs[CLOCK] = nearest_mean(test.times_s, fold.train.times_s, fold.train.targets)
    if n_outputs == 1:
        outputs[ORDER] = test.times_s[:, np.newaxis]
    ideal = test.session.ideal_of(task, test.rows)
    if ideal is not None:
        outputs[IDEAL] = ideal
    ceiling, bound = test.session.ceiling(task, test.rows, test.labels)
    # A sentence and the pause after it are one block.
    sentence = (test.session.film.part[test.rows] + 1) // 2
    blocks = Blocks(np.unique(sentence, return_inverse=True)[1].astype(np.int64), "sentences")
    for name, values in outputs.items():
        reached, error = _with_error(values, test.labels, blocks)
        yield Cell(
            name,
            task,
            regime,
            fold.split,
            test.session.participant.number,
            test.session.number,
            fold.number,
            reached,
            error,
            independent_error(reached, test.labels),
            test.labels.size,
            ceiling,
            bound,
        )


def _with_error(outputs: Doubles, labels: npt.NDArray[Any], blocks: Blocks) -> tuple[float, float]:
    """Score, and its standard error over blocks."""
    if labels.dtype == np.int64:
        found = jackknife(_by_class(outputs), labels, blocks)["auc"]
        return found.score, found.error
    if not np.ptp(outputs):
        return 0.0, math.nan
    found = jackknife(outputs, labels[:, np.newaxis], blocks)["pearson_r"]
    return found.score, found.error


def shifted_labels(train: Items) -> npt.NDArray[Any]:
    """Labels shifted round in time against the items, by a quarter of them or more."""
    seed = 10 * train.session.participant.number + train.session.number
    order = np.argsort(train.times_s, kind="stable")
    n = order.size
    shift = int(np.random.default_rng(seed).integers(n // 4, n - n // 4))
    labels = np.empty_like(train.labels)
    labels[order] = np.roll(train.labels[order], shift)
    return labels


def independent_error(score: float, labels: npt.NDArray[Any]) -> float:
    """Standard error if windows were independent: of an AUC Hanley & McNeil's; of r Fisher's.

    Of four classes it is that of the mean class against the others.

    References
    ----------
    Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    if labels.dtype != np.int64:
        return float((1 - score**2) / np.sqrt(labels.size - 1))
    n_on = labels.size / (int(labels.max()) + 1)
    n_off = labels.size - n_on
    both_on, both_off = score / (2 - score), 2 * score**2 / (1 + score)
    variance = score * (1 - score)
    variance += (n_on - 1) * (both_on - score**2) + (n_off - 1) * (both_off - score**2)
    return float(np.sqrt(max(variance, 0) / (n_on * n_off)))
