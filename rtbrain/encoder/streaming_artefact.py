"""The live form of a streaming encoder compiled to TorchScript: state in and out, apart from it."""

import contextlib
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from rtbrain.encoder.contract import Contract, contract_of
from rtbrain.encoder.model import EncoderModel
from rtbrain.encoder.scripted import (
    load_scripted,
    refuse_above,
    save_scripted,
    user_cache_folder,
    written_whole,
)
from rtbrain.encoder.streaming_model import LiveState, StreamingModel
from rtbrain.errors import ArtefactError

__all__ = ["LiveEncoder", "compile_streaming", "open_streaming"]

_LARGEST_DIFFERENCE = 1e-5
_HOPS_COMPARED = 3


class LiveEncoder(Protocol):
    """What a `StreamingModel` computes, compiled."""

    def __call__(self, good: Tensor, positions: Tensor, state: LiveState) -> tuple[Tensor, Tensor]:
        """Embeddings of what was taken in."""
        ...

    def new_state(self, n_channels: int) -> LiveState:
        """State of channels of which nothing is known."""
        ...

    def advance(self, frames: Tensor, known: Tensor, state: LiveState) -> None:
        """Take a hop of frames in."""
        ...

    def restart(self, frames: Tensor, rows: Tensor, state: LiveState) -> None:
        """Put some channels where one shot over these frames leaves them."""
        ...


def compile_streaming(
    model: EncoderModel,
    n_channels: int,
    n_frames: int,
    n_freqs: int,
    *,
    hop_frames: int,
    cache_folder: Path | None = None,
) -> Path:
    """Compiled live form of a streaming encoder, from the cache or made now.

    Parameters
    ----------
    model : EncoderModel
        Of a StreamingBERT, on the CPU; put in eval mode.
    n_channels, n_frames, n_freqs : int
        Shape of the windows' spectrograms.
    hop_frames : int
        New frames of a window.
    cache_folder : Path or None
        Where compiled models are kept; None for the user's cache folder.

    Returns
    -------
    Path
        The compiled model; safe to ask for from several processes at once.

    Raises
    ------
    SettingsError
        The encoder is of another kind, or the hop is no whole number of patches.
    ArtefactError
        The model cannot take these windows, or its compiled form differs from it.
    """
    live = StreamingModel(model, hop_frames).eval().requires_grad_(False)
    contract = contract_of(
        model,
        n_channels,
        n_frames,
        n_freqs,
        runtime="torchscript",
        precision="fp32",
        code=("streaming_model.py", "streaming_artefact.py"),
        hop_frames=hop_frames,
    )
    if n_frames < hop_frames:
        raise ArtefactError(
            f"the window has {n_frames} frames, the hop {hop_frames}: lengthen the window"
        )
    folder = user_cache_folder() if cache_folder is None else Path(cache_folder)
    path = folder / f"streaming-{contract.sha256[:32]}.pt"
    # A file that was damaged is made again.
    with contextlib.suppress(ArtefactError):
        if path.is_file() and open_streaming(path)[1] == contract:
            return path
    with written_whole(path) as part:
        methods = ("new_state", "advance", "restart")
        save_scripted(live, contract, part, frozen=methods)
        _refuse_difference(live, open_streaming(part)[0], contract)
    return path


def open_streaming(path: Path) -> tuple[LiveEncoder, Contract]:
    """Compiled streaming encoder and its contract, from this machine's own cache.

    Parameters
    ----------
    path : Path
        What `compile_streaming` gave. TorchScript can hold code: open no file of others.

    Raises
    ------
    ArtefactError
        It is not a compiled streaming encoder of this format, torch version and machine.
    """
    compiled, contract = load_scripted(path)
    if not contract.hop_frames:
        raise ArtefactError(f"{path}: encodes whole windows: compile the streaming form")
    return compiled, contract


def _refuse_difference(live: StreamingModel, compiled: LiveEncoder, contract: Contract) -> None:
    """Over a restart of some channels and a few hops, with channels that are bad."""
    generator = torch.Generator().manual_seed(0)
    C, F = contract.n_channels, contract.n_freqs
    window = torch.randn((C, contract.n_frames, F), generator=generator)
    positions = torch.randint(0, 200, (C, 3), generator=generator)
    rows = torch.arange(C)
    good = rows % 3 != 1 if C > 1 else rows == 0
    states = live.new_state(C), compiled.new_state(C)
    with torch.inference_mode():
        for model, state in zip((live, compiled), states, strict=True):
            model.restart(window, rows, state)
        for _ in range(_HOPS_COMPARED):
            frames = torch.randn((C, contract.hop_frames, F), generator=generator)
            for model, state in zip((live, compiled), states, strict=True):
                model.advance(frames, good, state)
            pairs = zip(
                live(good, positions, states[0]), compiled(good, positions, states[1]), strict=True
            )
            for eager, other in pairs:
                refuse_above(_LARGEST_DIFFERENCE, (eager - other).abs())
