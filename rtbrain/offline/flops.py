"""What a step of an encoder costs in operations, by formula: two for each multiply and add.

Legend: T tokens, N tokens that are needed of the last layer, S tokens that are remembered, D
width, M width of the feed-forward part, H heads, C channels.
"""

from rtbrain.encoder import (
    BrainBERTSizes,
    ChannelSizes,
    PopTSizes,
    StreamingBERTSizes,
)

__all__ = ["channel_flop", "population_flop", "step_flop"]


def channel_flop(sizes: ChannelSizes, n_frames: int, n_pooled: int, *, plain: bool = False) -> int:
    """Operations of a channel encoder for one step of one channel.

    Products of matrices alone are counted, as torch counts them: norms, activations and sums
    are a share of a percent.

    Parameters
    ----------
    sizes : BrainBERTSizes or StreamingBERTSizes
        Of the encoder.
    n_frames : int
        Of the spectrogram; of a StreamingBERT, the new ones.
    n_pooled : int
        Frames of the last layer that are needed; a StreamingBERT makes all its new ones.
    plain : bool
        As published: every token of every layer.

    Raises
    ------
    ValueError
        There is no formula for these sizes.

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


def population_flop(sizes: PopTSizes, n_channels: int, *, plain: bool = False) -> int:
    """Operations of a Population Transformer for one step.

    Parameters
    ----------
    sizes : PopTSizes
        Of the encoder.
    n_channels : int
        Channels that it reads.
    plain : bool
        As published: every token of every layer, where CLS alone is read.

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
    """Operations of both encoders for one step of all channels.

    Parameters
    ----------
    channel, popt : sizes, or None where there is no such encoder
        Of the encoders.
    n_channels, n_frames, n_pooled : int
        Of the step; see `channel_flop`.
    plain : bool
        As published: every token of every layer.
    """
    each = 0 if channel is None else channel_flop(channel, n_frames, n_pooled, plain=plain)
    joined = 0 if popt is None else population_flop(popt, n_channels, plain=plain)
    return n_channels * each + joined


def _stack(n_layers: int, D: int, M: int, H: int, T: int, N: int) -> int:
    """Multiply-adds of post-norm layers of which the last is made for N of T tokens."""
    whole = 4 * T * D * D + 2 * T * D * M + 2 * T * T * D
    if N == T:
        return n_layers * whole
    # Re-associated: queries, their way through W_k, the values' through W_v, and out: 4 N D D;
    # scores and their sums over tokens as wide as the model, once a head: 2 H N T D.
    return (n_layers - 1) * whole + 4 * N * D * D + 2 * N * D * M + 2 * H * N * T * D
