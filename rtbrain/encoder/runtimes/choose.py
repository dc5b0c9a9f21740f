"""Which runtime, at which precision: as asked for, or what was admitted for a decoder here."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.runtimes.contract import Contract, Precision, contract_of_json
from rtbrain.encoder.runtimes.openvino_convert import compile_openvino, openvino_contract
from rtbrain.encoder.runtimes.openvino_runtime import OpenVINORuntime, read_openvino
from rtbrain.encoder.runtimes.torchscript import atomic_write
from rtbrain.encoder.runtimes.window_runtime import TorchScriptRuntime
from rtbrain.encoder.runtimes.window_torchscript import compile_population, compile_torchscript
from rtbrain.errors import CompiledModelError
from rtbrain.types import Ints

RuntimeName = Literal["auto", "torchscript", "openvino"]


_Runtime = Literal["torchscript", "openvino"]


_CONTRACT = "contract.json"


_ADMITTED = "admitted.json"


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """How an encoder is to be run.

    Attributes
    ----------
    runtime : str
        ``"auto"``: as approved in `compiled_folder` where that still holds for this bundle on
        this machine, otherwise TorchScript.
    precision : str or None
        None: with ``"auto"`` as approved, otherwise float32.
    threads : int
        Threads of a call.
    compiled_folder : Path or None
        What `compiled_folder_of` gives for the bundle.
    bundle_id : str
        Of the bundle: what was approved for another one does not count.
    """

    runtime: RuntimeName = "auto"
    precision: Precision | None = None
    threads: int = 1
    compiled_folder: Path | None = None
    bundle_id: str = ""


@dataclass(frozen=True)
class ApprovedRuntime:
    """The way of running a decoder that was compiled and found good enough.

    It was found so of one decoder alone: another readout may not bear what this one does.

    Attributes
    ----------
    runtime : str
        ``"torchscript"`` or ``"openvino"``.
    precision : str
        ``"fp32"``, ``"bf16"`` or ``"int8"``.
    bundle_id : str
        Of the bundle whose decoder it is.
    """

    runtime: _Runtime
    precision: Precision
    bundle_id: str

    def __post_init__(self) -> None:
        if self.runtime not in ("torchscript", "openvino"):
            raise ValueError(f"runtime: expected torchscript or openvino, got {self.runtime!r}")
        if self.precision not in ("fp32", "bf16", "int8"):
            raise ValueError(f"precision: expected fp32, bf16 or int8, got {self.precision!r}")

    @property
    def folder(self) -> str:
        """What its folder beside a bundle is called."""
        return f"{self.runtime}-{self.precision}"


def compiled_folder_of(bundle_folder: Path) -> Path:
    """Folder beside a bundle that holds what was compiled of it on this machine.

    Not in the bundle: that is verified file by file, and may be shared between machines.
    """
    whole = bundle_folder.resolve()
    return whole.with_name(f"{whole.name}.compiled")


def approve_runtime(folder: Path, way: ApprovedRuntime) -> None:
    """Note beside a bundle how its decoder is to be run from now on.

    Parameters
    ----------
    folder : Path
        As `compiled_folder_of` gives it; what was compiled lies in it.
    way : Admitted
        What was found good enough.
    """
    text = json.dumps(asdict(way), indent=2) + "\n"
    # In what was compiled too, which stays there when another way is admitted later.
    for path in (folder / way.folder / _ADMITTED, folder / _ADMITTED):
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
            part.chmod(0o644)


def approved_runtime(folder: Path) -> ApprovedRuntime | None:
    """What `admit` noted in a folder; None where nothing was."""
    path = folder / _ADMITTED
    try:
        return ApprovedRuntime(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        raise CompiledModelError(f"{path}: not a note of rtbrain compile: compile again") from error


def load_runtime(
    model: EncoderModel,
    shape: tuple[int, int, int],
    positions: Ints | None,
    choice: RuntimeChoice,
    *,
    on_event: Callable[..., None] | None = None,
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
    choice : RuntimeChoice
        Which runtime, at which precision.
    on_event : callable, optional
        Receives ``runtime``, with a ``note`` that says why what was approved is not used.

    Raises
    ------
    CompiledModelError
        The runtime is not installed, cannot run the model at this precision here, or int8 was
        not compiled, or not for this decoder and machine.
    """
    note = ""
    precision, bundle_id = choice.precision, choice.bundle_id
    if choice.runtime != "auto":
        way = ApprovedRuntime(choice.runtime, precision or "fp32", bundle_id)
        loaded = _loaded(model, shape, positions, way, choice)
    else:
        # Where nothing was approved; only openvino runs int8.
        usual: _Runtime = "openvino" if precision == "int8" else "torchscript"
        way = ApprovedRuntime(usual, precision or "fp32", bundle_id)
        try:
            loaded = _as_approved(model, shape, positions, way, choice)
        except CompiledModelError as error:
            if usual == "openvino":
                raise
            note = str(error)
            loaded = _loaded(model, shape, positions, way, choice)
    if on_event is not None:
        on_event("runtime", runtime=loaded.name, precision=loaded.precision, note=note)
    return loaded


def _as_approved(
    model: EncoderModel,
    shape: tuple[int, int, int],
    positions: Ints | None,
    otherwise: ApprovedRuntime,
    choice: RuntimeChoice,
) -> TorchScriptRuntime | OpenVINORuntime:
    """Runtime that was approved at this precision; the other one where none was."""
    folder, threads = choice.compiled_folder, choice.threads
    noted = None if folder is None else approved_runtime(folder)
    if folder is None or noted is None or choice.precision not in (None, noted.precision):
        return _loaded(model, shape, positions, otherwise, choice)
    way = replace(noted, bundle_id=otherwise.bundle_id)
    path = folder / way.folder
    if way.runtime == "openvino":
        _refuse_stale(path, read_openvino(path), openvino_contract(model, *shape, way.precision))
        _refuse_unadmitted(path, way)
        population = compile_population(model, *shape)
        return OpenVINORuntime(path, population, positions, threads=threads)
    contract = _noted_contract(path / _CONTRACT)
    loaded = TorchScriptRuntime(
        compile_torchscript(model, *shape, precision=way.precision), positions, threads=threads
    )
    _refuse_stale(path, contract, loaded.contract)
    _refuse_unadmitted(path, way)
    return loaded


def _loaded(
    model: EncoderModel,
    shape: tuple[int, int, int],
    positions: Ints | None,
    way: ApprovedRuntime,
    choice: RuntimeChoice,
) -> TorchScriptRuntime | OpenVINORuntime:
    folder, threads = choice.compiled_folder, choice.threads
    if way.runtime == "torchscript":
        path = compile_torchscript(model, *shape, precision=way.precision)
        return TorchScriptRuntime(path, positions, threads=threads)
    if way.precision == "int8" and folder is not None and (folder / way.folder).is_dir():
        path = folder / way.folder
        _refuse_stale(path, read_openvino(path), openvino_contract(model, *shape, "int8"))
        _refuse_unadmitted(path, way)
    else:
        path = compile_openvino(model, *shape, precision=way.precision)
    population = compile_population(model, *shape)
    return OpenVINORuntime(path, population, positions, threads=threads)


def _refuse_stale(path: Path, made: Contract, wanted: Contract) -> None:
    """Refuse what was compiled for another decoder than that which is to run."""
    if made == wanted:
        return
    weights = made.weights_sha256 != wanted.weights_sha256
    code = made.code_sha256 != wanted.code_sha256
    what = "other weights" if weights else "another version of rtbrain" if code else "other windows"
    raise CompiledModelError(
        f"{path}: compiled for {what} than this bundle's: run rtbrain compile again"
    )


def _refuse_unadmitted(path: Path, way: ApprovedRuntime) -> None:
    """Refuse what was checked on another decoder, of the same encoder maybe, or on none."""
    if approved_runtime(path) != way:
        raise CompiledModelError(
            f"{path}: admitted for another decoder than this bundle's: run rtbrain compile again"
        )


def _noted_contract(path: Path) -> Contract:
    try:
        return contract_of_json(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise CompiledModelError(f"{path}: {error.strerror}: run rtbrain compile again") from error
