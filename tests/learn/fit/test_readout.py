"""What fitting gives, and that it sees nothing but the training windows."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.quick_fit import fit_logistic
from rtbrain.learn.fit.readout import (
    Standardiser,
    apply_temperature,
    fit_readout,
    fit_temperature,
    inner_folds,
)
from rtbrain.learn.fit.solvers import fit_softmax, row_coordinates
from rtbrain.learn.metrics import reliability
from rtbrain.types import Floats

HOP_S, EMBARGO_S = 0.25, 1.5


def task(
    n_windows: int, n_features: int, *, n_classes: int = 2, lift: float = 1.0, seed: int = 0
) -> tuple[Floats, Labelled]:
    """Overlapping windows whose class changes every 20, and a few features that tell it."""
    rng = np.random.default_rng(seed)
    targets = (np.arange(n_windows) // 20 % n_classes).astype(np.int64)
    features = rng.normal(3, 2, (n_windows, n_features)).astype(np.float32)
    features[:, :n_classes] += lift * (targets[:, np.newaxis] == np.arange(n_classes))
    t_s = np.arange(n_windows) * HOP_S
    names = tuple(f"c{number}" for number in range(n_classes))
    return features, Labelled(np.arange(n_windows), targets, names, t_s)


def test_the_training_mean_of_the_features_is_kept_and_speaks_for_no_class() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 0, 1, 0, 1, 0, 1], 30)
    features = rng.normal(3, 2, (labels.size, 5)).astype(np.float32)
    features[:, 1] += 4 * labels
    fitted = fit_logistic(features, labels, n_classes=2, embargo_windows=2)
    np.testing.assert_allclose(fitted.feature_mean, features.mean(axis=0), rtol=1e-5)
    assert fitted.feature_mean.dtype == np.float32
    assert np.abs(fitted.readout(fitted.feature_mean) - 0.5).max() < 0.05


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("n_features", [12, 500])
@pytest.mark.parametrize("c", [1e-3, 1.0])
def test_the_logistic_fit_is_scikit_learns_in_features_and_in_coordinates(
    n_classes: int, n_features: int, c: float
) -> None:
    features, labelled = task(160, n_features, n_classes=n_classes)
    keep = np.r_[0:70, 90:160]  # unequal classes
    features, targets = features[keep], labelled.targets[keep]
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    theirs = LogisticRegression(C=c, class_weight="balanced", tol=1e-10, max_iter=10_000)
    expected = theirs.fit(scaled, targets).predict_proba(scaled)
    scaler = Standardiser.of(features, np.arange(targets.size))
    space = row_coordinates(scaler(features, np.arange(targets.size)))
    found = fit_softmax(space, targets, n_classes=n_classes, c=c, tolerance=1e-8)
    logits = space @ found[:, :-1].T + found[:, -1]
    np.testing.assert_allclose(softmax(logits, axis=1), expected, atol=2e-4)


def test_coordinates_keep_every_product_between_windows_and_are_no_more_than_windows() -> None:
    z = np.random.default_rng(0).standard_normal((40, 300)).astype(np.float32)
    z[7] = z[3]
    space = row_coordinates(z)
    assert space.shape == (40, 39)
    np.testing.assert_allclose(space @ space.T, z @ z.T, atol=2e-3)
    np.testing.assert_array_equal(row_coordinates(z.T), z.T)


def test_the_standardiser_is_that_of_its_rows_and_leaves_constants_alone() -> None:
    rng = np.random.default_rng(1)
    features = (rng.normal([0, 5, 1e4, 0], 2, (3000, 4))).astype(np.float32)
    features[:, 3] = 123.456
    rows = np.arange(100, 2900, 2)
    scaler = Standardiser.of(features, rows)
    np.testing.assert_allclose(scaler.mean, features[rows].mean(axis=0, dtype=float), rtol=1e-9)
    expected = [*features[rows, :3].std(axis=0, dtype=float), 1.0]
    np.testing.assert_allclose(scaler.scale, expected, rtol=1e-6)
    np.testing.assert_allclose(scaler(features, rows)[:, 3], 0, atol=1e-4)


def test_a_fit_reads_its_training_windows_only() -> None:
    features, labelled = task(400, 30)
    train = np.r_[0:250]
    fitted = fit_readout(features, labelled, train=train, embargo_s=EMBARGO_S)
    spoilt = features.copy()
    spoilt[250:] = np.nan
    targets = labelled.targets.copy()
    targets[250:] = 1
    other = Labelled(labelled.rows, targets, labelled.names, labelled.t_s)
    again = fit_readout(spoilt, other, train=train, embargo_s=EMBARGO_S)
    np.testing.assert_array_equal(fitted.readout.weight, again.readout.weight)
    assert (fitted.c, fitted.temperature) == (again.c, again.temperature)
    assert np.isfinite(again.readout.weight).all()


def test_penalties_are_chosen_on_blocks_that_keep_their_embargo() -> None:
    _, labelled = task(3000, 2)
    labelled.targets[:400] = 0
    train = np.arange(400, 2900)
    inside = inner_folds(labelled.pick(train), embargo_s=EMBARGO_S)
    t_s, targets = labelled.t_s[train[inside.rows]], labelled.targets[train[inside.rows]]
    assert (len(inside.folds), inside.rows.size) == (4, 1000)
    for train, test in inside.folds:
        assert np.abs(t_s[train][:, np.newaxis] - t_s[test]).min() > EMBARGO_S
        assert set(targets[train]) == set(targets[test]) == {0, 1}
    early = inner_folds(labelled.pick(np.arange(2000, 2400)), embargo_s=EMBARGO_S)
    assert len(early.folds) == 4
    assert not inner_folds(labelled.pick(np.arange(400)), embargo_s=EMBARGO_S).folds


def test_noise_is_penalised_more_than_a_plain_signal_and_held_out_chance_is_not_confident() -> None:
    features, labelled = task(600, 40, lift=0.0)
    noise = fit_readout(features, labelled, embargo_s=EMBARGO_S)
    plain = fit_readout(*task(600, 40, lift=8.0), embargo_s=EMBARGO_S)
    assert plain.validation_score > 0.95
    assert abs(noise.validation_score - 0.5) < 0.1
    told = np.stack([noise.readout(row) for row in features])
    assert np.abs(told - 0.5).max() < 0.3


def test_more_features_than_windows_and_one_stretch_a_class_still_give_a_readout() -> None:
    features, labelled = task(40, 200)
    fitted = fit_readout(features, labelled, embargo_s=EMBARGO_S)
    assert np.isnan(fitted.validation_score)
    assert fitted.temperature == 1.0
    told = np.stack([fitted.readout(row) for row in features]).argmax(axis=1)
    assert balanced_accuracy_score(labelled.targets, told) > 0.9


def test_thinning_before_the_choice_changes_little() -> None:
    features, labelled = task(3000, 10, lift=1.0)
    many = fit_readout(features, labelled, embargo_s=EMBARGO_S)
    fewer = fit_readout(features, labelled, embargo_s=EMBARGO_S, max_windows=1500)
    told = [np.stack([f.readout(row) for row in features])[:, 1] for f in (many, fewer)]
    assert np.corrcoef(*told)[0, 1] > 0.98
    aucs = [roc_auc_score(labelled.targets, values) for values in told]
    assert abs(aucs[0] - aucs[1]) < 0.01


def test_a_temperature_undoes_what_logits_were_multiplied_by_and_is_folded_into_the_readout() -> (
    None
):
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 1.5, (20_000, 3))
    shares = softmax(logits, axis=1)
    targets = (rng.random((20_000, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    temperature = fit_temperature(5 * logits, targets)
    assert abs(temperature - 5) < 0.2
    over, right = (reliability(softmax(k * logits, 1).astype(np.float32), targets) for k in (5, 1))
    assert right.error < 0.02 < 0.15 < over.error
    assert right.counts.sum() == 20_000
    features, labelled = task(100, 4)
    fitted = fit_readout(features, labelled, embargo_s=EMBARGO_S)
    once = fitted.readout(features[0])
    np.testing.assert_allclose(
        apply_temperature(fitted.readout, 2.0)(features[0]), softmax(np.log(once) / 2), rtol=1e-4
    )


def test_the_readout_is_the_fit_at_its_penalty_with_its_logits_divided_by_the_temperature() -> None:
    features, labelled = task(600, 40, n_classes=3, lift=0.6)
    fitted = fit_readout(features, labelled, embargo_s=EMBARGO_S)
    assert abs(np.log(fitted.temperature)) > 0.3, "a temperature of 1 would prove nothing"
    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    theirs = LogisticRegression(C=fitted.c, class_weight="balanced", tol=1e-10, max_iter=10_000)
    logits = theirs.fit(scaled, labelled.targets).decision_function(scaled)
    expected = softmax(logits / fitted.temperature, axis=1)
    told = np.stack([fitted.readout(row) for row in features])
    np.testing.assert_allclose(told, expected, atol=2e-4)


def test_decodes_of_windows_to_come_are_right_as_often_as_they_say() -> None:
    features, labelled = task(4000, 60, lift=0.8)
    fitted = fit_readout(features, labelled, train=np.arange(800), embargo_s=EMBARGO_S)
    untempered = apply_temperature(fitted.readout, 1 / fitted.temperature)
    later = np.arange(900, 4000)
    errors = [
        reliability(np.stack([readout(row) for row in features[later]]), labelled.targets[later])
        for readout in (fitted.readout, untempered)
    ]
    assert errors[0].error < 0.04 < 0.06 < errors[1].error, [each.error for each in errors]


def test_values_are_predicted_with_a_penalty_chosen_inside() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(1, 3, (600, 300)).astype(np.float32)
    values = (features[:, :3] @ [1.0, -2.0, 0.5] + rng.normal(0, 1, 600)).astype(np.float32)
    labelled = Labelled(np.arange(600), values[:, np.newaxis], ("force",), np.arange(600) * HOP_S)
    train = np.arange(400)
    fitted = fit_readout(features, labelled, train=train, embargo_s=EMBARGO_S)
    told = np.array([fitted.readout(row)[0] for row in features[400:]])
    assert r2_score(values[400:], told) > 0.8
    assert abs(fitted.validation_score - r2_score(values[400:], told)) < 0.15
    assert fitted.readout.task == "regression"
    assert fitted.c <= 1.0


def test_a_block_in_which_the_value_never_changes_does_not_choose_the_penalty() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(1, 3, (600, 30)).astype(np.float32)
    values = (features[:, :3] @ [1.0, -2.0, 0.5]).astype(np.float32)
    values[:110] = 0.0  # at rest
    labelled = Labelled(np.arange(600), values[:, np.newaxis], ("force",), np.arange(600) * HOP_S)
    fitted = fit_readout(features, labelled, train=np.arange(400), embargo_s=EMBARGO_S)
    told = np.array([fitted.readout(row)[0] for row in features[400:]])
    assert r2_score(values[400:], told) > 0.8
    assert np.isfinite(fitted.validation_score)
