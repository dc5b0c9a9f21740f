"""The published way, as the benchmarks' reference: nothing kept, nothing trimmed, torch's layers.

Legend: C channels, T frames, F freqs, D features.
"""

import numpy as np
import scipy.signal
import torch
from torch import Tensor, nn

from rtbrain.encoder import BrainBERT, BrainBERTSizes, PopT, PopTSizes, random_encoder
from rtbrain.types import Floats

__all__ = ["PublishedWay", "torchs_own"]

# The published spectrogram: frames of 400 samples every 50, the lowest 40 bins, 10 clipped a side.
_FRAME, _FRAME_HOP, _N_FREQS, _CLIP = 400, 50, 40, 10
_N_POOLED = 10


class PublishedWay:
    """Window of all channels to the population's embedding, with random weights.

    Each window anew: ``scipy.signal.stft``, z-scores, :class:`torch.nn.TransformerEncoder` over
    every frame of every channel, then over every channel.

    Parameters
    ----------
    n_channels : int
        Channels.
    sizes : BrainBERTSizes
        Of the channel encoder.
    popt_sizes : PopTSizes
        Of the Population Transformer.

    References
    ----------
    Wang et al. 2023, arXiv:2302.14367. Chau et al. 2025, arXiv:2406.03044.
    """

    def __init__(self, n_channels: int, sizes: BrainBERTSizes, popt_sizes: PopTSizes) -> None:
        self._brainbert: BrainBERT = random_encoder("brainbert", sizes, 0)
        self._popt: PopT = random_encoder("popt", popt_sizes, 1)
        self._frames = torchs_own(
            sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward, self._brainbert.transformer
        )
        self._channels = torchs_own(
            popt_sizes.hidden_dim,
            popt_sizes.n_head,
            popt_sizes.layer_dim_feedforward,
            self._popt.transformer_encoder,
        )
        generator = torch.Generator().manual_seed(0)
        positions = torch.randint(50, 200, (1, n_channels, 3), generator=generator)
        self._index = nn.functional.pad(positions, (0, 1, 1, 0))  # CLS is at 0, and so is each seq

    def spectrogram(self, window: Floats) -> Tensor:
        """Z-scores of a window.

        Parameters
        ----------
        window : ndarray, float32 [C, n_samples]
            Microvolts, 2048 Hz.

        Returns
        -------
        Tensor, float32 [C, T, F]
        """
        _, _, bins = scipy.signal.stft(window, nperseg=_FRAME, noverlap=_FRAME - _FRAME_HOP)
        magnitude = np.abs(bins[:, :_N_FREQS])  # [C, F, T]
        deviation = magnitude.std(axis=2, keepdims=True)
        deviation[deviation == 0] = 1
        z = (magnitude - magnitude.mean(axis=2, keepdims=True)) / deviation
        kept = z[:, :, _CLIP:-_CLIP].transpose(0, 2, 1)
        return torch.from_numpy(np.ascontiguousarray(kept, np.float32))

    @torch.inference_mode()
    def channels(self, spectrogram: Tensor) -> Tensor:
        """Embedding of each channel: [C, T, F] to [C, D]."""
        hidden = self._frames(self._brainbert.input_encoding(spectrogram))
        middle = hidden.shape[1] // 2
        pooled: Tensor = hidden[:, middle - _N_POOLED // 2 : middle + _N_POOLED // 2].mean(1)
        return pooled

    @torch.inference_mode()
    def population(self, channels: Tensor) -> Tensor:
        """Embedding of the population: [C, D] to [P]."""
        tokens = torch.cat((torch.ones(1, 1, channels.shape[1]), channels[None]), 1)
        hidden = self._channels(self._popt.input_encoding(tokens, self._index))
        cls: Tensor = hidden[0, 0]
        return cls


def torchs_own(
    n_features: int, n_heads: int, n_feedforward: int, stack: nn.Module
) -> nn.TransformerEncoder:
    """Torch's own transformer with the weights of ours, in eval mode.

    Parameters
    ----------
    n_features, n_heads, n_feedforward : int
        Sizes of its layers.
    stack : nn.Module
        A `rtbrain.encoder.layers.TransformerStack`.
    """
    layer = nn.TransformerEncoderLayer(
        n_features, n_heads, n_feedforward, activation="gelu", batch_first=True
    )
    weights = stack.state_dict()
    n_layers = sum(name.endswith("norm2.bias") for name in weights)
    encoder = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
    encoder.load_state_dict(weights)
    return encoder.eval()
