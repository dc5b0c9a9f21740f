"""Z-scores of a whole window: per channel and bin, over the window's frames."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtbrain.types import Floats, Mask, Quality, Spectrogram, Window

__all__ = ["WindowZScore", "spectrogram_of"]

# Channels a block: its scratch stays in the processor's second-level cache.
_BLOCK_CHANNELS = 16


class WindowZScore:
    """Z-score over the frames of a window, then the first and last frames clipped.

    The deviation is over all frames (ddof 0), the clipped ones included, as published; where it
    is 0 it is taken as 1, so that a dead channel (all samples 0) becomes zeros. The published
    code for one channel gives ones there, its copy for many channels zeros.

    Sums run in float32 over differences from the middle frame, whose rounding is relative to the
    spread and not to the offset, and in the same order for any history.

    Parameters
    ----------
    n_frames : int
        Frames that come in.
    n_freqs : int
        Bins.
    clip_frames : int
        Frames left out of the result at each end.
    """

    def __init__(self, n_frames: int, n_freqs: int, *, clip_frames: int) -> None:
        self._n_frames = n_frames
        self._kept = slice(clip_frames, n_frames - clip_frames)
        self._mean_row = np.full((1, n_frames), 1 / n_frames, np.float32)
        self._centred = np.empty((_BLOCK_CHANNELS, n_frames, n_freqs), np.float32)
        self._squared = np.empty_like(self._centred)

    def __call__(self, parts: Sequence[Floats]) -> tuple[Floats, Mask]:
        """Z-scores of frames given in pieces, and which channels they are finite for.

        Parameters
        ----------
        parts : sequence of ndarray, float32 [n_channels, n_frames_of_part, n_freqs]
            Magnitudes, in the order of time.

        Returns
        -------
        z_scores : ndarray, float32 [n_channels, n_frames - 2 clip_frames, n_freqs]
            A new array.
        finite : ndarray, bool [n_channels]
            Channels without a non-finite magnitude.
        """
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


def spectrogram_of(window: Window, z_scores: Floats, finite: Mask) -> Spectrogram:
    """Spectrogram of a window, its channels that cannot be believed blanked and marked.

    A channel that came in as not good, or that has a non-finite value, gets a row of zeros and
    is not good in the quality that goes on: the encoder leaves it out by that mark.

    Parameters
    ----------
    window : Window
        Where it comes from.
    z_scores : ndarray, float32 [n_channels, n_frames, n_freqs]
        Becomes the spectrogram's data: must not be used elsewhere.
    finite : ndarray, bool [n_channels]
        Channels whose z-scores are all finite.
    """
    quality: Quality = window.quality
    good = quality.good & finite
    z_scores[~good] = 0
    quality = replace(quality, good=good)
    return Spectrogram(z_scores, window.t_stop, quality, window.first_sample)
