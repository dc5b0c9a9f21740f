"""The plain control beside every score: mean magnitudes of a short-time Fourier transform."""

import numpy as np
import scipy.fft
from scipy.signal import get_window

from rtbrain.errors import SettingsError
from rtbrain.types import Floats, Montage, Window

__all__ = ["LinearStft"]

_FRAME_S = 0.25  # 512 samples at 2048 Hz
_OVERLAP = 4  # a frame begins every quarter of its length
_HIGHEST_HZ = 150.0


class LinearStft:
    """Stage from Window to features that a linear model reads: no encoder, no memory.

    Magnitudes of Hann frames of 0.25 s with 75 % overlap, up to 150 Hz, averaged over a stretch
    of the window; frames lie against its end, so that the newest sample counts. On the public
    benchmark a linear model on such magnitudes beats pretrained encoders.

    Parameters
    ----------
    montage : Montage
        Of the windows.
    length_samples : int
        How much of the window is read: 1 s on the benchmark. States that are shorter than a
        window would drown in more.
    n_newer_samples : int
        Samples of the window's end that are not read, for a decoder that pools its centre.

    Raises
    ------
    SettingsError
        That is shorter than a frame.

    References
    ----------
    Zahorodnii et al. 2025, Neuroprobe, arXiv:2509.21671.
    """

    def __init__(self, montage: Montage, *, length_samples: int, n_newer_samples: int = 0) -> None:
        self._frame = round(_FRAME_S * montage.sfreq_hz)
        if length_samples < self._frame:
            raise SettingsError(
                f"linear control: a window of {length_samples / montage.sfreq_hz:g} s is shorter "
                f"than its frames of {_FRAME_S:g} s: lengthen the window"
            )
        self._length = length_samples
        self._newer = n_newer_samples
        self._hop = max(1, self._frame // _OVERLAP)
        freqs = np.arange(self._frame // 2 + 1) * montage.sfreq_hz / self._frame
        self._n_freqs = int(np.searchsorted(freqs, _HIGHEST_HZ, side="right"))
        self._taper = get_window("hann", self._frame).astype(np.float32)

    def __call__(self, item: Window) -> Floats:
        """Mean magnitudes, float32 [n_channels * n_freqs], µV, a channel after the other.

        Channels that are not good are read as they are.
        """
        stop = item.data.shape[1] - self._newer
        read = item.data[:, max(stop - self._length, 0) : stop]
        frames = np.lib.stride_tricks.sliding_window_view(read, self._frame, axis=1)
        newest_first = frames[:, :: -self._hop]
        magnitudes = np.abs(scipy.fft.rfft(newest_first * self._taper, axis=-1))
        mean: Floats = magnitudes[..., : self._n_freqs].mean(axis=1, dtype=np.float32)
        return mean.reshape(-1)

    def reset(self) -> None:
        """Nothing to forget: each window stands for itself."""
