"""What a compiled encoder was made for: the record by which it is found, checked and refused."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from rtbrain.encoder.models.model import EncoderModel
from rtbrain.errors import CompiledModelError
from rtbrain.types import Floats, Mask

# Longer blocks are no faster a channel, and leave less out; shorter ones are called more often.
# Measured at 128 channels of 186 frames: width 768 alike from 8 on, 384 from 8 to 32 and slower at
# 128, 64 best at 32 to 128.
_LENGTH, _LENGTH_NARROW = 8, 32
_NARROW = 256
Precision = Literal["fp32", "bf16", "int8"]
_FORMAT = 2
# A change in these changes what a compiled model computes.


def block_length(n_channels: int, n_features: int) -> int:
    """Channels that a channel encoder takes in one call: 8, or 32 of a narrow one."""
    return min(n_channels, _LENGTH_NARROW if n_features < _NARROW else _LENGTH)


class ChannelBlocks:
    """Channel encoder over the good channels of a window, always called with the same shape.

    The good channels are packed in their order; what is missing in the last block is zeros.
    """

    def __init__(
        self, encode: Callable[[Floats], Floats], shape: tuple[int, int, int], n_features: int
    ) -> None:
        self._encode = encode
        self._block = np.zeros(shape, np.float32)
        self._n_features = n_features

    def __call__(self, spectrogram: Floats, good: Mask) -> Floats:
        """Embedding of each channel."""
        length = len(self._block)
        channels = np.zeros((len(good), self._n_features), np.float32)
        rows = np.flatnonzero(good)
        for start in range(0, len(rows), length):
            some = rows[start : start + length]
            self._block[: len(some)] = spectrogram[some]
            self._block[len(some) :] = 0
            channels[some] = self._encode(self._block)[: len(some)]
        return channels


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
    def sha256(self) -> str:
        """Hash of the contract, by which the cache finds a compiled model."""
        return hashlib.sha256(self.json().encode()).hexdigest()

    def json(self) -> str:
        """The contract as text."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def contract_of(
    model: EncoderModel,
    n_channels: int,
    n_frames: int,
    n_freqs: int,
    *,
    runtime: str,
    precision: Precision,
    openvino: str = "",
    hop_frames: int = 0,
) -> Contract:
    """Contract of a model that is to be compiled here."""
    _refuse_shape(model, n_channels, n_frames, n_freqs)
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    # Heads decide how the same weights are read.
    weights.update(repr((model.channel_encoder.sizes, model.popt and model.popt.sizes)).encode())
    written = hashlib.sha256()
    for source in sorted(Path(__file__).parents[1].glob("*/*.py")):  # all that decides what runs
        written.update(source.read_bytes())
    n_features = model.channel_encoder.sizes.hidden_dim
    popt = model.popt
    return Contract(
        runtime=runtime,
        precision=precision,
        n_channels=n_channels,
        n_frames=n_frames,
        n_freqs=n_freqs,
        block_length=block_length(n_channels, n_features),
        n_features=n_features,
        n_population_features=n_channels * n_features if popt is None else popt.sizes.hidden_dim,
        pool=model.pool,
        n_pooled=model.n_pooled,
        reads_positions=popt is not None,
        weights_sha256=weights.hexdigest(),
        code_sha256=written.hexdigest(),
        torch=torch.__version__,
        machine=_machine(),
        openvino=openvino,
        hop_frames=hop_frames,
    )


def contract_of_json(text: str, path: Path) -> Contract:
    """Contract that a compiled model carries, if it holds here."""
    try:
        contract = Contract(**json.loads(text or "null"))
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


def require_precision(precision: Precision) -> None:
    """Refuse bfloat16 where this CPU has no instructions for it.

    Raises
    ------
    CompiledModelError
        It would be emulated, and be slower than float32.
    """
    # No public name of torch says it on every version that rtbrain runs with.
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if precision == "bf16" and not has_bf16:
        raise CompiledModelError(
            "precision bf16: expected a CPU with AVX512-BF16 or AMX, this one has neither and "
            "would emulate it, slower than fp32: set precision fp32"
        )


def _refuse_shape(model: EncoderModel, n_channels: int, n_frames: int, n_freqs: int) -> None:
    expected = model.channel_encoder.sizes.input_dim
    if n_freqs != expected:
        raise CompiledModelError(
            f"the encoder reads {expected} frequencies, the spectrogram has {n_freqs}: "
            f"set the spectrogram that the weights were trained on"
        )
    most = model.channel_encoder.max_frames
    if n_frames < model.n_pooled or (most is not None and n_frames > most):
        has = "" if most is None else f" and has {most} positions"
        raise CompiledModelError(
            f"the encoder pools {model.n_pooled} frames{has}, the spectrogram has {n_frames} "
            f"frames: change the length of the window"
        )
    if n_channels < 1:
        raise CompiledModelError(f"expected 1 or more channels, got {n_channels}")
