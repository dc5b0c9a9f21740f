"""Readouts: fitted, and run as one linear layer."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rtbrain.decoder import LinearReadout, Readout
from rtbrain.errors import BundleError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.quick_fit import blocked_folds, fit_logistic
from rtbrain.learn.fit.readout import fit_readout
from rtbrain.types import Embedding, Floats, Quality

RNG = np.random.default_rng(3)


def embedding(features: Floats, *, valid: bool = True) -> Embedding:
    good = np.ones(1, np.bool_)
    quality = Quality(good, valid=valid, reason="" if valid else "filling")
    return Embedding(features[None], features, 1.0, 2.0, quality)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_folded_readout_gives_scikit_learns_probabilities(n_classes: int) -> None:
    labels = RNG.integers(0, n_classes, 240)
    features = (RNG.normal(5, 30, (240, 6)) + 20 * labels[:, None]).astype(np.float32)
    fitted = fit_logistic(features, labels, n_classes=n_classes, embargo_windows=2)
    solver = LogisticRegression(C=fitted.c, max_iter=2000, tol=1e-9, class_weight="balanced")
    model = make_pipeline(StandardScaler(), solver).fit(features.astype(np.float64), labels)
    ours = np.stack([fitted.readout(row) for row in features])
    np.testing.assert_allclose(ours, model.predict_proba(features), atol=5e-5)


def test_the_folded_ridge_gives_scikit_learns_values() -> None:
    features = RNG.normal(2, 3, (80, 5)).astype(np.float32)
    targets = (features @ RNG.normal(size=(5, 2))).astype(np.float32)
    labelled = Labelled(np.arange(80), targets, ("x", "y"), np.arange(80.0))
    fitted = fit_readout(features, labelled, embargo_s=2)
    model = make_pipeline(StandardScaler(), Ridge(alpha=1 / fitted.c)).fit(features, targets)
    ours = np.stack([fitted.readout(row) for row in features])
    np.testing.assert_allclose(ours, model.predict(features), rtol=1e-4, atol=1e-4)


def test_no_training_window_comes_within_the_embargo_of_its_test_block() -> None:
    folds = blocked_folds(100, n_folds=4, embargo_windows=7)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(100))
    for train, test in folds:
        assert np.abs(train[:, None] - test[None]).min() > 7


def test_a_class_that_never_occurs_is_an_error() -> None:
    features = np.zeros((20, 2), np.float32)
    with pytest.raises(ValueError, match=r"labelled \[1\]"):
        fit_logistic(features, np.zeros(20, np.int64), n_classes=2, embargo_windows=1)


def linear(n_features: int = 4) -> LinearReadout:
    weight = RNG.normal(size=(2, n_features)).astype(np.float32)
    return LinearReadout(weight, np.zeros(2, np.float32), "classification")


def test_smoothing_is_a_causal_exponential_average() -> None:
    weights = linear()
    stage, plain = Readout(weights, smoothing=0.75), Readout(weights)
    rows = RNG.normal(size=(30, 4)).astype(np.float32)
    expected = None
    for row in rows:
        raw = plain(embedding(row)).values
        expected = raw if expected is None else 0.75 * expected + 0.25 * raw
        np.testing.assert_allclose(stage(embedding(row)).values, expected, atol=1e-6)


def test_an_invalid_embedding_gives_nan_and_ends_the_average() -> None:
    stage = Readout(linear(), smoothing=0.9)
    first = stage(embedding(np.full(4, 9, np.float32)))
    broken = stage(embedding(np.zeros(0, np.float32), valid=False))
    assert np.isnan(broken.values).all()
    assert broken.values.shape == first.values.shape
    after = stage(embedding(np.zeros(4, np.float32)))
    np.testing.assert_allclose(after.values, 0.5)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BundleError, match="do not fit"):
        LinearReadout(np.zeros((2, 3), np.float32), np.zeros(3, np.float32), "regression")
