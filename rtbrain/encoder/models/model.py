"""A channel encoder and the Population Transformer joined: a window's channels in one call.

Legend: C channels, T frames, F freqs, D features, P features of the population.
"""

from typing import Literal, overload

import torch
from torch import Tensor, nn

from rtbrain.encoder.models.biofame import BioFAME, BioFAMESizes
from rtbrain.encoder.models.brainbert import BrainBERT, BrainBERTSizes
from rtbrain.encoder.models.neurobert import NeuroBERT, NeuroBERTSizes
from rtbrain.encoder.models.popt import PopT, PopTSizes
from rtbrain.encoder.models.streaming import StreamingBERT, StreamingBERTSizes
from rtbrain.errors import CheckpointError, SettingsError

ChannelEncoder = BrainBERT | NeuroBERT | BioFAME | StreamingBERT
ChannelSizes = BrainBERTSizes | NeuroBERTSizes | BioFAMESizes | StreamingBERTSizes
Encoder = ChannelEncoder | PopT
EncoderSizes = ChannelSizes | PopTSizes
EncoderKind = Literal["brainbert", "neurobert", "biofame", "streaming", "popt"]
SIZES_BY_KIND: dict[EncoderKind, type[EncoderSizes]] = {
    "brainbert": BrainBERTSizes,
    "neurobert": NeuroBERTSizes,
    "biofame": BioFAMESizes,
    "streaming": StreamingBERTSizes,
    "popt": PopTSizes,
}


def encoder_kind(sizes: EncoderSizes) -> EncoderKind:
    """Name of the encoder that these sizes are of, as recipes and files have it."""
    (kind,) = (kind for kind, each in SIZES_BY_KIND.items() if isinstance(sizes, each))
    return kind


@overload
def make_encoder(sizes: ChannelSizes) -> ChannelEncoder: ...


@overload
def make_encoder(sizes: EncoderSizes) -> Encoder: ...


def make_encoder(sizes: EncoderSizes) -> Encoder:
    """Encoder of these sizes, with weights from the global generator."""
    if isinstance(sizes, BrainBERTSizes):
        return BrainBERT(sizes)
    if isinstance(sizes, NeuroBERTSizes):
        return NeuroBERT(sizes)
    if isinstance(sizes, BioFAMESizes):
        return BioFAME(sizes)
    return StreamingBERT(sizes) if isinstance(sizes, StreamingBERTSizes) else PopT(sizes)


class EncoderModel(nn.Module):
    """Spectrogram of all channels to an embedding a channel and one for the population.

    Parameters
    ----------
    channel_encoder : BrainBERT, NeuroBERT, BioFAME or StreamingBERT
        Encoder of one channel; named for the first, as its tensors are in decoder bundles.
    popt : PopT or None
        Encoder of the population; without it the population is all channels in a row.
    pool : str
        ``"centre"`` or ``"last"``.
    n_pooled : int
        Frames that are averaged.

    Raises
    ------
    CheckpointError
        The Population Transformer reads embeddings of another width.
    SettingsError
        `pool` or `n_pooled` cannot be.
    """

    def __init__(
        self,
        channel_encoder: ChannelEncoder,
        popt: PopT | None,
        pool: str = "centre",
        n_pooled: int = 10,
    ) -> None:
        super().__init__()
        if pool not in ("centre", "last"):
            raise SettingsError(f"pool: expected 'centre' or 'last', got '{pool}'")
        if n_pooled < 1:
            raise SettingsError(f"n_pooled: expected 1 or more frames, got {n_pooled}")
        if isinstance(channel_encoder, StreamingBERT):
            _refuse_pool(pool, n_pooled, channel_encoder.patch_frames)
        if popt is not None and popt.sizes.input_dim != channel_encoder.sizes.hidden_dim:
            raise CheckpointError(
                f"the Population Transformer reads embeddings of {popt.sizes.input_dim} features, "
                f"{type(channel_encoder).__name__} gives {channel_encoder.sizes.hidden_dim}: pass weights "
                f"trained together"
            )
        self.channel_encoder = channel_encoder
        self.popt = popt
        self.pool = pool
        self.n_pooled = n_pooled

    @torch.jit.unused
    def n_population_features(self, n_channels: int) -> int:
        """Width of the population embedding of so many channels."""
        if self.popt is None:
            return n_channels * self.channel_encoder.sizes.hidden_dim
        return self.popt.sizes.hidden_dim

    @torch.jit.unused
    def delay_frames(self) -> int:
        """How many frames before those that are pooled lies the moment that is described.

        A causal encoder may have been taught to speak of a moment only when more has followed.
        """
        if not isinstance(self.channel_encoder, StreamingBERT):
            return 0
        return self.channel_encoder.sizes.delay_patches * self.channel_encoder.patch_frames

    def forward(
        self, spectrogram: Tensor, positions: Tensor, good: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode one window.

        Parameters
        ----------
        spectrogram : Tensor, float32 [C, T, F]
            Z-scores, or T patches of F samples; whatever a channel that is not good holds, NaN
            included, reaches no other.
        positions : Tensor, int64 [C, 3]
            L, I, P voxels; read by the Population Transformer only.
        good : Tensor, bool [C]
            Channels that may be believed; the others are left out of the population's tokens.

        Returns
        -------
        channels : Tensor, float32 [C, D]
            Zeros where a channel is not good.
        population : Tensor, float32 [P], or [C * D] without a Population Transformer
        """
        kept = good[:, None]
        clean = torch.where(kept[:, :, None], spectrogram, torch.zeros_like(spectrogram))
        channels = self.channel_encoder.embed(clean, self.pool, self.n_pooled)  # [C, D]
        channels = torch.where(kept, channels, torch.zeros_like(channels))
        if self.popt is None:
            return channels, channels.flatten()
        pad_mask = torch.cat((torch.zeros_like(good[:1]), ~good))  # CLS is always read
        population = self.popt.population(channels[None], positions[None], pad_mask[None])
        return channels, population[0]


def _refuse_pool(pool: str, n_pooled: int, patch_frames: int) -> None:
    """Refuse what a causal encoder of patches cannot pool."""
    if pool != "last":
        raise SettingsError(
            f"pool: a StreamingBERT pools the newest frames, got '{pool}': set pool to last"
        )
    if n_pooled % patch_frames:
        nearest = max(1, round(n_pooled / patch_frames)) * patch_frames
        raise SettingsError(
            f"n_pooled: expected whole patches of {patch_frames} frames, got {n_pooled}: the "
            f"nearest that fits is {nearest}"
        )
