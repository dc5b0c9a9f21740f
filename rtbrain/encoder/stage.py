"""The stage from Spectrogram to Embedding, and its stand-in that has no encoder."""

import numpy as np

from rtbrain.encoder.runtime import Runtime
from rtbrain.errors import ArtefactError
from rtbrain.types import Embedding, Floats, Spectrogram

__all__ = ["EncoderStage", "FrameMean"]


class EncoderStage:
    """Encoder as a stage: one window in, its embedding out, nothing remembered.

    Parameters
    ----------
    runtime : Runtime
        The model, loaded and warm.
    neural_delay_s : float
        From the moment that an embedding describes (the middle of the pooled frames) to the end
        of the window, s.

    Attributes
    ----------
    runtime : Runtime
        As given.
    """

    def __init__(self, runtime: Runtime, *, neural_delay_s: float) -> None:
        self.runtime = runtime
        self._neural_delay_s = neural_delay_s

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of a window.

        Raises
        ------
        ArtefactError
            The spectrogram has another shape than the encoder was compiled for.
        """
        channels, population = self.runtime(item.data, item.quality.good)
        return _embedding(channels, population, item, self._neural_delay_s)

    def reset(self) -> None:
        """Nothing to forget: each window stands for itself."""


class FrameMean:
    """Stand-in of the linear mode: the mean of a few frames, a channel after the other.

    Parameters
    ----------
    n_frames_pooled : int
        Frames that are averaged.
    neural_delay_s : float
        From the middle of these frames to the end of the window, s.
    fill : ndarray, float32 [n_channels, n_freqs], optional
        What a channel that is not good gets: its mean over the windows that the readout was
        fitted on, so that it speaks for no class. Without it zeros, the mean of z-scores.
    n_newer_frames : int
        Frames of the window's end that are not averaged.

    Raises
    ------
    ArtefactError
        No frame is to be averaged, or `fill` is not finite.
    """

    def __init__(
        self,
        n_frames_pooled: int,
        *,
        neural_delay_s: float,
        fill: Floats | None = None,
        n_newer_frames: int = 0,
    ) -> None:
        if n_frames_pooled < 1:
            raise ArtefactError(f"frames to average: expected 1 or more, got {n_frames_pooled}")
        if fill is not None and not np.isfinite(fill).all():
            raise ArtefactError("fill of bad channels: expected finite means, got NaN: fit again")
        self._n_frames_pooled = n_frames_pooled
        self._n_newer_frames = n_newer_frames
        self._fill = None if fill is None else fill.astype(np.float32)
        self._neural_delay_s = neural_delay_s

    def __call__(self, item: Spectrogram) -> Embedding:
        """Mean frame of each channel [n_channels, n_freqs] and all of them in a row.

        A channel that is not good gets its fill.

        Raises
        ------
        ArtefactError
            The spectrogram has fewer frames than are averaged, or other channels or frequencies
            than the fill.
        """
        n_frames = item.data.shape[1]
        stop = n_frames - self._n_newer_frames
        if stop < self._n_frames_pooled:
            raise ArtefactError(
                f"cannot average {self._n_frames_pooled} frames of a spectrogram with {n_frames}: "
                f"lengthen the window or average fewer"
            )
        pooled = item.data[:, stop - self._n_frames_pooled : stop]
        channels = pooled.mean(axis=1, dtype=np.float32)
        if self._fill is None:
            channels[~item.quality.good] = 0
        elif self._fill.shape == channels.shape:
            channels[~item.quality.good] = self._fill[~item.quality.good]
        else:
            raise ArtefactError(
                f"fill of bad channels has shape {self._fill.shape}, the spectrogram gives "
                f"{channels.shape}: expected one mean a channel and frequency; fit again"
            )
        return _embedding(channels, channels.reshape(-1), item, self._neural_delay_s)

    def reset(self) -> None:
        """Nothing to forget: each window stands for itself."""


def _embedding(
    channels: Floats, population: Floats, item: Spectrogram, neural_delay_s: float
) -> Embedding:
    return Embedding(
        channels=channels,
        population=population,
        t_neural=item.t_stop - neural_delay_s,
        t_stop=item.t_stop,
        quality=item.quality,
    )
