"""StreamingBERT: a causal encoder of one channel that takes new frames only.

Legend: B batch (of channels), T frames, F freqs, P frames of a patch, N patches, S patches that
are attended to, H heads, D features, E features per head.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rtbrain.encoder.models.layers import PredictionHead, require_sizes


@dataclass(frozen=True)
class StreamingBERTSizes:
    """Sizes of a StreamingBERT, as in `BrainBERTSizes`; the width need not be even.

    `patch_frames` P make one token, which attends to `context_patches` S before it in each layer;
    `delay_patches`: after how many more it was trained to describe one (no computation reads it).
    """

    hidden_dim: int
    layer_dim_feedforward: int
    nhead: int
    encoder_num_layers: int
    patch_frames: int
    context_patches: int
    input_dim: int = 40
    delay_patches: int = 0

    def __post_init__(self) -> None:
        require_sizes(self, heads="nhead", may_be_zero=("delay_patches",))

    def make(self) -> "StreamingBERT":
        """Model of these sizes, with weights from torch's global generator."""
        return StreamingBERT(self)


# At frames every 50 / 2048 s, 41 patches of 5 are 5.005 s.
STREAMING_SIZES = {
    "small": StreamingBERTSizes(384, 1200, 12, 3, 5, 41),
    "compact": StreamingBERTSizes(64, 256, 4, 4, 5, 41),
}


class _CausalLayer(nn.Module):
    """Pre-norm layer whose tokens attend to what came before them, and to themselves."""

    def __init__(self, n_features: int, n_heads: int, n_feedforward: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(n_features)
        self.in_proj = nn.Linear(n_features, 3 * n_features)
        self.out_proj = nn.Linear(n_features, n_features)
        self.norm2 = nn.LayerNorm(n_features)
        self.linear1 = nn.Linear(n_features, n_feedforward)
        self.linear2 = nn.Linear(n_feedforward, n_features)

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens [B, N, D], and their keys and values [B, H, N, E]; `bias` [H, N, N] of scores."""
        qkv = self.queries_keys_values(x)
        mixed = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=bias)
        return self.after_attention(x, mixed), qkv[1], qkv[2]

    def queries_keys_values(self, x: Tensor) -> Tensor:
        """Of tokens [B, N, D], the three of them: [3, B, H, N, E]."""
        B, N, D = x.shape
        qkv: Tensor = self.in_proj(self.norm1(x)).view(B, N, 3, self.n_heads, D // self.n_heads)
        return qkv.permute(2, 0, 3, 1, 4)

    def after_attention(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The rest of the layer, from what was attended to, [B, H, N, E]: [B, N, D]."""
        x = x + self.out_proj(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + self.linear2(functional.gelu(self.linear1(self.norm2(x))))
        return out


class StreamingBERT(nn.Module):
    """Causal transformer over patches of one channel's running spectrogram.

    A token is a patch of frames. It attends to itself and to a bounded number of tokens before
    it, whose keys and values can be kept, so that a live step costs its new tokens only. Only the
    distance of tokens counts (a linear bias per head), so time has no beginning. Frames must be
    z-scored by what came before them, not by their window.

    References
    ----------
    Shi et al. 2021, Emformer, arXiv:2010.10759 (keys and values that are kept). Press et al. 2022,
    ALiBi, arXiv:2108.12409 (the bias). Xiong et al. 2020, arXiv:2002.04745 (the norms' place).
    """

    slopes: Tensor

    def __init__(self, sizes: StreamingBERTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.max_frames = None
        # TorchScript reads attributes, not dataclasses.
        self.patch_frames = sizes.patch_frames
        self.context_patches = sizes.context_patches
        self.n_layers = sizes.encoder_num_layers
        self.n_heads = sizes.nhead
        self.in_proj = nn.Linear(sizes.patch_frames * sizes.input_dim, sizes.hidden_dim)
        self.layers = nn.ModuleList(
            _CausalLayer(sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward)
            for _ in range(sizes.encoder_num_layers)
        )
        self.norm = nn.LayerNorm(sizes.hidden_dim)
        self.next_patch_head = PredictionHead(
            sizes.hidden_dim, sizes.patch_frames * sizes.input_dim
        )
        slopes = [2.0 ** (-8.0 * head / sizes.nhead) for head in range(1, sizes.nhead + 1)]
        self.register_buffer("slopes", torch.tensor(slopes))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Hidden state of each patch: [B, T, F] to [B, T // P, D]; the oldest frames left out."""
        return self.run(self.whole_patches(spectrogram))[0]

    def layers_of(self, spectrogram: Tensor) -> list[Tensor]:
        """Hidden states [B, T // P, D] after each layer, before the final norm, of [B, T, F]."""
        return self._run(self.whole_patches(spectrogram))[0]

    def embed(self, spectrogram: Tensor, pool: str = "last", n_pooled: int = 5) -> Tensor:
        """Mean hidden state of the newest patches: [B, T, F] to [B, D]."""
        n_patches = n_pooled // self.patch_frames
        n_frames = spectrogram.shape[1]
        if pool != "last":
            raise ValueError(f"a causal encoder pools the last frames, got pool '{pool}'")
        if n_patches < 1 or n_pooled % self.patch_frames or n_pooled > n_frames:
            raise ValueError(
                f"cannot pool {n_pooled} of {n_frames} frames in patches of {self.patch_frames}"
            )
        return torch.mean(self.forward(spectrogram)[:, -n_patches:], dim=1)

    def predict(self, hidden: Tensor) -> Tensor:
        """Next patch, as the pretraining head reads it: hidden [B, N, D] to [B, N, P, F]."""
        B, N, _ = hidden.shape
        next_patch: Tensor = self.next_patch_head(hidden)
        return next_patch.view(B, N, self.patch_frames, -1)

    def run(self, frames: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Hidden states [B, N, D] of [B, N * P, F]; each layer's keys, values [B, H, N, E]."""
        hidden, keys, values = self._run(frames)
        return self.norm(hidden[-1]), keys, values

    def whole_patches(self, spectrogram: Tensor) -> Tensor:
        """The newest frames [B, N * P, F] of [B, T, F]."""
        return spectrogram[:, spectrogram.shape[1] % self.patch_frames :]

    def _run(self, frames: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Hidden states, keys and values after each layer."""
        B, n_frames, F = frames.shape
        N, P = n_frames // self.patch_frames, self.patch_frames
        x = self.in_proj(frames.reshape(B, N, P * F))
        place = torch.arange(N, device=frames.device)
        bias = self.bias(place[:, None] - place)
        hidden: list[Tensor] = []
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for layer in self.layers:
            x, key, value = layer(x, bias)
            hidden.append(x)
            keys.append(key)
            values.append(value)
        return hidden, keys, values

    def bias(self, distance: Tensor) -> Tensor:
        """Addend of the scores of tokens at these distances [N, S] in the past: [H, N, S]."""
        hidden = (distance < 0) | (distance > self.context_patches)
        bias = -self.slopes[:, None, None] * distance
        return bias.masked_fill(hidden, float("-inf"))
