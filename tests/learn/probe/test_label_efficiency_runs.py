"""Intervals over subjects and training runs, and paired differences, against scipy and chance."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind, ttest_rel

from rtbrain.learn.probe.comparisons import estimate


def scores_of(n_runs: int, n_subjects: int = 6, seed: int = 0) -> np.ndarray:
    """AUC of runs, subjects and five draws: each run, subject and draw with its own luck."""
    rng = np.random.default_rng(seed)
    runs, subjects = rng.normal(0, 0.02, (n_runs, 1, 1)), rng.normal(0, 0.05, (1, n_subjects, 1))
    return 0.7 + runs + subjects + rng.normal(0, 0.03, (n_runs, n_subjects, 5))


def test_a_paired_interval_is_that_of_scipy_over_the_means_of_subjects() -> None:
    one, other = scores_of(1, seed=1), scores_of(1, seed=2)
    found = estimate(one - other)
    subjects = [scores[0].mean(axis=1) for scores in (one, other)]
    expected = ttest_rel(*subjects).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(one.mean() - other.mean())
    assert found.interval == "subjects"


def test_what_a_subject_gives_both_rows_does_not_widen_their_difference() -> None:
    one = scores_of(1)
    found = estimate(one + 0.01 - one)
    assert (found.low, found.mean, found.high) == pytest.approx((0.01, 0.01, 0.01))


def test_an_interval_over_subjects_and_runs_is_that_of_welch() -> None:
    scores = scores_of(4)
    found = estimate(scores)
    # The error of a difference of two independent means is that of their sum.
    cells = scores.mean(axis=2)
    subjects, runs = cells.mean(axis=0), cells.mean(axis=1)
    welch = ttest_ind(subjects, runs - runs.mean(), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((welch.low, welch.high))
    assert found.mean == pytest.approx(scores.mean())
    assert found.interval == "subjects and runs"


def test_runs_that_are_all_alike_leave_the_interval_over_subjects() -> None:
    one = scores_of(1)
    alone, several = estimate(one), estimate(np.repeat(one, 3, axis=0))
    assert (several.low, several.high) == pytest.approx((alone.low, alone.high))
    same = estimate(np.full((3, 4, 2), 0.6))
    assert (same.low, same.high) == pytest.approx((0.6, 0.6))


def test_of_one_subject_the_interval_is_over_runs() -> None:
    scores = scores_of(5, n_subjects=1)
    found = estimate(scores)
    expected = ttest_1samp(scores.mean(axis=(1, 2)), 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.interval == "runs"


@pytest.mark.parametrize(("n_subjects", "n_runs"), [(4, 5), (8, 3)])
def test_an_interval_over_subjects_and_runs_holds_the_truth_in_95_of_100(
    n_subjects: int, n_runs: int
) -> None:
    rng = np.random.default_rng(n_subjects)
    shape = (2000, n_runs, n_subjects, 1)
    probes = 0.7 + rng.normal(0, 0.04, (2000, n_runs, 1, 1)) + rng.normal(0, 0.02, shape)
    probes = probes + rng.normal(0, 0.04, (2000, 1, n_subjects, 1))
    found = [estimate(scores) for scores in probes]
    assert np.mean([one.low <= 0.7 <= one.high for one in found]) == pytest.approx(0.95, abs=0.015)
    # An interval over subjects alone passes over the luck of the training.
    naive = [estimate(scores.mean(axis=0, keepdims=True)) for scores in probes]
    assert np.mean([one.low <= 0.7 <= one.high for one in naive]) < 0.93


def test_one_run_of_a_row_is_held_against_every_run_of_the_other() -> None:
    several, one = scores_of(3, seed=1), scores_of(1, seed=2)
    by_hand = estimate(several - np.repeat(one, 3, axis=0))
    assert estimate(several - one) == by_hand
    assert estimate(one - several).mean == pytest.approx(-by_hand.mean)
    with pytest.raises(ValueError, match="broadcast"):
        estimate(several - scores_of(2))


def test_a_draw_that_one_row_lacks_is_left_out_of_both() -> None:
    one, other = scores_of(2, seed=1), scores_of(2, seed=2)
    one[0, 0, 0] = other[1, 2, 3] = np.nan
    found = estimate(one - other)
    assert found.n_missing == 2
    cells = np.nanmean(one - other, axis=2)
    assert found.mean == pytest.approx(cells.mean())
    one[1, 0] = np.nan  # this run says nothing of the first subject, who is left out
    assert estimate(one - other).mean == pytest.approx(cells[:, 1:].mean())
    nothing = estimate(np.full((2, 3, 1), np.nan) - scores_of(2, 3)[..., :1])
    assert np.isnan(nothing.mean)
    assert nothing.interval == "none"
