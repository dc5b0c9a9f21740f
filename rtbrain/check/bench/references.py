"""The published pipeline, the reference of the benchmarks: nothing kept, torch's own layers.

Legend: C channels, T frames, F freqs, D features.
"""

import numpy as np
import scipy.signal
import torch
from torch import Tensor, nn

from rtbrain.encoder import (
    BrainBERT,
    BrainBERTSizes,
    ChannelSizes,
    PopT,
    PopTSizes,
    StreamingBERTSizes,
    random_encoder,
)
from rtbrain.types import Floats

# The published spectrogram: frames of 400 samples every 50, the lowest 40 bins, 10 clipped a side.
_FRAME, _FRAME_HOP, _N_FREQS, _CLIP = 400, 50, 40, 10
_N_POOLED = 10


class PublishedPipeline:
    """Window of all channels to the population's embedding, with random weights.

    Each window anew: ``scipy.signal.stft``, z-scores, :class:`torch.nn.TransformerEncoder` over
    every frame of every channel, then over every channel.

    References
    ----------
    Wang et al. 2023, arXiv:2302.14367. Chau et al. 2025, arXiv:2406.03044.
    """

    def __init__(self, n_channels: int, sizes: BrainBERTSizes, popt_sizes: PopTSizes) -> None:
        self._brainbert: BrainBERT = random_encoder(sizes, 0)
        self._popt: PopT = random_encoder(popt_sizes, 1)
        self._frames = torch_builtin(
            sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward, self._brainbert.transformer
        )
        self._channels = torch_builtin(
            popt_sizes.hidden_dim,
            popt_sizes.n_head,
            popt_sizes.layer_dim_feedforward,
            self._popt.transformer_encoder,
        )
        generator = torch.Generator().manual_seed(0)
        positions = torch.randint(50, 200, (1, n_channels, 3), generator=generator)
        self._index = nn.functional.pad(positions, (0, 1, 1, 0))  # CLS is at 0, and so is each seq

    def spectrogram(self, window: Floats) -> Tensor:
        """Z-scores of a window."""
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


def torch_builtin(
    n_features: int, n_heads: int, n_feedforward: int, stack: nn.Module
) -> nn.TransformerEncoder:
    """Torch's own transformer with the weights of ours, in eval mode."""
    layer = nn.TransformerEncoderLayer(
        n_features, n_heads, n_feedforward, activation="gelu", batch_first=True
    )
    weights = stack.state_dict()
    n_layers = sum(name.endswith("norm2.bias") for name in weights)
    encoder = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
    encoder.load_state_dict(weights)
    return encoder.eval()


def channel_encoder_flop(
    sizes: ChannelSizes, n_frames: int, n_pooled: int, *, plain: bool = False
) -> int:
    """Operations of a channel encoder for one step of one channel.

    Products of matrices alone are counted, as torch counts them: norms, activations and sums
    are a share of a percent.

    References
    ----------
    Wang et al. 2023, arXiv:2302.14367, for the sizes: 16.45 GFLOP a channel and window of 5 s.
    """
    if isinstance(sizes, StreamingBERTSizes):
        N, S = n_frames // sizes.patch_frames, sizes.context_patches
        D, M = sizes.hidden_dim, sizes.layer_dim_feedforward
        a_layer = 4 * N * D * D + 2 * N * D * M + 2 * N * (S + N) * D
        into = N * sizes.patch_frames * sizes.input_dim * D
        return 2 * (into + sizes.encoder_num_layers * a_layer)
    if isinstance(sizes, BrainBERTSizes):
        stack = _stack(
            sizes.encoder_num_layers,
            sizes.hidden_dim,
            sizes.layer_dim_feedforward,
            sizes.nhead,
            n_frames,
            n_frames if plain else n_pooled,
        )
        return 2 * (n_frames * sizes.input_dim * sizes.hidden_dim + stack)
    raise ValueError(f"no formula for {type(sizes).__name__}")


def population_encoder_flop(sizes: PopTSizes, n_channels: int, *, plain: bool = False) -> int:
    """Operations of a Population Transformer for one step.

    References
    ----------
    Chau et al. 2025, arXiv:2406.03044, for the sizes: 5.18 GFLOP at 128 channels.
    """
    T = 1 + n_channels
    stack = _stack(
        sizes.n_layers,
        sizes.hidden_dim,
        sizes.layer_dim_feedforward,
        sizes.n_head,
        T,
        T if plain else 1,
    )
    return 2 * (T * sizes.input_dim * sizes.hidden_dim + stack)


def step_flop(
    channel: ChannelSizes | None,
    popt: PopTSizes | None,
    n_channels: int,
    n_frames: int,
    n_pooled: int,
    *,
    plain: bool = False,
) -> int:
    """Operations of both encoders for one step of all channels."""
    each = 0 if channel is None else channel_encoder_flop(channel, n_frames, n_pooled, plain=plain)
    joined = 0 if popt is None else population_encoder_flop(popt, n_channels, plain=plain)
    return n_channels * each + joined


def _stack(n_layers: int, D: int, M: int, H: int, T: int, N: int) -> int:
    """Multiply-adds of post-norm layers of which the last is made for N of T tokens."""
    whole = 4 * T * D * D + 2 * T * D * M + 2 * T * T * D
    if N == T:
        return n_layers * whole
    # Re-associated: queries, their way through W_k, the values' through W_v, and out: 4 N D D;
    # scores and their sums over tokens as wide as the model, once a head: 2 H N T D.
    return (n_layers - 1) * whole + 4 * N * D * D + 2 * N * D * M + 2 * H * N * T * D
