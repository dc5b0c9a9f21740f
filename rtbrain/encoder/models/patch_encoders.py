"""Neuro-BERT and bioFAME: one channel's raw waveform, in patches, to hidden states.

Legend: B batch (of channels), T patches, F samples of a patch, D features, H heads, N rows, K bins
of a patch's spectrum.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.encoder.models.layers import (
    DROPOUT,
    N_POSITIONS,
    PositionTable,
    TransformerStack,
    pooled_rows,
    require_sizes,
)

_BIOFAME_DROPOUT = 0.2
# Standard deviation of the filters at the start: small, so that a layer begins near the identity.
_FILTER_SCALE = 0.02


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

    A patch becomes a token by one linear map. In pretraining, a learned token takes the place of
    hidden ones before their position is added. The layers are those of BrainBERT.

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
        """Standardised waveform [B, T, F] to [B, T, D]; patches in `mask` [B, T] are not read."""
        hidden: Tensor = self.transformer(self._tokens(patches, mask))
        return hidden

    def amplitude_and_phase(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrum of each patch (orthonormal DFT), [B, T, D] to twice [B, T, K]; radians."""
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


@dataclass(frozen=True)
class BioFAMESizes:
    """As `BrainBERTSizes`; `nhead` counts the complex filters H, `input_dim` the samples F."""

    hidden_dim: int
    layer_dim_feedforward: int
    nhead: int
    encoder_num_layers: int
    input_dim: int

    def __post_init__(self) -> None:
        require_sizes(self, multiple_of=2)

    def make(self) -> "BioFAME":
        """Model of these sizes, with weights from torch's global generator."""
        return BioFAME(self)


BIOFAME_SIZES = {
    "published": BioFAMESizes(64, 128, 8, 4, 20),
    "small": BioFAMESizes(64, 128, 8, 2, 20),
    "compact": BioFAMESizes(64, 128, 8, 2, 50),
}


class FrequencyFilter(nn.Module):
    r"""Tokens mixed in the frequency domain by complex filters, one number per feature.

    .. math:: y_d = F^{-1}\left(\mathrm{maxpool}_h\, w_{hd} F(x_d)\right)

    where F is the transform over the tokens and the pool takes the product of the greatest
    magnitude.
    """

    def __init__(self, n_features: int, n_heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_FILTER_SCALE * torch.randn(n_heads, n_features, 2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        winner = self.weight.square().sum(-1).argmax(0)  # [D]
        index = winner[None, :, None].expand(1, winner.shape[0], 2)
        filters = torch.view_as_complex(self.weight.gather(0, index)[0].contiguous())  # [D]
        # The transform knows no half precision.
        spectrum = torch.fft.rfft(x.float(), dim=1, norm="ortho")  # [B, T // 2 + 1, D]
        out: Tensor = torch.fft.irfft(spectrum * filters, n=x.shape[1], dim=1, norm="ortho")
        return out


class FrequencyLayer(nn.Module):
    """Pre-norm layer: the frequency filter in the place of attention, then feed-forward."""

    def __init__(self, n_features: int, n_heads: int, n_feedforward: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(n_features)
        self.filter = FrequencyFilter(n_features, n_heads)
        self.norm2 = nn.LayerNorm(n_features)
        self.linear1 = nn.Linear(n_features, n_feedforward)
        self.linear2 = nn.Linear(n_feedforward, n_features)
        self.dropout = nn.Dropout(_BIOFAME_DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Every token: [B, T, D]."""
        return self._feed_forward(x + self.filter(self.norm1(x)))

    def rows(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Tokens `start` to `stop` of what `forward` gives, fed forward alone: [B, N, D]."""
        mixed = x + self.filter(self.norm1(x))
        return self._feed_forward(mixed[:, start:stop])

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(functional.gelu(self.linear1(self.norm2(x))))
        out: Tensor = x + self.dropout(self.linear2(hidden))
        return out


class BioFAME(nn.Module):
    """Frequency-aware transformer over the patches of one channel's waveform.

    It has no positions and no weight that belongs to a token, so the same weights take windows
    of any length at any rate. It mixes the whole window, both ways in time and around its ends.

    This is the frequency encoder of the paper. The reference code takes the mean and the deviation
    of each patch away, and with it its amplitude, which in recordings from inside the brain is
    much of the signal; that is left out here.

    References
    ----------
    Liu et al. 2023, Frequency-aware masked autoencoders, arXiv:2309.05927.
    """

    def __init__(self, sizes: BioFAMESizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.max_frames = None  # any number
        self.in_proj = nn.Linear(sizes.input_dim, sizes.hidden_dim)
        self.layers = nn.ModuleList(
            FrequencyLayer(sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward)
            for _ in range(sizes.encoder_num_layers)
        )

    def forward(self, patches: Tensor) -> Tensor:
        """Hidden state of each patch of a standardised waveform: [B, T, F] to [B, T, D]."""
        x: Tensor = self.in_proj(patches)
        for layer in self.layers:
            x = layer(x)
        return x

    def embed(self, patches: Tensor, pool: str = "centre", n_pooled: int = 10) -> Tensor:
        """Mean hidden state of a few patches, [B, T, F] to [B, D], as `BrainBERT.embed`."""
        start, stop = pooled_rows(patches.shape[1], pool, n_pooled)
        x: Tensor = self.in_proj(patches)
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):  # TorchScript cannot slice the list
            if number < last:
                x = layer(x)
            if number == last:
                x = layer.rows(x, start, stop)  # type: ignore[operator]
        return torch.mean(x, dim=1)
