"""Frequency-maintain pretraining: what bioFAME learns from.

Legend: B items (a window of one channel), T patches, F samples of a patch, D features, V visible
and n hidden ones.
"""

import math

import torch
from torch import Tensor, nn

from rtbrain.encoder import BioFAME
from rtbrain.encoder.models.layers import N_POSITIONS, PositionTable, TransformerStack
from rtbrain.errors import SettingsError
from rtbrain.learn.objectives.objective import Batch
from rtbrain.learn.objectives.patches import PatchObjective

_N_HEADS = 4  # of the second transformer


class FrequencyMaintain(PatchObjective):
    """Patches reconstructed from half of the latents that the frequency encoder makes of them.

    The encoder sees the whole window, so that no mask cuts into its spectrum. Hidden latents are
    removed; a second transformer reads the rest, a learned token takes the place of each that was
    removed, positions are added, and a decoder with a linear layer gives the patches ::

        L = mean over the hidden patches and their samples of (x - x^)^2

    As the encoder mixes all tokens, the remaining latents know of those that were removed: the
    encoder learns to spread a patch over the others, and the loss cannot be compared with that of
    an encoder whose input is masked. After training, only the encoder is kept.

    Notes
    -----
    Sizes of the second transformer are the published ones: one layer to encode and one to
    decode, 4 heads, feed-forward as wide as D. Positions are sinusoids: a learned table would
    limit training to one window length. Layers are post-norm.

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
        """The hidden patches of a batch, float32 [n, F]."""
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
