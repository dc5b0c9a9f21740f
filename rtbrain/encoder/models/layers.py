"""The parts that the encoders share, and the check of their sizes.

Legend: B batch, T tokens, N queries, H heads, D features, E features per head. Parameters carry the
names of :class:`torch.nn.TransformerEncoder`, so that released weights fit without renaming; the
layers themselves are written out because the last one is computed for a few tokens only.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

N_POSITIONS = 5000
DROPOUT = 0.1
# No encoder comes near these; a file may say anything.
_MAX_SIZE, _MAX_LAYERS = 2**16, 64


def require_sizes(
    sizes: object, *, multiple_of: int = 1, heads: str = "", may_be_zero: tuple[str, ...] = ()
) -> None:
    """Refuse sizes that are no counts, and a width that is no multiple of a number or the heads."""
    numbers: dict[str, int] = vars(sizes)
    for name, number in numbers.items():
        least = 0 if name in may_be_zero else 1
        most = _MAX_LAYERS if name.endswith("layers") else _MAX_SIZE
        if type(number) is not int or number < least:
            raise ValueError(f"{name} must be {least} or more, got {number!r:.40}")
        if number > most:
            raise ValueError(f"{name} must be {most} or less, got {number!r:.40}")
    factors = {heads: numbers[heads]} if heads else {}
    factors |= {str(multiple_of): multiple_of} if multiple_of > 1 else {}
    if any(numbers["hidden_dim"] % factor for factor in factors.values()):
        shown = f" with {numbers[heads]} heads" if heads else ""
        raise ValueError(
            f"hidden_dim must be a multiple of {' and of '.join(factors)}, "
            f"got {numbers['hidden_dim']}{shown}"
        )


class PositionTable(nn.Module):
    """Table of sinusoids, one row per position: the buffer `pe` [1, 5000, n_features].

    References
    ----------
    Vaswani et al. 2017, section 3.5, arXiv:1706.03762.
    """

    pe: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        table = torch.zeros(N_POSITIONS, n_features)
        if not table.is_meta:  # there, arithmetic loads torch's compiler: 2 s for nothing
            position = torch.arange(N_POSITIONS, dtype=torch.float32)[:, None]
            evens = torch.arange(0, n_features, 2, dtype=torch.float32)
            rate = torch.exp(evens * (-math.log(1e4) / n_features))
            table[:, 0::2] = torch.sin(position * rate)
            table[:, 1::2] = torch.cos(position * rate)
        self.register_buffer("pe", table[None])

    def forward(self, index: Tensor) -> Tensor:
        """Rows of the table: int64 [...] to float32 [..., n_features]."""
        return self.pe[0, index]


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection to queries, keys and values."""

    def __init__(self, n_features: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = DROPOUT  # TorchScript reads attributes, not globals
        self.in_proj_weight = nn.Parameter(torch.empty(3 * n_features, n_features))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * n_features))
        self.out_proj = nn.Linear(n_features, n_features)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, pad_mask: Tensor | None) -> Tensor:
        """Attend from every token to every token that is not masked: [B, T, D]."""
        B, T, D = x.shape
        qkv = functional.linear(x, self.in_proj_weight, self.in_proj_bias)  # [B, T, 3D]
        qkv = qkv.view(B, T, 3, self.n_heads, D // self.n_heads).permute(2, 0, 3, 1, 4)
        attended: Tensor | None = None
        if pad_mask is not None:
            attended = ~pad_mask[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(
            qkv[0], qkv[1], qkv[2], attn_mask=attended, dropout_p=dropout
        )  # [B, H, T, E]
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(B, T, D))
        return out

    def rows(self, x: Tensor, start: int, stop: int, pad_mask: Tensor | None) -> Tensor:
        """Attend from the tokens `start` to `stop` only: [B, N, D].

        For few queries the products are re-associated, (W_k' q) . x and W_v (sum p x): no key or
        value is made for the T tokens. The softmax does not see the key bias, which is left out.
        """
        B, T, D = x.shape
        H, N = self.n_heads, stop - start
        weight_q, weight_k, weight_v = self.in_proj_weight.chunk(3)
        bias_q, _, bias_v = self.in_proj_bias.chunk(3)
        q = functional.linear(x[:, start:stop], weight_q, bias_q).view(B, N, H, D // H)
        q = torch.einsum("bnhe,hed->bhnd", q * (D // H) ** -0.5, weight_k.view(H, D // H, D))
        scores = torch.bmm(q.reshape(B, H * N, D), x.transpose(1, 2)).view(B, H, N, T)
        if pad_mask is not None:
            scores = scores.masked_fill(pad_mask[:, None, None, :], float("-inf"))
        share = functional.dropout(torch.softmax(scores, dim=-1), self.dropout, self.training)
        mixed = torch.bmm(share.view(B, H * N, T), x).view(B, H, N, D)
        value = torch.einsum("bhnd,hed->bnhe", mixed, weight_v.view(H, D // H, D))
        # Dropout makes the shares of a query sum to something other than one.
        value = value + share.sum(-1).transpose(1, 2)[..., None] * bias_v.view(H, D // H)
        out: Tensor = self.out_proj(value.reshape(B, N, D))
        return out


class EncoderLayer(nn.Module):
    """Post-norm transformer layer with GELU, equal to :class:`torch.nn.TransformerEncoderLayer`."""

    def __init__(self, n_features: int, n_heads: int, n_feedforward: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(n_features, n_heads)
        self.linear1 = nn.Linear(n_features, n_feedforward)
        self.linear2 = nn.Linear(n_feedforward, n_features)
        self.norm1 = nn.LayerNorm(n_features)
        self.norm2 = nn.LayerNorm(n_features)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, pad_mask: Tensor | None = None) -> Tensor:
        """Every token: [B, T, D]."""
        return self._after_attention(x, self.self_attn(x, pad_mask))

    def rows(self, x: Tensor, start: int, stop: int, pad_mask: Tensor | None = None) -> Tensor:
        """Tokens `start` to `stop` of what `forward` gives, at the cost of these: [B, N, D]."""
        return self._after_attention(
            x[:, start:stop], self.self_attn.rows(x, start, stop, pad_mask)
        )

    def _after_attention(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(attended))
        hidden = self.dropout(functional.gelu(self.linear1(x)))
        out: Tensor = self.norm2(x + self.dropout(self.linear2(hidden)))
        return out


class TransformerStack(nn.Module):
    """Layers in a row, without a final norm."""

    def __init__(self, n_layers: int, n_features: int, n_heads: int, n_feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(n_features, n_heads, n_feedforward) for _ in range(n_layers)
        )

    def forward(self, x: Tensor, pad_mask: Tensor | None = None) -> Tensor:
        """Every token after the last layer: [B, T, D]."""
        for layer in self.layers:
            x = layer(x, pad_mask)
        return x

    def rows(self, x: Tensor, start: int, stop: int, pad_mask: Tensor | None = None) -> Tensor:
        """Tokens `start` to `stop` after the last layer, which is computed for these only."""
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):  # TorchScript cannot slice the list
            if number < last:
                x = layer(x, pad_mask)
            if number == last:
                x = layer.rows(x, start, stop, pad_mask)  # type: ignore[operator]
        return x


class PredictionHead(nn.Module):
    """Head of pretraining: hidden states to what was masked."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.hidden_layer = nn.Linear(n_features, n_features)
        self.layer_norm = nn.LayerNorm(n_features)
        self.output = nn.Linear(n_features, n_outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., D] to [..., n_outputs]."""
        out: Tensor = self.output(self.layer_norm(functional.gelu(self.hidden_layer(hidden))))
        return out


def set_dropout(module: nn.Module, rate: float) -> None:
    """Set the dropout rate everywhere; at 0, attention uses the fused kernels of CPUs."""
    for part in module.modules():
        if isinstance(part, SelfAttention):
            part.dropout = rate
        elif isinstance(part, nn.Dropout):
            part.p = rate


def pooled_rows(n_frames: int, pool: str, n_pooled: int) -> tuple[int, int]:
    """First frame that is pooled, and the one after the last."""
    if pool == "centre":
        start = n_frames // 2 - n_pooled // 2
    elif pool == "last":
        start = n_frames - n_pooled
    else:
        raise ValueError(f"pool must be 'centre' or 'last', got '{pool}'")
    if start < 0 or start + n_pooled > n_frames or n_pooled < 1:
        raise ValueError(f"cannot pool {n_pooled} of {n_frames} frames")
    return start, start + n_pooled
