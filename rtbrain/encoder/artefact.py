"""The encoder compiled to TorchScript: all of TorchScript that rtbrain uses is here.

A compiled model is a file of this machine: made from weights that were verified, stamped with its
contract (shapes, pooling, hash of weights and code, torch's version), compared with the eager
model before it is kept, and found again by that contract.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rtbrain.encoder.model import EncoderModel
from rtbrain.errors import ArtefactError

__all__ = ["Contract", "compile_artefact", "open_artefact", "user_cache_folder"]

_FORMAT = 1
_STAMP = "rtbrain.json"
_LARGEST_DIFFERENCE = 1e-5
# A change in these changes what a compiled model computes.
_CODE = (
    "layers.py",
    "brainbert.py",
    "neurobert.py",
    "biofame.py",
    "popt.py",
    "model.py",
    "artefact.py",
)


@dataclasses.dataclass(frozen=True)
class Contract:
    """What a compiled encoder was made for.

    Attributes
    ----------
    n_channels, n_frames, n_freqs : int
        Shape of the spectrogram it takes.
    n_features : int
        Width of a channel's embedding.
    n_population_features : int
        Width of the population embedding.
    pool : str
        ``"centre"`` or ``"last"``.
    n_pooled : int
        Frames that are averaged.
    reads_positions : bool
        Whether contact positions matter: there is a Population Transformer.
    weights_sha256, code_sha256 : str
        Hashes of the weights and of the code that was compiled.
    torch : str
        Version that compiled it.
    machine : str
        Processor family.
    format : int
        Version of this record.
    """

    n_channels: int
    n_frames: int
    n_freqs: int
    n_features: int
    n_population_features: int
    pool: str
    n_pooled: int
    reads_positions: bool
    weights_sha256: str
    code_sha256: str
    torch: str
    machine: str
    format: int = _FORMAT

    @property
    def sha256(self) -> str:
        """Hash of the contract, by which the cache finds a compiled model."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def compile_artefact(
    model: EncoderModel,
    n_channels: int,
    n_frames: int,
    n_freqs: int,
    *,
    cache_folder: Path | None = None,
) -> Path:
    """Compiled form of an encoder, from the cache or made now.

    Parameters
    ----------
    model : EncoderModel
        The eager model, on the CPU; put in eval mode.
    n_channels, n_frames, n_freqs : int
        Shape of the spectrograms it will be given.
    cache_folder : Path or None
        Where compiled models are kept; None for the user's cache folder.

    Returns
    -------
    Path
        The compiled model; safe to ask for from several processes at once.

    Raises
    ------
    ArtefactError
        The model cannot take this shape, or its compiled form differs from it.
    """
    _refuse_shape(model, n_channels, n_frames, n_freqs)
    contract = _contract_of(model, n_channels, n_frames, n_freqs)
    folder = user_cache_folder() if cache_folder is None else Path(cache_folder)
    path = folder / f"encoder-{contract.sha256[:32]}.pt"
    # A file that was damaged is made again.
    with contextlib.suppress(ArtefactError):
        if path.is_file() and open_artefact(path)[1] == contract:
            return path
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(suffix=".part", dir=folder)
    except OSError as error:
        raise ArtefactError(f"{folder}: cannot hold compiled models: {error.strerror}") from error
    os.close(handle)
    part = Path(name)
    try:
        _compile(model, contract, part)
        difference = _largest_difference(model, open_artefact(part)[0], contract)
        if not difference <= _LARGEST_DIFFERENCE:
            raise ArtefactError(
                f"the compiled encoder differs from the eager one by {difference:.3g}, expected "
                f"at most {_LARGEST_DIFFERENCE:g}: torch {torch.__version__} cannot be used here"
            )
        # The last process wins, with an equal file; none ever sees half of one.
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def open_artefact(path: Path) -> tuple[torch.nn.Module, Contract]:
    """Compiled encoder and its contract, from this machine's own cache.

    Parameters
    ----------
    path : Path
        What `compile_artefact` gave. TorchScript can hold code: open no file of others.

    Raises
    ------
    ArtefactError
        It is not a compiled encoder of this format, torch version and machine.
    """
    stamp: dict[str, Any] = {_STAMP: ""}
    try:
        with _torchscript():
            compiled = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu", _extra_files=stamp
            )
    except (RuntimeError, ValueError) as error:
        raise ArtefactError(
            f"{path}: not a compiled encoder, or damaged: delete it, and it is made again"
        ) from error
    try:
        contract = Contract(**json.loads(stamp[_STAMP] or "null"))
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: carries no contract: delete it, compile it again") from error
    here = (_FORMAT, torch.__version__, platform.machine())
    made = (contract.format, contract.torch, contract.machine)
    if made != here:
        raise ArtefactError(
            f"{path}: compiled as format, torch, machine {made}, here they are {here}: "
            f"compile it again"
        )
    return compiled, contract


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


def _refuse_shape(model: EncoderModel, n_channels: int, n_frames: int, n_freqs: int) -> None:
    expected = model.brainbert.sizes.input_dim
    if n_freqs != expected:
        raise ArtefactError(
            f"the encoder reads {expected} frequencies, the spectrogram has {n_freqs}: "
            f"set the spectrogram that the weights were trained on"
        )
    most = model.brainbert.most_frames
    if n_frames < model.n_pooled or (most is not None and n_frames > most):
        has = "" if most is None else f" and has {most} positions"
        raise ArtefactError(
            f"the encoder pools {model.n_pooled} frames{has}, the spectrogram has {n_frames} "
            f"frames: change the length of the window"
        )
    if n_channels < 1:
        raise ArtefactError(f"expected 1 or more channels, got {n_channels}")


def _contract_of(model: EncoderModel, n_channels: int, n_frames: int, n_freqs: int) -> Contract:
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    # Heads decide how the same weights are read.
    weights.update(repr((model.brainbert.sizes, model.popt and model.popt.sizes)).encode())
    code = hashlib.sha256()
    for name in _CODE:
        code.update(Path(__file__).with_name(name).read_bytes())
    n_features = model.brainbert.sizes.hidden_dim
    popt = model.popt
    return Contract(
        n_channels=n_channels,
        n_frames=n_frames,
        n_freqs=n_freqs,
        n_features=n_features,
        n_population_features=n_channels * n_features if popt is None else popt.sizes.hidden_dim,
        pool=model.pool,
        n_pooled=model.n_pooled,
        reads_positions=popt is not None,
        weights_sha256=weights.hexdigest(),
        code_sha256=code.hexdigest(),
        torch=torch.__version__,
        machine=platform.machine(),
    )


def _compile(model: EncoderModel, contract: Contract, path: Path) -> None:
    stamp = {_STAMP: json.dumps(dataclasses.asdict(contract))}
    with _torchscript():
        compiled = torch.jit.freeze(torch.jit.script(model.eval()))
        torch.jit.save(compiled, str(path), _extra_files=stamp)


def _largest_difference(
    model: EncoderModel, compiled: torch.nn.Module, contract: Contract
) -> float:
    """Between eager and compiled, over a window that is all good and one that is not."""
    generator = torch.Generator().manual_seed(0)
    shape = (contract.n_channels, contract.n_frames, contract.n_freqs)
    positions = torch.randint(0, 200, (contract.n_channels, 3), generator=generator)
    some = torch.arange(contract.n_channels) % 3 != 1
    differences = [0.0]
    for good in (torch.ones_like(some), some):
        spectrogram = torch.randn(shape, generator=generator)
        spectrogram[~good] = torch.nan
        with torch.inference_mode():
            pairs: Iterator[tuple[Tensor, Tensor]] = zip(
                model(spectrogram, positions, good),
                compiled(spectrogram, positions, good),
                strict=True,
            )
            differences += [float((eager - other).abs().max()) for eager, other in pairs]
    # max() would pass over a NaN that does not come first.
    return float(torch.tensor(differences).max())


@contextlib.contextmanager
def _torchscript() -> Iterator[None]:
    """Silence what torch from 2.11 on says of TorchScript: deprecated, and working."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning
        )
        yield
