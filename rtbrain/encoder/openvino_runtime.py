"""The runtime that computes the channels by OpenVINO and the population by TorchScript."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtbrain.encoder.artefact import open_artefact
from rtbrain.encoder.openvino_folder import compiled_openvino
from rtbrain.encoder.runtime import CompiledRuntime
from rtbrain.errors import ArtefactError

__all__ = ["OpenVINORuntime"]


class OpenVINORuntime(CompiledRuntime):
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
        super().__init__(contract, encode, compiled, positions, threads=threads, start_s=start_s)
