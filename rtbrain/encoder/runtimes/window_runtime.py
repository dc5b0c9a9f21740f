"""What runs a compiled encoder on one window after another."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtbrain.encoder.models.popt import require_positions_in_range
from rtbrain.encoder.runtimes.contract import Contract
from rtbrain.encoder.runtimes.torchscript import CompiledEncoder, open_torchscript
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats, Ints, Mask

_MAX_WARM_UP_CALLS = 30
_WARM_CALLS_IN_A_ROW = 3
# A call counts as warm within this factor of the fastest so far.
_WARM_FACTOR = 1.5


class Runtime(Protocol):
    """A model that is loaded, warm, and made for one shape."""

    name: str
    precision: str
    contract: Contract

    def __call__(self, spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        """Encode one window."""
        ...

    def population(self, channels: Floats, good: Mask) -> Floats:
        """Embedding of the population, from those of the channels that are good."""
        ...


class ChannelBlocks:
    """Channel encoder over the good channels, packed in blocks of one shape, zeros at the end."""

    def __init__(
        self, encode: Callable[[Floats], Floats], shape: tuple[int, int, int], n_features: int
    ) -> None:
        self._encode = encode
        self._block = np.zeros(shape, np.float32)
        self._n_features = n_features

    def __call__(self, spectrogram: Floats, good: Mask) -> Floats:
        """Embedding of each channel; zeros for bad ones."""
        length = len(self._block)
        channels = np.zeros((len(good), self._n_features), np.float32)
        rows = np.flatnonzero(good)
        for start in range(0, len(rows), length):
            some = rows[start : start + length]
            self._block[: len(some)] = spectrogram[some]
            self._block[len(some) :] = 0
            channels[some] = self._encode(self._block)[: len(some)]
        return channels


def checked_positions(contract: Contract, positions: Ints | None) -> Tensor:
    """Positions [n_channels, 3] for a compiled encoder; zeros where it reads none."""
    if positions is None:
        if contract.reads_positions:
            raise CompiledModelError("this encoder reads contact positions, got none: pass them")
        positions = np.zeros((contract.n_channels, 3), np.int64)
    if positions.shape != (contract.n_channels, 3):
        raise CompiledModelError(
            f"positions have shape {positions.shape}, the encoder was compiled for "
            f"({contract.n_channels}, 3): compile it for this montage"
        )
    require_positions_in_range(positions)
    return torch.from_numpy(positions.astype(np.int64))


def as_tensor(array: npt.NDArray[np.generic]) -> Tensor:
    """Tensor on an array's memory; copied where it is read-only, of which torch would warn."""
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


class CompiledRuntime:
    """What the runtimes of windows share: good channels in blocks, then the population."""

    name = ""

    def __init__(
        self,
        contract: Contract,
        encode: Callable[[Floats], Floats],
        compiled: CompiledEncoder,
        positions: Ints | None,
        *,
        threads: int,
        start_s: float,
    ) -> None:
        self.contract = contract
        self.precision: str = contract.precision
        self.threads = threads
        self._compiled = compiled
        with torch.inference_mode():
            self._codes = compiled.codes(checked_positions(contract, positions))
        self._channels = ChannelBlocks(encode, contract.block_shape, contract.n_features)
        self.load_s = time.perf_counter() - start_s
        window = np.random.default_rng(0).standard_normal(contract.shape, dtype=np.float32)
        good = np.arange(contract.n_channels) < contract.block_length
        self.warm_up_calls = warm_up(lambda: self(window, good))
        self.warm_up_s = time.perf_counter() - start_s - self.load_s

    def __call__(self, spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        """Encode one window."""
        shape = self.contract.shape
        if spectrogram.shape != shape or spectrogram.dtype != np.float32:
            raise CompiledModelError(
                f"spectrogram is {spectrogram.dtype} {spectrogram.shape}, the encoder was compiled "
                f"for float32 {shape}: compile it for this shape"
            )
        if good.shape != shape[:1] or good.dtype != np.bool_:
            raise CompiledModelError(
                f"mask of good channels is {good.dtype} {good.shape}, expected bool {shape[:1]}"
            )
        with on_threads(self.threads), torch.inference_mode():
            channels = self._channels(spectrogram, good)
        return channels, self.population(channels, good)

    def population(self, channels: Floats, good: Mask) -> Floats:
        """Embedding of the population, from those of the channels that are good."""
        with on_threads(self.threads), torch.inference_mode():
            found = self._compiled.population(as_tensor(channels), self._codes, as_tensor(good))
        # A copy: without a Population Transformer it is a view of the channels' own memory.
        return found.numpy().copy()


class TorchScriptRuntime(CompiledRuntime):
    """The compiled encoder of `compile_torchscript` on the CPU.

    `positions` are L, I, P voxels, int64 [n_channels, 3]; None where nothing reads them.
    """

    name = "torchscript"

    def __init__(self, path: Path, positions: Ints | None, *, threads: int = 1) -> None:
        start_s = time.perf_counter()
        compiled, contract = open_torchscript(path)

        def encode(block: Floats) -> Floats:
            embedding: Floats = compiled(torch.from_numpy(block)).numpy()
            return embedding

        super().__init__(contract, encode, compiled, positions, threads=threads, start_s=start_s)


@contextlib.contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Let torch use this number of threads, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def warm_up(call: Callable[[], object]) -> int:
    """Repeat a call until the last few are no slower than the fastest; how many it took."""
    durations_s: list[float] = []
    while len(durations_s) < _MAX_WARM_UP_CALLS:
        start_s = time.perf_counter()
        call()
        durations_s.append(time.perf_counter() - start_s)
        slowest_s = max(durations_s[-_WARM_CALLS_IN_A_ROW:])
        is_warm = slowest_s <= _WARM_FACTOR * min(durations_s)
        if len(durations_s) > _WARM_CALLS_IN_A_ROW and is_warm:
            break
    return len(durations_s)
