"""Held-out scores tell what is there: nothing where there is nothing, and what chance gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from rtbrain.learn.fit.cross_validation import (
    cross_validate,
    null_distribution,
    outputs_of,
    score_clock,
    summarise_folds,
)
from rtbrain.learn.fit.features import LinearStft
from rtbrain.learn.fit.labels import Labelled, targets_from_channels
from rtbrain.learn.fit.readout import fit_readout
from rtbrain.learn.fit.splits import Fold, block_folds, unsafe_random_folds
from rtbrain.learn.metrics import scores_of
from rtbrain.learn.nulls import null_targets
from rtbrain.recording.open import read_recording
from rtbrain.signal import Bipolar, HighPass
from rtbrain.types import Chunk, Floats, Quality, Window
from tests.conftest import brain_like, montage_of

HOP_S, EMBARGO_S = 0.5, 3.0


def drifting(seed: int, *, n_windows: int = 1200, lift: float = 0.0) -> tuple[Floats, Labelled]:
    """Features that wander within half a minute, classes that hold 10 to 30 s and wander not."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-HOP_S / 30)
    steps = rng.standard_normal((n_windows + 400, 100))
    features = lfilter([np.sqrt(1 - keep**2)], [1, -keep], steps, axis=0)[400:]
    runs = rng.integers(20, 60, n_windows // 20)
    targets = np.repeat(np.arange(runs.size) % 2, runs)[:n_windows].astype(np.int64)
    features[:, 0] += lift * targets
    t_s = np.arange(n_windows) * HOP_S
    labelled = Labelled(np.arange(n_windows), targets, ("rest", "speech"), t_s)
    return features.astype(np.float32), labelled


def blocks_of(labelled: Labelled, n_folds: int = 5) -> list[Fold]:
    return block_folds(labelled, n_folds=n_folds, embargo_s=EMBARGO_S)


def test_drift_without_information_scores_chance_in_blocks_and_far_above_at_random() -> None:
    blocked, random = [], []
    for seed in range(4):
        features, labelled = drifting(seed, n_windows=1000)
        for scores, folds in (
            (blocked, blocks_of(labelled, 4)),
            (random, unsafe_random_folds(labelled.rows.size, n_folds=4, seed=seed)),
        ):
            found = cross_validate(features, labelled, folds, embargo_s=EMBARGO_S)
            scores.append((found.pooled["auc"], found.pooled["balanced_accuracy"]))
    assert np.abs(np.mean(blocked, axis=0) - 0.5).max() < 0.05
    assert np.mean(random, axis=0).min() > 0.7


def test_what_is_there_is_found_and_lies_outside_what_shifted_labels_give() -> None:
    features, labelled = drifting(3, lift=1.5)
    folds = blocks_of(labelled)
    ticks: list[str] = []
    found = cross_validate(
        features, labelled, folds, embargo_s=EMBARGO_S, on_fold=lambda: ticks.append("fold")
    )
    draws = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=20)
    chance = null_distribution(features, labelled, folds, found.penalties, draws)
    assert ticks == ["fold"] * 5
    assert found.pooled["auc"] > chance.band("auc")[1]
    assert chance.p_value("auc") == pytest.approx(1 / 21)
    assert abs(np.median(chance.scores["auc"][1:]) - 0.5) < 0.1
    # The truth by the same path: fewer windows, another optimiser.
    assert chance.scores["auc"][0] == pytest.approx(found.pooled["auc"], abs=0.02)
    assert np.isfinite(found.outputs).all()
    assert [fold.test.size for fold in folds] == [240] * 5


def test_a_window_is_scored_by_a_readout_that_has_not_seen_it() -> None:
    features, labelled = drifting(1, lift=1.0)
    folds = blocks_of(labelled)
    found = cross_validate(features, labelled, folds, embargo_s=EMBARGO_S)
    fold = folds[2]
    alone = fit_readout(features, labelled, train=fold.train, embargo_s=EMBARGO_S)
    expected = np.stack([alone.readout(row) for row in features[fold.test]])
    np.testing.assert_allclose(found.outputs[fold.test], expected, atol=1e-6)
    assert found.folds[2] == scores_of(found.outputs[fold.test], labelled.targets[fold.test])
    np.testing.assert_array_equal(
        outputs_of(alone.readout, features, fold.test), found.outputs[fold.test]
    )


def test_drift_beside_a_drifting_mix_of_classes_is_no_information() -> None:
    rng = np.random.default_rng(2)
    n = 900
    targets = np.repeat((rng.random(n // 6) < np.linspace(0.15, 0.85, n // 6)).astype(np.int64), 6)
    features = rng.standard_normal((n, 8)).astype(np.float32)
    features[:, :4] += 4 * np.linspace(-1, 1, n)[:, None]
    labelled = Labelled(np.arange(n), targets, ("rest", "go"), np.arange(n) * HOP_S)
    folds = blocks_of(labelled)
    draws = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=99)
    found = null_distribution(features, labelled, folds, [1e-2] * 5, draws).summary()["auc"]
    assert found["true"] > 0.6
    assert found["p_shifted"] <= 0.05
    assert found["p"] == found["p_without_drift"] > 0.05
    alone = null_distribution(features, labelled, folds, [1e-2] * 5, draws, with_drift_alone=True)
    assert alone.p_value("auc") == found["p_shifted"]


def test_time_alone_is_scored_wherever_the_labelled_windows_lie() -> None:
    _, labelled = drifting(4)
    folds = blocks_of(labelled)
    draws = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=19)
    late = replace(labelled, rows=labelled.rows + 60)  # windows before the first marker
    found = [score_clock(one, folds, draws, embargo_s=EMBARGO_S)[1] for one in (labelled, late)]
    assert found[0] == found[1]
    assert found[0].p > 0.05


def test_windows_of_a_recording_too_short_to_shift_are_left_out_of_the_null() -> None:
    features, labelled = drifting(3, n_windows=420, lift=3.0)
    labelled = replace(labelled, recordings=["a"] * 400 + ["b"] * 20)
    draws = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=19)
    folds = [*blocks_of(labelled, 2), Fold("b", np.arange(300), np.arange(400, 420))]
    found = null_distribution(features, labelled, folds, [1e-2] * 3, draws)
    assert np.isfinite(found.scores["auc"]).all()
    assert found.p_value("auc") <= 0.1


def test_values_are_cross_validated_with_r_and_r_squared() -> None:
    features, _ = drifting(4)
    values = (features[:, :1] - features[:, 1:2]).astype(np.float32)
    t_s = np.arange(values.shape[0]) * HOP_S
    labelled = Labelled(np.arange(values.shape[0]), values, ("force",), t_s)
    folds = blocks_of(labelled, 4)
    found = cross_validate(features, labelled, folds, embargo_s=EMBARGO_S)
    assert found.pooled["pearson_r"] > 0.9
    assert found.pooled["r2"] > 0.8
    draws = null_targets(labelled, embargo_s=EMBARGO_S, n_permutations=19)
    chance = null_distribution(features, labelled, folds, found.penalties, draws)
    assert chance.p_value("pearson_r") == chance.p_value("r2") == pytest.approx(0.05)


def test_the_spread_leaves_nan_out() -> None:
    found = summarise_folds([{"auc": 0.6}, {"auc": float("nan")}, {"auc": 0.8}])["auc"]
    assert found["mean"] == pytest.approx(0.7)
    assert found["std"] == pytest.approx(np.std([0.6, 0.8], ddof=1))
    assert (found["lowest"], found["highest"]) == (0.6, 0.8)
    assert np.isnan(summarise_folds([{"auc": 0.5}])["auc"]["std"])


@pytest.mark.parametrize("sfreq_hz", [2048.0, 1000.0, 250.0])
def test_the_linear_control_is_the_mean_of_torchs_stft_up_to_the_newest_sample(
    sfreq_hz: float,
) -> None:
    n_samples = round(sfreq_hz)
    montage = montage_of(3, sfreq_hz)
    data = brain_like(3, n_samples, sfreq_hz)
    window = Window(data, 1.0, 0, Quality(np.ones(3, np.bool_)))
    before = data.copy()
    found = LinearStft(montage, length_samples=n_samples)(window).reshape(3, -1)
    frame = round(sfreq_hz / 4)
    rest = (n_samples - frame) % (frame // 4)
    expected = torch.stft(
        torch.from_numpy(data[:, rest:].copy()),
        frame,
        frame // 4,
        window=torch.hann_window(frame),
        center=False,
        return_complex=True,
    )
    kept = np.arange(frame // 2 + 1) * sfreq_hz / frame <= 150
    expected = expected.abs().mean(dim=2).numpy()[:, kept]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-2)
    np.testing.assert_array_equal(data, before)
    later = replace(window, data=np.concatenate((data, data[:, :frame]), axis=1))
    centred = LinearStft(montage, length_samples=n_samples, n_newer_samples=frame)
    np.testing.assert_array_equal(centred(later).reshape(3, -1), found)
    short = LinearStft(montage, length_samples=frame // 2)(window).reshape(3, -1)
    spectrum = np.fft.rfft(data[:, -(frame // 2) :] * torch.hann_window(frame // 2).numpy())
    np.testing.assert_allclose(short, np.abs(spectrum)[:, : short.shape[1]], rtol=2e-4, atol=1e-2)


@pytest.mark.shared
def test_grip_force_is_told_from_recorded_ecog_above_what_shifted_labels_give(shared: Path) -> None:
    recording = read_recording(shared / "data" / "ecog-gripforce")
    montage, n_samples = recording.montage, recording.n_samples
    everything = recording.read(0, n_samples)
    stamps = np.arange(n_samples) / montage.sfreq_hz
    ecog = [row for row, kind in enumerate(montage.kinds) if kind == "ecog"]
    chunk = Chunk((everything[ecog] * 1e-6).astype(np.float32), stamps)
    high_pass = HighPass(montage.pick([montage.names[row] for row in ecog]), cutoff_hz=0.5)
    bipolar = Bipolar(high_pass.montage)
    signal = bipolar(high_pass(chunk)).data
    length, hop = round(montage.sfreq_hz), round(0.1 * montage.sfreq_hz)
    control = LinearStft(bipolar.montage, length_samples=length)
    quality = Quality(np.ones(bipolar.montage.n_channels, np.bool_))
    ends = np.arange(length, n_samples + 1, hop)
    features = np.stack(
        [
            control(Window(signal[:, e - length : e], stamps[e - 1], e - length, quality))
            for e in ends
        ]
    )
    force = everything[montage.rows(["MOV_RIGHT"])[0]]
    labelled = targets_from_channels(
        stamps[ends - 1], force[np.newaxis], stamps, names=["MOV_RIGHT"], threshold="half"
    )
    # Three grips: three blocks of 6 s with one each.
    folds = block_folds(labelled, n_folds=3, embargo_s=1.5)
    found = cross_validate(features, labelled, folds, embargo_s=1.5)
    draws = null_targets(labelled, embargo_s=1.5, n_permutations=99)
    chance = null_distribution(features, labelled, folds, found.penalties, draws)
    assert 0.85 < found.pooled["auc"] < 0.95
    assert found.by_fold["auc"]["mean"] > 0.9
    assert found.pooled["auc"] > chance.band("auc")[1] + 0.05
    assert chance.summary()["auc"]["p_shifted"] < 0.03
