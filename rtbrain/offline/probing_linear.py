"""What the linear rows of a probe read: the frames that an encoder pools, and its whole window.

Legend: N windows, C channels, T frames, F freqs (of a spectrogram, or samples of a patch).
"""

import numpy as np

from rtbrain.offline.probing_windows import pooled
from rtbrain.types import Floats

__all__ = ["binned_frames", "binned_spectra", "mean_frame"]

_BIN_S = 0.25

_SPECTRUM = 40  # frequencies from 0 on: in bins of 0.25 s to 156 Hz


def mean_frame(items: Floats, pool: str, n_pooled: int) -> Floats:
    """Mean of the frames that an encoder pools, as the linear mode reads it live.

    Parameters
    ----------
    items : ndarray, float32 [N, C, T, F]
        Spectrograms.
    pool, n_pooled
        As in `rtbrain.encoder.BrainBERT.embed`.

    Returns
    -------
    ndarray, float32 [N, C, F]
    """
    frames = items[:, :, pooled(items.shape[2], pool, n_pooled)]
    mean: Floats = frames.mean(axis=2, dtype=np.float32)
    return mean


def binned_frames(items: Floats, length_s: float) -> Floats:
    """Means of all frames over bins of about 0.25 s, in the order of time.

    Parameters
    ----------
    items : ndarray, float32 [N, C, T, F]
        Spectrograms.
    length_s : float
        Of the window, s.

    Returns
    -------
    ndarray, float32 [N, C, n_bins * F]
    """
    parts = np.array_split(items, _n_bins(length_s, items.shape[2]), axis=2)
    means = np.stack([part.mean(axis=2, dtype=np.float32) for part in parts], axis=2)
    return means.reshape(*items.shape[:2], -1)


def binned_spectra(items: Floats, length_s: float) -> Floats:
    """Magnitude of the Fourier transform of the whole window, in bins of about 0.25 s.

    Patches follow each other without a gap, so that together they are the signal. What is left
    over at its beginning, less than a bin, is not shown.

    Parameters
    ----------
    items : ndarray, float32 [N, C, T, F]
        Patches.
    length_s : float
        Of the window, s.

    Returns
    -------
    ndarray, float32 [N, C, n_bins * n_frequencies]
        The first 40 frequencies, or fewer where there are.
    """
    N, C, T, F = items.shape
    n_bins = _n_bins(length_s, T * F // 2)
    length_samples = T * F // n_bins
    signal = items.reshape(N, C, T * F)[:, :, -n_bins * length_samples :]
    spectra = np.abs(np.fft.rfft(signal.reshape(N, C, n_bins, length_samples)))
    return spectra[..., :_SPECTRUM].astype(np.float32).reshape(N, C, -1)


def _n_bins(length_s: float, most: int) -> int:
    return max(1, min(round(length_s / _BIN_S), most))
