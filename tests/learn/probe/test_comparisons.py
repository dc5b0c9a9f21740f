"""Claims of a probe: labels saved by curves of known shift, and differences over subjects."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel, wilcoxon

from rtbrain.learn.probe.comparisons import claim, compare, curve_shift, labels_saved, primary

COUNTS = (16, 32, 64, 128, 256, 400)
DOUBLINGS = np.log2(COUNTS)


def auc_at(doublings: np.ndarray) -> np.ndarray:
    return 0.95 - 0.45 * np.minimum(1, 2 ** (-0.5 * (doublings - 3)))


def scores_of(shifts: np.ndarray, noise: float, seed: int, *, runs: int = 1) -> np.ndarray:
    """Scores [n_runs, n_subjects, 5 seeds, n_counts] of subjects whose curves are shifted."""
    rng = np.random.default_rng(seed)
    curves = auc_at(DOUBLINGS + shifts[:, np.newaxis])
    shape = runs, shifts.size, 5, len(COUNTS)
    return curves[np.newaxis, :, np.newaxis] + rng.normal(0, noise, shape)


@pytest.mark.parametrize("shift", [-2.0, -0.5, 0.0, 1.0, 2.0])
def test_a_curve_that_is_shifted_is_shifted_back(shift: float) -> None:
    found, at_end = curve_shift(DOUBLINGS, auc_at(DOUBLINGS + shift), auc_at(DOUBLINGS))
    assert found == pytest.approx(shift, abs=0.11)
    assert not at_end


def test_curves_that_are_alike_save_nothing_and_curves_apart_end_at_the_last_shift() -> None:
    flat = np.full(len(COUNTS), 0.9)
    assert curve_shift(DOUBLINGS, flat, flat) == (0.0, False)
    apart = curve_shift(DOUBLINGS, flat, np.linspace(0.5, 0.6, len(COUNTS)))
    assert apart[1]
    assert apart[0] > 3


@pytest.mark.parametrize("saved", [1, 4])
def test_intervals_of_labels_saved_hold_the_truth_in_about_95_of_100(saved: int) -> None:
    rng, held, n = np.random.default_rng(saved), 0, 60
    for seed in range(n):
        shifts = np.log2(saved) + rng.normal(0, 1, 6)
        found = labels_saved(
            scores_of(shifts, 0.02, 2 * seed), scores_of(0 * shifts, 0.02, 2 * seed + 1), COUNTS
        )
        assert found is not None
        held += found.doublings.low <= np.log2(saved) <= found.doublings.high
    assert held >= 0.85 * n


def test_what_is_said_of_labels_saved_depends_on_the_interval_and_the_subjects() -> None:
    def text(shifts: list[float]) -> str:
        moved = np.array(shifts)
        found = labels_saved(scores_of(moved, 0.0, 0), scores_of(0 * moved, 0.0, 0), COUNTS)
        assert found is not None
        return found.text

    assert text([1.0, 1.0, 1.0]) == "no claim: 3 subjects, 4 are needed"
    saved = text([0.8, 0.9, 1.0, 1.1, 1.2])
    assert saved.startswith("2.0 times fewer labels [1.7, 2.3], 5 subjects; in 0% of them at")
    assert text([-1.0, 0.5, 1.0, -0.5]).startswith("not shown to save labels: 1.0 times fewer")
    assert text([-1.2, -1.0, -1.0, -0.8]).startswith("2.0 times more labels [")
    assert labels_saved(np.zeros((1, 4, 2, 2)), np.zeros((1, 4, 2, 2)), (16, 32)) is None


def test_runs_and_seeds_are_averaged_within_a_subject_first() -> None:
    several = scores_of(np.ones(4), 0.1, 0, runs=3)
    found = labels_saved(several, scores_of(np.zeros(4), 0.0, 1), COUNTS)
    once = labels_saved(
        several.mean(axis=(0, 2))[np.newaxis, :, np.newaxis], scores_of(np.zeros(4), 0.0, 1), COUNTS
    )
    assert found == once


def test_a_subject_without_all_scores_is_left_out() -> None:
    moved = scores_of(np.ones(5), 0.0, 0)
    moved[:, 2, :, 1] = np.nan
    found = labels_saved(moved, scores_of(np.zeros(5), 0.0, 0), COUNTS)
    assert found is not None
    assert found.doublings.n_blocks == 4


def test_differences_have_scipys_p_values_corrected_for_the_counts() -> None:
    one, other = (scores_of(np.full(7, shift), 0.05, seed) for seed, shift in ((1, 1.0), (2, 0.0)))
    found = compare(one - other, COUNTS)
    means = one[0].mean(axis=1), other[0].mean(axis=1)
    raw = [ttest_rel(means[0][:, k], means[1][:, k]).pvalue for k in range(len(COUNTS))]
    assert [each["p"] for each in found] == pytest.approx(raw)
    order = np.argsort(raw)
    assert found[order[0]]["p_holm"] == pytest.approx(min(1, len(COUNTS) * raw[order[0]]))
    assert all(each["p_holm"] >= each["p"] for each in found)
    # A sign-flip of values all of one sign is that of their ranks.
    same = compare(np.abs(one - other), COUNTS)[0]
    ranks = np.abs(one - other)[0].mean(axis=1)[:, 0]
    assert same["sign_flip"] == pytest.approx(wilcoxon(ranks, method="exact").pvalue)


def test_a_claim_is_made_at_the_count_fixed_beforehand_and_of_enough_subjects() -> None:
    counts = list(COUNTS)
    assert (primary(counts), primary([25, 50, 100]), primary([400])) == (2, 1, 0)

    def said(n: int, shift: float) -> str:
        moved = scores_of(np.full(n, shift), 0.02, 3) - scores_of(np.zeros(n), 0.02, 4)
        return claim("A", "B", compare(moved, COUNTS), counts)

    assert said(8, 1.0).startswith("A minus B at 64 labels: +0.0")
    assert said(8, 1.0).endswith("sign-flip 0.008: better.")
    assert said(8, -1.0).endswith(": worse.")
    assert said(8, 0.0).endswith(": not shown to differ.")
    assert said(4, 1.0).endswith("; no claim below 6 subjects.")
    assert said(1, 1.0).endswith("; one subject: no claim about others.")
    nothing = np.full((1, 3, 2, len(COUNTS)), math.nan)
    assert claim("A", "B", compare(nothing, COUNTS), counts) == "A at 64 labels: not fitted."
