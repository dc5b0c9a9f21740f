"""Intervals count stretches, not windows, and give known answers."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp, wilcoxon

from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.intervals import (
    Blocks,
    group_blocks,
    holm,
    jackknife,
    over_subjects,
    paired_jackknife,
    sign_flip,
    stretch_blocks,
)
from rtbrain.types import Doubles, Floats, Ints


def labelled_as(targets: np.ndarray, hop_s: float = 0.5, recordings: tuple[str, ...] = ()):
    names = tuple("abcdef"[: int(targets.max()) + 1]) if targets.dtype == np.int64 else ("x",)
    rows = np.arange(len(targets))
    return Labelled(rows, targets, names, rows * hop_s, recordings)


def told(targets: Ints, seed: int, shift: float = 1.4) -> Floats:
    on = np.random.default_rng(seed).normal(size=targets.size) + shift * targets
    return np.stack((-on, on), axis=1).astype(np.float32)


def delong_error(values: Doubles, inside: np.ndarray) -> float:
    """DeLong et al. 1988, by placements of every window among those of the other class."""
    on, off = values[inside], values[~inside]
    wins = (on[:, None] > off).astype(float) + 0.5 * (on[:, None] == off)
    return float(
        np.sqrt(wins.mean(axis=1).var(ddof=1) / on.size + wins.mean(axis=0).var(ddof=1) / off.size)
    )


def test_with_every_window_its_own_block_the_error_is_delongs() -> None:
    for seed in range(3):
        targets = (np.random.default_rng(seed).random(400) < 0.3).astype(np.int64)
        outputs = told(targets, seed + 10)
        found = jackknife(outputs, targets, Blocks(np.arange(400), "windows"))["auc"]
        assert found.error == pytest.approx(delong_error(outputs[:, 1], targets == 1), rel=0.05)
        assert found.low < found.score < found.high


def test_cuts_lie_where_the_commonest_class_ends_and_every_stretch_stays_whole() -> None:
    targets = np.zeros(600, np.int64)
    for start in (50, 150, 250, 400, 520):
        targets[start : start + 30] = 1
    blocks = stretch_blocks(labelled_as(targets), embargo_s=6.0)
    assert (blocks.n, blocks.unit) == (5, "pairs of stretches")
    edges = np.flatnonzero(np.diff(blocks.number)) + 1
    assert edges.tolist() == [150, 250, 400, 520]
    three = np.tile(np.repeat([0, 1, 2], (24, 20, 16)), 10).astype(np.int64)
    number = stretch_blocks(labelled_as(three), embargo_s=6.0).number
    of_stretch = np.split(number, np.flatnonzero(np.diff(three)) + 1)
    assert {np.unique(one).size for one in of_stretch} == {1}
    assert np.unique(number).size == 10


def test_blocks_shorter_than_the_embargo_are_joined_and_none_spans_two_recordings() -> None:
    targets = np.tile(np.repeat([0, 1], 2), 60).astype(np.int64)  # pairs of 2 s
    one = stretch_blocks(labelled_as(targets), embargo_s=6.0)
    lasts = np.bincount(one.number) * 0.5
    assert lasts.min() >= 6.0
    assert one.n == 19
    two = stretch_blocks(
        labelled_as(targets, recordings=("a",) * 100 + ("b",) * 140), embargo_s=6.0
    )
    assert not set(two.number[:100]) & set(two.number[100:])


def test_values_are_cut_at_twice_the_time_for_which_they_last() -> None:
    rng = np.random.default_rng(0)
    keep = np.exp(-0.5 / 10)
    values = np.zeros(4000)
    for k in range(1, 4000):
        values[k] = keep * values[k - 1] + rng.normal()
    blocks = stretch_blocks(labelled_as(values[:, None].astype(np.float32)), embargo_s=6.0)
    # An autocorrelation of e^(-t / 10 s) is 0.1 at 23 s.
    assert 2000 / blocks.n == pytest.approx(2 * 23, rel=0.35)
    rough = stretch_blocks(labelled_as(rng.normal(size=(400, 1)).astype(np.float32)), embargo_s=6.0)
    assert rough.n == int(199.5 / 6.0)


def test_clips_sessions_and_subjects_are_blocks_of_their_own() -> None:
    targets = np.repeat(np.arange(6) % 3, 20).astype(np.int64)
    clips = stretch_blocks(
        labelled_as(targets, recordings=tuple(np.repeat(list("abcdef"), 20))), embargo_s=6.0
    )
    assert (clips.n, clips.unit) == (6, "clips")
    sessions = group_blocks(["one"] * 60 + ["two"] * 60, "sessions")
    assert np.bincount(sessions.number).tolist() == [60, 60]


def test_stretches_that_differ_widen_the_interval_that_counts_windows_would_give() -> None:
    rng = np.random.default_rng(1)
    targets = np.tile(np.repeat([0, 1], 20), 30).astype(np.int64)
    outputs = told(targets, 2) + np.repeat(rng.normal(0, 1, 60), 20)[:, None] * (-1, 1)
    by_stretch = jackknife(outputs, targets, stretch_blocks(labelled_as(targets), embargo_s=6.0))
    by_window = jackknife(outputs, targets, Blocks(np.arange(1200), "windows"))
    assert by_stretch["auc"].error > 2 * by_window["auc"].error
    assert (
        by_stretch["auc"]
        .text()
        .endswith("95 % over 30 pairs of stretches of this recording; says nothing of another day")
    )
    two = stretch_blocks(labelled_as(targets, recordings=("a", "b") * 600), embargo_s=6.0)
    assert " of these recordings; says" in jackknife(outputs, targets, two)["auc"].text()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_few_blocks_give_a_rough_range_and_fewer_than_five_none(n_classes: int) -> None:
    def found(n_blocks: int):
        targets = np.tile(np.repeat(np.arange(n_classes), 15), n_blocks).astype(np.int64)
        outputs = np.eye(n_classes)[targets] + np.random.default_rng(0).normal(
            0, 1, (targets.size, n_classes)
        )
        number = np.repeat(np.arange(n_blocks), 15 * n_classes)
        return jackknife(outputs, targets, Blocks(number, "pairs of stretches"))["auc"]

    assert np.isnan(found(4).low)
    assert "no interval: 4 pairs of stretches only" in found(4).text()
    assert "7 pairs of stretches only: a rough range" in found(7).text()
    assert "(few blocks)" in found(12).text()
    assert "few" not in found(20).text()


def test_above_an_area_of_0_95_only_a_lower_bound_is_given() -> None:
    targets = np.tile(np.repeat([0, 1], 20), 20).astype(np.int64)
    blocks = stretch_blocks(labelled_as(targets), embargo_s=6.0)
    high = jackknife(told(targets, 0, 3.5), targets, blocks)["auc"]
    assert high.brief() == f"{high.score:.2f}, at least {high.low:.2f}"
    perfect = jackknife(told(targets, 0, 30.0), targets, blocks)["auc"]
    assert perfect.low == pytest.approx(0.025 ** (1 / blocks.n)), "20 of 20, Clopper & Pearson"


def test_a_class_that_lies_in_one_block_alone_gives_no_interval() -> None:
    targets = np.tile(np.repeat([0, 1], 20), 20).astype(np.int64)
    targets[5:9] = 2
    outputs = np.random.default_rng(0).normal(size=(800, 3))
    found = jackknife(outputs, targets, Blocks(np.repeat(np.arange(20), 40), "blocks"))["auc"]
    assert np.isnan(found.low)
    assert "a class lies in one of the 20 blocks only" in found.text()


def test_correlations_lie_between_bounds_on_the_scale_of_fisher() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(900, 1))
    outputs = values + rng.normal(0, 0.5, (900, 1))
    found = jackknife(outputs, values, Blocks(np.repeat(np.arange(30), 30), "blocks"))
    r = found["pearson_r"]
    # Independent windows: Fisher's own error of z, 1 / sqrt(n - 3).
    assert (np.arctanh(r.high) - np.arctanh(r.low)) / 2 == pytest.approx(
        2.045 / np.sqrt(897), rel=0.35
    )
    assert found["r2"].high - found["r2"].score == pytest.approx(
        found["r2"].score - found["r2"].low
    )


def test_two_decoders_are_compared_on_the_same_blocks() -> None:
    targets = np.tile(np.repeat([0, 1], 20), 25).astype(np.int64)
    blocks = stretch_blocks(labelled_as(targets), embargo_s=6.0)
    shared = told(targets, 0)
    noise = np.random.default_rng(1).normal(0, 0.3, shared.shape)
    alike = paired_jackknife(shared + noise, shared, targets, blocks)["auc"]
    assert alike.low < 0 < alike.high or abs(alike.score) < 0.02
    worse = paired_jackknife(shared + 6 * noise, shared, targets, blocks)["auc"]
    assert worse.high < 0
    assert not worse.not_worse
    same = paired_jackknife(shared, shared, targets, blocks)["auc"]
    assert (same.low, same.score, same.high, same.not_worse) == (0, 0, 0, True)
    # The difference is surer than two intervals side by side.
    single = jackknife(shared, targets, blocks)["auc"]
    assert alike.high - alike.low < single.high - single.low


def test_five_subjects_never_reach_0_05_by_signs_and_six_can() -> None:
    assert sign_flip([5.0, 4, 3, 2, 1]) == pytest.approx(0.0625)
    assert sign_flip(np.random.default_rng(0).normal(3, 0.1, 5)) > 0.05
    assert sign_flip([1.0, 2, 3, 4, 5, 6]) == pytest.approx(0.03125)
    values = np.random.default_rng(2).normal(0.4, 1, 20)
    assert sign_flip(values) == pytest.approx(ttest_1samp(values, 0).pvalue, abs=0.01)
    ranks = np.array([3.0, -1, 2, 5, 4, 6, 7, -8])
    assert sign_flip(ranks) == pytest.approx(wilcoxon(ranks, method="exact").pvalue)


def test_means_over_subjects_have_students_interval() -> None:
    values = np.array([0.02, 0.05, -0.01, 0.04, 0.03, 0.06])
    found = over_subjects(values)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert np.isnan(over_subjects([0.1]).low)


def test_p_values_are_corrected_by_holms_steps() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == pytest.approx([1.0, 1.0])
