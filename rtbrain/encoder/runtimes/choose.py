"""The runtime of an encoder, at a precision: as set, or what was approved on this machine."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.runtimes.choice import (
    ApprovedRuntime,
    Precision,
    Runtime,
    RuntimeChoice,
    approved_runtime,
)
from rtbrain.encoder.runtimes.contract import Contract, Shape, contract_of_json
from rtbrain.encoder.runtimes.openvino_runtime import (
    OpenVINORuntime,
    compile_openvino,
    openvino_contract,
    read_openvino,
)
from rtbrain.encoder.runtimes.torchscript import compile_population, compile_torchscript
from rtbrain.encoder.runtimes.window_runtime import TorchScriptRuntime
from rtbrain.errors import CompiledModelError
from rtbrain.types import Ints

_CONTRACT = "contract.json"


def load_runtime(
    model: EncoderModel,
    shape: Shape,
    positions: Ints | None,
    choice: RuntimeChoice,
    *,
    on_event: Callable[..., None] | None = None,
) -> TorchScriptRuntime | OpenVINORuntime:
    """Encoder of whole windows, compiled, loaded and warm.

    Parameters
    ----------
    shape : tuple of int
        Channels, frames and frequencies of a window.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels.
    on_event : callable, optional
        Receives ``runtime``, with a ``note`` that says why what was approved is not used.

    Raises
    ------
    CompiledModelError
        The runtime is not installed, cannot run the model at this precision here, or int8 was
        not compiled, or not for this decoder and machine.
    """
    loader = _Loader(model, shape, positions, choice)
    note = ""
    if choice.runtime != "auto":
        loaded = loader.load(choice.runtime)
    else:
        # Where nothing was approved; only OpenVINO runs int8.
        usual: Runtime = "openvino" if choice.precision == "int8" else "torchscript"
        try:
            loaded = loader.load_approved() or loader.load(usual)
        except CompiledModelError as error:
            if usual == "openvino":
                raise
            note = str(error)
            loaded = loader.load(usual)
    if on_event is not None:
        on_event("runtime", runtime=loaded.name, precision=loaded.precision, note=note)
    return loaded


@dataclass(frozen=True, slots=True, eq=False)
class _Loader:
    """Loads one model for windows of one shape."""

    model: EncoderModel
    shape: Shape
    positions: Ints | None
    choice: RuntimeChoice

    def load(self, runtime: Runtime) -> TorchScriptRuntime | OpenVINORuntime:
        """By this runtime; int8 as it was calibrated beside the bundle."""
        way = ApprovedRuntime(runtime, self.choice.precision or "fp32", self.choice.bundle_id)
        if runtime == "torchscript":
            return self._torchscript(way.precision)
        folder = self.choice.compiled_folder
        if way.precision == "int8" and folder is not None and (folder / way.folder).is_dir():
            return self._beside(folder, way)
        return self._openvino(compile_openvino(self.model, self.shape, precision=way.precision))

    def load_approved(self) -> TorchScriptRuntime | OpenVINORuntime | None:
        """As approved at the chosen precision, if it holds; None where nothing was approved."""
        folder, precision = self.choice.compiled_folder, self.choice.precision
        noted = None if folder is None else approved_runtime(folder)
        if folder is None or noted is None or precision not in (None, noted.precision):
            return None
        way = replace(noted, bundle_id=self.choice.bundle_id)
        if way.runtime == "openvino":
            return self._beside(folder, way)
        path = folder / way.folder
        note = path / _CONTRACT
        try:
            contract = contract_of_json(note.read_text(encoding="utf-8"), note)
        except OSError as error:
            raise CompiledModelError(
                f"{note}: {error.strerror}: run rtbrain compile again"
            ) from error
        loaded = self._torchscript(way.precision)
        _refuse_stale(path, way, contract, loaded.contract)
        return loaded

    def _torchscript(self, precision: Precision) -> TorchScriptRuntime:
        path = compile_torchscript(self.model, self.shape, precision=precision)
        return TorchScriptRuntime(path, self.positions, threads=self.choice.threads)

    def _beside(self, folder: Path, way: ApprovedRuntime) -> OpenVINORuntime:
        path = folder / way.folder
        contract = openvino_contract(self.model, self.shape, way.precision)
        _refuse_stale(path, way, read_openvino(path), contract)
        return self._openvino(path)

    def _openvino(self, path: Path) -> OpenVINORuntime:
        population = compile_population(self.model, self.shape)
        return OpenVINORuntime(path, population, self.positions, threads=self.choice.threads)


def _refuse_stale(path: Path, way: ApprovedRuntime, made: Contract, expected: Contract) -> None:
    """Refuse what was compiled for another encoder, or approved for another decoder or for none."""
    if made.weights_sha256 != expected.weights_sha256:
        what = "compiled for other weights"
    elif made.code_sha256 != expected.code_sha256:
        what = "compiled for another version of rtbrain"
    elif made != expected:
        what = "compiled for other windows"
    elif approved_runtime(path) != way:
        what = "approved for another decoder"
    else:
        return
    raise CompiledModelError(f"{path}: {what} than this bundle's: run rtbrain compile again")
