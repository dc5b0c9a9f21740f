"""What a compiled encoder was made for: the record by which it is found, checked and refused."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from rtbrain.encoder.blocks import block_length
from rtbrain.encoder.model import EncoderModel
from rtbrain.errors import ArtefactError

__all__ = ["Contract", "Precision", "contract_of", "contract_of_json", "refuse_precision"]

Precision = Literal["fp32", "bf16", "int8"]

_FORMAT = 2
# A change in these changes what a compiled model computes.
_CODE = (
    "layers.py",
    "brainbert.py",
    "neurobert.py",
    "biofame.py",
    "streaming.py",
    "popt.py",
    "model.py",
    "packed.py",
    "blocks.py",
)


@dataclasses.dataclass(frozen=True)
class Contract:
    """What a compiled encoder was made for.

    Attributes
    ----------
    runtime : str
        ``"torchscript"`` or ``"openvino"``; ``"population"`` where only that is compiled.
    precision : str
        Of the channel encoder: ``"fp32"``, ``"bf16"`` or ``"int8"``; the Population Transformer
        is float32 always.
    n_channels, n_frames, n_freqs : int
        Shape of the spectrogram it takes.
    block_length : int
        Channels that the channel encoder takes in one call.
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
        Processor: its family, and its model where the system tells it.
    openvino : str
        Version that converted it; empty where none did.
    hop_frames : int
        New frames a call; 0 where each window is encoded whole.
    format : int
        Version of this record.
    """

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
    code: Sequence[str],
    openvino: str = "",
    hop_frames: int = 0,
) -> Contract:
    """Contract of a model that is to be compiled here.

    Parameters
    ----------
    model : EncoderModel
        The eager model.
    n_channels, n_frames, n_freqs : int
        Shape of the spectrograms it will be given.
    runtime, precision, openvino, hop_frames
        As in `Contract`.
    code : sequence of str
        Files of this folder that matter besides the models.

    Raises
    ------
    ArtefactError
        The model cannot take this shape.
    """
    _refuse_shape(model, n_channels, n_frames, n_freqs)
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    # Heads decide how the same weights are read.
    weights.update(repr((model.brainbert.sizes, model.popt and model.popt.sizes)).encode())
    written = hashlib.sha256()
    for name in (*_CODE, *code):
        written.update(Path(__file__).with_name(name).read_bytes())
    n_features = model.brainbert.sizes.hidden_dim
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
    """Contract that a compiled model carries, if it holds here.

    Raises
    ------
    ArtefactError
        There is none, or it is of another format, version of torch or machine.
    """
    try:
        contract = Contract(**json.loads(text or "null"))
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"{path}: carries no contract: delete it, compile it again") from error
    here = (_FORMAT, torch.__version__, _machine())
    made = (contract.format, contract.torch, contract.machine)
    if made != here:
        raise ArtefactError(
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


def refuse_precision(precision: Precision) -> None:
    """Refuse bfloat16 where this CPU has no instructions for it.

    Raises
    ------
    ArtefactError
        It would be emulated, and be slower than float32.
    """
    # No public name of torch says it on every version that rtbrain runs with.
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if precision == "bf16" and not has_bf16:
        raise ArtefactError(
            "precision bf16: expected a CPU with AVX512-BF16 or AMX, this one has neither and "
            "would emulate it, slower than fp32: set precision fp32"
        )


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
