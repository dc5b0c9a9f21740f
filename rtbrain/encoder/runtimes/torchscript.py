"""Encoders as TorchScript files: compiled once for this machine, compared with eager, opened.

A compiled model is made from weights that were verified, and found again by its contract (shapes,
pooling, precision, hash of weights and code, torch's version). Its file is a line of JSON, the
contract and the SHA-256 of the rest, and the rest is TorchScript's: a program, so that none of it
is loaded unless the file is the user's own and whole. TorchScript is called here and nowhere else.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtbrain.encoder.models.model import ChannelEncoder, EncoderModel
from rtbrain.encoder.models.patch_encoders import BioFAME
from rtbrain.encoder.models.popt import PopT
from rtbrain.encoder.runtimes.choice import Precision
from rtbrain.encoder.runtimes.contract import (
    Contract,
    Shape,
    cached_model,
    contract_of,
    contract_of_json,
    make_private,
    require_precision,
    require_private,
    require_small_error,
)
from rtbrain.encoder.runtimes.packed import pack_model, pack_weights
from rtbrain.errors import CompiledModelError
from rtbrain.files import parse_json, sha256


def cached_torchscript(
    name: str,
    contract: Contract,
    cache_folder: Path | None,
    module: Callable[[], nn.Module],
    compare: Callable[[Any], None],
    *,
    frozen: Sequence[str] = (),
) -> Path:
    """TorchScript file of a contract, from the cache, or made now and compared with eager."""

    def make(path: Path) -> None:
        _save(module(), contract, path, frozen)
        compare(load_torchscript(path)[0])

    return cached_model(
        name, contract, cache_folder, read=lambda path: read_torchscript(path)[0], make=make
    )


def load_torchscript(path: Path) -> tuple[Any, Contract]:
    """Compiled module and its contract, which holds here."""
    contract, program = read_torchscript(path)
    require_precision(contract.precision)
    try:
        with allowed_torchscript():
            compiled = torch.jit.load(io.BytesIO(program), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise _damaged(path) from error
    return compiled, contract


def read_torchscript(path: Path) -> tuple[Contract, bytes]:
    """Contract of a compiled module and its program, not loaded: the user's own, as written."""
    try:
        require_private(path)
        head, _, program = path.read_bytes().partition(b"\n")
        note = parse_json(head)
        made = json.dumps(note["contract"])
        whole = note["sha256"] == sha256(program)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    return contract_of_json(made, path), program


def _damaged(path: Path) -> CompiledModelError:
    return CompiledModelError(
        f"{path}: not a compiled encoder, or damaged: delete it, and it is made again"
    )


def _save(module: nn.Module, contract: Contract, path: Path, frozen: Sequence[str]) -> None:
    program = io.BytesIO()
    with allowed_torchscript():
        compiled = torch.jit.script(module.eval())
        if frozen:
            compiled = torch.jit.freeze(compiled, preserved_attrs=list(frozen))
        torch.jit.save(compiled, program)
    note = {"sha256": sha256(program.getvalue()), "contract": asdict(contract)}
    path.write_bytes(json.dumps(note).encode() + b"\n" + program.getvalue())
    make_private(path)


@contextlib.contextmanager
def allowed_torchscript() -> Iterator[None]:
    """Silence torch's warnings of TorchScript: deprecated, from 2.11 on; and of traced shapes."""
    with warnings.catch_warnings():
        # A traced shape is a constant, as intended.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings(
            "ignore", r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning
        )
        yield


class CompiledEncoder(nn.Module):
    """A channel encoder and the Population Transformer, in the parts that a runtime calls."""

    def __init__(
        self, channel_encoder: ChannelEncoder | None, popt: PopT | None, pool: str, n_pooled: int
    ) -> None:
        super().__init__()
        self.channel_encoder = channel_encoder
        self.popt = popt
        self.pool = pool
        self.n_pooled = n_pooled
        self.dtype = (
            torch.float32 if channel_encoder is None else next(channel_encoder.parameters()).dtype
        )

    def forward(self, block: Tensor) -> Tensor:
        """[B, T, F] to the embedding of each channel [B, D]."""
        if self.channel_encoder is None:
            return block
        out: Tensor = self.channel_encoder.embed(block.to(self.dtype), self.pool, self.n_pooled)
        return out.float()

    @torch.jit.export
    def codes(self, positions: Tensor) -> Tensor:
        """Positions [C, 3] to their codes, before any signal."""
        return positions if self.popt is None else self.popt.codes(positions[None])

    @torch.jit.export
    def population(self, channels: Tensor, codes: Tensor, good: Tensor) -> Tensor:
        """Channels [C, D], their codes and which are good [C] to [P]; to [C * D] without a PopT."""
        if self.popt is None:
            return channels.flatten()
        out: Tensor = self.popt.population_of_codes(channels[None], codes, good[None])
        return out[0]


def compile_torchscript(
    model: EncoderModel,
    shape: Shape,
    *,
    precision: Precision = "fp32",
    cache_folder: Path | None = None,
) -> Path:
    """Compiled form of an encoder, from the cache or made now.

    Parameters
    ----------
    model : EncoderModel
        The eager model, on the CPU; put in eval mode.
    shape : tuple of int
        Channels, frames and frequencies of the spectrograms it will encode.
    precision : str
        Of the channel encoder: ``"fp32"`` or ``"bf16"``.
    cache_folder : Path or None
        Holds compiled models; None for the user's cache folder.

    Raises
    ------
    CompiledModelError
        The model cannot take this shape or precision, or its compiled form differs from it.
    """
    if precision == "int8":
        raise CompiledModelError(
            "precision int8 needs runtime openvino: set that, or precision fp32 or bf16"
        )
    require_precision(precision)
    if precision == "bf16" and isinstance(model.channel_encoder, BioFAME):
        raise CompiledModelError(
            "precision bf16: bioFAME's transform has no half precision: set precision fp32"
        )
    contract = contract_of(model, shape, runtime="torchscript", precision=precision)
    return _cached(model, contract, cache_folder)


def compile_population(
    model: EncoderModel, shape: Shape, *, cache_folder: Path | None = None
) -> Path:
    """Compiled Population Transformer alone; its encoder of channels returns them as they are."""
    contract = contract_of(model, shape, runtime="population", precision="fp32")
    return _cached(model, contract, cache_folder)


def open_torchscript(path: Path) -> tuple[CompiledEncoder, Contract]:
    """Compiled encoder and its contract, from this machine's own cache."""
    compiled, contract = load_torchscript(path)
    with torch.inference_mode():
        if compiled.channel_encoder is not None:
            pack_weights(compiled.channel_encoder, contract.block_length * contract.n_frames)
        if compiled.popt is not None:
            pack_weights(compiled.popt, 1 + contract.n_channels)
    return compiled, contract


def _cached(model: EncoderModel, contract: Contract, cache_folder: Path | None) -> Path:
    return cached_torchscript(
        "encoder.pt",
        contract,
        cache_folder,
        lambda: _packed(model, contract),
        lambda compiled: _compare(model, compiled, contract),
    )


def _packed(model: EncoderModel, contract: Contract) -> nn.Module:
    channel = None if contract.runtime == "population" else pack_model(model.channel_encoder)
    if channel is not None and contract.precision == "bf16":
        channel = channel.to(torch.bfloat16)
    popt = None if model.popt is None else pack_model(model.popt)
    return CompiledEncoder(channel, popt, model.pool, model.n_pooled)


def _compare(model: EncoderModel, compiled: CompiledEncoder, contract: Contract) -> None:
    """Eager against compiled: a block of channels, and the population with some bad ones."""
    model.eval()
    generator = torch.Generator().manual_seed(0)
    n_channels = contract.n_channels
    positions = torch.randint(0, 200, (n_channels, 3), generator=generator)
    channels = torch.randn((n_channels, contract.n_features), generator=generator)
    with torch.inference_mode():
        block = torch.randn(contract.block_shape, generator=generator)
        if contract.runtime != "population":
            eager = model.channel_encoder.embed(block, model.pool, model.n_pooled)
            require_small_error(compiled(block), eager, contract.precision)
        if model.popt is None:
            return
        codes = compiled.codes(positions)
        some = torch.arange(n_channels) % 3 != 1
        for good in (torch.ones_like(some), some):
            eager = model.popt.population(channels[None], positions[None], good[None])
            require_small_error(compiled.population(channels, codes, good)[None], eager)
