"""What runs a streaming encoder live: one state, a few warm shapes, hop after hop."""

import contextlib
import time
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.models.popt import require_positions_in_range
from rtbrain.encoder.runtimes.contract import Contract, contract_of
from rtbrain.encoder.runtimes.streaming_model import LiveState, StreamingModel
from rtbrain.encoder.runtimes.torchscript import (
    atomic_write,
    load_torchscript,
    require_difference_below,
    save_torchscript,
    user_cache_folder,
)
from rtbrain.encoder.runtimes.window_runtime import on_threads
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats, Ints, Mask

# Channels that are restarted in one call: their frames stay in the processor's caches, and a
# channel that returns costs no more than these.
_RESTARTED = 16
_WARM_UP_CALLS = 10
_LARGEST_DIFFERENCE = 1e-5
_HOPS_COMPARED = 3


class StreamingRuntime:
    """A compiled streaming encoder and its state, on the CPU.

    It is warm when it is made, for the only shapes that it is ever called with: a hop of all
    channels, the whole window of a block of channels, and the readout of all.
    """

    name = "torchscript"
    precision = "fp32"

    def __init__(self, path: Path, positions: Ints | None, *, threads: int = 1) -> None:
        start_s = time.perf_counter()
        self._model, contract = open_streaming(path)
        self.n_channels = contract.n_channels
        self.n_frames = contract.n_frames
        self.n_freqs = contract.n_freqs
        self.hop_frames = contract.hop_frames
        self.n_features = contract.n_features
        self.n_population_features = contract.n_population_features
        self.threads = threads
        if positions is None:
            if contract.reads_positions:
                raise CompiledModelError(
                    "this encoder reads contact positions, got none: pass them"
                )
            positions = np.zeros((self.n_channels, 3), np.int64)
        if positions.shape != (self.n_channels, 3):
            raise CompiledModelError(
                f"positions have shape {positions.shape}, expected ({self.n_channels}, 3)"
            )
        require_positions_in_range(positions)
        self._positions = torch.from_numpy(positions.astype(np.int64))
        self._state = self._model.new_state(self.n_channels)
        self.load_s = time.perf_counter() - start_s
        self._warm_up()
        self.warm_up_s = time.perf_counter() - start_s - self.load_s

    def advance(self, frames: Floats, known: Mask) -> None:
        """Take a hop of frames in."""
        with on_threads(self.threads), torch.inference_mode():
            self._model.advance(_tensor(frames), _tensor(known), self._state)

    def restart(self, window: Floats, rows: Ints) -> None:
        """Put some channels where one shot over a window leaves them."""
        for first in range(0, rows.size, _RESTARTED):
            # Filled up with the last one, so that the shape stays the one that is warm.
            some = rows[first : first + _RESTARTED]
            block = np.pad(some, (0, _RESTARTED - some.size), "edge")
            with on_threads(self.threads), torch.inference_mode():
                self._model.restart(_tensor(window[block]), _tensor(block), self._state)

    def read(self, good: Mask) -> tuple[Floats, Floats]:
        """Embeddings of what was taken in."""
        with on_threads(self.threads), torch.inference_mode():
            channels, population = self._model(_tensor(good), self._positions, self._state)
        return channels.numpy(), population.numpy()

    def reset(self) -> None:
        """Forget everything."""
        for tensor in self._state:
            tensor.zero_()

    def _warm_up(self) -> None:
        rng = np.random.default_rng(0)
        window = rng.standard_normal((self.n_channels, self.n_frames, self.n_freqs), np.float32)
        all_of_them = np.ones(self.n_channels, np.bool_)
        for _ in range(_WARM_UP_CALLS):
            self.restart(window, np.zeros(1, np.int64))
            self.advance(window[:, : self.hop_frames], all_of_them)
            self.read(all_of_them)
        self.reset()


def _tensor(array: npt.NDArray[np.generic]) -> Tensor:
    # torch warns of arrays that are read-only; nothing here writes, but views of others are.
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


class LiveEncoder(Protocol):
    """What a `StreamingModel` computes, compiled."""

    def __call__(self, good: Tensor, positions: Tensor, state: LiveState) -> tuple[Tensor, Tensor]:
        """Embeddings of what was taken in."""
        ...

    def new_state(self, n_channels: int) -> LiveState:
        """State of channels of which nothing is known."""
        ...

    def advance(self, frames: Tensor, known: Tensor, state: LiveState) -> None:
        """Take a hop of frames in."""
        ...

    def restart(self, frames: Tensor, rows: Tensor, state: LiveState) -> None:
        """Put some channels where one shot over these frames leaves them."""
        ...


def compile_streaming(
    model: EncoderModel,
    n_channels: int,
    n_frames: int,
    n_freqs: int,
    *,
    hop_frames: int,
    cache_folder: Path | None = None,
) -> Path:
    """Compiled live form of a streaming encoder, from the cache or made now."""
    live = StreamingModel(model, hop_frames).eval().requires_grad_(False)
    contract = contract_of(
        model,
        n_channels,
        n_frames,
        n_freqs,
        runtime="torchscript",
        precision="fp32",
        hop_frames=hop_frames,
    )
    if n_frames < hop_frames:
        raise CompiledModelError(
            f"the window has {n_frames} frames, the hop {hop_frames}: lengthen the window"
        )
    folder = user_cache_folder() if cache_folder is None else Path(cache_folder)
    path = folder / f"streaming-{contract.sha256[:32]}.pt"
    # A file that was damaged is made again.
    with contextlib.suppress(CompiledModelError):
        if path.is_file() and open_streaming(path)[1] == contract:
            return path
    with atomic_write(path) as part:
        methods = ("new_state", "advance", "restart")
        save_torchscript(live, contract, part, frozen=methods)
        _refuse_difference(live, open_streaming(part)[0], contract)
    return path


def open_streaming(path: Path) -> tuple[LiveEncoder, Contract]:
    """Compiled streaming encoder and its contract, from this machine's own cache."""
    compiled, contract = load_torchscript(path)
    if not contract.hop_frames:
        raise CompiledModelError(f"{path}: encodes whole windows: compile the streaming form")
    return compiled, contract


def _refuse_difference(live: StreamingModel, compiled: LiveEncoder, contract: Contract) -> None:
    """Over a restart of some channels and a few hops, with channels that are bad."""
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
                require_difference_below(_LARGEST_DIFFERENCE, (eager - other).abs())
