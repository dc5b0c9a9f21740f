"""Frequency-maintain pretraining: what bioFAME learns from.

Legend: B items (a window of one channel), T patches, F samples of a patch, D features, V visible
and n hidden ones.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.encoder import BioFAME
from rtbrain.encoder.models.layers import N_POSITIONS, PositionTable, TransformerStack
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.objective import Batch
from rtbrain.learn.objectives.patches import HiddenPatches, PatchObjective
from rtbrain.types import Ints

_N_HEADS = 4  # of the second transformer


class WaveformPatches:
    """Windows of single channels in patches, the latents of a share of each to be hidden.

    Parameters
    ----------
    sessions : sequence of CorpusSession
        Of form "patches".
    mask_share : float
        Share of an item's latents that is hidden; 0.5 as published.

    Raises
    ------
    SettingsError
        The share is not between 0 and 1, items are not of two patches or more, or none is good.
    """

    def __init__(self, sessions: Sequence[CorpusSession], *, mask_share: float = 0.5) -> None:
        self._hidden = HiddenPatches(sessions, mask_share)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self._hidden)

    def draw(self, items: Ints, rng: np.random.Generator) -> Batch:
        """Patches with fresh masks, as `rtbrain.learn.objectives.patches` draws them.

        Returns
        -------
        dict of Tensor
            ``patches`` float32 [B, T, F], what is true; ``mask`` bool [B, T], whose latent is
            hidden: the same number in every item.
        """
        return self._hidden.draw(items, rng)


class FrequencyMaintain(PatchObjective):
    """Patches from a half of the latents that the frequency encoder made of them.

    The encoder sees the whole window, so that no mask cuts into its spectrum. Of its latents the
    hidden ones are taken out; a second transformer reads the rest, a learned token is put where
    one was taken, positions are added, and a decoder with a linear map gives the patches ::

        L = mean over the hidden patches and their samples of (x - x^)^2

    As the encoder mixes all tokens, a latent that is left knows of those that are gone: what is
    learned is to spread a patch over the others, and the loss cannot be held against that of an
    encoder whose input is masked.

    Parameters
    ----------
    encoder : BioFAME
        Trained in place; the rest is left behind.

    Notes
    -----
    Sizes of the second transformer are the published ones: one layer to encode and one to
    decode, 4 heads, feed-forward as wide as D. Positions are sinusoids in the place of a learned
    table, whose length would bind the training to one length of window; layers are post-norm.

    References
    ----------
    Liu et al. 2023, Frequency-aware masked autoencoders, arXiv:2309.05927.
    """

    encoder: BioFAME

    def __init__(self, encoder: BioFAME) -> None:
        super().__init__()
        self.encoder = encoder
        n_features = encoder.sizes.hidden_dim
        n_heads = math.gcd(_N_HEADS, n_features)
        self.visible_encoder = TransformerStack(1, n_features, n_heads, n_features)
        self.decoder = TransformerStack(1, n_features, n_heads, n_features)
        self.mask_token = nn.Parameter(torch.zeros(n_features))
        self.positional_encoding = PositionTable(n_features)
        self.reconstruction = nn.Linear(n_features, encoder.sizes.input_dim)

    def reconstruct(self, batch: Batch) -> Tensor:
        """The hidden patches of a batch, float32 [n, F].

        Raises
        ------
        SettingsError
            A window has more patches than there are positions (5000).
        """
        mask = batch["mask"]
        if mask.shape[1] > N_POSITIONS:
            raise SettingsError(
                f"windows have {mask.shape[1]} patches, expected at most {N_POSITIONS}: shorten "
                f"them, or lengthen the patches"
            )
        latents = self.encoder(batch["patches"])  # [B, T, D]
        B, T, D = latents.shape
        visible = self.visible_encoder(latents[~mask].view(B, -1, D))  # [B, V, D]
        tokens = self.mask_token.to(visible.dtype).expand(B, T, D).clone()
        tokens[~mask] = visible.reshape(-1, D)
        decoded = self.decoder(tokens + self.positional_encoding.pe[:, :T])
        patches: Tensor = self.reconstruction(decoded[mask]).float()  # [n, F]
        return patches
