"""What a training needs to resume: weights, moments and the step, in safetensors and JSON."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from rtbrain.errors import CheckpointError
from rtbrain.files import atomic_folder, sha256, write_atomically

_FORMAT = 1
_WEIGHTS, _MOMENTS, _NOTE = "weights.safetensors", "optimiser.safetensors", "checkpoint.json"
_N_KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A step to resume from."""

    folder: Path
    step: int
    time_s: float


def save_checkpoint(
    folder: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    step: int,
    time_s: float,
    identity: Mapping[str, Any],
) -> Path:
    """Write a checkpoint, flushed to disk, and delete all but the last two."""
    for part in folder.glob(".*.part"):  # of a process that was killed while writing
        shutil.rmtree(part)
    place = folder / _name(step)
    if place.exists():  # the same step, done again
        shutil.rmtree(place)
    files = {
        _WEIGHTS: safetensors.torch.save(_on_cpu(module.state_dict())),
        _MOMENTS: safetensors.torch.save(_on_cpu(_moments(module, optimiser))),
    }
    note = {
        "format": _FORMAT,
        "step": step,
        "time_s": time_s,
        "identity": identity,
        "sha256": {name: sha256(data) for name, data in files.items()},
    }
    files[_NOTE] = (json.dumps(note, indent=2) + "\n").encode()
    with atomic_folder(place) as part:
        for name, data in files.items():
            write_atomically(part / name, data)
    for old in _found(folder)[:-_N_KEPT]:
        shutil.rmtree(old)
    return place


def last_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The newest checkpoint, or None where there is none."""
    places = _found(folder)
    if not places:
        return None
    place = places[-1]
    checkpoint, hashes, then = _read_note(place)
    try:
        found = {name: sha256(place / name) for name in hashes}
    except OSError as error:
        raise CheckpointError(_broken(place, str(error))) from error
    if found != hashes:
        raise CheckpointError(_broken(place, "its SHA-256 differs from its note"))
    _refuse_other(place, then, json.loads(json.dumps(identity)))
    return checkpoint


def _read_note(place: Path) -> tuple[Checkpoint, dict[str, str], dict[str, Any]]:
    """A checkpoint as its note describes it, the hashes of its files, and its identity."""
    try:
        note = json.loads((place / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(_broken(place, str(error))) from error
    if not isinstance(note, dict) or note.get("format") != _FORMAT:
        raise CheckpointError(_broken(place, f"its note is not of format {_FORMAT}"))
    keys = ("step", "time_s", "sha256", "identity")
    values: dict[str, Any] = dict.fromkeys(keys) | note
    step, time_s, hashes, then = (values[key] for key in keys)
    valid = (
        isinstance(step, int) and place.name == _name(step),
        isinstance(time_s, float) and 0 <= time_s < math.inf,
        isinstance(hashes, dict) and set(hashes) == {_WEIGHTS, _MOMENTS},
        isinstance(then, dict),
    )
    altered = [key for key, right in zip(keys, valid, strict=True) if not right]
    if altered:
        raise CheckpointError(_broken(place, f"{_NOTE} was altered in {', '.join(altered)}"))
    return Checkpoint(place, step, time_s), hashes, then


def restore(checkpoint: Checkpoint, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Load the weights and moments of a checkpoint."""
    device = next(module.parameters()).device
    try:
        weights = safetensors.torch.load_file(checkpoint.folder / _WEIGHTS, device=str(device))
        moments = safetensors.torch.load_file(checkpoint.folder / _MOMENTS)
        module.load_state_dict(weights)
        numbers = {name: number for number, (name, _) in enumerate(module.named_parameters())}
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in moments.items():
            name, kind = key.rsplit("/", 1)
            state.setdefault(numbers[name], {})[kind] = tensor
    except (OSError, RuntimeError, KeyError, safetensors.SafetensorError) as error:
        raise CheckpointError(_broken(checkpoint.folder, str(error))) from error
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _found(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _moments(module: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of each weight by its name; the learning rate follows from the step."""
    return {
        f"{name}/{kind}": tensor
        for name, weight in module.named_parameters()
        for kind, tensor in optimiser.state.get(weight, {}).items()
    }


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _broken(place: Path, why: str) -> str:
    return f"{place}: this checkpoint is broken ({why}): delete it to resume from the one before"


def _refuse_other(place: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            raise CheckpointError(
                f"{place}: was trained with {key} {json.dumps(then.get(key))}, now it is "
                f"{json.dumps(now.get(key))}: resume with the same settings, or name another folder"
            )
