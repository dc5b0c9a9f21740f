"""Null distributions move labels where they say, and know how much a set of labels can show."""

import numpy as np
import pytest

from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.nulls import (
    PERMUTED,
    REDRAWN,
    clock_features,
    effective_count,
    label_overlap,
    null_of_outputs,
    null_targets,
    p_value,
    possible_shifts,
    remove_drift,
    time_order,
)

HOP_S, EMBARGO_S = 0.5, 6.0


def alternating(n: int, lengths: tuple[int, int], seed: int = 0) -> np.ndarray:
    runs = np.random.default_rng(seed).integers(*lengths, n)
    return np.repeat(np.arange(runs.size) % 2, runs)[:n].astype(np.int64)


def labelled_as(targets: np.ndarray, recordings: tuple[str, ...] = ()) -> Labelled:
    names = ("rest", "go") if targets.dtype == np.int64 else ("force",)
    t_s = np.concatenate(
        [np.arange(recordings.count(name)) * HOP_S for name in dict.fromkeys(recordings)]
        or [np.arange(len(targets)) * HOP_S]
    )
    return Labelled(np.arange(len(targets)), targets, names, t_s, recordings)


def test_twenty_on_twenty_off_hold_three_independent_stretches_however_long() -> None:
    targets = np.tile(np.repeat([0, 1], 20), 30).astype(np.int64)
    assert effective_count(labelled_as(targets)) == pytest.approx(2.985, abs=5e-4)
    assert effective_count(labelled_as(np.tile(targets, 4))) == pytest.approx(2.985, abs=0.01)
    assert effective_count(labelled_as(alternating(1200, (4, 12)))) > 20
    assert effective_count(labelled_as(np.zeros(50, np.int64))) == 0


def test_overlap_is_the_correlation_with_the_labels_turned_round() -> None:
    for targets in (alternating(200, (4, 12)), np.random.default_rng(0).normal(size=(200, 1))):
        phi = label_overlap(targets)
        for shift in (0, 1, 17, 150):
            turned = np.roll(targets, shift, axis=0).ravel()
            expected = np.corrcoef(targets.ravel(), turned)[0, 1]
            assert phi[shift] == pytest.approx(expected)


def test_no_shift_of_any_recording_is_shorter_than_the_embargo() -> None:
    long, short = alternating(1200, (4, 30), 1), alternating(120, (4, 30), 2)
    labelled = labelled_as(np.r_[long, short], ("a",) * 1200 + ("b",) * 120)
    drawn = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=99, max_windows=5000)
    assert drawn.n == 99
    shifts = []
    for part in (slice(0, 1200), slice(1200, 1320)):
        true, n = drawn.targets[0, part], part.stop - part.start
        rolled = true[(np.arange(n) - np.arange(n)[:, None]) % n]  # row k: rolled by k
        of = [np.flatnonzero((rolled == one[part]).all(axis=1)) for one in drawn.targets[1:]]
        assert all(moves.size for moves in of)
        assert min(min(k, n - k) for moves in of for k in moves) * HOP_S > EMBARGO_S
        shifts.append([moves[0] / n for moves in of])
    assert abs(np.corrcoef(shifts)[0, 1]) < 0.3, "each recording is shifted on its own"


def test_a_recording_too_short_to_shift_takes_no_part_and_none_at_all_is_an_error() -> None:
    long, short = alternating(600, (4, 30), 1), alternating(20, (4, 8), 2)
    labelled = labelled_as(np.r_[long, short], ("a",) * 600 + ("b",) * 20)
    drawn = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=19)
    assert drawn.kept.max() < 600
    with pytest.raises(SettingsError, match="cannot be shifted by more than 6 s"):
        null_targets(labelled.pick(np.arange(600, 620)), embargo_s=EMBARGO_S, n_permutations=19)


@pytest.mark.parametrize(
    ("targets", "fixed"),
    [
        (np.tile(np.repeat([0, 1, 2], 20), 9), True),
        (np.tile(np.repeat([0, 0, 1], (20, 9, 8)), 9), True),
        (alternating(400, (19, 22)), True),
        (alternating(400, (10, 40)), False),
        (np.repeat([0, 1, 0, 1, 0], 80), False),
    ],
)
def test_cues_that_take_turns_have_a_fixed_pace_and_few_or_uneven_ones_have_not(
    targets: np.ndarray, fixed: bool
) -> None:
    labelled = labelled_as(targets.astype(np.int64))
    drawn = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=9)
    assert drawn.fixed_pace == fixed


def test_shifts_go_beyond_the_first_zero_of_the_overlap() -> None:
    targets = np.repeat([0, 1], 300).astype(np.int64)  # rest first, task second
    shifts = possible_shifts(targets, np.arange(600) * HOP_S, EMBARGO_S)
    assert (shifts.min(), shifts.max()) == (150, 450)


def test_the_lowest_p_of_199_draws_is_0_005() -> None:
    assert p_value(1.0, np.linspace(0, 0.9, 199)) == pytest.approx(0.005)
    assert p_value(0.5, [0.5, 0.4, np.nan, 0.6]) == pytest.approx(3 / 4)


def test_clips_of_one_class_change_their_classes_as_a_whole() -> None:
    targets = np.repeat([0, 1, 1, 0, 1, 0, 0, 1], 30).astype(np.int64)
    labelled = labelled_as(targets, tuple(np.repeat(list("abcdefgh"), 30)))
    drawn = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=199)
    assert drawn.how == PERMUTED
    assert drawn.n == 69, "8 over 4 ways, less the true one"
    by_clip = drawn.targets.reshape(-1, 8, 30)
    assert (by_clip == by_clip[..., :1]).all()
    assert (by_clip[:, :, 0].sum(axis=1) == 4).all()


def test_a_stored_design_is_drawn_again() -> None:
    labelled = labelled_as(alternating(400, (4, 12)))
    drawn = null_targets(
        labelled,
        embargo_s=EMBARGO_S,
        n_permutations=59,
        design=lambda rng: alternating(400, (4, 12), int(rng.integers(1 << 30))),
    )
    assert (drawn.how, drawn.n, drawn.without_drift) == (REDRAWN, 59, None)
    assert drawn.overlap < 0.2


def test_slow_drift_is_removed_from_each_recording_and_fast_signals_stay() -> None:
    n = 300
    moments = (np.arange(n) + 0.5) / n
    slow = 5 + 3 * np.cos(np.pi * moments) - 2 * np.cos(4 * np.pi * moments)
    fast = np.cos(40 * np.pi * moments)
    values = np.stack((slow + fast, fast), axis=1)
    both = np.concatenate((values, 7 * values))
    found = remove_drift(both, [np.arange(n), np.arange(n, 2 * n)])
    np.testing.assert_allclose(found[:n], np.stack((fast, fast), axis=1), atol=1e-9)
    np.testing.assert_allclose(found[n:], 7 * np.stack((fast, fast), axis=1), atol=1e-8)
    np.testing.assert_array_equal(both[:n], values)


def test_every_draw_of_values_loses_its_drift_the_truth_too() -> None:
    rng = np.random.default_rng(0)
    values = (np.linspace(0, 9, 400) + rng.normal(size=400))[:, None].astype(np.float32)
    labelled = labelled_as(values)
    drawn = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=20)
    level = drawn.without_drift
    assert level is not None
    wave = np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    for draw in (0, 1, 20):  # removed before the shift, only the truth would lack it
        assert abs(np.corrcoef(level[draw, :, 0], wave)[0, 1]) < 1e-5


def test_drift_beside_a_drifting_mix_passes_for_information_only_until_it_is_removed() -> None:
    rng = np.random.default_rng(4)
    n = 1200
    share = np.linspace(0.2, 0.8, n // 4)
    targets = np.repeat((rng.random(n // 4) < share).astype(np.int64), 4)
    drift = np.linspace(-2, 2, n) + rng.normal(size=n)
    outputs = np.stack((-drift, drift), axis=1)
    labelled = labelled_as(targets)
    drawn = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=199)
    found = null_of_outputs(outputs, labelled, drawn)
    summary = found.summary()["auc"]
    assert summary["p_shifted"] <= 0.01
    assert summary["p_without_drift"] > 0.1
    assert found.p_value("auc") == summary["p_without_drift"]
    assert time_order(labelled) > 0.1


def test_time_alone_orders_halves_wholly_and_alternating_classes_hardly() -> None:
    halves = labelled_as(np.repeat([0, 1], 100).astype(np.int64))
    assert time_order(halves) == pytest.approx(0.5)
    assert time_order(labelled_as(np.tile([0, 1], 100).astype(np.int64))) < 0.01
    ramp = labelled_as(np.arange(200.0)[:, None])
    assert time_order(ramp) == pytest.approx(0.5)
    clock = clock_features(labelled_as(np.zeros(20, np.int64), ("a",) * 10 + ("b",) * 10))
    np.testing.assert_array_equal(clock[:10], clock[10:])
    np.testing.assert_allclose(clock[:, 2], clock[:, 0] ** 3, atol=1e-6)
