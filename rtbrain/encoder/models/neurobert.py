"""Neuro-BERT: the raw waveform of one channel, in patches, to hidden states and one embedding.

Legend: B batch (of channels), T patches, F samples of a patch, D features, K bins of its spectrum.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtbrain.encoder.models.layers import (
    DROPOUT,
    N_POSITIONS,
    PositionTable,
    TransformerStack,
    pooled_rows,
    require_sizes,
)


@dataclass(frozen=True)
class NeuroBERTSizes:
    """Sizes of a Neuro-BERT, as in `BrainBERTSizes`; `input_dim` is the samples F of a patch."""

    hidden_dim: int
    layer_dim_feedforward: int
    nhead: int
    encoder_num_layers: int
    input_dim: int

    def __post_init__(self) -> None:
        require_sizes(self, multiple_of=2, heads="nhead")
        if self.input_dim < 2:
            raise ValueError(f"input_dim must be 2 or more samples, got {self.input_dim}")

    def make(self) -> "NeuroBERT":
        """Model of these sizes, with weights from torch's global generator."""
        return NeuroBERT(self)


NEUROBERT_SIZES = {
    "published": NeuroBERTSizes(128, 512, 4, 4, 30),
    "small": NeuroBERTSizes(128, 512, 4, 2, 50),
    "compact": NeuroBERTSizes(64, 256, 4, 2, 50),
}


class NeuroBERT(nn.Module):
    """Transformer over the patches of one channel's waveform.

    A patch becomes a token by one linear map, which is what a convolution whose hop is its
    length is. In pretraining, tokens are replaced by a learned one before their position is
    added, and two linear decoders read amplitude and phase of a patch's spectrum from its
    hidden state (`amplitude_and_phase`).

    Parameters
    ----------
    sizes : NeuroBERTSizes
        Its sizes; those published are in `NEUROBERT_SIZES`.

    Notes
    -----
    The layers are those of BrainBERT (post-norm, GELU); positions are sinusoids, as in the
    reference code.

    References
    ----------
    Wu et al. 2024, Neuro-BERT, arXiv:2204.12440.
    """

    def __init__(self, sizes: NeuroBERTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.max_frames = N_POSITIONS
        self.in_proj = nn.Linear(sizes.input_dim, sizes.hidden_dim)
        self.positional_encoding = PositionTable(sizes.hidden_dim)
        self.mask_token = nn.Parameter(torch.zeros(sizes.hidden_dim))
        self.dropout = nn.Dropout(DROPOUT)
        self.transformer = TransformerStack(
            sizes.encoder_num_layers, sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward
        )
        n_bins = sizes.input_dim // 2 + 1
        self.amplitude_head = nn.Linear(sizes.hidden_dim, n_bins)
        self.phase_head = nn.Linear(sizes.hidden_dim, n_bins)

    def forward(self, patches: Tensor, mask: Tensor | None = None) -> Tensor:
        """Hidden state of each patch, standardised waveform [B, T, F] to [B, T, D].

        `mask` [B, T] is True where a patch is hidden: its samples are not read.

        Raises
        ------
        ValueError
            There are more patches than positions (5000).
        """
        hidden: Tensor = self.transformer(self._tokens(patches, mask))
        return hidden

    def amplitude_and_phase(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitude and phase of each patch's spectrum, [B, T, D] to twice [B, T, K].

        Of the orthonormal discrete Fourier transform, K = F // 2 + 1 bins; phase in radians. A
        negative amplitude is a positive one with its phase turned by half.
        """
        return self.amplitude_head(hidden), self.phase_head(hidden)

    def embed(self, patches: Tensor, pool: str = "centre", n_pooled: int = 10) -> Tensor:
        """Mean hidden state of a few patches, [B, T, F] to [B, D], as `BrainBERT.embed`."""
        start, stop = pooled_rows(patches.shape[1], pool, n_pooled)
        return torch.mean(self.transformer.rows(self._tokens(patches, None), start, stop), dim=1)

    def _tokens(self, patches: Tensor, mask: Tensor | None) -> Tensor:
        n_patches, n_positions = patches.shape[1], self.positional_encoding.pe.shape[1]
        if n_patches > n_positions:
            raise ValueError(f"{n_patches} patches, but Neuro-BERT has {n_positions} positions")
        tokens: Tensor = self.in_proj(patches)  # [B, T, D]
        if mask is not None:
            tokens = torch.where(mask[:, :, None], self.mask_token.to(tokens.dtype), tokens)
        tokens = tokens + self.positional_encoding.pe[:, :n_patches]
        out: Tensor = self.dropout(tokens)
        return out
