"""A channel encoder and the Population Transformer joined: a window's channels in one call.

Legend: C channels, T frames, F freqs, D features, P features of the population.
"""

import torch
from torch import Tensor, nn

from rtbrain.encoder.kinds import ChannelEncoder
from rtbrain.encoder.popt import PopT
from rtbrain.errors import CheckpointError, SettingsError

__all__ = ["EncoderModel"]


class EncoderModel(nn.Module):
    """Spectrogram of all channels to an embedding a channel and one for the population.

    Parameters
    ----------
    brainbert : BrainBERT, NeuroBERT or BioFAME
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
        brainbert: ChannelEncoder,
        popt: PopT | None,
        pool: str = "centre",
        n_pooled: int = 10,
    ) -> None:
        super().__init__()
        if pool not in ("centre", "last"):
            raise SettingsError(f"pool: expected 'centre' or 'last', got '{pool}'")
        if n_pooled < 1:
            raise SettingsError(f"n_pooled: expected 1 or more frames, got {n_pooled}")
        if popt is not None and popt.sizes.input_dim != brainbert.sizes.hidden_dim:
            raise CheckpointError(
                f"the Population Transformer reads embeddings of {popt.sizes.input_dim} features, "
                f"{type(brainbert).__name__} gives {brainbert.sizes.hidden_dim}: pass weights "
                f"trained together"
            )
        self.brainbert = brainbert
        self.popt = popt
        self.pool = pool
        self.n_pooled = n_pooled

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
        channels = self.brainbert.embed(clean, self.pool, self.n_pooled)  # [C, D]
        channels = torch.where(kept, channels, torch.zeros_like(channels))
        if self.popt is None:
            return channels, channels.flatten()
        pad_mask = torch.cat((torch.zeros_like(good[:1]), ~good))  # CLS is always read
        population = self.popt.population(channels[None], positions[None], pad_mask[None])
        return channels, population[0]
