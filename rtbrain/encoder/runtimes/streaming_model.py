"""The live form of a streaming encoder: its memory written in place, a hop of frames a call.

Legend: C channels, T frames, F freqs, P frames of a patch, N new patches, W places of the memory,
R patches that are pooled, L layers, H heads, D features, E features a head.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.models.streaming import StreamingBERT
from rtbrain.errors import SettingsError


class LiveState(NamedTuple):
    """What the live form remembers, written in place: no samples, no weights.

    Patch number n lies at place n % W, so that nothing is ever moved.
    """

    keys: Tensor  # float32 [L, C, H, W, E]
    values: Tensor  # float32 [L, C, H, W, E]
    recent: Tensor  # float32 [C, R, D]
    n_seen: Tensor  # int64 [C]
    n_patches: Tensor  # int64 []


class StreamingModel(nn.Module):
    """A StreamingBERT and the Population Transformer joined, for one hop after another."""

    def __init__(self, model: EncoderModel, hop_frames: int) -> None:
        super().__init__()
        streaming = model.channel_encoder
        if not isinstance(streaming, StreamingBERT):
            raise SettingsError(f"expected a StreamingBERT, got a {type(streaming).__name__}")
        patch = streaming.patch_frames
        if hop_frames < 1 or hop_frames % patch:
            nearest = max(1, round(hop_frames / patch)) * patch
            raise SettingsError(
                f"window.hop_s is {hop_frames} frames, no multiple of the encoder's patch of "
                f"{patch} frames: the nearest that fits is {nearest} frames"
            )
        self.streaming = streaming
        self.popt = model.popt
        self.hop_frames = hop_frames
        # TorchScript reads attributes, not dataclasses.
        self.context = streaming.context_patches
        self.n_places = streaming.context_patches + hop_frames // patch
        self.n_recent = model.n_pooled // patch

    @torch.jit.export
    def new_state(self, n_channels: int) -> LiveState:
        """State of channels of which nothing is known."""
        D, H = self.streaming.in_proj.weight.shape[0], self.streaming.n_heads
        shape = (self.streaming.n_layers, n_channels, H, self.n_places, D // H)
        return LiveState(
            torch.zeros(shape),
            torch.zeros(shape),
            torch.zeros(n_channels, self.n_recent, D),
            torch.zeros(n_channels, dtype=torch.int64),
            torch.zeros((), dtype=torch.int64),
        )

    def forward(self, good: Tensor, positions: Tensor, state: LiveState) -> tuple[Tensor, Tensor]:
        """Embeddings of what was taken in."""
        channels = torch.mean(state.recent, dim=1)
        channels = torch.where(good[:, None], channels, torch.zeros_like(channels))
        if self.popt is None:
            return channels, channels.flatten()
        population = self.popt.population(channels[None], positions[None], good[None])
        return channels, population[0]

    @torch.jit.export
    def advance(self, frames: Tensor, known: Tensor, state: LiveState) -> None:
        """Take a hop of frames in."""
        C, n_frames, F = frames.shape
        N = n_frames // self.streaming.patch_frames
        x = self.streaming.in_proj(frames.reshape(C, N, n_frames // N * F))
        W = state.keys.shape[3]
        state.n_patches.add_(N)
        places = torch.remainder(state.n_patches - N + torch.arange(N), W)
        state.n_seen.copy_(torch.where(known, state.n_seen, torch.zeros_like(state.n_seen)))
        bias = self._bias(N, W, state)
        for number, layer in enumerate(self.streaming.layers):
            qkv = layer.queries_keys_values(x)  # type: ignore[operator]
            keys, values = state.keys[number], state.values[number]
            keys.index_copy_(2, places, qkv[1])
            values.index_copy_(2, places, qkv[2])
            # For so few queries, plain products are faster than the fused kernel.
            scores = torch.matmul(qkv[0] / math.sqrt(keys.shape[3]), keys.transpose(2, 3)) + bias
            mixed = torch.matmul(torch.softmax(scores, dim=-1), values)
            x = layer.after_attention(x, mixed)  # type: ignore[operator]
        hidden = self.streaming.norm(x)
        state.recent.copy_(torch.cat((state.recent, hidden), dim=1)[:, -state.recent.shape[1] :])
        n_seen = torch.clamp(state.n_seen + N, max=self.context)
        state.n_seen.copy_(torch.where(known, n_seen, torch.zeros_like(n_seen)))

    @torch.jit.export
    def restart(self, frames: Tensor, rows: Tensor, state: LiveState) -> None:
        """Put some channels where one shot over these frames leaves them."""
        hidden, keys, values = self.streaming.run(self.streaming.whole_patches(frames))
        M, W = hidden.shape[1], state.keys.shape[3]
        kept = min(M, self.context)
        places = torch.remainder(state.n_patches - kept + torch.arange(kept), W)
        for number in range(len(keys)):
            for memory, new in ((state.keys, keys[number]), (state.values, values[number])):
                ring = memory[number].index_select(0, rows).zero_()
                ring.index_copy_(2, places, new[:, :, -kept:])
                memory[number].index_copy_(0, rows, ring)
        state.recent.index_copy_(0, rows, hidden[:, -state.recent.shape[1] :])
        state.n_seen.index_fill_(0, rows, kept)

    def _bias(self, N: int, W: int, state: LiveState) -> Tensor:
        """What is added to the scores of the N newest patches: [C, H, N, W].

        As `StreamingBERT` has it, with the places in the order of the memory.
        """
        age = torch.remainder(state.n_patches - 1 - torch.arange(W), W)  # of each place, in patches
        distance = age - torch.arange(N - 1, -1, -1)[:, None]  # [N, W]
        hidden = (distance < 0) | (distance > self.context)
        bias = -self.streaming.slopes[:, None, None] * distance
        bias = bias.masked_fill(hidden, float("-inf"))  # [H, N, W]
        empty = age >= N + state.n_seen[:, None]  # [C, W]
        return bias[None].masked_fill(empty[:, None, None], float("-inf"))


def require_matching_mode(mode: str, model: EncoderModel) -> None:
    """Refuse an encoder that is of another mode.

    Raises
    ------
    SettingsError
        A causal encoder in another mode than ``streaming``, or another encoder in it.
    """
    if isinstance(model.channel_encoder, StreamingBERT) != (mode == "streaming"):
        raise SettingsError(
            f"mode {mode} got a {type(model.channel_encoder).__name__}: mode streaming runs a "
            "StreamingBERT, and no other mode does; set the mode or the encoder"
        )
