"""Transformer layers in the form that runs on CPUs: oneDNN's linear maps, with packed weights.

Legend: B batch, T tokens, N queries, H heads, D features, E features per head.

torch computes float32 products by MKL, which runs at half speed on CPUs of other makers than its
own. oneDNN does not, and it fuses the GELU or the residual sum into the product. These operators
are those that torch's own compiler calls.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.encoder.models.layers import EncoderLayer, SelfAttention, TransformerStack

_Module = TypeVar("_Module", bound=nn.Module)


class PackedLinear(nn.Module):
    """Linear map, fused with the GELU or the residual sum that follows it."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, *, gelu: bool = False) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", bias.detach().clone())
        self.after = "gelu" if gelu else "none"

    def forward(self, x: Tensor) -> Tensor:
        """[..., n_in] to [..., n_out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias, self.after, [], "none"
        )
        return out

    @torch.jit.export
    def plus(self, x: Tensor, residual: Tensor) -> Tensor:
        """The map of x, and the residual branch on top: [..., n_out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, residual, self.weight, self.bias, "add")
        return out

    @torch.jit.export
    def pack(self, n_rows: int) -> None:
        """Order the weight for oneDNN's products with `n_rows` rows; a file cannot hold that."""
        self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, n_rows)


class _PackedAttention(nn.Module):
    """Every token to every token, and the residual branch on top."""

    def __init__(self, plain: SelfAttention) -> None:
        super().__init__()
        self.n_heads = plain.n_heads
        self.in_proj = PackedLinear(plain.in_proj_weight, plain.in_proj_bias)
        self.out_proj = PackedLinear(plain.out_proj.weight, plain.out_proj.bias)

    def forward(self, x: Tensor, pad_mask: Tensor | None) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        B, T, D = x.shape
        qkv = self.in_proj(x).view(B, T, 3, self.n_heads, D // self.n_heads).permute(2, 0, 3, 1, 4)
        if x.dtype == torch.bfloat16:
            mixed = self._mix(qkv, pad_mask)
        else:
            attended: Tensor | None = None
            if pad_mask is not None:
                attended = ~pad_mask[:, None, None, :]
            mixed = functional.scaled_dot_product_attention(
                qkv[0], qkv[1], qkv[2], attn_mask=attended
            )  # [B, H, T, E]
        out: Tensor = self.out_proj.plus(mixed.transpose(1, 2).reshape(B, T, D), x)
        return out

    def _mix(self, qkv: Tensor, pad_mask: Tensor | None) -> Tensor:
        """Attention by oneDNN's products: torch's fused kernel takes 2.5 times as long in bfloat16.

        The softmax is computed in float32, where torch's is fast.
        """
        _, B, H, T, E = qkv.shape
        q, k, v = [part.reshape(B * H, T, E) for part in qkv.unbind(0)]
        scores = torch.bmm(q, k.transpose(1, 2)).float().mul_(E**-0.5).view(B, H, T, T)
        if pad_mask is not None:
            scores = scores.masked_fill(pad_mask[:, None, None, :], float("-inf"))
        share = torch.softmax(scores, dim=-1).to(v.dtype).view(B * H, T, T)
        return torch.bmm(share, v).view(B, H, T, E)


class _PackedFeedForward(nn.Module):
    """The part of a layer after its attention."""

    def __init__(self, layer: EncoderLayer) -> None:
        super().__init__()
        self.linear1 = PackedLinear(layer.linear1.weight, layer.linear1.bias, gelu=True)
        self.linear2 = PackedLinear(layer.linear2.weight, layer.linear2.bias)
        self.norm1 = layer.norm1
        self.norm2 = layer.norm2

    def forward(self, summed: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        x = self.norm1(summed)
        out: Tensor = self.norm2(self.linear2.plus(self.linear1(x), x))
        return out


class _PackedStack(nn.Module):
    """A `TransformerStack` in eval mode that computes a few tokens, equal up to rounding."""

    def __init__(self, stack: TransformerStack) -> None:
        super().__init__()
        layers = [layer for layer in stack.layers if isinstance(layer, EncoderLayer)]
        self.attentions = nn.ModuleList(_PackedAttention(layer.self_attn) for layer in layers[:-1])
        self.feed_forwards = nn.ModuleList(_PackedFeedForward(layer) for layer in layers[:-1])
        self.last_attention = layers[-1].self_attn
        self.last_feed_forward = _PackedFeedForward(layers[-1])

    def forward(self, x: Tensor, pad_mask: Tensor | None = None) -> Tensor:
        """Every token after the last layer: [B, T, D]."""
        return self.rows(x, 0, x.shape[1], pad_mask)

    def rows(self, x: Tensor, start: int, stop: int, pad_mask: Tensor | None = None) -> Tensor:
        """Tokens `start` to `stop` after the last layer, which is computed for these only."""
        for attention, feed_forward in zip(self.attentions, self.feed_forwards):  # noqa: B905
            x = feed_forward(attention(x, pad_mask))  # TorchScript's zip knows no strict
        attended = self.last_attention.rows(x, start, stop, pad_mask)
        out: Tensor = self.last_feed_forward(x[:, start:stop] + attended)
        return out


def pack_model(module: _Module) -> _Module:
    """Copy of an encoder for inference, its transformer layers in the packed form.

    Where torch is built without oneDNN, the copy keeps the plain layers.
    """
    packed = copy.deepcopy(module).eval().requires_grad_(False)
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        for name, part in list(packed.named_children()):
            if isinstance(part, TransformerStack):
                setattr(packed, name, _PackedStack(part))
    return packed


def pack_weights(compiled: nn.Module, n_rows: int) -> None:
    """Order all weights of a compiled encoder, in place, for products with `n_rows` rows."""
    for part in compiled.modules():
        pack = getattr(part, "pack", None)
        if pack is not None:
            pack(n_rows)
