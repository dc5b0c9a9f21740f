"""The Population Transformer: the embeddings of all channels, and where they lie, to one vector.

Legend: B batch, C channels, D features of a channel, P features of the population.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.encoder.layers import (
    DROPOUT,
    PositionTable,
    PredictionHead,
    TransformerStack,
)
from rtbrain.encoder.positions import refuse_outside

__all__ = ["POPT_SIZES", "PopT", "PopTSizes"]


@dataclass(frozen=True)
class PopTSizes:
    """Sizes of a Population Transformer, under the names that its checkpoints use.

    Attributes
    ----------
    input_dim : int
        Width D of a channel's embedding.
    hidden_dim : int
        Width P; a multiple of 8 (four position codes, each even) and of `n_head`.
    layer_dim_feedforward : int
        Width of the feed-forward part of a layer.
    n_head : int
        Attention heads.
    n_layers : int
        Layers.

    Raises
    ------
    ValueError
        A size is below 1, or the width does not divide.
    """

    input_dim: int
    hidden_dim: int
    layer_dim_feedforward: int
    n_head: int
    n_layers: int

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.hidden_dim % 8 or self.hidden_dim % self.n_head:
            raise ValueError(
                f"hidden_dim must be a multiple of 8 and of n_head, "
                f"got {self.hidden_dim} with {self.n_head} heads"
            )


POPT_SIZES = {
    "published": PopTSizes(768, 512, 2048, 8, 6),
    "compact": PopTSizes(64, 64, 256, 4, 2),
}


class _InputEncoding(nn.Module):
    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(input_dim, hidden_dim)
        self.positional_encoding = PositionTable(hidden_dim // 4)
        self.layer_norm = nn.LayerNorm(hidden_dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor, index: Tensor) -> Tensor:
        code = self.positional_encoding(index).flatten(2)  # [B, 1+C, 4, P/4] to [B, 1+C, P]
        out: Tensor = self.dropout(self.layer_norm(self.in_proj(tokens) + code))
        return out


class PopT(nn.Module):
    """Transformer over the channels: a token each, and a CLS token that reads them all.

    Parameters
    ----------
    sizes : PopTSizes
        Its sizes; those published are in `POPT_SIZES`.

    Notes
    -----
    The CLS token is a vector of ones before the projection, not learned, and lies at index 0 of
    each axis, as published.

    References
    ----------
    Chau et al. 2025, Population Transformer, arXiv:2406.03044.
    """

    def __init__(self, sizes: PopTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.input_encoding = _InputEncoding(sizes.input_dim, sizes.hidden_dim)
        self.transformer_encoder = TransformerStack(
            sizes.n_layers, sizes.hidden_dim, sizes.n_head, sizes.layer_dim_feedforward
        )
        # Not read by the released objective; kept because released checkpoints hold it.
        self.spec_prediction_head = PredictionHead(sizes.hidden_dim, sizes.input_dim)
        self.cls_head = nn.Linear(sizes.hidden_dim, 1)
        self.token_cls_head = nn.Linear(sizes.hidden_dim, 1)

    def forward(
        self,
        embedding: Tensor,
        positions: Tensor,
        seq_id: Tensor | None = None,
        pad_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states and the two logits of pretraining.

        Parameters
        ----------
        embedding : Tensor, float32 [B, C, D]
            One embedding a channel.
        positions : Tensor, int64 [B, C, 3]
            L, I, P voxels, 0 to 4999.
        seq_id : Tensor, int64 [B, C], or None
            Which of two windows a channel is taken from; None for all 0.
        pad_mask : Tensor, bool [B, 1 + C], or None
            True where a token is left out; the first is CLS.

        Returns
        -------
        hidden : Tensor, float32 [B, 1 + C, P]
            The first row is CLS.
        cls_logit : Tensor, float32 [B, 1]
            Whether the two windows follow each other.
        token_logit : Tensor, float32 [B, C, 1]
            Whether a channel was replaced.

        Raises
        ------
        MontageError
            A position is outside 0 to 4999.
        """
        tokens = self._tokens(embedding, positions, seq_id)
        hidden: Tensor = self.transformer_encoder(tokens, pad_mask)
        return hidden, self.cls_head(hidden[:, 0]), self.token_cls_head(hidden[:, 1:])

    def population(
        self, embedding: Tensor, positions: Tensor, pad_mask: Tensor | None = None
    ) -> Tensor:
        """Hidden state of CLS, with the last layer computed for CLS only.

        Parameters
        ----------
        embedding : Tensor, float32 [B, C, D]
            One embedding a channel.
        positions : Tensor, int64 [B, C, 3]
            L, I, P voxels, 0 to 4999.
        pad_mask : Tensor, bool [B, 1 + C], or None
            True where a token is left out; the first is CLS.

        Returns
        -------
        Tensor, float32 [B, P]

        Raises
        ------
        MontageError
            A position is outside 0 to 4999.
        """
        tokens = self._tokens(embedding, positions, None)
        return self.transformer_encoder.rows(tokens, 0, 1, pad_mask)[:, 0]

    def codes(self, positions: Tensor) -> Tensor:
        """What is known before a channel speaks: computed once for a montage.

        Parameters
        ----------
        positions : Tensor, int64 [B, C, 3]
            L, I, P voxels, 0 to 4999; compiled, they are not checked here.

        Returns
        -------
        Tensor, float32 [B, 1 + C, P]
            The CLS token, complete; then the position code of each channel.
        """
        encoding = self.input_encoding
        B = positions.shape[0]
        weight = encoding.in_proj.weight
        ones = torch.ones(B, 1, weight.shape[1], dtype=weight.dtype, device=weight.device)
        index = functional.pad(positions, (0, 1))  # [B, C, 4]: sequence 0
        cls = encoding(ones, torch.zeros_like(index[:, :1]))
        return torch.cat((cls, encoding.positional_encoding(index).flatten(2)), dim=1)

    def population_of_codes(
        self, embedding: Tensor, codes: Tensor, pad_mask: Tensor | None = None
    ) -> Tensor:
        """What `population` gives, from the codes of the positions.

        Parameters
        ----------
        embedding : Tensor, float32 [B, C, D]
            One embedding a channel.
        codes : Tensor, float32 [B, 1 + C, P]
            What `codes` gave.
        pad_mask : Tensor, bool [B, 1 + C], or None
            True where a token is left out; the first is CLS.

        Returns
        -------
        Tensor, float32 [B, P]
        """
        encoding = self.input_encoding
        channels = encoding.layer_norm(encoding.in_proj(embedding) + codes[:, 1:])
        tokens = torch.cat((codes[:, :1], channels), dim=1)
        return self.transformer_encoder.rows(tokens, 0, 1, pad_mask)[:, 0]

    def _tokens(self, embedding: Tensor, positions: Tensor, seq_id: Tensor | None) -> Tensor:
        # Compiled, it is the runtime that has checked them, once.
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            refuse_outside(positions.numpy(force=True))
        B, _, D = embedding.shape
        if seq_id is None:
            seq_id = torch.zeros_like(positions[..., 0])
        index = torch.cat((positions, seq_id[..., None]), dim=-1)  # [B, C, 4]
        index = torch.cat((torch.zeros_like(index[:, :1]), index), dim=1)  # [B, 1+C, 4]
        ones = torch.ones(B, 1, D, dtype=embedding.dtype, device=embedding.device)
        tokens: Tensor = self.input_encoding(torch.cat((ones, embedding), dim=1), index)
        return tokens
