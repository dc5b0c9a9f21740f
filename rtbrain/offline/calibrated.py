"""Probabilities that mean what they say: one temperature, and how to look at them.

References
----------
Guo et al. 2017, On calibration of modern neural networks, arXiv:1706.04599.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from rtbrain.decoder import LinearReadout
from rtbrain.types import Floats

__all__ = ["Reliability", "cooled", "fit_temperature", "reliability"]

Numbers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

_LOWEST, _HIGHEST = 0.01, 10.0  # held-out logits that tell nothing would want it infinite


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """How often decodes of a given confidence were right.

    Attributes
    ----------
    confidence, share : ndarray, float64 [n_bins]
        Mean probability of the class that was decoded, and share of decodes that were right; NaN
        in a bin without decodes.
    counts : ndarray, int64 [n_bins]
        Decodes a bin; bins are of equal width from 0 to 1.
    """

    confidence: Doubles
    share: Doubles
    counts: Numbers

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of confidence and share over decodes."""
        filled = self.counts > 0
        gaps = np.abs(self.confidence[filled] - self.share[filled])
        return float(np.average(gaps, weights=self.counts[filled]))


def fit_temperature(
    logits: npt.NDArray[np.floating], targets: Numbers, weights: Doubles | None = None
) -> float:
    """The number that held-out logits are to be divided by.

    Minimises the cross-entropy of ``softmax(logits / T)``; from 0.01 (a strong penalty makes small
    logits) to 10.

    Parameters
    ----------
    logits : ndarray, float [n_windows, n_classes]
        Of windows that the readout was not fitted on.
    targets : ndarray, int64 [n_windows]
        Class numbers.
    weights : ndarray, float64 [n_windows], optional
        Those of the fit: a readout fitted on balanced classes is calibrated for balanced classes.
    """
    rows = np.arange(targets.size)

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)[rows, targets]
        return -float(np.average(scores, weights=weights))

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def cooled(readout: LinearReadout, temperature: float) -> LinearReadout:
    """Readout whose logits are divided by the temperature, folded into its weights.

    Parameters
    ----------
    readout : LinearReadout
        Of classes.
    temperature : float
        Above 0.
    """
    weight = (readout.weight / temperature).astype(np.float32)
    return LinearReadout(weight, (readout.bias / temperature).astype(np.float32), readout.task)


def reliability(probabilities: Floats, targets: Numbers, *, n_bins: int = 10) -> Reliability:
    """Confidence against being right, in bins.

    Parameters
    ----------
    probabilities : ndarray, float32 [n_windows, n_classes]
        Rows with NaN are left out.
    targets : ndarray, int64 [n_windows]
        Class numbers.
    n_bins : int
        Bins between 0 and 1.
    """
    kept = np.isfinite(probabilities).all(axis=1)
    confidence = probabilities[kept].max(axis=1).astype(np.float64)
    right = probabilities[kept].argmax(axis=1) == targets[kept]
    at = np.clip((confidence * n_bins).astype(np.int64), 0, n_bins - 1)
    counts = np.bincount(at, minlength=n_bins)
    filled = np.where(counts, counts, np.nan)
    mean = np.bincount(at, confidence, n_bins) / filled
    return Reliability(mean, np.bincount(at, right, n_bins) / filled, counts)
