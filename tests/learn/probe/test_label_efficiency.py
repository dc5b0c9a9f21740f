"""Probes: what is labelled, drawn and scored, against planted truth and against chance."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import ttest_1samp
from sklearn.metrics import roc_auc_score

from rtbrain.encoder import BrainBERTSizes, PopTSizes, lip_positions, random_encoder
from rtbrain.errors import SettingsError
from rtbrain.learn.fit.popt import ChannelEmbeddings, population_of, tune_popt
from rtbrain.learn.probe.comparisons import estimate
from rtbrain.learn.probe.label_efficiency import (
    FrozenRow,
    TunedRow,
    draw_windows,
    max_labels,
    probe_subject,
)
from rtbrain.learn.probe.windows import (
    SubjectWindows,
    embedded,
    filled,
    mean_frame,
    subject_windows,
)
from rtbrain.types import Floats
from tests.learn.planted import LENGTH_S, N_FREQS, N_POOLED, planted_session

BRAINBERT = BrainBERTSizes(16, 32, 2, 1, N_FREQS)
POPT = PopTSizes(16, 16, 32, 2, 1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def windows() -> SubjectWindows:
    return subject_windows([planted_session("s1")], ("a", "b"), neural_delays_s=[0.0])


def noisy(windows: SubjectWindows, noise: float, seed: int) -> Floats:
    """The class itself, under noise that drifts slowly and noise that does not."""
    rng = np.random.default_rng(seed)
    n_windows = windows.windows.size
    drift = np.cumsum(rng.standard_normal((n_windows, 8)), axis=0) / np.sqrt(n_windows)
    values = drift + noise * rng.standard_normal((n_windows, 8))
    values[:, 0] += 2 * windows.labelled.targets
    return values.astype(np.float32)


def test_windows_have_the_state_of_the_moment_that_they_describe() -> None:
    session = planted_session("s1", strength=50.0)
    found = subject_windows([session], ("a", "b"), neural_delays_s=[0.0])
    raised = session.shards[0][found.windows, 0, -1, 2] > 25
    np.testing.assert_array_equal(found.labelled.targets, raised)
    later = subject_windows([session], ("a", "b"), neural_delays_s=[1.0])
    moved = session.shards[0][np.maximum(later.windows - 2, 0), 0, -1, 2] > 25
    np.testing.assert_array_equal(later.labelled.targets[2:], moved[2:])


def test_rows_that_describe_several_moments_share_windows_each_with_its_own_states() -> None:
    session = planted_session("s1", strength=50.0)
    both = subject_windows([session], ("a", "b"), neural_delays_s=[1.0, 0.0])
    for shift, delay_s in ((2, 1.0), (0, 0.0)):  # windows end 0.5 s apart
        raised = session.shards[0][np.maximum(both.windows - shift, 0), 0, -1, 2] > 25
        targets = both.described_at(delay_s).labelled.targets
        np.testing.assert_array_equal(targets[2:], raised[2:])
    later = subject_windows([session], ("a", "b"), neural_delays_s=[1.0])
    np.testing.assert_array_equal(both.windows, later.windows)  # none is left out for a change
    assert (both.described_at(0.0).labelled.targets != both.labelled.targets).any()


def test_sessions_of_a_subject_follow_each_other_and_are_read_from_their_own() -> None:
    first, second = planted_session("s1", seed=1), planted_session("s1", seed=2, n_windows=100)
    both = subject_windows([first, second], ("a", "b"), neural_delays_s=[0.0])
    assert both.labelled.recordings.count("1") == 100
    row = np.flatnonzero(both.session_of == 1)[7:8]
    np.testing.assert_array_equal(both.read(row)[0], second.window(int(both.windows[row][0])))


def test_sessions_with_other_channels_are_refused() -> None:
    several = [planted_session("s1"), planted_session("s1", n_channels=5)]
    with pytest.raises(SettingsError, match=r"subject s1.*other channels"):
        subject_windows(several, ("a", "b"), neural_delays_s=[0.0])


def test_draws_are_balanced_and_more_labels_hold_the_fewer(windows: SubjectWindows) -> None:
    draws = draw_windows(windows, [25, 50, 100], n_seeds=3, embargo_s=LENGTH_S)
    for draw in draws:
        assert draw.train.size == draw.count
        shares = np.bincount(windows.labelled.targets[draw.train])
        assert shares.max() - shares.min() <= 1
    by = {(draw.seed, draw.count): set(draw.train.tolist()) for draw in draws}
    for seed in range(3):
        assert by[seed, 25] < by[seed, 50] < by[seed, 100]
    assert by[0, 25] != by[1, 25]


def test_no_training_window_shares_a_sample_with_a_test_window(windows: SubjectWindows) -> None:
    t_s = windows.labelled.t_s
    draws = draw_windows(windows, [100], n_seeds=5, embargo_s=LENGTH_S)
    for draw in draws:
        apart = np.abs(t_s[draw.train][:, None] - t_s[draw.test][None])
        assert apart.min() > LENGTH_S
    assert np.unique(np.concatenate([draw.test for draw in draws])).size == t_s.size


def test_the_most_labels_can_be_drawn_and_not_one_pair_more(windows: SubjectWindows) -> None:
    most = max_labels(windows, embargo_s=LENGTH_S)
    draws = draw_windows(windows, [most, most + 2], n_seeds=5, embargo_s=LENGTH_S)
    assert all(draw.train.size == most for draw in draws if draw.count == most)
    assert any(draw.train.size < most + 2 for draw in draws if draw.count == most + 2)


def test_planted_features_come_in_their_known_order(windows: SubjectWindows) -> None:
    strong, weak = noisy(windows, 0.5, 1), noisy(windows, 2.0, 2)
    nothing = noisy(windows, 1.0, 3)[:, 1:]
    draws = draw_windows(windows, [12, 100], n_seeds=4, embargo_s=LENGTH_S)
    found = [
        probe_subject(windows, FrozenRow([features]), draws, embargo_s=LENGTH_S)
        for features in (strong, weak, nothing)
    ]
    few, many = np.stack([auc.mean(axis=0) for auc, _ in found]).T
    assert few[0] > few[1] > few[2]
    assert many[0] > 0.95
    assert many[1] > few[1] + 0.02
    assert abs(many[2] - 0.5) < 0.15
    assert found[0].shape == (2, 4, 2)


def test_labels_that_say_nothing_score_at_chance(windows: SubjectWindows) -> None:
    # States of the right lengths, shifted round in time; features that drift as signals do.
    features = noisy(windows, 1.0, 4)
    rng = np.random.default_rng(5)
    scores = []
    for shift in rng.integers(20, 200, 12):
        moved = np.roll(windows.labelled.targets, shift)
        shuffled = rng.permutation(moved)
        for targets in (moved, shuffled):
            other = replace(windows, labelled=replace(windows.labelled, targets=targets))
            draws = draw_windows(other, [60], n_seeds=2, embargo_s=LENGTH_S)
            row = FrozenRow([features[:, 1:]])
            scores.append(probe_subject(other, row, draws, embargo_s=LENGTH_S)[0])
    values = np.concatenate(scores).ravel()
    assert abs(values.mean() - 0.5) < 3 * values.std() / np.sqrt(values.size)


def test_a_seed_has_its_own_features_where_there_are_several(windows: SubjectWindows) -> None:
    several = [noisy(windows, 0.2, 1), noisy(windows, 0.2, 1)[:, ::-1].copy() * 0]
    draws = draw_windows(windows, [40], n_seeds=2, embargo_s=LENGTH_S)
    found = probe_subject(windows, FrozenRow(several), draws, embargo_s=LENGTH_S)
    strong, nothing = found[0, :, 0]
    assert strong > 0.95
    assert nothing == 0.5


def test_a_tuned_row_scores_what_its_fit_gives_and_leaves_its_encoder_as_it_was(
    windows: SubjectWindows,
) -> None:
    torch.set_num_threads(1)
    popts = [random_encoder(POPT, seed) for seed in (0, 1)]
    before = {name: tensor.clone() for name, tensor in popts[1].state_dict().items()}
    n_windows, n_channels = windows.good.shape
    rng = np.random.default_rng(0)
    several = rng.standard_normal((2, n_windows, n_channels, 16)).astype(np.float32)
    several[..., :8] += 2 * windows.labelled.targets[:, None, None]
    row = TunedRow(popts, list(several), 4)
    draws = draw_windows(windows, [6, 80], n_seeds=2, embargo_s=LENGTH_S)
    scores = probe_subject(windows, row, draws[::2], embargo_s=30.0)[0]
    assert np.isnan(scores[:, 0]).all()  # six windows leave no block to stop on, 30 s away
    scores = probe_subject(windows, row, draws[1::2], embargo_s=LENGTH_S)[0]
    draw = draws[3]
    embeddings = ChannelEmbeddings(
        several[1], lip_positions(windows.sessions[0].montage), windows.good
    )
    tuned = tune_popt(
        popts[1], embeddings, windows.labelled, embargo_s=LENGTH_S, seed=1, train=draw.train,
        n_steps=4,
    )  # fmt: skip
    logits = population_of(tuned.popt, embeddings, draw.test) @ tuned.readout.weight.T
    expected = roc_auc_score(windows.labelled.targets[draw.test], logits[:, 1] - logits[:, 0])
    assert scores[1, 0] == pytest.approx(expected)
    after = popts[1].state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_embeddings_are_those_of_each_window_alone_and_bad_channels_reach_none() -> None:
    session = planted_session("s1", n_windows=100, n_channels=3)
    session.good[::3, 1] = False
    session.shards[0][::3, 1] = np.nan
    windows = subject_windows([session], ("a", "b"), neural_delays_s=[0.0])
    encoder = random_encoder(BRAINBERT, 0)
    found = embedded(
        windows,
        {"it": encoder},
        {"mean": partial(mean_frame, pool="last", n_pooled=N_POOLED)},
        pool="last",
        n_pooled=N_POOLED,
        device=CPU,
    )
    for row in (0, 1, 50, len(windows.windows) - 1):
        number = int(windows.windows[row])
        item = torch.from_numpy(session.window(number))
        good = session.good[number]
        with torch.no_grad():
            alone = encoder.embed(item[good], "last", N_POOLED).numpy()
        np.testing.assert_allclose(found["it"][row][good], alone, atol=1e-5)
        assert not found["it"][row][~good].any()
        mean = session.window(number)[good, -N_POOLED:].mean(axis=1)
        np.testing.assert_allclose(found["mean"][row][good], mean, atol=1e-5)
        assert not found["mean"][row][~good].any()


def test_a_bad_channel_gets_its_mean_over_the_windows_where_it_is_good() -> None:
    channels = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    good = np.array([[True, True], [True, False], [True, True]])
    channels[1, 1] = 0
    row = filled(channels, good)
    np.testing.assert_array_equal(row[1], [4, 5, (2 + 10) / 2, (3 + 11) / 2])
    np.testing.assert_array_equal(row[[0, 2]], channels[[0, 2]].reshape(2, 4))


@pytest.mark.parametrize("n_subjects", [2, 3, 4])
def test_an_interval_holds_the_truth_in_95_of_100_probes(n_subjects: int) -> None:
    rng = np.random.default_rng(n_subjects)
    probes = 0.7 + rng.normal(0, 0.05, (4000, n_subjects, 1))
    probes = probes + rng.normal(0, 0.04, (4000, n_subjects, 5))
    found = [estimate(scores[np.newaxis]) for scores in probes]
    held = np.mean([each.low <= 0.7 <= each.high for each in found])
    assert held == pytest.approx(0.95, abs=0.012)
    assert {each.interval for each in found} == {"subjects"}


def test_an_interval_is_that_of_scipy_over_the_means_of_subjects() -> None:
    scores = np.random.default_rng(0).normal(0.7, 0.05, (1, 6, 5))
    found = estimate(scores)
    expected = ttest_1samp(scores[0].mean(axis=1), 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.p == pytest.approx(ttest_1samp(scores[0].mean(axis=1), 0).pvalue)


def test_the_seeds_of_one_subject_have_a_range() -> None:
    scores = np.random.default_rng(0).normal(0.7, 0.05, (1, 1, 5))
    found = estimate(scores)
    assert (found.low, found.high, found.interval) == (scores.min(), scores.max(), "seeds")
    assert np.isnan(found.p)


def test_subjects_weigh_the_same_whatever_is_missing_of_them() -> None:
    nan = np.nan
    found = estimate(np.array([[[0.5, nan, nan], [0.7, 0.9, 0.8]]]))
    assert (found.mean, found.n_missing) == (pytest.approx(0.65), 2)
    assert found.interval == "subjects"
    assert estimate(np.array([[[nan, nan], [0.7, 0.9]]])).interval == "seeds"
    for alone in ([[0.7]], [[nan, 0.7], [nan, nan]]):
        one = estimate(np.array([alone]))
        assert (one.mean, one.interval) == (0.7, "none")
        assert np.isnan([one.low, one.high]).all()
    assert np.isnan(estimate(np.full((1, 2, 2), nan)).mean)
