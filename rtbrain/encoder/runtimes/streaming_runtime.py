"""A streaming encoder live: its memory written in place, one hop of frames per call, compiled.

Legend: C channels, T frames, F freqs, P frames of a patch, N new patches, W places of the memory,
R patches that are pooled, L layers, H heads, D features, E features per head.
"""

import math
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.models.streaming import StreamingBERT
from rtbrain.encoder.runtimes.contract import Contract, Shape, contract_of, require_small_error
from rtbrain.encoder.runtimes.torchscript import cached_torchscript, load_torchscript
from rtbrain.encoder.runtimes.window_runtime import (
    as_tensor,
    checked_positions,
    on_threads,
    warm_up,
)
from rtbrain.errors import CompiledModelError, SettingsError
from rtbrain.types import Floats, Ints, Mask

# Channels that are restarted in one call: their frames stay in the processor's caches, and a
# channel that returns costs no more than these.
_RESTARTED = 16
_HOPS_COMPARED = 3
_FRAMES_AT_ONCE = 100


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
        """State of channels that were never seen."""
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
        """Embeddings of all frames so far."""
        channels = torch.mean(state.recent, dim=1)
        channels = torch.where(good[:, None], channels, torch.zeros_like(channels))
        return channels, self.population(channels[None], good[None], positions)[0]

    @torch.jit.export
    def population(self, channels: Tensor, good: Tensor, positions: Tensor) -> Tensor:
        """Embeddings of the population of B windows [B, P], from those of channels [B, C, D]."""
        if self.popt is None:
            return channels.flatten(1)
        return self.popt.population(channels, positions.expand(len(good), -1, -1), good)

    @torch.jit.export
    def advance(self, frames: Tensor, known: Tensor, state: LiveState) -> Tensor:
        """Add a hop of frames, or as many as the memory has places for beside the context.

        The hidden states that were pooled last, and the new ones: [C, R + N, D].
        """
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
        hidden = torch.cat((state.recent, self.streaming.norm(x)), dim=1)
        state.recent.copy_(hidden[:, -state.recent.shape[1] :])
        n_seen = torch.clamp(state.n_seen + N, max=self.context)
        state.n_seen.copy_(torch.where(known, n_seen, torch.zeros_like(n_seen)))
        return hidden

    @torch.jit.export
    def restart(self, frames: Tensor, rows: Tensor, state: LiveState) -> None:
        """Restart some channels from these frames, as one shot over them."""
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
        """Addend of the scores of the N newest patches [C, H, N, W], places in memory's order."""
        age = torch.remainder(state.n_patches - 1 - torch.arange(W), W)  # of each place, in patches
        bias = self.streaming.bias(age - torch.arange(N - 1, -1, -1)[:, None])  # [H, N, W]
        empty = age >= N + state.n_seen[:, None]  # [C, W]
        return bias[None].masked_fill(empty[:, None, None], float("-inf"))


class StreamingRuntime:
    """A streaming encoder and its state, on the CPU: compiled and warm, or for `max_hops` at once.

    `encoder` is a compiled file, or what `eager_streaming` gives.
    """

    name = "torchscript"
    precision = "fp32"

    def __init__(
        self,
        encoder: "Path | tuple[StreamingModel, Contract]",
        positions: Ints | None,
        *,
        threads: int = 1,
    ) -> None:
        compiled = isinstance(encoder, Path)
        found = load_torchscript(encoder) if isinstance(encoder, Path) else encoder
        self._model: StreamingModel = found[0]
        contract = found[1]
        if not contract.hop_frames:
            raise CompiledModelError(
                f"{encoder}: encodes whole windows: compile the streaming form"
            )
        self.contract = contract
        self.max_hops = 1 if compiled else self._model.hop_frames // contract.hop_frames
        self.threads = threads
        self._positions = checked_positions(contract, positions)
        self._state = self._model.new_state(contract.n_channels)
        if compiled:
            self._warm_up()

    def another(self) -> "StreamingRuntime":
        """Runtime of the same compiled encoder with a state of its own, as warm as this one."""
        other = copy(self)
        # Not `new_state` again: what is constant in it, the frozen model gives out twice.
        other._state = LiveState(*map(torch.zeros_like, self._state))
        return other

    def advance(self, frames: Floats, known: Mask) -> None:
        """Add a hop of frames."""
        with on_threads(self.threads), torch.inference_mode():
            self._model.advance(as_tensor(frames), as_tensor(known), self._state)

    def advance_many(
        self, frames: Floats, known: Mask, hops: Ints, good: Mask
    ) -> tuple[Floats, Floats]:
        """Add hops of frames, `max_hops` at most: embeddings [B, C, D] and [B, P] after some."""
        per_hop = self.contract.hop_frames // self._model.streaming.patch_frames
        with on_threads(self.threads), torch.inference_mode():
            hidden = self._model.advance(as_tensor(frames), as_tensor(known), self._state)
            n_recent = self._state.recent.shape[1]
            stops = [n_recent + per_hop * int(n) for n in hops]
            channels = torch.stack([hidden[:, n - n_recent : n].mean(dim=1) for n in stops])
            channels[:, as_tensor(~good)] = 0
        found = channels.numpy()
        return found, self.population(found, np.broadcast_to(good, found.shape[:2]))

    def population(self, channels: Floats, good: Mask) -> Floats:
        """Embeddings of the population [B, P], from those of the channels that are good [B, C]."""
        with on_threads(self.threads), torch.inference_mode():
            found = self._model.population(as_tensor(channels), as_tensor(good), self._positions)
        return np.asarray(found.numpy())

    def restart(self, window: Floats, rows: Ints) -> None:
        """Restart some channels from a window, as one shot over it."""
        for first in range(0, rows.size, _RESTARTED):
            # Filled up with the last one, so that the shape stays the one that is warm.
            some = rows[first : first + _RESTARTED]
            block = np.pad(some, (0, _RESTARTED - some.size), "edge")
            with on_threads(self.threads), torch.inference_mode():
                self._model.restart(as_tensor(window[block]), as_tensor(block), self._state)

    def read(self, good: Mask) -> tuple[Floats, Floats]:
        """Embeddings of all frames so far."""
        with on_threads(self.threads), torch.inference_mode():
            channels, population = self._model(as_tensor(good), self._positions, self._state)
        return channels.numpy(), population.numpy()

    def reset(self) -> None:
        """Forget everything."""
        for tensor in self._state:
            tensor.zero_()

    def _warm_up(self) -> None:
        window = np.random.default_rng(0).standard_normal(self.contract.shape, np.float32)
        everyone = np.ones(len(window), np.bool_)

        def hop() -> None:
            self.restart(window, np.zeros(1, np.int64))
            self.advance(window[:, : self.contract.hop_frames], everyone)
            self.read(everyone)

        warm_up(hop)
        self.reset()


def eager_streaming(
    model: EncoderModel, shape: Shape, *, hop_frames: int
) -> tuple[StreamingModel, Contract]:
    """Form of a streaming encoder that takes many hops at once, not compiled."""
    contract = contract_of(
        model, shape, runtime="torchscript", precision="fp32", hop_frames=hop_frames
    )
    max_hops = max(1, min(_FRAMES_AT_ONCE, contract.n_frames) // hop_frames)
    live = StreamingModel(model, max_hops * hop_frames)
    return live.eval().requires_grad_(False), contract


def compile_streaming(
    model: EncoderModel, shape: Shape, *, hop_frames: int, cache_folder: Path | None = None
) -> Path:
    """Compiled live form of a streaming encoder, from the cache or made now."""
    live = StreamingModel(model, hop_frames).eval().requires_grad_(False)
    contract = contract_of(
        model, shape, runtime="torchscript", precision="fp32", hop_frames=hop_frames
    )
    if contract.n_frames < hop_frames:
        raise CompiledModelError(
            f"the window has {contract.n_frames} frames, the hop {hop_frames}: lengthen the window"
        )
    return cached_torchscript(
        "streaming.pt",
        contract,
        cache_folder,
        lambda: live,
        lambda compiled: _compare(live, compiled, contract),
        frozen=("new_state", "advance", "restart", "population"),
    )


def _compare(live: StreamingModel, compiled: StreamingModel, contract: Contract) -> None:
    """Over a restart of some channels and a few hops, with bad channels."""
    generator = torch.Generator().manual_seed(0)
    C, F = contract.n_channels, contract.n_freqs
    window = torch.randn((C, contract.n_frames, F), generator=generator)
    positions = torch.randint(0, 200, (C, 3), generator=generator)
    rows = torch.arange(C)
    good = rows % 3 != 1 if C > 1 else rows == 0
    states = live.new_state(C), compiled.new_state(C)
    with torch.inference_mode():
        for model, state in zip((live, compiled), states, strict=True):
            model.restart(window, rows, state)
        for _ in range(_HOPS_COMPARED):
            frames = torch.randn((C, contract.hop_frames, F), generator=generator)
            for model, state in zip((live, compiled), states, strict=True):
                model.advance(frames, good, state)
            pairs = zip(
                live(good, positions, states[0]), compiled(good, positions, states[1]), strict=True
            )
            for eager, other in pairs:
                require_small_error(other, eager)


def require_matching_mode(mode: str, model: EncoderModel) -> None:
    """Refuse a causal encoder in another mode than ``streaming``, or another encoder in it."""
    if isinstance(model.channel_encoder, StreamingBERT) != (mode == "streaming"):
        raise SettingsError(
            f"mode {mode} got a {type(model.channel_encoder).__name__}: mode streaming runs a "
            "StreamingBERT, and no other mode does; set the mode or the encoder"
        )
