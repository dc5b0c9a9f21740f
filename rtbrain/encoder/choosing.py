"""Which runtime, at which precision: as asked for, or what was admitted for a decoder here."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rtbrain.encoder.artefact import compile_artefact, compile_population
from rtbrain.encoder.contract import Precision, refuse_precision
from rtbrain.encoder.model import EncoderModel
from rtbrain.encoder.openvino_artefact import compile_openvino, openvino_contract
from rtbrain.encoder.openvino_folder import find_openvino
from rtbrain.encoder.openvino_runtime import OpenVINORuntime
from rtbrain.encoder.runtime import TorchScriptRuntime
from rtbrain.encoder.scripted import user_cache_folder
from rtbrain.errors import ArtefactError

__all__ = ["Admitted", "RuntimeName", "admit", "admitted", "load_runtime"]

RuntimeName = Literal["auto", "torchscript", "openvino"]

_ADMITTED = "admitted.json"


@dataclass(frozen=True)
class Admitted:
    """The way of running a decoder that was compiled and found good enough.

    Attributes
    ----------
    runtime : str
        ``"torchscript"`` or ``"openvino"``.
    precision : str
        ``"fp32"``, ``"bf16"`` or ``"int8"``.
    """

    runtime: Literal["torchscript", "openvino"]
    precision: Precision

    def __post_init__(self) -> None:
        if self.runtime not in ("torchscript", "openvino"):
            raise ValueError(f"runtime: expected torchscript or openvino, got {self.runtime!r}")
        if self.precision not in ("fp32", "bf16", "int8"):
            raise ValueError(f"precision: expected fp32, bf16 or int8, got {self.precision!r}")


def admit(folder: Path, way: Admitted) -> None:
    """Note beside a bundle how its decoder is to be run from now on.

    Parameters
    ----------
    folder : Path
        Holds the compiled encoders of the bundle.
    way : Admitted
        What was found good enough.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(way), indent=2) + "\n"
    (folder / _ADMITTED).write_text(text, encoding="utf-8")


def admitted(folder: Path) -> Admitted | None:
    """What `admit` noted in a folder; None where nothing was.

    Raises
    ------
    ArtefactError
        The note cannot be read as one.
    """
    path = folder / _ADMITTED
    if not path.is_file():
        return None
    try:
        return Admitted(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: not a note of rtbrain compile: compile again") from error


def load_runtime(
    model: EncoderModel,
    shape: tuple[int, int, int],
    positions: npt.NDArray[np.int64] | None,
    *,
    runtime: RuntimeName = "auto",
    precision: Precision | None = None,
    threads: int = 1,
    compiled_folder: Path | None = None,
) -> TorchScriptRuntime | OpenVINORuntime:
    """Encoder of whole windows, compiled, loaded and warm.

    Parameters
    ----------
    model : EncoderModel
        The eager model.
    shape : tuple of int
        Channels, frames and frequencies of a window.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels.
    runtime : str
        ``"auto"``: as admitted in `compiled_folder` where that still holds on this machine,
        otherwise TorchScript.
    precision : str or None
        None: with ``"auto"`` as admitted, otherwise float32.
    threads : int
        Threads of a call.
    compiled_folder : Path or None
        Holds what was compiled for the bundle, searched before the user's cache.

    Raises
    ------
    ArtefactError
        The runtime is not installed, cannot run the model at this precision here, or int8 was
        not compiled.
    """
    if runtime == "auto":
        way = _still_admitted(model, shape, precision, compiled_folder)
    else:
        way = Admitted(runtime, precision or "fp32")
    if way.runtime == "torchscript":
        path = compile_artefact(model, *shape, precision=way.precision)
        return TorchScriptRuntime(path, positions, threads=threads)
    path = _converted(model, shape, way.precision, compiled_folder)
    population = compile_population(model, *shape)
    return OpenVINORuntime(path, population, positions, threads=threads)


def _still_admitted(
    model: EncoderModel,
    shape: tuple[int, int, int],
    precision: Precision | None,
    folder: Path | None,
) -> Admitted:
    """The way that was admitted, where this machine can still go it; otherwise TorchScript."""
    otherwise = Admitted("torchscript", precision or "fp32")
    way = None if folder is None else admitted(folder)
    if way is None or precision not in (None, way.precision):
        return otherwise
    try:
        if way.runtime == "torchscript":
            refuse_precision(way.precision)
        else:
            contract = openvino_contract(model, *shape, way.precision)
            if find_openvino(contract, _folders(folder)) is None:
                return otherwise
    except ArtefactError:
        return otherwise
    return way


def _converted(
    model: EncoderModel, shape: tuple[int, int, int], precision: Precision, folder: Path | None
) -> Path:
    contract = openvino_contract(model, *shape, precision)
    found = find_openvino(contract, _folders(folder))
    return compile_openvino(model, *shape, precision=precision) if found is None else found


def _folders(folder: Path | None) -> list[Path]:
    return [user_cache_folder()] if folder is None else [folder, user_cache_folder()]
