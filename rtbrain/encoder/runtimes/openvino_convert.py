"""The channel encoder converted to OpenVINO: in float32, bfloat16, or quantised to int8."""

import contextlib
import errno
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.runtimes.contract import Contract, Precision, contract_of, require_precision
from rtbrain.encoder.runtimes.openvino_runtime import (
    GRAPH,
    compiled_openvino,
    find_openvino,
    first_line,
    openvino_module,
    openvino_path,
    write_contract,
)
from rtbrain.encoder.runtimes.torchscript import (
    allowed_torchscript,
    require_small_error,
    user_cache_folder,
)
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats

# Blocks of channels that the ranges of int8 are measured on; more change them little.
_MOST_CALIBRATION_BLOCKS = 32


class _Block(nn.Module):
    """What is converted: a block of channels [B, T, F] to their embeddings [B, D]."""

    def __init__(self, model: EncoderModel) -> None:
        super().__init__()
        self.channel_encoder, self.pool, self.n_pooled = (
            model.channel_encoder,
            model.pool,
            model.n_pooled,
        )

    def forward(self, block: Tensor) -> Tensor:
        out: Tensor = self.channel_encoder.embed(block, self.pool, self.n_pooled)
        return out


def openvino_contract(
    model: EncoderModel, n_channels: int, n_frames: int, n_freqs: int, precision: Precision
) -> Contract:
    """Contract of an encoder that is converted here."""
    require_precision(precision)
    return contract_of(
        model,
        n_channels,
        n_frames,
        n_freqs,
        runtime="openvino",
        precision=precision,
        openvino=openvino_module().__version__,
    )


def compile_openvino(
    model: EncoderModel,
    n_channels: int,
    n_frames: int,
    n_freqs: int,
    *,
    precision: Precision,
    calibration: Iterable[Floats] | None = None,
    folder: Path | None = None,
) -> Path:
    """Converted form of a channel encoder, found in a folder or made now.

    Parameters
    ----------
    model : EncoderModel
        The eager model, on the CPU; put in eval mode.
    n_channels, n_frames, n_freqs : int
        Shape of the spectrograms it will be given.
    precision : str
        ``"fp32"``, ``"bf16"`` or ``"int8"``.
    calibration : iterable of ndarray, float32 [n, n_frames, n_freqs], or None
        Z-scored windows of any channels, by which the ranges of int8 are set; with them it is
        made anew. A channel that is not finite in a window is passed over.
    folder : Path or None
        Holds converted encoders; None for the user's cache folder.

    Returns
    -------
    Path
        A folder in `folder`, for `compiled_openvino`.

    Raises
    ------
    CompiledModelError
        OpenVINO or nncf is not installed, the model cannot take this shape or precision, int8
        has no windows, or the converted form differs from the model.
    """
    contract = openvino_contract(model, n_channels, n_frames, n_freqs, precision)
    base = user_cache_folder() if folder is None else Path(folder)
    found = find_openvino(contract, [base]) if calibration is None else None
    if found is not None:
        return found
    blocks = _blocks(calibration or (), contract)
    if precision == "int8" and not blocks:
        raise CompiledModelError(
            "precision int8: expected calibration windows, got none: compile it with "
            "rtbrain compile, which takes them from recordings"
        )
    with _scratch(base) as part:
        _convert(model, contract, blocks, part)
        block = torch.from_numpy(blocks[0]) if blocks else torch.randn(_shape(contract))
        with torch.inference_mode():
            expected = model.channel_encoder.embed(block, model.pool, model.n_pooled)
        given = compiled_openvino(part, threads=1)[0](block.numpy())
        require_small_error(torch.from_numpy(given), expected, precision)
        # What another process converted meanwhile is the same, and may be being loaded.
        if calibration is not None or find_openvino(contract, [base]) is None:
            _put_in_place(part, openvino_path(base, contract))
    return openvino_path(base, contract)


def _shape(contract: Contract) -> tuple[int, int, int]:
    return contract.block_length, contract.n_frames, contract.n_freqs


def _convert(model: EncoderModel, contract: Contract, blocks: list[Floats], path: Path) -> None:
    ov = openvino_module()
    example = torch.zeros(_shape(contract))
    try:
        with allowed_torchscript(), torch.inference_mode():
            graph = ov.convert_model(
                _Block(model.eval()), example_input=example, input=[list(example.shape)]
            )
    except RuntimeError as error:
        raise CompiledModelError(
            f"OpenVINO cannot convert {type(model.channel_encoder).__name__}: {first_line(error)}: "
            f"set runtime torchscript"
        ) from error
    if contract.precision == "int8":
        graph = _quantised(graph, blocks)
    ov.save_model(graph, str(path / GRAPH), compress_to_fp16=False)
    write_contract(contract, path)


def _quantised(graph: Any, blocks: list[Floats]) -> Any:
    """The graph with int8 products: ranges of activations from the blocks, of weights by row."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports
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
    """A block of channels of each window, chosen by chance."""
    rng = np.random.default_rng(0)
    length, blocks = contract.block_length, []
    for window in windows:
        if window.shape[1:] != _shape(contract)[1:] or window.dtype != np.float32:
            raise CompiledModelError(
                f"calibration window is {window.dtype} {window.shape}, expected float32 "
                f"(n, {contract.n_frames}, {contract.n_freqs}): take windows of the same recipe"
            )
        rows = np.flatnonzero(np.isfinite(window).all(axis=(1, 2)))
        if rows.size:
            some = rng.choice(rows, length, replace=rows.size < length)
            blocks.append(window[some])
        if len(blocks) == _MOST_CALIBRATION_BLOCKS:
            break
    return blocks


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A new folder in another one, gone at the end if it is still there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(suffix=".part", dir=folder))
    except OSError as error:
        raise CompiledModelError(
            f"{folder}: cannot hold compiled models: {error.strerror}"
        ) from error
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _put_in_place(part: Path, path: Path) -> None:
    """Put a folder in the stead of an older one; that of a process that was faster stays."""
    older = part.with_suffix(".older")
    try:
        with contextlib.suppress(FileNotFoundError):
            path.rename(older)
        part.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise CompiledModelError(
                f"{path}: cannot be put in place: {error.strerror}: look at the folder's "
                "permissions, or delete it"
            ) from error
    finally:
        shutil.rmtree(older, ignore_errors=True)
