"""The encoder of whole windows compiled to TorchScript.

A compiled model is a file of this machine: made from weights that were verified, stamped with its
contract (shapes, pooling, precision, hash of weights and code, torch's version), compared with
the eager model before it is kept, and found again by that contract.
"""

import contextlib
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from rtbrain.encoder.models.biofame import BioFAME
from rtbrain.encoder.models.model import ChannelEncoder, EncoderModel
from rtbrain.encoder.models.popt import PopT
from rtbrain.encoder.runtimes.contract import Contract, Precision, contract_of, require_precision
from rtbrain.encoder.runtimes.packed import pack_model, pack_weights
from rtbrain.encoder.runtimes.torchscript import (
    atomic_write,
    load_torchscript,
    require_small_error,
    save_torchscript,
    user_cache_folder,
)
from rtbrain.errors import CompiledModelError


class CompiledEncoder(Protocol):
    """What a compiled encoder computes."""

    def __call__(self, block: Tensor) -> Tensor:
        """A block of channels [B, T, F] to the embedding of each [B, D]."""
        ...

    def codes(self, positions: Tensor) -> Tensor:
        """What is known of contacts [C, 3] before any signal comes; opaque."""
        ...

    def population(self, channels: Tensor, codes: Tensor, good: Tensor) -> Tensor:
        """Channels [C, D], their codes and which are good [C] to the population [P]."""
        ...


class _Compiled(nn.Module):
    """The parts that a runtime calls, as a `CompiledEncoder`."""

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
        """[C, 3] to what the Population Transformer knows of the channels before they speak."""
        return positions if self.popt is None else self.popt.codes(positions[None])

    @torch.jit.export
    def population(self, channels: Tensor, codes: Tensor, good: Tensor) -> Tensor:
        """[C, D] to [P], or to [C * D] without a Population Transformer."""
        if self.popt is None:
            return channels.flatten()
        out: Tensor = self.popt.population_of_codes(channels[None], codes, good[None])
        return out[0]


def compile_torchscript(
    model: EncoderModel,
    n_channels: int,
    n_frames: int,
    n_freqs: int,
    *,
    precision: Precision = "fp32",
    cache_folder: Path | None = None,
) -> Path:
    """Compiled form of an encoder, from the cache or made now.

    Parameters
    ----------
    model : EncoderModel
        The eager model, on the CPU; put in eval mode.
    n_channels, n_frames, n_freqs : int
        Shape of the spectrograms it will be given.
    precision : str
        Of the channel encoder: ``"fp32"`` or ``"bf16"``.
    cache_folder : Path or None
        Where compiled models are kept; None for the user's cache folder.

    Returns
    -------
    Path
        The compiled model; safe to ask for from several processes at once.

    Raises
    ------
    CompiledModelError
        The model cannot take this shape or precision, or its compiled form differs from it.
    """
    _refuse_here(model, precision)
    contract = contract_of(
        model,
        n_channels,
        n_frames,
        n_freqs,
        runtime="torchscript",
        precision=precision,
    )
    return _cached(model, contract, cache_folder)


def compile_population(
    model: EncoderModel,
    n_channels: int,
    n_frames: int,
    n_freqs: int,
    *,
    cache_folder: Path | None = None,
) -> Path:
    """Compiled form of the part after the channels, for a runtime that computes only these.

    Parameters
    ----------
    model, n_channels, n_frames, n_freqs, cache_folder
        As for `compile_torchscript`.

    Returns
    -------
    Path
        `open_torchscript` opens it; its encoder of channels gives them back as they are.

    Raises
    ------
    CompiledModelError
        The model cannot take this shape, or the compiled form differs from it.
    """
    contract = contract_of(
        model,
        n_channels,
        n_frames,
        n_freqs,
        runtime="population",
        precision="fp32",
    )
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


def _refuse_here(model: EncoderModel, precision: Precision) -> None:
    if precision == "int8":
        raise CompiledModelError(
            "precision int8 is of runtime openvino alone: set that, or precision fp32 or bf16"
        )
    require_precision(precision)
    if precision == "bf16" and isinstance(model.channel_encoder, BioFAME):
        raise CompiledModelError(
            "precision bf16: bioFAME's transform knows no half precision: set precision fp32"
        )


def _cached(model: EncoderModel, contract: Contract, cache_folder: Path | None) -> Path:
    folder = user_cache_folder() if cache_folder is None else Path(cache_folder)
    path = folder / f"encoder-{contract.sha256[:32]}.pt"
    # A file that was damaged is made again.
    with contextlib.suppress(CompiledModelError):
        if path.is_file() and open_torchscript(path)[1] == contract:
            return path
    with atomic_write(path) as part:
        _compile(model, contract, part)
        _refuse_difference(model, open_torchscript(part)[0], contract)
    return path


def _compile(model: EncoderModel, contract: Contract, path: Path) -> None:
    brainbert = None if contract.runtime == "population" else pack_model(model.channel_encoder)
    if brainbert is not None and contract.precision == "bf16":
        brainbert = brainbert.to(torch.bfloat16)
    popt = None if model.popt is None else pack_model(model.popt)
    save_torchscript(_Compiled(brainbert, popt, model.pool, model.n_pooled), contract, path)


def _refuse_difference(model: EncoderModel, compiled: CompiledEncoder, contract: Contract) -> None:
    """Between eager and compiled: of a block of channels, and of the population with some bad."""
    model.eval()
    generator = torch.Generator().manual_seed(0)
    n_channels = contract.n_channels
    shape = (contract.block_length, contract.n_frames, contract.n_freqs)
    positions = torch.randint(0, 200, (n_channels, 3), generator=generator)
    channels = torch.randn((n_channels, contract.n_features), generator=generator)
    with torch.inference_mode():
        block = torch.randn(shape, generator=generator)
        if contract.runtime != "population":
            eager = model.channel_encoder.embed(block, model.pool, model.n_pooled)
            require_small_error(compiled(block), eager, contract.precision)
        if model.popt is None:
            return
        codes = compiled.codes(positions)
        some = torch.arange(n_channels) % 3 != 1
        for good in (torch.ones_like(some), some):
            expected = model.popt.population(channels[None], positions[None], good[None])[0]
            given = compiled.population(channels, codes, good)
            require_small_error(given[None], expected[None], "fp32")
