"""How well hidden cells were reconstructed, in figures and as a picture."""

import numpy as np
from torch import Tensor

from rtbrain.types import Floats

__all__ = ["Reconstruction", "picture"]


class Reconstruction:
    """Errors over the cells of many batches, of a model and of predictors that learned nothing."""

    def __init__(self) -> None:
        self._n = 0
        self._absolute = dict.fromkeys(("l1", "l1_of_zero", "l1_of_bin_mean"), 0.0)
        self._squared_error = self._sum = self._squared = 0.0

    def add(self, target: Tensor, predicted: Tensor, bin_mean: Tensor) -> None:
        """Take the cells of one batch in: each float32 [n_cells]."""
        true = target.double()
        error = true - predicted.double()
        self._n += true.numel()
        self._absolute["l1"] += float(error.abs().sum())
        self._absolute["l1_of_zero"] += float(true.abs().sum())
        self._absolute["l1_of_bin_mean"] += float((true - bin_mean.double()).abs().sum())
        self._squared_error += float(error.square().sum())
        self._sum += float(true.sum())
        self._squared += float(true.square().sum())

    def figures(self) -> dict[str, float]:
        """Mean absolute errors, and the share of the variance explained; NaN without cells."""
        if not self._n:
            return dict.fromkeys((*self._absolute, "r2"), float("nan"))
        spread = self._squared - self._sum**2 / self._n
        means = {name: total / self._n for name, total in self._absolute.items()}
        return means | {"r2": 1 - self._squared_error / spread if spread > 0 else float("nan")}


def picture(*spectrograms: Floats) -> Floats:
    """Spectrograms one above another, low frequencies below, a bright line between.

    Parameters
    ----------
    *spectrograms : ndarray, float32 [n_frames, n_freqs]
        From the top down.

    Returns
    -------
    ndarray, float32 [height, n_frames]
    """
    brightest = max(float(spectrogram.max()) for spectrogram in spectrograms)
    line = np.full((1, spectrograms[0].shape[0]), brightest, np.float32)
    rows = [part for spectrogram in spectrograms for part in (spectrogram.T[::-1], line)]
    return np.concatenate(rows[:-1])
