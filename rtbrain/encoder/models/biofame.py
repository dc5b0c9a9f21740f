"""bioFAME: the raw waveform of one channel, in patches, mixed in the frequency domain.

Legend: B batch (of channels), T patches, F samples of a patch, D features, H heads, N rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.encoder.models.layers import pooled_rows, require_sizes

_DROPOUT = 0.2
# Standard deviation of the filters at the start: small, so that a layer begins near the identity.
_FILTER_SCALE = 0.02


@dataclass(frozen=True)
class BioFAMESizes:
    """Sizes of a bioFAME encoder, as in `BrainBERTSizes`.

    `nhead` counts the complex filters H of a layer, and the width need not be a multiple of it;
    `input_dim` is the samples F of a patch.
    """

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
    magnitude. The filter has one number per head and feature, so it fits any number of tokens at
    any rate.
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
        self.dropout = nn.Dropout(_DROPOUT)

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

    Parameters
    ----------
    sizes : BioFAMESizes
        Its sizes; those published are in `BIOFAME_SIZES`.

    Notes
    -----
    This is the frequency encoder of the paper. The second transformer, which joins modalities
    there, serves pretraining only (`rtbrain.learn.objectives.patches`): here the Population
    Transformer joins the channels. The reference code takes the mean and the deviation of each
    patch away (a LayerNorm around the first linear map) and with it a patch's amplitude, which
    in recordings from inside the brain is much of the signal; it is left out here.

    References
    ----------
    Liu et al. 2023, Frequency-aware masked autoencoders for multimodal pretraining on
    biosignals, arXiv:2309.05927.
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
        """Mean hidden state of a few patches, [B, T, F] to [B, D], as `BrainBERT.embed`.

        The last layer is fed forward for the pooled patches only.
        """
        start, stop = pooled_rows(patches.shape[1], pool, n_pooled)
        x: Tensor = self.in_proj(patches)
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):  # TorchScript cannot slice the list
            if number < last:
                x = layer(x)
            if number == last:
                x = layer.rows(x, start, stop)  # type: ignore[operator]
        return torch.mean(x, dim=1)
