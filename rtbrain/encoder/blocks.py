"""The good channels of a window, a block of fixed length at a time, through a channel encoder."""

from collections.abc import Callable

import numpy as np

from rtbrain.types import Floats, Mask

__all__ = ["Blocks", "block_length"]

_LENGTH = 8
# Narrower encoders take a block in less time than a call costs.
_NARROW = 256


def block_length(n_channels: int, n_features: int) -> int:
    """Channels that a channel encoder takes in one call.

    Eight for wide encoders: more in a call is no faster a channel (a block of BrainBERT-large
    takes 0.1 s and more), and a channel that is left out saves its time. All channels at once
    for narrow ones, whose calls cost more than the channels that are left out.

    Parameters
    ----------
    n_channels : int
        Channels of the montage.
    n_features : int
        Width of the encoder.
    """
    return n_channels if n_features < _NARROW else min(_LENGTH, n_channels)


class Blocks:
    """Channel encoder over the good channels of a window, always called with the same shape.

    The good channels are packed in their order; what is missing in the last block is zeros.

    Parameters
    ----------
    encode : callable
        Encoder of a block: float32 [length, n_frames, n_freqs] to float32 [length, n_features].
    shape : tuple of int
        Of a block.
    n_features : int
        Width of an embedding.
    """

    def __init__(
        self, encode: Callable[[Floats], Floats], shape: tuple[int, int, int], n_features: int
    ) -> None:
        self._encode = encode
        self._block = np.zeros(shape, np.float32)
        self._n_features = n_features

    def __call__(self, spectrogram: Floats, good: Mask) -> Floats:
        """Embedding of each channel.

        Parameters
        ----------
        spectrogram : ndarray, float32 [n_channels, n_frames, n_freqs]
            Z-scores; not changed.
        good : ndarray, bool [n_channels]
            The others are not read.

        Returns
        -------
        ndarray, float32 [n_channels, n_features]
            Zeros where a channel is not good.
        """
        length = len(self._block)
        channels = np.zeros((len(good), self._n_features), np.float32)
        rows = np.flatnonzero(good)
        for start in range(0, len(rows), length):
            some = rows[start : start + length]
            self._block[: len(some)] = spectrogram[some]
            self._block[len(some) :] = 0
            channels[some] = self._encode(self._block)[: len(some)]
        return channels
