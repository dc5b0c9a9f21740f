"""What runs a compiled encoder on one window after another."""

import time
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from rtbrain.encoder.artefact import open_artefact
from rtbrain.encoder.positions import refuse_outside
from rtbrain.errors import ArtefactError
from rtbrain.types import Floats, Mask

__all__ = ["Runtime", "TorchScriptRuntime"]

_MOST_WARM_UP_CALLS = 30
_WARM_CALLS_IN_A_ROW = 3
# A call counts as warm within this factor of the fastest so far.
_WARM_FACTOR = 1.5


class Runtime(Protocol):
    """A model that is loaded, warm, and made for one shape.

    Attributes
    ----------
    name : str
        Which runtime it is.
    n_channels, n_frames, n_freqs : int
        Shape of the spectrogram it takes.
    n_features, n_population_features : int
        Widths of what it gives.
    """

    name: str
    n_channels: int
    n_frames: int
    n_freqs: int
    n_features: int
    n_population_features: int

    def __call__(self, spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        """Encode one window.

        Parameters
        ----------
        spectrogram : ndarray, float32 [n_channels, n_frames, n_freqs]
            Z-scores.
        good : ndarray, bool [n_channels]
            Channels that may be believed.

        Returns
        -------
        channels : ndarray, float32 [n_channels, n_features]
            Zeros where a channel is not good.
        population : ndarray, float32 [n_population_features]
        """
        ...


class TorchScriptRuntime:
    """The compiled encoder on the CPU.

    It is warm when it is made: TorchScript specialises on its first calls, which are slow.

    Parameters
    ----------
    path : Path
        What `compile_artefact` gave.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels; None where no Population Transformer reads them.
    threads : int
        Threads of torch in this process, for every operator that it runs.

    Raises
    ------
    ArtefactError
        The file is not a compiled encoder of this machine, or the positions do not fit it.
    MontageError
        A position is outside 0 to 4999.
    """

    name = "torchscript"

    def __init__(
        self, path: Path, positions: npt.NDArray[np.int64] | None, *, threads: int = 1
    ) -> None:
        self._model, contract = open_artefact(path)
        self.contract = contract
        self.n_channels = contract.n_channels
        self.n_frames = contract.n_frames
        self.n_freqs = contract.n_freqs
        self.n_features = contract.n_features
        self.n_population_features = contract.n_population_features
        if positions is None:
            if contract.reads_positions:
                raise ArtefactError("this encoder reads contact positions, got none: pass them")
            positions = np.zeros((contract.n_channels, 3), np.int64)
        if positions.shape != (contract.n_channels, 3):
            raise ArtefactError(
                f"positions have shape {positions.shape}, the encoder was compiled for "
                f"({contract.n_channels}, 3): compile it for this montage"
            )
        refuse_outside(positions)
        self._positions = torch.from_numpy(positions.astype(np.int64))
        torch.set_num_threads(threads)
        self.warm_up_calls = self._warm_up()

    def __call__(self, spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        """Encode one window.

        Parameters
        ----------
        spectrogram : ndarray, float32 [n_channels, n_frames, n_freqs]
            Z-scores; not changed.
        good : ndarray, bool [n_channels]
            Channels that may be believed; what the others hold, NaN included, is not read.

        Returns
        -------
        channels : ndarray, float32 [n_channels, n_features]
            Zeros where a channel is not good.
        population : ndarray, float32 [n_population_features]

        Raises
        ------
        ArtefactError
            A shape or a type differs from what the encoder was compiled for.
        """
        shape = (self.n_channels, self.n_frames, self.n_freqs)
        if spectrogram.shape != shape or spectrogram.dtype != np.float32:
            raise ArtefactError(
                f"spectrogram is {spectrogram.dtype} {spectrogram.shape}, the encoder was compiled "
                f"for float32 {shape}: compile it for this shape"
            )
        if good.shape != (self.n_channels,) or good.dtype != np.bool_:
            raise ArtefactError(
                f"mask of good channels is {good.dtype} {good.shape}, expected bool "
                f"({self.n_channels},)"
            )
        # torch warns of arrays that are read-only; nothing here writes, but views of others are.
        given = np.require(spectrogram, requirements=("C", "W"))
        mask = np.require(good, requirements=("C", "W"))
        with torch.inference_mode():
            channels, population = self._model(
                torch.from_numpy(given), self._positions, torch.from_numpy(mask)
            )
        return channels.numpy(), population.numpy()

    def _warm_up(self) -> int:
        rng = np.random.default_rng(0)
        shape = (self.n_channels, self.n_frames, self.n_freqs)
        spectrogram = rng.standard_normal(shape, dtype=np.float32)
        good = np.ones(self.n_channels, np.bool_)
        durations_s: list[float] = []
        while len(durations_s) < _MOST_WARM_UP_CALLS:
            start_s = time.perf_counter()
            self(spectrogram, good)
            durations_s.append(time.perf_counter() - start_s)
            recent = durations_s[-_WARM_CALLS_IN_A_ROW:]
            if len(durations_s) > _WARM_CALLS_IN_A_ROW and max(recent) <= _WARM_FACTOR * min(
                durations_s
            ):
                break
        return len(durations_s)
