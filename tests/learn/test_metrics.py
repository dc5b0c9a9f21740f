"""Scores agree with scikit-learn's and scipy's; events with those counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import pearsonr
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, r2_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from rtbrain.learn.metrics import (
    count_confusions,
    roc_curve,
    score_classes,
    score_values,
    scores_of,
    scores_without_blocks,
    states_at,
)


@given(st.integers(0, 1000), st.integers(2, 4), st.booleans())
def test_scores_of_classes_are_scikit_learns(seed: int, n_classes: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    states = np.r_[np.arange(n_classes), rng.integers(0, n_classes, 40)]
    logits = rng.normal(size=(states.size, n_classes)) + np.eye(n_classes)[states]
    told = softmax(np.round(logits) if ties else logits, axis=1)
    scores = score_classes(told.astype(np.float32), states)
    assert scores["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(states, told.astype(np.float32).argmax(axis=1))
    )
    np.testing.assert_array_equal(
        count_confusions(told.astype(np.float32), states),
        confusion_matrix(states, told.astype(np.float32).argmax(axis=1)),
    )
    told32 = told.astype(np.float32).astype(np.float64)
    told32 /= told32.sum(axis=1, keepdims=True)
    expected = (
        roc_auc_score(states, told.astype(np.float32)[:, 1])
        if n_classes == 2
        else roc_auc_score(states, told32, multi_class="ovr")
    )
    assert scores["auc"] == pytest.approx(expected, abs=1e-2 if ties else 1e-9)


@given(st.integers(0, 1000), st.booleans())
def test_a_roc_curve_is_scikit_learns(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    inside = np.r_[True, False, rng.random(30) < 0.4]
    values = np.round(rng.normal(size=32) + inside, 0 if ties else 9)
    expected = sklearn_roc_curve(inside, values, drop_intermediate=False)
    np.testing.assert_allclose(roc_curve(values, inside), expected[:2])


@given(st.integers(0, 1000), st.sampled_from([0, 2, 3]), st.booleans())
def test_scores_without_a_block_are_those_of_the_other_windows(
    seed: int, n_classes: int, ties: bool
) -> None:
    rng = np.random.default_rng(seed)
    block = np.r_[np.arange(6), rng.integers(0, 6, 54)]
    outputs = rng.normal(size=(60, n_classes or 2)).astype(np.float32)
    outputs = np.round(outputs) if ties else outputs
    outputs[6:][rng.random(54) < 0.1] = np.nan
    targets = rng.normal(size=(60, 2)) if not n_classes else rng.integers(-1, n_classes, 60)
    if n_classes:
        targets[:6] = np.arange(6) % n_classes
    found = scores_without_blocks(outputs, targets, block)
    for number in range(6):
        left = block != number
        gone = n_classes and set(targets[targets >= 0]) - set(
            targets[left & np.isfinite(outputs).all(axis=1)]
        )
        for name, score in scores_of(outputs[left], targets[left]).items():
            expected = np.nan if gone else score
            assert found[name][number] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_class_that_never_occurred_does_not_spoil_the_others() -> None:
    told = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], np.float32)
    scores = score_classes(told, np.array([0, 1, 0]))
    assert scores == {"balanced_accuracy": 1.0, "auc": 1.0}


def test_rows_without_a_state_or_a_decode_are_left_out() -> None:
    told = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8], [0.1, 0.9]], np.float32)
    scores = score_classes(told, np.array([0, 0, 1, -1]))
    assert scores["auc"] == 1.0
    assert np.isnan(score_classes(told, np.array([0, 0, 0, 0]))["auc"])


def test_scores_of_values_are_scipys_and_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(5, 2, (100, 2)).astype(np.float32)
    told = (targets + rng.normal(0, 1, (100, 2))).astype(np.float32)
    told[3] = np.nan
    scores = score_values(told, targets)
    kept = np.arange(100) != 3
    expected = np.mean([pearsonr(told[kept, k], targets[kept, k]).statistic for k in (0, 1)])
    assert scores["pearson_r"] == pytest.approx(expected, abs=1e-6)
    assert scores["r2"] == pytest.approx(r2_score(targets[kept], told[kept]), abs=1e-6)
    assert np.isnan(score_values(np.zeros((5, 1)), np.ones((5, 1)))["pearson_r"])


def test_the_state_is_that_of_the_last_marker() -> None:
    states = states_at(np.array([0.5, 1.0, 2.5]), [(1.0, "a"), (1.5, "x"), (2.0, "b")], ["a", "b"])
    assert states.tolist() == [-1, 0, 1]
