"""Magnitudes of Hann-tapered frames: the arithmetic that both forms of the STFT share."""

import numpy as np
import scipy.fft
import scipy.signal

from rtbrain.errors import MontageError, SettingsError
from rtbrain.types import Floats, Window

__all__ = ["FrameMagnitudes", "check_frames", "check_window", "frames_of"]

# A block of tapered frames stays in the processor's second-level cache.
_BLOCK_BYTES = 2**18


def frames_of(signal: Floats, frame_samples: int, hop_samples: int) -> Floats:
    """All whole frames of a signal, as a read-only view.

    Parameters
    ----------
    signal : ndarray, float32 [n_channels, n_samples]
        Microvolts.
    frame_samples : int
        Length of a frame.
    hop_samples : int
        From the start of a frame to the start of the next.

    Returns
    -------
    ndarray, float32 [n_channels, n_frames, frame_samples]
        Microvolts.
    """
    every = np.lib.stride_tricks.sliding_window_view(signal, frame_samples, axis=1)
    return every[:, ::hop_samples]


class FrameMagnitudes:
    """Magnitude spectra of frames, their lowest bins.

    Each frame is transformed on its own, so a frame's bits do not depend on the frames beside it:
    a spectrogram put together from kept frames equals one computed at once. A matrix product on
    the wanted bins alone was no faster (0.81 against 0.60 ms for 10 frames of 128 channels) and
    loses that, as BLAS sums in another order for another number of rows.

    Parameters
    ----------
    frame_samples : int
        Length of a frame.
    n_freqs : int
        How many bins are kept, from 0 Hz up.

    Raises
    ------
    SettingsError
        A frame has fewer bins than are to be kept.
    """

    def __init__(self, frame_samples: int, n_freqs: int) -> None:
        n_bins = frame_samples // 2 + 1
        if not 1 <= n_freqs <= n_bins:
            raise SettingsError(
                f"n_freqs must lie in 1 to {n_bins}, the bins of a frame of {frame_samples} "
                f"samples, got {n_freqs}: keep fewer bins or lengthen the frame"
            )
        hann = scipy.signal.get_window("hann", frame_samples)
        # SciPy's scaling "spectrum": a sine of amplitude a on a bin gives a / 2.
        self._taper: Floats = (hann / hann.sum()).astype(np.float32)
        self._n_freqs = n_freqs

    def __call__(self, frames: Floats, out: Floats) -> None:
        """Write the magnitudes of frames.

        Parameters
        ----------
        frames : ndarray, float32 [n_channels, n_frames, frame_samples]
            Microvolts; not changed.
        out : ndarray, float32 [n_channels, n_frames, n_freqs]
            Takes the magnitudes, in microvolts.
        """
        n_channels, n_frames, frame_samples = frames.shape
        if n_frames == 0:
            return
        block = max(1, _BLOCK_BYTES // (n_frames * frame_samples * frames.itemsize))
        # A sample that is not finite spoils its own channel's frames, and is no cause to warn.
        with np.errstate(invalid="ignore"):
            for first in range(0, n_channels, block):
                rows = slice(first, first + block)
                spectra = scipy.fft.rfft(frames[rows] * self._taper, axis=-1, workers=1)
                np.abs(spectra[..., : self._n_freqs], out=out[rows])


def check_window(window: Window, n_channels: int, length_samples: int) -> None:
    """Refuse a window that a spectrogram was not made for.

    Raises
    ------
    MontageError
        The window has another number of channels.
    SettingsError
        The window has another length.
    """
    got_channels, got_samples = window.data.shape
    if got_channels != n_channels:
        raise MontageError(
            f"window has {got_channels} channels, the spectrogram was made for {n_channels}: "
            "make it anew for this montage"
        )
    if got_samples != length_samples:
        raise SettingsError(
            f"window has {got_samples} samples, the spectrogram was made for {length_samples}: "
            "give the windows and the spectrogram one length"
        )


def check_frames(n_channels: int, frame_samples: int, hop_samples: int) -> None:
    """Refuse sizes of which no frames can be made.

    Raises
    ------
    SettingsError
        There is no channel, a frame has less than 2 samples, or frames would leave samples out.
    """
    if n_channels < 1:
        raise SettingsError(f"n_channels must be at least 1, got {n_channels}: pick some channels")
    if frame_samples < 2:
        raise SettingsError(f"frame_samples must be at least 2, got {frame_samples}: lengthen it")
    if not 1 <= hop_samples <= frame_samples:
        raise SettingsError(
            f"hop_samples must lie in 1 to frame_samples, here {frame_samples}, so that no sample "
            f"is left out, got {hop_samples}: set it in that range"
        )
