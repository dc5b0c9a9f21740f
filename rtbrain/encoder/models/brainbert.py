"""BrainBERT: the spectrogram of one channel to hidden states, and to one embedding.

Legend: B batch (of channels), T frames, F freqs, D features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtbrain.encoder.models.layers import (
    DROPOUT,
    N_POSITIONS,
    PositionTable,
    PredictionHead,
    TransformerStack,
    pooled_rows,
    require_sizes,
)


@dataclass(frozen=True)
class BrainBERTSizes:
    """Sizes of a BrainBERT, under the names that its checkpoints use.

    The width `hidden_dim` D is even and a multiple of the heads `nhead`; `input_dim` is the
    frequencies F of a frame. ValueError where they do not fit.
    """

    hidden_dim: int
    layer_dim_feedforward: int
    nhead: int
    encoder_num_layers: int
    input_dim: int = 40

    def __post_init__(self) -> None:
        require_sizes(self, multiple_of=2, heads="nhead")

    def make(self) -> "BrainBERT":
        """Model of these sizes, with weights from torch's global generator."""
        return BrainBERT(self)


BRAINBERT_SIZES = {
    "large": BrainBERTSizes(768, 3072, 12, 6),
    "base": BrainBERTSizes(768, 3072, 12, 3),
    "small": BrainBERTSizes(384, 1200, 12, 3),
    "compact": BrainBERTSizes(64, 256, 4, 2),
}


class _InputEncoding(nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.n_positions = N_POSITIONS
        self.in_proj = nn.Linear(input_dim, hidden_dim)
        self.positional_encoding = PositionTable(hidden_dim)
        self.layer_norm = nn.LayerNorm(hidden_dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = self.in_proj(spectrogram) + self.positional_encoding.pe[:, : spectrogram.shape[1]]
        out: Tensor = self.dropout(self.layer_norm(x))
        return out


class BrainBERT(nn.Module):
    """Transformer over the frames of one channel's spectrogram.

    References
    ----------
    Wang et al. 2023, BrainBERT, arXiv:2302.14367.
    """

    def __init__(self, sizes: BrainBERTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.max_frames = N_POSITIONS
        self.input_encoding = _InputEncoding(sizes.input_dim, sizes.hidden_dim)
        self.transformer = TransformerStack(
            sizes.encoder_num_layers, sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward
        )
        self.spec_prediction_head = PredictionHead(sizes.hidden_dim, sizes.input_dim)

    def forward(self, spectrogram: Tensor, pad_mask: Tensor | None = None) -> Tensor:
        """Z-scores [B, T, F] to hidden states [B, T, D]; `pad_mask` [B, T] hides frames."""
        hidden: Tensor = self.transformer(self._tokens(spectrogram), pad_mask)
        return hidden

    def reconstruct(self, hidden: Tensor) -> Tensor:
        """Hidden states [B, T, D] to the spectrogram [B, T, F], by the pretraining head."""
        spectrogram: Tensor = self.spec_prediction_head(hidden)
        return spectrogram

    def embed(self, spectrogram: Tensor, pool: str = "centre", n_pooled: int = 10) -> Tensor:
        """Mean hidden state of a few frames: z-scores [B, T, F] to [B, D].

        Pool ``"centre"`` averages the middle frames, as published, ``"last"`` the newest. The last
        layer is computed for these only. ValueError where there are too few frames.
        """
        start, stop = pooled_rows(spectrogram.shape[1], pool, n_pooled)
        rows = self.transformer.rows(self._tokens(spectrogram), start, stop)
        return torch.mean(rows, dim=1)

    def _tokens(self, spectrogram: Tensor) -> Tensor:
        n_frames, n_positions = spectrogram.shape[1], self.input_encoding.n_positions
        if n_frames > n_positions:
            raise ValueError(f"{n_frames} frames, but BrainBERT has {n_positions} positions")
        tokens: Tensor = self.input_encoding(spectrogram)
        return tokens
