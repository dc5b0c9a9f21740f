"""The kinds of encoder, and a channel encoder joined with the Population Transformer.

Legend: C channels, T frames, F freqs, D features, P features of the population.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor, nn

from rtbrain.encoder.models.brainbert import BRAINBERT_SIZES, BrainBERT, BrainBERTSizes
from rtbrain.encoder.models.patch_encoders import (
    BIOFAME_SIZES,
    NEUROBERT_SIZES,
    BioFAME,
    BioFAMESizes,
    NeuroBERT,
    NeuroBERTSizes,
)
from rtbrain.encoder.models.popt import POPT_SIZES, PopT, PopTSizes
from rtbrain.encoder.models.streaming import STREAMING_SIZES, StreamingBERT, StreamingBERTSizes
from rtbrain.errors import CheckpointError, SettingsError

ChannelEncoder = BrainBERT | NeuroBERT | BioFAME | StreamingBERT
ChannelSizes = BrainBERTSizes | NeuroBERTSizes | BioFAMESizes | StreamingBERTSizes
Encoder = ChannelEncoder | PopT
EncoderSizes = ChannelSizes | PopTSizes
EncoderKind = Literal["brainbert", "neurobert", "biofame", "streaming", "popt"]


class EncoderType(NamedTuple):
    """One kind of encoder: the class of its sizes, which make its model, and the named ones."""

    sizes: Callable[..., EncoderSizes]
    named: Mapping[str, EncoderSizes]


ENCODERS: dict[EncoderKind, EncoderType] = {
    "brainbert": EncoderType(BrainBERTSizes, BRAINBERT_SIZES),
    "neurobert": EncoderType(NeuroBERTSizes, NEUROBERT_SIZES),
    "biofame": EncoderType(BioFAMESizes, BIOFAME_SIZES),
    "streaming": EncoderType(StreamingBERTSizes, STREAMING_SIZES),
    "popt": EncoderType(PopTSizes, POPT_SIZES),
}
CHANNEL_KINDS = tuple(kind for kind in ENCODERS if kind != "popt")


def encoder_kind(sizes: EncoderSizes) -> EncoderKind:
    """Kind of the encoder of these sizes, as recipes and files name it."""
    return next(kind for kind, each in ENCODERS.items() if each.sizes is type(sizes))


def sizes_of(kind: EncoderKind, sizes: str | Mapping[str, int], *, key: str) -> EncoderSizes:
    """Sizes of an encoder by name or numbers; SettingsError (naming `key`) if they do not fit."""
    each = ENCODERS[kind]
    if isinstance(sizes, str):
        if sizes not in each.named:
            raise SettingsError(f"{key}: no sizes {sizes!r}; known are {', '.join(each.named)}")
        return each.named[sizes]
    try:
        return each.sizes(**sizes)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{key}: {error}") from error


class EncoderModel(nn.Module):
    """Spectrogram of all channels to one embedding per channel and one of the population.

    Without `popt` the population is all channels in a row; `n_pooled` frames are averaged, at the
    ``"centre"`` or the ``"last"``.

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
                f"{type(channel_encoder).__name__} gives {channel_encoder.sizes.hidden_dim}: pass "
                f"weights trained together"
            )
        self.channel_encoder = channel_encoder
        self.popt = popt
        self.pool = pool
        self.n_pooled = n_pooled

    @torch.jit.unused
    def n_population_features(self, n_channels: int) -> int:
        """Width of the population embedding of `n_channels` channels."""
        if self.popt is None:
            return n_channels * self.channel_encoder.sizes.hidden_dim
        return self.popt.sizes.hidden_dim

    @torch.jit.unused
    def delay_frames(self) -> int:
        """Frames from the moment that is described to those pooled: 0 but for causal encoders."""
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
            Z-scores, or T patches of F samples; what a bad channel holds, NaN included, reaches no
            other.
        positions : Tensor, int64 [C, 3]
            L, I, P voxels; read by the Population Transformer only.
        good : Tensor, bool [C]
            The other channels are left out of the population's tokens.

        Returns
        -------
        channels : Tensor, float32 [C, D]
            Zeros for bad channels.
        population : Tensor, float32 [P], or [C * D] without a Population Transformer
        """
        kept = good[:, None]
        clean = torch.where(kept[:, :, None], spectrogram, torch.zeros_like(spectrogram))
        channels = self.channel_encoder.embed(clean, self.pool, self.n_pooled)  # [C, D]
        channels = torch.where(kept, channels, torch.zeros_like(channels))
        if self.popt is None:
            return channels, channels.flatten()
        population = self.popt.population(channels[None], positions[None], good[None])
        return channels, population[0]


def _refuse_pool(pool: str, n_pooled: int, patch_frames: int) -> None:
    """Refuse frames that a causal encoder of patches cannot pool."""
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


@overload
def random_encoder(sizes: PopTSizes, seed: int) -> PopT: ...


@overload
def random_encoder(sizes: BrainBERTSizes, seed: int) -> BrainBERT: ...


@overload
def random_encoder(sizes: ChannelSizes, seed: int) -> ChannelEncoder: ...


def random_encoder(sizes: EncoderSizes, seed: int) -> Encoder:
    """Encoder of these sizes with weights from the seed, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return sizes.make().eval()


def random_control(model: EncoderModel, seed: int) -> EncoderModel:
    """Encoders of the same architecture that learned nothing: the control of a trained model."""
    channel = random_encoder(model.channel_encoder.sizes, seed)
    popt = None if model.popt is None else random_encoder(model.popt.sizes, seed + 1)
    return EncoderModel(channel, popt, model.pool, model.n_pooled)
