"""What runs a streaming encoder live: one state, a few warm shapes, hop after hop."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtbrain.encoder.positions import refuse_outside
from rtbrain.encoder.runtime import on_threads
from rtbrain.encoder.streaming_artefact import open_streaming
from rtbrain.errors import ArtefactError
from rtbrain.types import Floats, Mask

__all__ = ["StreamingRuntime"]

# Channels that are restarted in one call: their frames stay in the processor's caches, and a
# channel that returns costs no more than these.
_RESTARTED = 16
_WARM_UP_CALLS = 10


class StreamingRuntime:
    """A compiled streaming encoder and its state, on the CPU.

    It is warm when it is made, for the only shapes that it is ever called with: a hop of all
    channels, the whole window of a block of channels, and the readout of all.

    Parameters
    ----------
    path : Path
        What `compile_streaming` gave.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels; None where no Population Transformer reads them.
    threads : int
        Threads of torch while it encodes; around that, torch keeps those of the process.

    Attributes
    ----------
    n_channels, n_frames, n_freqs : int
        Shape of the windows' spectrograms.
    hop_frames : int
        New frames of a window.
    n_features, n_population_features : int
        Widths of what it gives.
    load_s, warm_up_s : float
        How long it took to load, and to become warm, s.

    Raises
    ------
    ArtefactError
        The file is not a compiled streaming encoder of this machine, or the positions do not fit.
    MontageError
        A position is outside 0 to 4999.
    """

    name = "torchscript"
    precision = "fp32"

    def __init__(
        self, path: Path, positions: npt.NDArray[np.int64] | None, *, threads: int = 1
    ) -> None:
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
                raise ArtefactError("this encoder reads contact positions, got none: pass them")
            positions = np.zeros((self.n_channels, 3), np.int64)
        if positions.shape != (self.n_channels, 3):
            raise ArtefactError(
                f"positions have shape {positions.shape}, expected ({self.n_channels}, 3)"
            )
        refuse_outside(positions)
        self._positions = torch.from_numpy(positions.astype(np.int64))
        self._state = self._model.new_state(self.n_channels)
        self.load_s = time.perf_counter() - start_s
        self._warm_up()
        self.warm_up_s = time.perf_counter() - start_s - self.load_s

    def advance(self, frames: Floats, known: Mask) -> None:
        """Take a hop of frames in.

        Parameters
        ----------
        frames : ndarray, float32 [n_channels, hop_frames, n_freqs]
            Those that follow the last ones; not changed.
        known : ndarray, bool [n_channels]
            Channels to go on with; the others are forgotten.
        """
        with on_threads(self.threads), torch.inference_mode():
            self._model.advance(_tensor(frames), _tensor(known), self._state)

    def restart(self, window: Floats, rows: npt.NDArray[np.int64]) -> None:
        """Put some channels where one shot over a window leaves them.

        Parameters
        ----------
        window : ndarray, float32 [n_channels, n_frames, n_freqs]
            Its newest whole patches are read; not changed.
        rows : ndarray, int64 [n]
            Which channels.
        """
        for first in range(0, rows.size, _RESTARTED):
            # Filled up with the last one, so that the shape stays the one that is warm.
            some = rows[first : first + _RESTARTED]
            block = np.pad(some, (0, _RESTARTED - some.size), "edge")
            with on_threads(self.threads), torch.inference_mode():
                self._model.restart(_tensor(window[block]), _tensor(block), self._state)

    def read(self, good: Mask) -> tuple[Floats, Floats]:
        """Embeddings of what was taken in.

        Parameters
        ----------
        good : ndarray, bool [n_channels]
            Channels that are believed.

        Returns
        -------
        channels : ndarray, float32 [n_channels, n_features]
            Zeros where a channel is not good.
        population : ndarray, float32 [n_population_features]
        """
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
