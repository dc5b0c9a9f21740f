"""L2-penalised multinomial regression of many float32 features, without a float64 copy of them.

scikit-learn's optimiser casts all features to float64 at each product; at 20,000 windows of
5,120 features these are 0.8 GB a copy. Here the products are float32, the parameters float64.
Legend: N windows, D features, R coordinates, K classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from rtbrain.decoder import LinearReadout
from rtbrain.types import Doubles, Floats, Ints

_ROWS_AT_A_TIME = 1024
_MOST_ITERATIONS = 1000
_NOISE = 1e-6  # of the largest eigenvalue: below it, float32 products hold nothing
_LOWEST, _HIGHEST = 0.01, 10.0  # uninformative held-out logits would make it infinite


@dataclass(frozen=True, slots=True, eq=False)
class Standardiser:
    """Mean and deviation of each feature over the training windows."""

    mean: Doubles  # float64 [n_features]
    scale: Doubles  # float64 [n_features]

    @classmethod
    def of(cls, features: Floats, rows: Ints) -> "Standardiser":
        """Standardiser of these rows, summed in float64 a few rows at a time."""
        shift = features[rows[0]].astype(np.float64)
        total, squares = np.zeros_like(shift), np.zeros_like(shift)
        for first in range(0, rows.size, _ROWS_AT_A_TIME):
            part = features[rows[first : first + _ROWS_AT_A_TIME]] - shift
            total += part.sum(axis=0)
            squares += np.einsum("nd,nd->d", part, part)
        mean = total / rows.size
        variance = np.maximum(squares / rows.size - mean**2, 0)
        # Rounding leaves this much of a constant: not a scale to divide by.
        floor = 10 * np.finfo(np.float32).eps * np.maximum(np.abs(shift), np.abs(shift + mean))
        scale = np.sqrt(variance)
        return cls(shift + mean, np.where(scale > floor, scale, 1.0))

    def __call__(self, features: Floats, rows: Ints) -> Floats:
        """Standardised copy of these rows, float32 [n_rows, n_features]."""
        out = np.empty((rows.size, features.shape[1]), np.float32)
        for first in range(0, rows.size, _ROWS_AT_A_TIME):
            part = slice(first, first + _ROWS_AT_A_TIME)
            out[part] = (features[rows[part]] - self.mean) / self.scale
        return out


def row_coordinates(z: Floats) -> Floats:
    """Windows as coordinates in an orthonormal basis of the space that they span.

    A penalty on the length of the weights keeps them within that space, so that nothing is lost
    where there are more features than windows; it holds for any part of the windows too. It pays
    where many readouts are fitted on the same windows.

    References
    ----------
    Hastie & Tibshirani 2004, Efficient quadratic regularization for expression arrays,
    doi:10.1093/biostatistics/kxh010.
    """
    if z.shape[1] <= z.shape[0]:
        return z
    values, vectors = eigh((z @ z.T).astype(np.float64))
    kept = values > _NOISE * values[-1]
    if not kept.any():  # all windows are alike
        return z
    coordinates: Floats = (vectors[:, kept] * np.sqrt(values[kept])).astype(np.float32)
    return coordinates


def balanced_weights(targets: Ints, n_classes: int) -> Doubles:
    """Weight of each window so that every class weighs the same, with mean 1."""
    counts = np.bincount(targets, minlength=n_classes)
    weights: Doubles = targets.size / (np.count_nonzero(counts) * counts[targets])
    return weights


def fit_softmax(
    z: Floats,
    targets: Ints,
    *,
    n_classes: int,
    c: float,
    start: Doubles | None = None,
    tolerance: float = 1e-4,
) -> Doubles:
    """Weights of a multinomial logistic regression with balanced classes.

    Minimises ``sum_n w_n CE_n + |W|^2 / (2 C)`` by L-BFGS; of two classes the penalty is that of
    the one logit between them, so that C means what it means in scikit-learn.
    """
    N, D = z.shape
    share = balanced_weights(targets, n_classes) / N
    penalty = (2.0 if n_classes == 2 else 1.0) / (c * N)
    rows = np.arange(N)

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        found = flat.reshape(n_classes, D + 1)
        weight = found[:, :D]
        scores = z @ weight.astype(np.float32).T + found[:, D]  # [N, K]
        scores -= scores.max(axis=1, keepdims=True)
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        wrong = np.exp(scores)
        wrong[rows, targets] -= 1
        wrong *= share[:, np.newaxis]
        gradient = np.empty_like(found)
        gradient[:, :D] = wrong.astype(np.float32).T @ z
        gradient[:, :D] += penalty * weight
        gradient[:, D] = wrong.sum(axis=0)
        value = -share @ scores[rows, targets] + penalty / 2 * np.vdot(weight, weight)
        return float(value), gradient.ravel()

    first = np.zeros((n_classes, D + 1)) if start is None else start
    found = minimize(
        loss,
        first.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MOST_ITERATIONS, "gtol": tolerance, "ftol": 1e-12},
    )
    weights: Doubles = found.x.reshape(n_classes, D + 1)
    return weights


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityCurve:
    """How often decodes of a given confidence were right."""

    confidence: Doubles  # float64 [n_bins]
    share: Doubles  # float64 [n_bins]
    counts: Ints  # int64 [n_bins]

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of confidence and share over decodes."""
        filled = self.counts > 0
        gaps = np.abs(self.confidence[filled] - self.share[filled])
        return float(np.average(gaps, weights=self.counts[filled]))


def fit_temperature(
    logits: npt.NDArray[np.floating], targets: Ints, weights: Doubles | None = None
) -> float:
    """The number to divide held-out logits by.

    Minimises the cross-entropy of ``softmax(logits / T)``; from 0.01 (a strong penalty makes small
    logits) to 10.
    """
    rows = np.arange(targets.size)

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets]
        return -float(np.average(scores, weights=weights))

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def apply_temperature(readout: LinearReadout, temperature: float) -> LinearReadout:
    """Readout whose logits are divided by the temperature, folded into its weights."""
    weight = (readout.weight / temperature).astype(np.float32)
    return LinearReadout(weight, (readout.bias / temperature).astype(np.float32), readout.task)


def reliability(probabilities: Floats, targets: Ints, *, n_bins: int = 10) -> ReliabilityCurve:
    """Confidence against being right, in bins."""
    kept = np.isfinite(probabilities).all(axis=1)
    confidence = probabilities[kept].max(axis=1).astype(np.float64)
    right = probabilities[kept].argmax(axis=1) == targets[kept]
    at = np.clip((confidence * n_bins).astype(np.int64), 0, n_bins - 1)
    counts = np.bincount(at, minlength=n_bins)
    filled = np.where(counts, counts, np.nan)
    mean = np.bincount(at, confidence, n_bins) / filled
    return ReliabilityCurve(mean, np.bincount(at, right, n_bins) / filled, counts)
