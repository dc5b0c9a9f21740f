"""The good channels of a window, a block of fixed length at a time, through a channel encoder."""

from collections.abc import Callable

import numpy as np

from rtbrain.types import Floats, Mask

__all__ = ["Blocks", "block_length"]

# Longer blocks are no faster a channel, and leave less out; shorter ones are called more often.
# Measured at 128 channels of 186 frames: width 768 alike from 8 on, 384 from 8 to 32 and slower at
# 128, 64 best at 32 to 128.
_LENGTH, _LENGTH_NARROW = 8, 32
_NARROW = 256


def block_length(n_channels: int, n_features: int) -> int:
    """Channels that a channel encoder takes in one call: 8, or 32 of a narrow one.

    Parameters
    ----------
    n_channels : int
        Channels of the montage.
    n_features : int
        Width of the encoder.
    """
    return min(n_channels, _LENGTH_NARROW if n_features < _NARROW else _LENGTH)


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
