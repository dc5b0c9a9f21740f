"""The runtime that computes the channels by OpenVINO and the population by TorchScript."""

import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rtbrain.encoder.runtimes.contract import Contract, contract_of_json, require_precision
from rtbrain.encoder.runtimes.window_runtime import CompiledRuntime
from rtbrain.encoder.runtimes.window_torchscript import open_torchscript
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats, Ints

GRAPH = "encoder.xml"
_WEIGHTS, _CONTRACT = "encoder.bin", "contract.json"


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
    CompiledModelError
        A file was altered, is of another machine or version, or the parts do not fit.
    MontageError
        A position is outside 0 to 4999.
    """

    name = "openvino"

    def __init__(
        self,
        path: Path,
        population: Path,
        positions: Ints | None,
        *,
        threads: int = 1,
    ) -> None:
        start_s = time.perf_counter()
        encode, contract = compiled_openvino(path, threads=threads)
        compiled, other = open_torchscript(population)
        if (other.weights_sha256, other.n_channels) != (
            contract.weights_sha256,
            contract.n_channels,
        ):
            raise CompiledModelError(
                f"{population}: made of other weights or channels than {path}: compile both from "
                f"one bundle"
            )
        super().__init__(contract, encode, compiled, positions, threads=threads, start_s=start_s)


def openvino_module() -> Any:
    """The package openvino."""
    # It reports on its user over the network unless asked not to; a bedside machine must not.
    # Both it and nncf do without this package where it is absent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise CompiledModelError(
            "runtime openvino: the package openvino is not installed: "
            'pip install "rtbrain[fast]", or set runtime torchscript'
        ) from error
    return openvino


def find_openvino(contract: Contract, folders: Iterable[Path]) -> Path | None:
    """The converted encoder of a contract in one of these folders, whole and unaltered."""
    for folder in folders:
        with contextlib.suppress(CompiledModelError):
            if read_openvino(openvino_path(folder, contract)) == contract:
                return openvino_path(folder, contract)
    return None


def openvino_path(folder: Path, contract: Contract) -> Path:
    """Where in a folder the converted encoder of a contract lies."""
    return Path(folder) / f"openvino-{contract.precision}-{contract.sha256[:32]}"


def write_contract(contract: Contract, path: Path) -> None:
    """Stamp a folder, whose graph and weights are written, with its contract and their hashes."""
    note = {
        "contract": json.loads(contract.json()),
        "files": {name: _hash(path / name) for name in (GRAPH, _WEIGHTS)},
    }
    (path / _CONTRACT).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def read_openvino(path: Path) -> Contract:
    """Contract of a converted encoder whose files are as they were written."""
    try:
        note = json.loads((path / _CONTRACT).read_text(encoding="utf-8"))
        contract = contract_of_json(json.dumps(note["contract"]), path / _CONTRACT)
        altered = [name for name in (GRAPH, _WEIGHTS) if note["files"][name] != _hash(path / name)]
    except OSError as error:
        raise CompiledModelError(
            f"{path}: not a converted encoder: {error.strerror}: compile it again"
        ) from error
    except (TypeError, ValueError, KeyError) as error:
        raise CompiledModelError(
            f"{path / _CONTRACT}: carries no contract: compile it again"
        ) from error
    if altered:
        raise CompiledModelError(f"{path / altered[0]}: was altered since: compile it again")
    here = openvino_module().__version__
    if contract.openvino != here:
        raise CompiledModelError(
            f"{path}: converted by openvino {contract.openvino}, here it is {here}: compile it "
            f"again"
        )
    require_precision(contract.precision)
    return contract


def compiled_openvino(path: Path, *, threads: int) -> tuple[Callable[[Floats], Floats], Contract]:
    """Converted encoder, made ready to run on this CPU."""
    ov, contract = openvino_module(), read_openvino(path)
    # Without a word OpenVINO takes bfloat16 where there is any; of int8, what is not quantised.
    exact = contract.precision == "fp32" or not _has_bf16()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # A thread that may not move off its core would share it with acquisition.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": ov.Type.f32 if exact else ov.Type.bf16,
    }
    try:
        compiled = ov.Core().compile_model(str(path / GRAPH), "CPU", settings)
    except RuntimeError as error:
        raise CompiledModelError(
            f"{path}: OpenVINO cannot run it: {first_line(error)}: compile it again"
        ) from error
    request = compiled.create_infer_request()

    def encode(block: Floats) -> Floats:
        embedding: Floats = request.infer([block], share_inputs=True, share_outputs=True)[0]
        return embedding

    return encode, contract


def _has_bf16() -> bool:
    try:
        require_precision("bf16")
    except CompiledModelError:
        return False
    return True


def first_line(error: RuntimeError) -> str:
    """The line of a foreign message that says what was wrong: its last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
