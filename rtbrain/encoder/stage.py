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
    """

    def __init__(self, runtime: Runtime, *, neural_delay_s: float) -> None:
        self._runtime = runtime
        self._neural_delay_s = neural_delay_s

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of a window.

        Raises
        ------
        ArtefactError
            The spectrogram has another shape than the encoder was compiled for.
        """
        channels, population = self._runtime(item.data, item.quality.good)
        return _embedding(channels, population, item, self._neural_delay_s)

    def reset(self) -> None:
        """Nothing to forget: each window stands for itself."""


class FrameMean:
    """Stand-in of the linear mode: the mean of the newest frames, a channel after the other.

    Parameters
    ----------
    n_frames_pooled : int
        Frames that are averaged, counted from the end of the window.
    neural_delay_s : float
        From the middle of these frames to the end of the window, s.
    """

    def __init__(self, n_frames_pooled: int, *, neural_delay_s: float) -> None:
        if n_frames_pooled < 1:
            raise ArtefactError(f"frames to average: expected 1 or more, got {n_frames_pooled}")
        self._n_frames_pooled = n_frames_pooled
        self._neural_delay_s = neural_delay_s

    def __call__(self, item: Spectrogram) -> Embedding:
        """Mean frame of each channel [n_channels, n_freqs] and all of them in a row.

        A channel that is not good gets zeros, the mean of z-scores.

        Raises
        ------
        ArtefactError
            The spectrogram has fewer frames than are averaged.
        """
        n_frames = item.data.shape[1]
        if n_frames < self._n_frames_pooled:
            raise ArtefactError(
                f"cannot average {self._n_frames_pooled} frames of a spectrogram with {n_frames}: "
                f"lengthen the window or average fewer"
            )
        channels = item.data[:, n_frames - self._n_frames_pooled :].mean(axis=1, dtype=np.float32)
        channels[~item.quality.good] = 0
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
