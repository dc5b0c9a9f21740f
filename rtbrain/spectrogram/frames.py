"""Magnitudes of Hann-tapered frames: the arithmetic that both forms of the STFT share."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.fft
import scipy.signal

from rtbrain.errors import MontageError, SettingsError
from rtbrain.types import Floats, Mask, Quality, Spectrogram, Window

# A block of tapered frames stays in the processor's second-level cache.
_BLOCK_BYTES = 2**18
# Channels a block: its scratch stays in the processor's second-level cache.
_BLOCK_CHANNELS = 16


def cut_frames(signal: Floats, frame_samples: int, hop_samples: int) -> Floats:
    """All whole frames of a signal, as a read-only view."""
    every = np.lib.stride_tricks.sliding_window_view(signal, frame_samples, axis=1)
    return every[:, ::hop_samples]


class FrameMagnitudes:
    """Magnitude spectra of frames, their lowest bins.

    Each frame is transformed on its own, so a frame's bits do not depend on the frames beside it:
    a spectrogram put together from kept frames equals one computed at once. A matrix product on
    the wanted bins alone was no faster (0.81 against 0.60 ms for 10 frames of 128 channels) and
    loses that, as BLAS sums in another order for another number of rows.
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
        """Write the magnitudes of frames."""
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
    """Refuse a window that a spectrogram was not made for."""
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
    """Refuse sizes of which no frames can be made."""
    if n_channels < 1:
        raise SettingsError(f"n_channels must be at least 1, got {n_channels}: pick some channels")
    if frame_samples < 2:
        raise SettingsError(f"frame_samples must be at least 2, got {frame_samples}: lengthen it")
    if not 1 <= hop_samples <= frame_samples:
        raise SettingsError(
            f"hop_samples must lie in 1 to frame_samples, here {frame_samples}, so that no sample "
            f"is left out, got {hop_samples}: set it in that range"
        )


class WindowZScore:
    """Z-score over the frames of a window, then the first and last frames clipped.

    The deviation is over all frames (ddof 0), the clipped ones included, as published; where it
    is 0 it is taken as 1, so that a dead channel (all samples 0) becomes zeros. The published
    code for one channel gives ones there, its copy for many channels zeros.

    Sums run in float32 over differences from the middle frame, whose rounding is relative to the
    spread and not to the offset, and in the same order for any history.
    """

    def __init__(self, n_frames: int, n_freqs: int, *, clip_frames: int) -> None:
        self._n_frames = n_frames
        self._kept = slice(clip_frames, n_frames - clip_frames)
        self._mean_row = np.full((1, n_frames), 1 / n_frames, np.float32)
        self._centred = np.empty((_BLOCK_CHANNELS, n_frames, n_freqs), np.float32)
        self._squared = np.empty_like(self._centred)

    def __call__(self, parts: Sequence[Floats]) -> tuple[Floats, Mask]:
        """Z-scores of frames given in pieces, and which channels they are finite for."""
        n_channels, _, n_freqs = parts[0].shape
        out = np.empty((n_channels, self._kept.stop - self._kept.start, n_freqs), np.float32)
        finite = np.empty(n_channels, np.bool_)
        # NaN is a value here: the channel that has it is told apart by `finite`.
        with np.errstate(invalid="ignore", over="ignore"):
            for first in range(0, n_channels, _BLOCK_CHANNELS):
                rows = slice(first, min(first + _BLOCK_CHANNELS, n_channels))
                finite[rows] = self._block([part[rows] for part in parts], out[rows])
        return out, finite

    def _block(self, parts: Sequence[Floats], out: Floats) -> Mask:
        centred = self._centred[: len(out)]
        squared = self._squared[: len(out)]
        frame = 0
        for part in parts:
            centred[:, frame : frame + part.shape[1]] = part
            frame += part.shape[1]
        centred -= centred[:, self._n_frames // 2, None].copy()
        centred -= np.matmul(self._mean_row, centred)
        np.multiply(centred, centred, out=squared)
        deviation = np.sqrt(np.matmul(self._mean_row, squared))  # [C, 1, F]
        finite: Mask = np.isfinite(deviation).all(axis=(1, 2))
        deviation[deviation == 0] = 1
        np.multiply(centred[:, self._kept], 1 / deviation, out=out)
        return finite


def make_spectrogram(window: Window, z_scores: Floats, finite: Mask) -> Spectrogram:
    """Spectrogram of a window, its channels that cannot be believed blanked and marked.

    A channel that came in as not good, or that has a non-finite value, gets a row of zeros and
    is not good in the quality that goes on: the encoder leaves it out by that mark.
    """
    quality: Quality = window.quality
    good = quality.good & finite
    z_scores[~good] = 0
    quality = replace(quality, good=good)
    return Spectrogram(z_scores, window.t_stop, quality, window.first_sample)
