"""The runtime that computes the channels by OpenVINO, in float32, bfloat16 or int8.

The Population Transformer, a four-hundredth of the work of published sizes, runs by TorchScript.
"""

import contextlib
import io
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.runtimes.choice import Precision
from rtbrain.encoder.runtimes.contract import (
    Contract,
    Shape,
    cached_model,
    contract_of,
    contract_of_json,
    has_bf16,
    make_private,
    require_precision,
    require_private,
    require_small_error,
)
from rtbrain.encoder.runtimes.torchscript import (
    CompiledEncoder,
    allowed_torchscript,
    open_torchscript,
)
from rtbrain.encoder.runtimes.window_runtime import CompiledRuntime
from rtbrain.errors import CompiledModelError
from rtbrain.files import parse_json, sha256, strict_json
from rtbrain.types import Floats, Ints

_GRAPH, _WEIGHTS, _CONTRACT = "encoder.xml", "encoder.bin", "contract.json"
# Blocks of channels that the ranges of int8 are measured on; more change them little.
_MAX_CALIBRATION_BLOCKS = 32


class OpenVINORuntime(CompiledRuntime):
    """The converted encoder on the CPU; warm when it is made.

    `path` and `population` are of `compile_openvino` and `compile_population`, for the same model
    and shape. The Population Transformer runs in float32 whatever the precision of the channels.
    """

    name = "openvino"

    def __init__(
        self, path: Path, population: Path, positions: Ints | None, *, threads: int = 1
    ) -> None:
        start_s = time.perf_counter()
        encode, contract = _loaded(path, threads=threads)
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
    # It sends telemetry over the network by default; a bedside machine must not. Without this
    # package it and nncf send none.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise CompiledModelError(
            "runtime openvino: the package openvino is not installed: "
            'pip install "rtbrain[fast]", or set runtime torchscript'
        ) from error
    return openvino


def openvino_contract(model: EncoderModel, shape: Shape, precision: Precision) -> Contract:
    """Contract of an encoder that will be converted here."""
    require_precision(precision)
    version = openvino_module().__version__
    return contract_of(model, shape, runtime="openvino", precision=precision, openvino=version)


def compile_openvino(
    model: EncoderModel,
    shape: Shape,
    *,
    precision: Precision,
    calibration: Iterable[Floats] | None = None,
    folder: Path | None = None,
) -> Path:
    """Converted form of a channel encoder, found in a folder or made now.

    Parameters
    ----------
    model, shape, folder
        As for `compile_torchscript`.
    calibration : iterable of ndarray, float32 [n, n_frames, n_freqs], or None
        Z-scored windows of any channels, which set the ranges of int8; with them it is always made.
        A channel that is not finite in a window is left out.

    Raises
    ------
    CompiledModelError
        OpenVINO or nncf is not installed, the model cannot take this shape or precision, int8
        has no windows, or the converted form differs from the model.
    """
    contract = openvino_contract(model, shape, precision)
    blocks = _blocks(calibration or (), contract)

    def make(path: Path) -> None:
        if precision == "int8" and not blocks:
            raise CompiledModelError(
                "precision int8: expected calibration windows, got none: compile it with "
                "rtbrain compile, which takes them from recordings"
            )
        _convert(model, contract, blocks, path)
        block = torch.from_numpy(blocks[0]) if blocks else torch.randn(contract.block_shape)
        with torch.inference_mode():
            eager = model.channel_encoder.embed(block, model.pool, model.n_pooled)
        compiled = _loaded(path, threads=1)[0](block.numpy())
        require_small_error(torch.from_numpy(compiled), eager, precision)

    return cached_model(
        f"openvino-{precision}",
        contract,
        folder,
        read=read_openvino,
        make=make,
        replace=calibration is not None,
    )


def _convert(model: EncoderModel, contract: Contract, blocks: list[Floats], path: Path) -> None:
    ov = openvino_module()
    encoder = CompiledEncoder(model.eval().channel_encoder, None, model.pool, model.n_pooled)
    example = torch.zeros(contract.block_shape)
    try:
        with allowed_torchscript(), torch.inference_mode():
            # What it computes is compared with the model's own output, hence no check here.
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                encoder, example, strict=False, check_trace=False
            )
            graph = ov.convert_model(traced, example_input=example, input=[list(example.shape)])
    except RuntimeError as error:
        raise CompiledModelError(
            f"OpenVINO cannot convert {type(model.channel_encoder).__name__}: "
            f"{_last_line(error)}: set runtime torchscript"
        ) from error
    if contract.precision == "int8":
        graph = _quantised(graph, blocks)
    ov.save_model(graph, str(path / _GRAPH), compress_to_fp16=False)
    hashes = {name: sha256(path / name) for name in (_GRAPH, _WEIGHTS)}
    note = {"contract": json.loads(contract.json()), "files": hashes}
    (path / _CONTRACT).write_text(strict_json(note), encoding="utf-8")
    make_private(path)


def _quantised(graph: Any, blocks: list[Floats]) -> Any:
    """The graph with int8 products: ranges of activations from the blocks, of weights by row."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from its imports
            import nncf
    except ImportError as error:
        raise CompiledModelError(
            'precision int8: the package nncf is not installed: pip install "rtbrain[fast]"'
        ) from error
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):  # it draws progress bars
        return nncf.quantize(
            graph,
            nncf.Dataset(blocks),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(blocks),
        )


def _blocks(windows: Iterable[Floats], contract: Contract) -> list[Floats]:
    """A random block of channels from each window."""
    rng = np.random.default_rng(0)
    length, blocks = contract.block_length, []
    for window in windows:
        if window.shape[1:] != contract.shape[1:] or window.dtype != np.float32:
            raise CompiledModelError(
                f"calibration window is {window.dtype} {window.shape}, expected float32 "
                f"(n, {contract.n_frames}, {contract.n_freqs}): take windows of the same recipe"
            )
        rows = np.flatnonzero(np.isfinite(window).all(axis=(1, 2)))
        if rows.size:
            some = rng.choice(rows, length, replace=rows.size < length)
            blocks.append(window[some])
        if len(blocks) == _MAX_CALIBRATION_BLOCKS:
            break
    return blocks


def read_openvino(path: Path) -> Contract:
    """Contract of a converted encoder whose files are as they were written."""
    try:
        for each in (path, *(path / name for name in (_CONTRACT, _GRAPH, _WEIGHTS))):
            require_private(each)
        note = parse_json((path / _CONTRACT).read_bytes())
        contract = contract_of_json(json.dumps(note["contract"]), path / _CONTRACT)
        altered = [
            name for name in (_GRAPH, _WEIGHTS) if note["files"][name] != sha256(path / name)
        ]
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


def _loaded(path: Path, *, threads: int) -> tuple[Callable[[Floats], Floats], Contract]:
    """Converted encoder, ready to run on this CPU."""
    ov, contract = openvino_module(), read_openvino(path)
    # By default OpenVINO uses bfloat16 where the CPU has it; int8 may, for what is not quantised.
    exact = contract.precision == "fp32" or not has_bf16()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # A thread that may not move off its core would share it with acquisition.
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": ov.Type.f32 if exact else ov.Type.bf16,
    }
    try:
        compiled = ov.Core().compile_model(str(path / _GRAPH), "CPU", settings)
    except RuntimeError as error:
        raise CompiledModelError(
            f"{path}: OpenVINO cannot run it: {_last_line(error)}: compile it again"
        ) from error
    request = compiled.create_infer_request()

    def encode(block: Floats) -> Floats:
        embedding: Floats = request.infer([block], share_inputs=True, share_outputs=True)[0]
        return embedding

    return encode, contract


def _last_line(error: RuntimeError) -> str:
    """Last line of OpenVINO's message, which says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
