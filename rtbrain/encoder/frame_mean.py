"""In place of an encoder in the linear mode: Spectrogram to the mean of its frames."""

import numpy as np

from rtbrain.errors import CompiledModelError
from rtbrain.types import Doubles, Embedding, Floats, Spectrogram


class FrameMean:
    """In place of an encoder in the linear mode: the mean of a few frames of each channel.

    Parameters
    ----------
    n_frames_pooled : int
        Frames that are averaged.
    neural_delay_s : float
        From the middle of these frames to the end of the window, s.
    fill : ndarray, float32 [n_channels, n_freqs], optional
        Replaces a bad channel by its mean over the windows that the readout was fitted on, so
        that it favours no class. Without it zeros, the mean of z-scores.
    n_newer_frames : int
        Frames of the window's end that are not averaged.
    weights : ndarray, float64 [n_frames_pooled], optional
        Weight of each frame, oldest first; by default all alike.

    Raises
    ------
    CompiledModelError
        `n_frames_pooled` is below 1, or `fill` is not finite.
    """

    def __init__(
        self,
        n_frames_pooled: int,
        *,
        neural_delay_s: float,
        fill: Floats | None = None,
        n_newer_frames: int = 0,
        weights: Doubles | None = None,
    ) -> None:
        if n_frames_pooled < 1:
            raise CompiledModelError(
                f"frames to average: expected 1 or more, got {n_frames_pooled}"
            )
        if fill is not None and not np.isfinite(fill).all():
            raise CompiledModelError(
                "fill of bad channels: expected finite means, got NaN: fit again"
            )
        self._n_frames_pooled = n_frames_pooled
        self._n_newer_frames = n_newer_frames
        self._weights = None
        if weights is not None:
            self._weights = (weights / weights.sum()).astype(np.float32)[:, None]
        self._fill = None if fill is None else fill.astype(np.float32)
        self._neural_delay_s = neural_delay_s

    def __call__(self, item: Spectrogram) -> Embedding:
        """Mean frame of each channel [n_channels, n_freqs], bad ones filled, and all in a row."""
        n_frames = item.data.shape[1]
        stop = n_frames - self._n_newer_frames
        if stop < self._n_frames_pooled:
            raise CompiledModelError(
                f"cannot average {self._n_frames_pooled} frames of a spectrogram with {n_frames}: "
                f"lengthen the window or average fewer"
            )
        pooled = item.data[:, stop - self._n_frames_pooled : stop]
        if self._weights is None:
            channels = pooled.mean(axis=1, dtype=np.float32)
        else:
            channels = (pooled * self._weights).sum(axis=1, dtype=np.float32)
        if self._fill is None:
            channels[~item.quality.good] = 0
        elif self._fill.shape == channels.shape:
            channels[~item.quality.good] = self._fill[~item.quality.good]
        else:
            raise CompiledModelError(
                f"fill of bad channels has shape {self._fill.shape}, the spectrogram gives "
                f"{channels.shape}: expected one mean per channel and frequency; fit again"
            )
        t_neural = item.t_stop - self._neural_delay_s
        return Embedding(channels, channels.reshape(-1), t_neural, item.t_stop, item.quality)

    def reset(self) -> None:
        """Nothing to forget: windows are independent."""
