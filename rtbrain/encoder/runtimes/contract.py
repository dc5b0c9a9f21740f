"""What a compiled encoder was made for, and the cache that finds, checks and keeps it."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch
from torch import Tensor

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.encoder.runtimes.choice import Precision
from rtbrain.errors import CompiledModelError
from rtbrain.files import atomic_file, atomic_folder, parse_json, sha256

# Longer blocks are no faster per channel, and leave less out; shorter ones are called more often.
# Measured at 128 channels of 186 frames: width 768 is equally fast from 8 on, 384 from 8 to 32 and
# slower at 128, 64 fastest at 32 to 128.
_LENGTH, _LENGTH_NARROW = 8, 32
_NARROW = 256
_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH
Shape = tuple[int, int, int]  # channels, frames and frequencies of a window
_FORMAT = 2
# Between eager and compiled: absolute in float32, otherwise relative to the embedding's length,
# which only catches what is broken: what a decoder loses is measured on the decoder.
_MAX_ERROR: dict[Precision, float] = {"fp32": 1e-5, "bf16": 0.1, "int8": 0.5}


def block_length(n_channels: int, n_features: int) -> int:
    """Channels that a channel encoder takes in one call: 8, or 32 of a narrow one."""
    return min(n_channels, _LENGTH_NARROW if n_features < _NARROW else _LENGTH)


@dataclasses.dataclass(frozen=True)
class Contract:
    """What a compiled encoder was made for."""

    runtime: str
    precision: Precision
    n_channels: int
    n_frames: int
    n_freqs: int
    block_length: int
    n_features: int
    n_population_features: int
    pool: str
    n_pooled: int
    reads_positions: bool
    weights_sha256: str
    code_sha256: str
    torch: str
    machine: str
    openvino: str = ""
    hop_frames: int = 0
    format: int = _FORMAT

    @property
    def shape(self) -> Shape:
        """Channels, frames and frequencies of a window."""
        return self.n_channels, self.n_frames, self.n_freqs

    @property
    def block_shape(self) -> Shape:
        """Channels, frames and frequencies of a call of the channel encoder."""
        return self.block_length, self.n_frames, self.n_freqs

    @property
    def sha256(self) -> str:
        """Hash of the contract, by which the cache finds a compiled model."""
        return sha256(self.json())

    def json(self) -> str:
        """The contract as text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def contract_of(
    model: EncoderModel,
    shape: Shape,
    *,
    runtime: str,
    precision: Precision,
    openvino: str = "",
    hop_frames: int = 0,
) -> Contract:
    """Contract of a model that will be compiled here."""
    _refuse_shape(model, shape)
    n_channels, n_frames, n_freqs = shape
    popt = model.popt
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    # Heads decide how the same weights are read.
    weights.update(repr((model.channel_encoder.sizes, popt and popt.sizes)).encode())
    code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parents[1].glob("*/*.py")))
    n_features = model.channel_encoder.sizes.hidden_dim
    return Contract(
        runtime=runtime,
        precision=precision,
        n_channels=n_channels,
        n_frames=n_frames,
        n_freqs=n_freqs,
        block_length=block_length(n_channels, n_features),
        n_features=n_features,
        n_population_features=model.n_population_features(n_channels),
        pool=model.pool,
        n_pooled=model.n_pooled,
        reads_positions=popt is not None,
        weights_sha256=weights.hexdigest(),
        code_sha256=sha256(code),
        torch=torch.__version__,
        machine=_machine(),
        openvino=openvino,
        hop_frames=hop_frames,
    )


def contract_of_json(text: str, path: Path) -> Contract:
    """Contract that a compiled model carries; refused if it was made elsewhere."""
    try:
        contract = Contract(**parse_json(text or "null"))
    except (TypeError, ValueError) as error:
        raise CompiledModelError(
            f"{path}: carries no contract: delete it, compile it again"
        ) from error
    here = (_FORMAT, torch.__version__, _machine())
    made = (contract.format, contract.torch, contract.machine)
    if made != here:
        raise CompiledModelError(
            f"{path}: compiled as format, torch, machine {made}, here they are {here}: "
            f"compile it again"
        )
    return contract


@functools.cache
def _machine() -> str:
    """Family and model of the processor: another model has other instructions, and other errors."""
    family, model = platform.machine(), platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(names, model)
    return family if model in ("", family) else f"{family}, {model}"


def has_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16."""
    # No public function of torch reports this in every version that rtbrain supports.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def require_precision(precision: Precision) -> None:
    """Refuse bfloat16 where this CPU would emulate it, slower than float32."""
    if precision == "bf16" and not has_bf16():
        raise CompiledModelError(
            "precision bf16: expected a CPU with AVX512-BF16 or AMX, this one has neither and "
            "would emulate it, slower than fp32: set precision fp32"
        )


def _refuse_shape(model: EncoderModel, shape: Shape) -> None:
    n_channels, n_frames, n_freqs = shape
    expected = model.channel_encoder.sizes.input_dim
    if n_freqs != expected:
        raise CompiledModelError(
            f"the encoder reads {expected} frequencies, the spectrogram has {n_freqs}: "
            f"set the spectrogram that the weights were trained on"
        )
    limit = model.channel_encoder.max_frames
    if n_frames < model.n_pooled or (limit is not None and n_frames > limit):
        has = "" if limit is None else f" and has {limit} positions"
        raise CompiledModelError(
            f"the encoder pools {model.n_pooled} frames{has}, the spectrogram has {n_frames} "
            f"frames: change the length of the window"
        )
    if n_channels < 1:
        raise CompiledModelError(f"expected 1 or more channels, got {n_channels}")


def user_cache_folder() -> Path:
    """Folder of rtbrain in the user's cache folder, by the custom of the platform."""
    return platformdirs.user_cache_path("rtbrain", appauthor=False, opinion=False)


def require_private(path: Path) -> None:
    """Refuse what others own or may change, by a CompiledModelError: it would be run as code."""
    if os.name != "posix":
        return
    found = path.lstat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        why = "is a link, or no file"
    elif found.st_uid != os.geteuid():
        why = f"belongs to another user (uid {found.st_uid})"
    elif found.st_mode & _OF_OTHERS:
        why = f"can be changed by other users (mode {stat.S_IMODE(found.st_mode):o})"
    else:
        return
    raise CompiledModelError(f"{path} {why}: nothing in it is loaded")


def make_private(path: Path) -> None:
    """Keep others from changing a file or a folder, whatever the umask."""
    for each in (path, *path.rglob("*")):
        each.chmod(0o700 if each.is_dir() else 0o600)


def _cache_folder() -> Path:
    """The user's cache folder, or another where that one is not safe."""
    other = platformdirs.user_state_path("rtbrain", appauthor=False) / "compiled"
    for folder in (user_cache_folder(), other):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            require_private(folder)
        except OSError as error:
            refused: CompiledModelError = _unusable(folder, error)
        except CompiledModelError as error:
            refused = error
            _say(f"{error}; models are compiled anew elsewhere")
        else:
            return folder
    raise refused


def _say(message: str) -> None:
    print(f"rtbrain: {message}", file=sys.stderr)


def _unusable(folder: Path, error: OSError) -> CompiledModelError:
    return CompiledModelError(
        f"{folder}: cannot hold compiled models: {error.strerror}: look at its permissions"
    )


def cached_model(
    name: str,
    contract: Contract,
    folder: Path | None,
    *,
    read: Callable[[Path], Contract],
    make: Callable[[Path], None],
    replace: bool = False,
) -> Path:
    """Path of a compiled model: found in the cache, safe and whole, or made now and put there.

    `read` refuses what is not private or not whole before any of it is loaded. Several processes
    may ask at once: what another made meanwhile is equal, and stays.
    """
    stem, dot, suffix = name.partition(".")
    folder = _cache_folder() if folder is None else Path(folder)
    path = folder / f"{stem}-{contract.sha256[:32]}{dot}{suffix}"

    def found(say: Callable[[str], None] = lambda message: None) -> bool:
        try:
            return os.path.lexists(path) and read(path) == contract
        except CompiledModelError as error:
            say(f"{error}; it is compiled anew")
            return False

    if not replace and found(_say):
        return path
    atomic = atomic_file if suffix else atomic_folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        require_private(folder)
        with atomic(path) as part:
            make(part)
            if path.is_symlink():
                path.unlink()
            elif path.is_dir() and (replace or not found()):
                shutil.rmtree(path)
    except OSError as error:
        if path.is_dir() and found():  # another process was faster
            return path
        raise _unusable(folder, error) from error
    return path


def require_small_error(compiled: Tensor, eager: Tensor, precision: Precision = "fp32") -> None:
    """Refuse a compiled encoder whose embeddings [B, D] are too far from the eager ones."""
    error = compiled - eager
    if precision != "fp32":
        error = error.norm(dim=1) / eager.norm(dim=1)
    difference, limit = float(error.abs().max()), _MAX_ERROR[precision]  # NaN where one is
    if not difference <= limit:
        raise CompiledModelError(
            f"the compiled encoder differs from the eager one by {difference:.3g}, expected "
            f"at most {limit:g}: torch {torch.__version__} cannot be used here"
        )
