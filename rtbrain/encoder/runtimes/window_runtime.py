"""What runs a compiled encoder on one window after another."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from rtbrain.encoder.models.popt import require_positions_in_range
from rtbrain.encoder.runtimes.contract import ChannelBlocks, Contract
from rtbrain.encoder.runtimes.window_torchscript import CompiledEncoder, open_torchscript
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats, Ints, Mask

_MOST_WARM_UP_CALLS = 30


_WARM_CALLS_IN_A_ROW = 3


# A call counts as warm within this factor of the fastest so far.
_WARM_FACTOR = 1.5


class Runtime(Protocol):
    """A model that is loaded, warm, and made for one shape."""

    name: str
    precision: str
    n_channels: int
    n_frames: int
    n_freqs: int
    n_features: int
    n_population_features: int
    load_s: float
    warm_up_s: float

    def __call__(self, spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        """Encode one window."""
        ...


class PopulationRuntime:
    """The Population Transformer, compiled, for contacts at known positions.

    What it knows of a contact before any signal comes is computed once, here.
    """

    def __init__(
        self,
        compiled: CompiledEncoder,
        contract: Contract,
        positions: Ints | None,
    ) -> None:
        if positions is None:
            if contract.reads_positions:
                raise CompiledModelError(
                    "this encoder reads contact positions, got none: pass them"
                )
            positions = np.zeros((contract.n_channels, 3), np.int64)
        if positions.shape != (contract.n_channels, 3):
            raise CompiledModelError(
                f"positions have shape {positions.shape}, the encoder was compiled for "
                f"({contract.n_channels}, 3): compile it for this montage"
            )
        require_positions_in_range(positions)
        self._compiled = compiled
        with torch.inference_mode():
            self._codes = compiled.codes(torch.from_numpy(positions.astype(np.int64)))

    def __call__(self, channels: Floats, good: Mask) -> Floats:
        """float32 [n_channels, n_features] to float32 [n_population_features]."""
        # torch warns of arrays that are read-only; nothing here writes, but views of others are.
        mask = torch.from_numpy(np.require(good, requirements=("C", "W")))
        with torch.inference_mode():
            population = self._compiled.population(torch.from_numpy(channels), self._codes, mask)
        # Without a Population Transformer it is a view of the channels' own memory.
        out: Floats = population.numpy().copy()
        return out


class CompiledRuntime:
    """What the runtimes of windows share: good channels in blocks, then the population.

    It is warm when it is made.
    """

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
        self.n_channels = contract.n_channels
        self.n_frames = contract.n_frames
        self.n_freqs = contract.n_freqs
        self.n_features = contract.n_features
        self.n_population_features = contract.n_population_features
        self.threads = threads
        self._population = PopulationRuntime(compiled, contract, positions)
        block = (contract.block_length, contract.n_frames, contract.n_freqs)
        self._channels = ChannelBlocks(encode, block, contract.n_features)
        self.load_s = time.perf_counter() - start_s
        self.warm_up_calls = _warm_up(self, contract.block_length)
        self.warm_up_s = time.perf_counter() - start_s - self.load_s

    def __call__(self, spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        """Encode one window."""
        _refuse_input(self, spectrogram, good)
        with on_threads(self.threads), torch.inference_mode():
            channels = self._channels(spectrogram, good)
            return channels, self._population(channels, good)


class TorchScriptRuntime(CompiledRuntime):
    """The compiled encoder on the CPU; TorchScript specialises on its first calls.

    Parameters
    ----------
    path : Path
        What `compile_torchscript` gave.
    positions, threads
        As for `CompiledRuntime`.

    Raises
    ------
    CompiledModelError
        The file is not a compiled encoder of this machine, or the positions do not fit it.
    MontageError
        A position is outside 0 to 4999.
    """

    name = "torchscript"

    def __init__(self, path: Path, positions: Ints | None, *, threads: int = 1) -> None:
        start_s = time.perf_counter()
        compiled, contract = open_torchscript(path)
        super().__init__(
            contract,
            lambda block: compiled(torch.from_numpy(block)).numpy(),
            compiled,
            positions,
            threads=threads,
            start_s=start_s,
        )


@contextlib.contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Let torch work on so many threads, and then on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _refuse_input(runtime: Runtime, spectrogram: Floats, good: Mask) -> None:
    """Refuse a window of another shape or type than the runtime was compiled for."""
    shape = (runtime.n_channels, runtime.n_frames, runtime.n_freqs)
    if spectrogram.shape != shape or spectrogram.dtype != np.float32:
        raise CompiledModelError(
            f"spectrogram is {spectrogram.dtype} {spectrogram.shape}, the encoder was compiled "
            f"for float32 {shape}: compile it for this shape"
        )
    if good.shape != (runtime.n_channels,) or good.dtype != np.bool_:
        raise CompiledModelError(
            f"mask of good channels is {good.dtype} {good.shape}, expected bool "
            f"({runtime.n_channels},)"
        )


def _warm_up(runtime: Runtime, block_length: int) -> int:
    """Call a runtime at its own shape until its calls are no longer slower than at best."""
    rng = np.random.default_rng(0)
    shape = (runtime.n_channels, runtime.n_frames, runtime.n_freqs)
    spectrogram = rng.standard_normal(shape, dtype=np.float32)
    good = np.arange(runtime.n_channels) < block_length
    durations_s: list[float] = []
    while len(durations_s) < _MOST_WARM_UP_CALLS:
        start_s = time.perf_counter()
        runtime(spectrogram, good)
        durations_s.append(time.perf_counter() - start_s)
        recent = durations_s[-_WARM_CALLS_IN_A_ROW:]
        if len(durations_s) > _WARM_CALLS_IN_A_ROW and max(recent) <= _WARM_FACTOR * min(
            durations_s
        ):
            break
    return len(durations_s)
