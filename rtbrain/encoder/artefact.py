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

from rtbrain.encoder.biofame import BioFAME
from rtbrain.encoder.contract import Contract, Precision, contract_of, refuse_precision
from rtbrain.encoder.kinds import ChannelEncoder
from rtbrain.encoder.model import EncoderModel
from rtbrain.encoder.packed import pack_weights, packed
from rtbrain.encoder.popt import PopT
from rtbrain.encoder.scripted import (
    load_scripted,
    refuse_error,
    save_scripted,
    user_cache_folder,
    written_whole,
)
from rtbrain.errors import ArtefactError

__all__ = ["CompiledEncoder", "compile_artefact", "compile_population", "open_artefact"]


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
        self, brainbert: ChannelEncoder | None, popt: PopT | None, pool: str, n_pooled: int
    ) -> None:
        super().__init__()
        self.brainbert = brainbert
        self.popt = popt
        self.pool = pool
        self.n_pooled = n_pooled
        self.dtype = torch.float32 if brainbert is None else next(brainbert.parameters()).dtype

    def forward(self, block: Tensor) -> Tensor:
        """[B, T, F] to the embedding of each channel [B, D]."""
        if self.brainbert is None:
            return block
        out: Tensor = self.brainbert.embed(block.to(self.dtype), self.pool, self.n_pooled)
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
        pad_mask = torch.cat((torch.zeros_like(good[:1]), ~good))  # CLS is always read
        out: Tensor = self.popt.population_of_codes(channels[None], codes, pad_mask[None])
        return out[0]


def compile_artefact(
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
    ArtefactError
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
        code=("artefact.py",),
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
        As for `compile_artefact`.

    Returns
    -------
    Path
        `open_artefact` opens it; its encoder of channels gives them back as they are.

    Raises
    ------
    ArtefactError
        The model cannot take this shape, or the compiled form differs from it.
    """
    contract = contract_of(
        model,
        n_channels,
        n_frames,
        n_freqs,
        runtime="population",
        precision="fp32",
        code=("artefact.py",),
    )
    return _cached(model, contract, cache_folder)


def open_artefact(path: Path) -> tuple[CompiledEncoder, Contract]:
    """Compiled encoder and its contract, from this machine's own cache.

    Parameters
    ----------
    path : Path
        What `compile_artefact` gave. TorchScript can hold code: open no file of others.

    Returns
    -------
    compiled : CompiledEncoder
        Its weights packed for its shape.
    contract : Contract

    Raises
    ------
    ArtefactError
        It is not a compiled encoder of this format, torch version and machine.
    """
    compiled, contract = load_scripted(path)
    with torch.inference_mode():
        if compiled.brainbert is not None:
            pack_weights(compiled.brainbert, contract.block_length * contract.n_frames)
        if compiled.popt is not None:
            pack_weights(compiled.popt, 1 + contract.n_channels)
    return compiled, contract


def _refuse_here(model: EncoderModel, precision: Precision) -> None:
    if precision == "int8":
        raise ArtefactError(
            "precision int8 is of runtime openvino alone: set that, or precision fp32 or bf16"
        )
    refuse_precision(precision)
    if precision == "bf16" and isinstance(model.brainbert, BioFAME):
        raise ArtefactError(
            "precision bf16: bioFAME's transform knows no half precision: set precision fp32"
        )


def _cached(model: EncoderModel, contract: Contract, cache_folder: Path | None) -> Path:
    folder = user_cache_folder() if cache_folder is None else Path(cache_folder)
    path = folder / f"encoder-{contract.sha256[:32]}.pt"
    # A file that was damaged is made again.
    with contextlib.suppress(ArtefactError):
        if path.is_file() and open_artefact(path)[1] == contract:
            return path
    with written_whole(path) as part:
        _compile(model, contract, part)
        _refuse_difference(model, open_artefact(part)[0], contract)
    return path


def _compile(model: EncoderModel, contract: Contract, path: Path) -> None:
    brainbert = None if contract.runtime == "population" else packed(model.brainbert)
    if brainbert is not None and contract.precision == "bf16":
        brainbert = brainbert.to(torch.bfloat16)
    popt = None if model.popt is None else packed(model.popt)
    save_scripted(_Compiled(brainbert, popt, model.pool, model.n_pooled), contract, path)


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
            eager = model.brainbert.embed(block, model.pool, model.n_pooled)
            refuse_error(compiled(block), eager, contract.precision)
        if model.popt is None:
            return
        codes = compiled.codes(positions)
        some = torch.arange(n_channels) % 3 != 1
        for good in (torch.ones_like(some), some):
            pad_mask = torch.cat((torch.zeros_like(good[:1]), ~good))
            expected = model.popt.population(channels[None], positions[None], pad_mask[None])[0]
            given = compiled.population(channels, codes, good)
            refuse_error(given[None], expected[None], "fp32")
