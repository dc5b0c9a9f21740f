"""Weights on disk: a folder of ``weights.safetensors`` and ``encoder.json``, and how to get one.

Released checkpoints are converted once; from then on nothing that could run code is read.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as short_repr
from typing import Any, Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from rtbrain.encoder.checkpoint import CheckpointArchive, StoredTensor
from rtbrain.encoder.models.brainbert import BrainBERTSizes
from rtbrain.encoder.models.model import ENCODERS, Encoder, EncoderSizes, encoder_kind
from rtbrain.encoder.models.popt import PopTSizes
from rtbrain.errors import CheckpointError
from rtbrain.files import claim_output, parse_json, sha256, strict_json, write_atomically
from rtbrain.types import Floats

# Kinds with released checkpoints.
Released = Literal["brainbert", "popt"]
_FORMAT = 1
WEIGHTS = "weights.safetensors"
_NOTE = "encoder.json"
_CONFIG_NAME = {"brainbert": "masked_tf_model", "popt": "pt_model_custom"}
# Heads of fine-tuned checkpoints belong to a decoder: named in the note, not kept.
_NOT_ENCODER = ("linear_out.", "final_layer.")


def import_checkpoint(kind: Released, file: Path, out_folder: Path) -> str:
    """Convert a released checkpoint to a folder of safetensors, without running it; its SHA-256.

    `file` is the released `.pth` or one fine-tuned from it (its names under ``upstream.``),
    `out_folder` absent or empty.

    Raises
    ------
    CheckpointError
        The file is truncated or foreign, its pickle names anything but tensors and settings, a
        tensor is missing, left over or of another shape, or `out_folder` is not empty.
    """
    out_folder = Path(out_folder)
    file = Path(file)
    _refuse_content(out_folder)
    claim_output(out_folder, "--out")
    with contextlib.closing(CheckpointArchive(file)) as archive:
        stored, left_out = _model_tensors(archive)
        sizes = _sizes_of(kind, archive, stored)
        module = _empty(sizes)
        require_matching_tensors(file, module, {name: item.shape for name, item in stored.items()})
        tensors = {name: archive.read(name, item) for name, item in stored.items()}
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file}: tensor {name} holds NaN or infinity: fetch it again")
    source = sha256(file)
    _write(out_folder, kind, sizes, tensors, {"source_sha256": source, "left_out": left_out})
    return source


def save_encoder(module: Encoder, folder: Path) -> None:
    """Write weights and sizes to a folder; CheckpointError where it is not empty."""
    folder = Path(folder)
    _refuse_content(folder)
    tensors = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    _write(folder, encoder_kind(module.sizes), module.sizes, tensors, {})


def load_encoder(folder: Path) -> Encoder:
    """Encoder of a folder, in eval mode; CheckpointError where a file is missing or altered."""
    folder = Path(folder)
    note = _read_note(folder / _NOTE)
    kind, path = note["kind"], folder / WEIGHTS
    try:
        sizes = ENCODERS[kind].sizes(**note["sizes"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / _NOTE}: sizes do not make a {kind}: {error}") from error
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if sha256(data) != note.get("weights_sha256"):
        raise CheckpointError(
            f"{path}: SHA-256 differs from the one in {_NOTE}: truncated or altered, make it again"
        )
    try:
        tensors = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error
    return encoder_of_tensors(path, sizes, tensors)


def encoder_of_tensors(
    where: object, sizes: EncoderSizes, tensors: Mapping[str, Tensor | Floats]
) -> Encoder:
    """Encoder of these sizes and weights, in eval mode; CheckpointError where they do not fit."""
    n_layers = max(n for name, n in vars(sizes).items() if name.endswith("layers"))
    if n_layers > len(tensors):  # before each of them takes its time
        raise CheckpointError(
            f"{where}: its sizes name {n_layers} layers, it holds {len(tensors)} tensors"
        )
    module = _empty(sizes)
    shapes = {name: tuple(each.shape) for name, each in tensors.items()}
    require_matching_tensors(where, module, shapes)
    own = module.state_dict()
    # Copied where they are arrays: those of a memory-mapped file can only be read.
    weights = {
        name: (each if isinstance(each, Tensor) else torch.tensor(each)).to(own[name].dtype)
        for name, each in tensors.items()
    }
    module.load_state_dict(weights, assign=True)
    return module.eval()


def _empty(sizes: EncoderSizes) -> Encoder:
    with torch.device("meta"):  # shapes only: a hostile size costs no memory
        return sizes.make()


def _model_tensors(archive: CheckpointArchive) -> tuple[dict[str, StoredTensor], list[str]]:
    """Tensors of the encoder under the names of this package, and the names left out."""
    model = archive.content.get("model")
    if not isinstance(model, dict) or not model:
        raise CheckpointError(f"{archive.file}: expected tensors under 'model', found none")
    stored: dict[str, StoredTensor] = {}
    left_out: list[str] = []
    for key, item in model.items():
        if not isinstance(key, str) or not isinstance(item, StoredTensor):
            raise CheckpointError(
                f"{archive.file}: 'model' holds {type(item).__name__} under {short_repr(key)}, "
                f"expected tensors only"
            )
        if key.startswith(_NOT_ENCODER):
            left_out.append(key)
            continue
        name = key.removeprefix("upstream.").replace("input_embedding.", "input_encoding.", 1)
        stored[name] = item
    return stored, left_out


def _sizes_of(
    kind: Released, archive: CheckpointArchive, stored: Mapping[str, StoredTensor]
) -> EncoderSizes:
    config = archive.config("model_cfg")
    name = config.get("name", _CONFIG_NAME[kind])
    if name != _CONFIG_NAME[kind]:
        raise CheckpointError(
            f"{archive.file}: model_cfg names {short_repr(name)}, a {kind} is named "
            f"'{_CONFIG_NAME[kind]}': pass the kind that the checkpoint holds"
        )
    if config.get("layer_activation", "gelu") != "gelu":
        raise CheckpointError(
            f"{archive.file}: layer_activation is {short_repr(config['layer_activation'])}, "
            "expected 'gelu'"
        )
    kinds = BrainBERTSizes if kind == "brainbert" else PopTSizes
    if kind == "popt" and "layer_dim_feedforward" not in config:
        # The published class has a default that its settings do not repeat.
        linear1 = stored.get("transformer_encoder.layers.0.linear1.weight")
        if linear1 is not None and linear1.shape:
            config["layer_dim_feedforward"] = linear1.shape[0]
    sizes = {}
    for field in dataclasses.fields(kinds):
        value = config.get(field.name)
        if type(value) is not int or not 1 <= value <= 1_000_000:
            raise CheckpointError(
                f"{archive.file}: model_cfg.{field.name} is {short_repr(value)}, expected a count"
            )
        sizes[field.name] = value
    if max(sizes.get("encoder_num_layers", 0), sizes.get("n_layers", 0)) > len(stored):
        raise CheckpointError(f"{archive.file}: model_cfg names more layers than there are tensors")
    try:
        return kinds(**sizes)
    except ValueError as error:
        raise CheckpointError(f"{archive.file}: model_cfg: {error}") from error


def _refuse_content(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(
            f"{folder}: already has content, and is not overwritten: pass another"
        )


def _write(
    folder: Path,
    kind: str,
    sizes: EncoderSizes,
    tensors: Mapping[str, Tensor],
    origin: Mapping[str, Any],
) -> None:
    data = safetensors.torch.save({name: item.contiguous() for name, item in tensors.items()})
    note = {
        "format": _FORMAT,
        "kind": kind,
        "sizes": dataclasses.asdict(sizes),
        "weights_sha256": sha256(data),
        **origin,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, data)
    write_atomically(folder / _NOTE, strict_json(note))  # last: a folder with a note is complete


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = parse_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror}: make it with rtbrain import-checkpoint"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if (
        not isinstance(note, dict)
        or note.get("format") != _FORMAT
        or note.get("kind") not in tuple(ENCODERS)
        or not isinstance(note.get("sizes"), dict)
    ):
        raise CheckpointError(
            f"{path}: expected format {_FORMAT} with kind and sizes: make it again"
        )
    return note


def encoder_tensors(prefix: str, module: Encoder) -> dict[str, Floats]:
    """Weights as float32 arrays, each under ``prefix.name``."""
    return {
        f"{prefix}.{name}": tensor.detach().cpu().numpy()
        for name, tensor in module.state_dict().items()
    }


def require_matching_tensors(
    where: object, module: Encoder, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse tensors that are not exactly those of a model, naming the first that differs."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name, shape in expected.items():
        if name not in shapes:
            raise CheckpointError(f"{where}: tensor {name} is missing, expected shape {shape}")
        if shapes[name] != shape:
            raise CheckpointError(
                f"{where}: tensor {name} has shape {shapes[name]}, its sizes say {shape}"
            )
    for name in shapes:
        if name not in expected:
            raise CheckpointError(
                f"{where}: tensor {name} of shape {shapes[name]} is not part of the model"
            )
