"""Compiled encoders: made, and put beside the bundle with their report, whole or not at all."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from rtbrain.encoder import Admitted, EncoderModel, OpenVINORuntime, TorchScriptRuntime
    from rtbrain.types import Floats


def made_runtime(
    way: "Admitted",
    model: "EncoderModel",
    shape: tuple[int, int, int],
    positions: "npt.NDArray[np.int64] | None",
    windows: "Sequence[Floats]",
    scratch: Path,
    *,
    threads: int,
) -> "tuple[TorchScriptRuntime | OpenVINORuntime, Path]":
    """Compile an encoder, and load it.

    Parameters
    ----------
    way : Admitted
        Runtime and precision that are to be tried.
    model : EncoderModel
        The eager model.
    shape : tuple of int
        Channels, frames and frequencies of a window.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels.
    windows : sequence of ndarray
        To calibrate int8 on; else nothing.
    scratch : Path
        An empty folder.
    threads : int
        Of a call.

    Returns
    -------
    runtime : Runtime
        Loaded and warm.
    folder : Path
        In `scratch`: what goes beside the bundle. TorchScript, which can hold code, stays in the
        user's cache, and leaves its contract alone here.

    Raises
    ------
    ArtefactError
        The model cannot be compiled that way here.
    """
    from rtbrain.encoder import (
        OpenVINORuntime,
        TorchScriptRuntime,
        compile_artefact,
        compile_openvino,
        compile_population,
    )

    if way.runtime == "torchscript":
        path = compile_artefact(model, *shape, precision=way.precision)
        runtime = TorchScriptRuntime(path, positions, threads=threads)
        folder = scratch / way.folder
        folder.mkdir()
        (folder / "contract.json").write_text(runtime.contract.json() + "\n", encoding="utf-8")
        return runtime, folder
    calibration = windows if way.precision == "int8" else None
    folder = compile_openvino(
        model, *shape, precision=way.precision, calibration=calibration, folder=scratch
    )
    population = compile_population(model, *shape)
    return OpenVINORuntime(folder, population, positions, threads=threads), folder


def put_in_place(bundle: Path, way: "Admitted", folder: Path, report: dict[str, Any]) -> Path:
    """Put a compiled encoder beside its bundle with its report, and note that it is admitted.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    way : Admitted
        Runtime and precision.
    folder : Path
        What `made_runtime` left, on the same disk as the bundle.
    report : dict
        Plain values.

    Returns
    -------
    Path
        Its folder from now on; an older one is gone.

    Raises
    ------
    ArtefactError
        It cannot be written, or another process compiles the bundle at the same time.
    """
    from rtbrain.decoder import strict_json
    from rtbrain.encoder import admit, compiled_folder_of
    from rtbrain.errors import ArtefactError

    (folder / "report.json").write_text(strict_json(report), encoding="utf-8")
    folder.chmod(0o755)
    beside = compiled_folder_of(bundle)
    place = beside / way.folder
    try:
        beside.mkdir(exist_ok=True)
        if place.exists():
            os.replace(place, folder.with_name("older"))
        os.replace(folder, place)
    except OSError as error:
        raise ArtefactError(
            f"{place}: cannot be put in place: {error.strerror}: if another rtbrain compile is at "
            "work on this bundle, wait for it; else look at the folder's permissions"
        ) from error
    admit(beside, way)
    return place
