"""What fitting gives beside the readout."""

import numpy as np

from rtbrain.offline.fitting import fit_logistic


def test_the_training_mean_of_the_features_is_kept_and_speaks_for_no_class() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 0, 1, 0, 1, 0, 1], 30)
    features = rng.normal(3, 2, (labels.size, 5)).astype(np.float32)
    features[:, 1] += 4 * labels
    fitted = fit_logistic(features, labels, n_classes=2, embargo_windows=2)
    np.testing.assert_allclose(fitted.feature_mean, features.mean(axis=0), rtol=1e-5)
    assert fitted.feature_mean.dtype == np.float32
    assert np.abs(fitted.readout(fitted.feature_mean) - 0.5).max() < 0.05
