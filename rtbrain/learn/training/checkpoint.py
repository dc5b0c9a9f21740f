"""What a training needs to go on: weights, moments, the step; in safetensors and JSON."""

import hashlib
import json
import math
import os
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

_FORMAT = 1


_WEIGHTS, _MOMENTS, _NOTE = "weights.safetensors", "optimiser.safetensors", "checkpoint.json"


_KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place to go on from."""

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
    """Write a checkpoint whole, on the disk for good, and drop all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    part, place = folder / ".part", folder / _name(step)
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed in here
    part.mkdir()
    files = {
        _WEIGHTS: safetensors.torch.save(_on_cpu(module.state_dict())),
        _MOMENTS: safetensors.torch.save(_on_cpu(_moments(module, optimiser))),
    }
    note = {
        "format": _FORMAT,
        "step": step,
        "time_s": time_s,
        "identity": identity,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files[_NOTE] = (json.dumps(note, indent=2) + "\n").encode()
    for name, data in files.items():
        write_safely(part / name, data)
    _sync(part)
    if place.exists():  # the same step, done again after going back
        shutil.rmtree(place)
    os.replace(part, place)
    _sync(folder)
    for old in _found(folder)[:-_KEPT]:
        shutil.rmtree(old)
    return place


def last_checkpoint(folder: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """The newest checkpoint, or None where there is none."""
    found = _found(folder)
    if not found:
        return None
    place = found[-1]
    checkpoint, sums, then = _noted(place)
    try:
        there = {name: _sha256(place / name) for name in sums}
    except OSError as error:
        raise CheckpointError(_broken(place, str(error))) from error
    if there != sums:
        raise CheckpointError(_broken(place, "its SHA-256 differs from its note"))
    _refuse_other(place, then, json.loads(json.dumps(identity)))
    return checkpoint


def _noted(place: Path) -> tuple[Checkpoint, dict[str, str], dict[str, Any]]:
    """What the note of a checkpoint says: the place, hashes of its files, and its identity."""
    try:
        note = json.loads((place / _NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(_broken(place, str(error))) from error
    if not isinstance(note, dict) or note.get("format") != _FORMAT:
        raise CheckpointError(_broken(place, f"its note is not of format {_FORMAT}"))
    keys = ("step", "time_s", "sha256", "identity")
    values: dict[str, Any] = dict.fromkeys(keys) | note
    step, time_s, sums, then = (values[key] for key in keys)
    as_written = (
        isinstance(step, int) and place.name == _name(step),
        isinstance(time_s, float) and 0 <= time_s < math.inf,
        isinstance(sums, dict) and set(sums) == {_WEIGHTS, _MOMENTS},
        isinstance(then, dict),
    )
    altered = [key for key, right in zip(keys, as_written, strict=True) if not right]
    if altered:
        raise CheckpointError(_broken(place, f"{_NOTE} was altered in {', '.join(altered)}"))
    return Checkpoint(place, step, time_s), sums, then


def restore(checkpoint: Checkpoint, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put a checkpoint's weights and moments in place."""
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


def write_safely(path: Path, data: bytes) -> None:
    """Write a file, and come back when the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _broken(place: Path, why: str) -> str:
    return f"{place}: this checkpoint is broken ({why}): delete it to go on from the one before"


def _refuse_other(place: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            raise CheckpointError(
                f"{place}: was trained with {key} {json.dumps(then.get(key))}, now it is "
                f"{json.dumps(now.get(key))}: go on with the same, or name another folder"
            )
