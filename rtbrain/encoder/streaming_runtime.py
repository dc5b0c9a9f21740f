"""What runs a streaming encoder live: one state, a few warm shapes, hop after hop."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rtbrain.encoder.positions import refuse_outside
from rtbrain.encoder.streaming_model import LiveState, StreamingModel
from rtbrain.errors import ArtefactError
from rtbrain.types import Floats, Mask

__all__ = ["LiveEncoder", "StreamingRuntime"]

# Channels that are restarted in one call: their frames stay in the processor's caches, and a
# channel that returns costs no more than these.
_RESTARTED = 16
_WARM_UP_CALLS = 10


class LiveEncoder(Protocol):
    """A `StreamingModel`, eager or compiled."""

    def __call__(self, good: Tensor, positions: Tensor, state: LiveState) -> tuple[Tensor, Tensor]:
        """Embeddings of what was taken in."""
        ...

    def advance(self, frames: Tensor, known: Tensor, state: LiveState) -> None:
        """Take a hop of frames in."""
        ...

    def restart(self, frames: Tensor, rows: Tensor, state: LiveState) -> None:
        """Put some channels where one shot over these frames leaves them."""
        ...


class StreamingRuntime:
    """A streaming encoder and its state, on the CPU.

    It is warm when it is made, for the only shapes that it is ever called with: a hop of all
    channels, the whole window of a block of channels, and the readout of all.

    Parameters
    ----------
    model : StreamingModel
        The eager model.
    n_channels : int
        Channels.
    n_frames : int
        Frames of a window.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels; None where no Population Transformer reads them.
    compiled : LiveEncoder or None
        What runs instead of `model`: its compiled form.
    threads : int
        Threads of torch in this process, for every operator that it runs.

    Attributes
    ----------
    hop_frames, n_freqs : int
        Shape of a hop.
    n_features, n_population_features : int
        Widths of what it gives.

    Raises
    ------
    ArtefactError
        The window holds fewer whole patches than are pooled, or the positions do not fit.
    MontageError
        A position is outside 0 to 4999.
    """

    def __init__(
        self,
        model: StreamingModel,
        n_channels: int,
        n_frames: int,
        positions: npt.NDArray[np.int64] | None,
        *,
        compiled: LiveEncoder | None = None,
        threads: int = 1,
    ) -> None:
        sizes = model.streaming.sizes
        whole = n_frames // sizes.patch_frames * sizes.patch_frames
        if whole < model.n_pooled or n_frames < model.hop_frames:
            raise ArtefactError(
                f"the encoder pools {model.n_pooled} frames every {model.hop_frames}, the window "
                f"has {n_frames}: lengthen it"
            )
        if positions is None:
            if model.popt is not None:
                raise ArtefactError("this encoder reads contact positions, got none: pass them")
            positions = np.zeros((n_channels, 3), np.int64)
        if positions.shape != (n_channels, 3):
            raise ArtefactError(
                f"positions have shape {positions.shape}, expected ({n_channels}, 3)"
            )
        refuse_outside(positions)
        self.n_channels, self.n_frames, self.n_freqs = n_channels, n_frames, sizes.input_dim
        self.hop_frames = model.hop_frames
        self.n_features = sizes.hidden_dim
        self.n_population_features = (
            n_channels * sizes.hidden_dim if model.popt is None else model.popt.sizes.hidden_dim
        )
        self._whole = whole
        self._model: LiveEncoder = model.eval() if compiled is None else compiled
        self._state = model.new_state(n_channels)
        self._positions = torch.from_numpy(positions.astype(np.int64))
        torch.set_num_threads(threads)
        self._warm_up()

    def advance(self, frames: Floats, known: Mask) -> None:
        """Take a hop of frames in.

        Parameters
        ----------
        frames : ndarray, float32 [n_channels, hop_frames, n_freqs]
            Those that follow the last ones; not changed.
        known : ndarray, bool [n_channels]
            Channels to go on with; the others are forgotten.
        """
        with torch.inference_mode():
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
        newest = window[:, self.n_frames - self._whole :]
        for first in range(0, rows.size, _RESTARTED):
            # Filled up with the last one, so that the shape stays the one that is warm.
            some = rows[first : first + _RESTARTED]
            block = np.pad(some, (0, _RESTARTED - some.size), "edge")
            with torch.inference_mode():
                self._model.restart(_tensor(newest[block]), _tensor(block), self._state)

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
        with torch.inference_mode():
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
