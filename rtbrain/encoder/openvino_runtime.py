"""The runtime that computes the channels by OpenVINO and the population by TorchScript."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rtbrain.encoder.artefact import open_artefact
from rtbrain.encoder.blocks import Blocks
from rtbrain.encoder.openvino_folder import compiled_openvino
from rtbrain.encoder.runtime import Population, on_threads, refuse_input, warm_up
from rtbrain.errors import ArtefactError
from rtbrain.types import Floats, Mask

__all__ = ["OpenVINORuntime"]


class OpenVINORuntime:
    """The converted encoder on the CPU; warm when it is made.

    The Population Transformer, a four-hundredth of the work of published sizes, runs in float32
    whatever the precision of the channels.

    Parameters
    ----------
    path : Path
        What `compile_openvino` gave.
    population : Path
        What `compile_population` gave, of the same model and shape.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels; None where no Population Transformer reads them.
    threads : int
        Threads of a call, free to move between cores.

    Raises
    ------
    ArtefactError
        A file was altered, is of another machine or version, or the parts do not fit.
    MontageError
        A position is outside 0 to 4999.
    """

    name = "openvino"

    def __init__(
        self,
        path: Path,
        population: Path,
        positions: npt.NDArray[np.int64] | None,
        *,
        threads: int = 1,
    ) -> None:
        start_s = time.perf_counter()
        encode, contract = compiled_openvino(path, threads=threads)
        compiled, other = open_artefact(population)
        if (other.weights_sha256, other.n_channels) != (
            contract.weights_sha256,
            contract.n_channels,
        ):
            raise ArtefactError(
                f"{population}: made of other weights or channels than {path}: compile both from "
                f"one bundle"
            )
        self.contract = contract
        self.precision: str = contract.precision
        self.n_channels = contract.n_channels
        self.n_frames = contract.n_frames
        self.n_freqs = contract.n_freqs
        self.n_features = contract.n_features
        self.n_population_features = contract.n_population_features
        self.threads = threads
        torch.set_num_threads(1)
        self._population = Population(compiled, contract, positions)
        block = (contract.block_length, contract.n_frames, contract.n_freqs)
        self._channels = Blocks(encode, block, contract.n_features)
        self.load_s = time.perf_counter() - start_s
        self.warm_up_calls = warm_up(self, contract.block_length)
        self.warm_up_s = time.perf_counter() - start_s - self.load_s

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
        refuse_input(self, spectrogram, good)
        channels = self._channels(spectrogram, good)
        with on_threads(self.threads):
            return channels, self._population(channels, good)
