"""Regressions that are fitted many at once are those that scikit-learn fits one by one."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge

from rtbrain.learn.fit.solvers import RidgePath, fit_ridge, fit_softmax, fit_softmaxes
from rtbrain.types import Floats


def windows(n_windows: int, n_features: int) -> Floats:
    """Standardised features of a few sources, so that their products are ill-conditioned."""
    rng = np.random.default_rng(0)
    sources = rng.standard_normal((n_windows, 8)) @ rng.standard_normal((8, n_features))
    z = sources + rng.standard_normal((n_windows, n_features))
    found: Floats = ((z - z.mean(axis=0)) / z.std(axis=0)).astype(np.float32)
    return found


@pytest.mark.parametrize("n_features", [30, 300])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_many_logistic_fits_are_each_that_of_scikit_learn(n_features: int, n_classes: int) -> None:
    z = windows(120, n_features)
    runs = np.r_[np.repeat(0, 30), np.arange(90) // 15 % n_classes]  # unequal classes
    targets = np.stack([np.roll(runs, shift) for shift in (0, 20, 50)])
    c = np.array([1e-4, 1e-2, 1.0])
    found = fit_softmaxes(z, targets, n_classes=n_classes, c=c, tolerance=1e-7)
    for one, truth, own in zip(found, targets, c, strict=True):
        theirs = LogisticRegression(C=own, class_weight="balanced", tol=1e-10, max_iter=10_000)
        expected = theirs.fit(z.astype(np.float64), truth).predict_proba(z)
        logits = z @ one[:, :-1].T + one[:, -1]
        np.testing.assert_allclose(softmax(logits, axis=1), expected, atol=5e-4)


@pytest.mark.parametrize("n_features", [30, 300])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("c", [1e-4, 1.0, 1e4])
def test_a_logistic_fit_is_that_of_scikit_learn(n_features: int, n_classes: int, c: float) -> None:
    z = windows(120, n_features)
    truth = np.r_[np.repeat(0, 30), np.arange(90) // 15 % n_classes]
    theirs = LogisticRegression(C=c, class_weight="balanced", tol=1e-10, max_iter=100_000)
    expected = theirs.fit(z.astype(np.float64), truth).predict_proba(z)
    cold = fit_softmax(z, truth, n_classes=n_classes, c=c, tolerance=1e-7)
    for start in (None, cold, 30 * cold):  # from far beyond, a whole step would overshoot
        found = fit_softmax(z, truth, n_classes=n_classes, c=c, tolerance=1e-7, start=start)
        logits = z @ found[:, :-1].T + found[:, -1]
        np.testing.assert_allclose(softmax(logits, axis=1), expected, atol=2e-3)


@pytest.mark.parametrize("n_features", [30, 300])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_weighted_fits_are_scikit_learns(n_features: int, n_classes: int) -> None:
    z, rng = windows(120, n_features), np.random.default_rng(2)
    truth = np.r_[np.repeat(0, 30), np.arange(90) // 15 % n_classes]
    weights = rng.uniform(0.1, 2, 120)
    sums = np.bincount(truth, weights)
    balanced = weights * weights.sum() / (n_classes * sums[truth])
    theirs = LogisticRegression(C=0.01, tol=1e-10, max_iter=10_000)
    expected = theirs.fit(z.astype(np.float64), truth, balanced).predict_proba(z)
    found = fit_softmax(z, truth, n_classes=n_classes, c=0.01, tolerance=1e-7, weights=weights)
    np.testing.assert_allclose(
        softmax(z @ found[:, :-1].T + found[:, -1], axis=1), expected, atol=2e-3
    )
    targets = z[:, :2] + 3 + rng.standard_normal((120, 2))
    ridge = Ridge(alpha=7.0).fit(z.astype(np.float64), targets, sample_weight=weights)
    weight, bias, _ = fit_ridge(z, targets, 0.0, weights=weights, penalty=7.0)
    np.testing.assert_allclose(z @ weight.T + bias, ridge.predict(z), atol=1e-3)


def test_no_logistic_fit_gives_none() -> None:
    nothing = np.empty((0, 40), np.int64)
    assert fit_softmaxes(windows(40, 5), nothing, n_classes=2, c=np.empty(0)).shape == (0, 2, 6)


def test_windows_that_are_all_alike_give_the_mean_of_the_targets() -> None:
    z, targets = np.ones((40, 5), np.float32), np.arange(40.0)[:, np.newaxis]
    weight, bias, penalty = fit_ridge(z, targets, 0.1)
    assert (weight.any(), bias.tolist(), penalty) == (False, [19.5], 0.1)
    assert (RidgePath.of(z, targets).predict(z, 0.1) == 19.5).all()


@pytest.mark.parametrize("n_features", [30, 300])
def test_a_path_of_ridges_and_the_last_one_are_scikit_learns(n_features: int) -> None:
    z, rng = windows(120, n_features) + np.float32(0.5), np.random.default_rng(1)
    targets = z[:, :2] + 3 + rng.standard_normal((120, 2))
    path = RidgePath.of(z[:90], targets[:90])
    centred = (z[:90] - z[:90].mean(axis=0)).astype(np.float64)
    assert path.scale == pytest.approx(np.trace(centred @ centred.T) / 90, rel=1e-6)
    for share in (1e-2, 1.0, 1e3):
        theirs = Ridge(alpha=share * path.scale).fit(z[:90].astype(np.float64), targets[:90])
        expected = theirs.predict(z[90:])
        np.testing.assert_allclose(path.predict(z[90:], share * path.scale), expected, atol=1e-3)
        weight, bias, penalty = fit_ridge(z[:90], targets[:90], share)
        assert penalty == path.scale * share
        np.testing.assert_allclose(z[90:] @ weight.T + bias, expected, atol=1e-3)
