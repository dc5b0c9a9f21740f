"""Modules as TorchScript files: written whole, stamped with a contract, opened, compared.

TorchScript is called here, and by what compiles an encoder with it, and nowhere else.
"""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtbrain.encoder.runtimes.contract import (
    Contract,
    Precision,
    contract_of_json,
    require_precision,
)
from rtbrain.errors import CompiledModelError

_STAMP = "rtbrain.json"


# Between eager and compiled: absolute in float32, otherwise a share of the embedding's length,
# which only catches what is broken: what a decoder loses is measured on the decoder.
_LARGEST_ERROR: dict[Precision, float] = {"fp32": 1e-5, "bf16": 0.1, "int8": 0.5}


def load_torchscript(path: Path) -> tuple[Any, Contract]:
    """Compiled module of `save_torchscript`, and its contract, which holds here."""
    stamp: dict[str, Any] = {_STAMP: ""}
    try:
        with allowed_torchscript():
            compiled = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu", _extra_files=stamp
            )
    except (RuntimeError, ValueError) as error:
        raise CompiledModelError(
            f"{path}: not a compiled encoder, or damaged: delete it, and it is made again"
        ) from error
    contract = contract_of_json(stamp[_STAMP], path)
    require_precision(contract.precision)
    return compiled, contract


def save_torchscript(
    module: nn.Module, contract: Contract, path: Path, *, frozen: Sequence[str] = ()
) -> None:
    """Write a module as TorchScript, stamped with its contract."""
    with allowed_torchscript():
        compiled = torch.jit.script(module.eval())
        if frozen:
            compiled = torch.jit.freeze(compiled, preserved_attrs=list(frozen))
        torch.jit.save(compiled, str(path), _extra_files={_STAMP: contract.json()})


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A file to write, put in its place at the end: the last process wins, none sees half."""
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(suffix=".part", dir=folder)
    except OSError as error:
        raise CompiledModelError(
            f"{folder}: cannot hold compiled models: {error.strerror}"
        ) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def require_difference_below(largest: float, differences: Tensor) -> None:
    """Refuse a compiled form that differs from the eager one by more than the largest, or by NaN."""
    difference = float(differences.max())  # NaN where one is
    if not difference <= largest:
        raise CompiledModelError(
            f"the compiled encoder differs from the eager one by {difference:.3g}, expected "
            f"at most {largest:g}: torch {torch.__version__} cannot be used here"
        )


def require_small_error(given: Tensor, expected: Tensor, precision: Precision) -> None:
    """Refuse a compiled encoder whose embeddings [B, D] are too far from the eager ones."""
    error = given - expected
    if precision != "fp32":
        error = error.norm(dim=1) / expected.norm(dim=1)
    require_difference_below(_LARGEST_ERROR[precision], error.abs())


def user_cache_folder() -> Path:
    """Folder of rtbrain in the cache folder of the user, by the custom of the platform."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "rtbrain"


@contextlib.contextmanager
def allowed_torchscript() -> Iterator[None]:
    """Silence what torch says of TorchScript: deprecated, from 2.11 on; and of traced shapes."""
    with warnings.catch_warnings():
        # A shape that is traced is a constant, and that is what is wanted.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings(
            "ignore", r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning
        )
        yield
