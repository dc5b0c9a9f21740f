"""Converted encoders as folders of OpenVINO: found, verified, made ready to run.

Such a folder holds a graph, weights and a contract: data, no code. So it may lie beside the
bundle whose weights it was made from.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rtbrain.encoder.contract import Contract, contract_of_json, refuse_precision
from rtbrain.errors import ArtefactError
from rtbrain.types import Floats

__all__ = [
    "GRAPH",
    "compiled_openvino",
    "find_openvino",
    "first_line",
    "openvino_module",
    "openvino_path",
    "read_openvino",
    "write_contract",
]

GRAPH = "encoder.xml"
_WEIGHTS, _CONTRACT = "encoder.bin", "contract.json"


def openvino_module() -> Any:
    """The package openvino.

    Raises
    ------
    ArtefactError
        It is not installed.
    """
    # It reports on its user over the network unless asked not to; a bedside machine must not.
    # Both it and nncf do without this package where it is absent.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise ArtefactError(
            "runtime openvino: the package openvino is not installed: "
            'pip install "rtbrain[fast]", or set runtime torchscript'
        ) from error
    return openvino


def find_openvino(contract: Contract, folders: Iterable[Path]) -> Path | None:
    """The converted encoder of a contract in one of these folders, whole and unaltered."""
    for folder in folders:
        with contextlib.suppress(ArtefactError):
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
    """Contract of a converted encoder whose files are as they were written.

    Raises
    ------
    ArtefactError
        A file is missing or was altered, or the contract does not hold here.
    """
    try:
        note = json.loads((path / _CONTRACT).read_text(encoding="utf-8"))
        contract = contract_of_json(json.dumps(note["contract"]), path / _CONTRACT)
        altered = [name for name in (GRAPH, _WEIGHTS) if note["files"][name] != _hash(path / name)]
    except OSError as error:
        raise ArtefactError(
            f"{path}: not a converted encoder: {error.strerror}: compile it again"
        ) from error
    except (TypeError, ValueError, KeyError) as error:
        raise ArtefactError(f"{path / _CONTRACT}: carries no contract: compile it again") from error
    if altered:
        raise ArtefactError(f"{path / altered[0]}: was altered since: compile it again")
    here = openvino_module().__version__
    if contract.openvino != here:
        raise ArtefactError(
            f"{path}: converted by openvino {contract.openvino}, here it is {here}: compile it "
            f"again"
        )
    refuse_precision(contract.precision)
    return contract


def compiled_openvino(path: Path, *, threads: int) -> tuple[Callable[[Floats], Floats], Contract]:
    """Converted encoder, made ready to run on this CPU.

    Parameters
    ----------
    path : Path
        What `compile_openvino` gave.
    threads : int
        Threads of a call.

    Returns
    -------
    encode : callable
        float32 [block_length, n_frames, n_freqs] to float32 [block_length, n_features], which is
        valid until the next call.
    contract : Contract

    Raises
    ------
    ArtefactError
        A file is missing or was altered, or the contract does not hold here.
    """
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
        raise ArtefactError(
            f"{path}: OpenVINO cannot run it: {first_line(error)}: compile it again"
        ) from error
    request = compiled.create_infer_request()

    def encode(block: Floats) -> Floats:
        embedding: Floats = request.infer([block], share_inputs=True, share_outputs=True)[0]
        return embedding

    return encode, contract


def _has_bf16() -> bool:
    try:
        refuse_precision("bf16")
    except ArtefactError:
        return False
    return True


def first_line(error: RuntimeError) -> str:
    """The line of a foreign message that says what was wrong: its last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
