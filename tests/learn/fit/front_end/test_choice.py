"""The choice of a front end: it sees training windows alone, and has to be worth it."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from rtbrain.learn.fit.front_end.choice import FrontEndChoice, _ridge, choose_front_end
from rtbrain.learn.fit.front_end.names import FrontEnd
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.splits import block_folds
from rtbrain.types import Floats

N = 300
DEFAULT, OTHER, THIRD = (
    FrontEnd("bands", "log", pool, "as_given") for pool in ("0.25s", "1s", "0.5s")
)
NAMES = ("rest", "move", "hold")


def labelled(n_classes: int = 2, values: bool = False) -> Labelled:
    stretch = np.arange(N) // 10 % n_classes
    targets = np.sin(np.arange(N) / 7)[:, None].astype(np.float32) if values else stretch
    return Labelled(np.arange(N), targets, NAMES[:n_classes], np.arange(N) * 0.5)


def features(truth: Labelled, strengths: dict[FrontEnd, float]) -> dict[FrontEnd, Floats]:
    rng = np.random.default_rng(1)
    y = truth.targets.reshape(N, -1)
    if truth.task == "classification":
        y = np.eye(len(truth.names))[truth.targets]
    return {
        one: (strength * y @ rng.normal(size=(y.shape[1], 20)) + rng.normal(size=(N, 20))).astype(
            np.float32
        )
        for one, strength in strengths.items()
    }


def choose(
    truth: Labelled, rows: dict[FrontEnd, Floats], *, n_folds: int = 5, told: Labelled | None = None
) -> FrontEndChoice:
    folds = block_folds(truth, n_folds=n_folds, embargo_s=3.0)
    return choose_front_end(
        lambda one: rows[one], list(rows), DEFAULT, told or truth, folds, embargo_s=3.0
    )


@pytest.mark.parametrize("n_folds", [2, 5])
@pytest.mark.parametrize("truth", [labelled(), labelled(3), labelled(values=True)])
def test_one_that_clearly_tells_more_is_chosen_by_every_fold_and_by_all(
    truth: Labelled, n_folds: int
) -> None:
    found = choose(
        truth, features(truth, {DEFAULT: 0.02, OTHER: 1.0, THIRD: 0.02}), n_folds=n_folds
    )
    assert found.by_fold == (OTHER,) * n_folds
    assert found.chosen == OTHER
    assert max(found.inner_scores, key=lambda name: found.inner_scores[name]) == OTHER.name
    assert found.report["folds"] == {OTHER.name: n_folds}


def test_the_default_stays_where_another_is_not_better_by_two_standard_errors() -> None:
    truth = labelled()
    rows = features(truth, {DEFAULT: 0.3})
    rng = np.random.default_rng(0)
    for other in (OTHER, THIRD):  # the same but for what changes next to nothing
        rows[other] = rows[DEFAULT] + rng.normal(0, 1e-3, rows[DEFAULT].shape).astype(np.float32)
    found = choose(truth, rows)
    assert found.chosen == DEFAULT
    assert found.by_fold.count(DEFAULT) >= 4


def test_no_label_of_a_block_that_is_held_out_reaches_the_choice_of_its_fold() -> None:
    truth = labelled()
    rows = features(truth, {DEFAULT: 0.15, OTHER: 0.15, THIRD: 0.15})
    before = choose(truth, rows)
    folds = block_folds(truth, n_folds=5, embargo_s=3.0)
    for number, fold in enumerate(folds):
        targets = truth.targets.copy()
        targets[fold.test] = 1 - targets[fold.test]
        # A front end that knows what is told of the block held out, and nothing else.
        spoilt = {one: of.copy() for one, of in rows.items()}
        spoilt[OTHER][fold.test] += 50 * (targets[fold.test, None] - 0.5)
        told = Labelled(truth.rows, targets, truth.names, truth.t_s)
        assert choose(truth, spoilt, told=told).by_fold[number] == before.by_fold[number]


def test_a_block_of_one_class_is_left_out_and_too_few_keep_the_default() -> None:
    truth = labelled()
    rows = features(truth, {DEFAULT: 0.02, OTHER: 1.0})
    folds = block_folds(truth, n_folds=5, embargo_s=3.0)
    targets = np.zeros(N, np.int64)
    targets[folds[2].test[::2]] = 1
    one_block = Labelled(truth.rows, targets, truth.names, truth.t_s)
    assert choose(truth, rows, told=one_block).chosen == DEFAULT


@pytest.mark.parametrize("n_features", [8, 400])
def test_outputs_are_those_of_ridge_regressions(n_features: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(1, 1, (120, n_features)).astype(np.float32)
    y = rng.normal(size=(90, 2))
    products = x @ x.T if n_features > 90 else None
    got = _ridge(x, products, y, np.arange(90), np.arange(90, 120))
    centred = x[:90] - x[:90].mean(axis=0)
    unit = np.square(centred).sum() / 90
    for outputs, share in zip(got, np.logspace(2, -2, 5), strict=True):
        expected = Ridge(alpha=share * unit).fit(x[:90], y).predict(x[90:])
        np.testing.assert_allclose(outputs, expected, atol=2e-3)
