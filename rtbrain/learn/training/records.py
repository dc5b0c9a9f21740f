"""What a training leaves as it runs: checkpoints to resume from, and its log."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from rtbrain.errors import CheckpointError
from rtbrain.files import atomic_folder, finite, parse_json, sha256, write_atomically
from rtbrain.types import Floats

_LOG = "log.jsonl"
_FORMAT = 1
_WEIGHTS, _MOMENTS, _NOTE = "weights.safetensors", "optimiser.safetensors", "checkpoint.json"
_N_KEPT = 2


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of training."""

    step: int
    loss: float
    measures: dict[str, float]
    lr: float
    grad_norm: float


class Logbook:
    """The log of a training, in its folder, up to and including a step."""

    def __init__(self, folder: Path, step: int) -> None:
        kept = [row for row in read_log(folder) if row["step"] <= step] if step else []
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(folder / _LOG, lines)
        self._file = (folder / _LOG).open("a", encoding="utf-8")
        # Extra [train]: without tensorboard the log of JSON lines remains, which all else reads.
        self._board: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def step(self, record: StepRecord) -> None:
        """Write a step."""
        self._line(asdict(record))
        scalars = {"loss": record.loss, "lr": record.lr, "grad_norm": record.grad_norm}
        self._scalars("train", {**scalars, **record.measures}, record.step)

    def validation(
        self, step: int, figures: Mapping[str, float], pictures: Mapping[str, Floats]
    ) -> None:
        """Write the figures of held-out subjects after this step."""
        self._line({"step": step, "validation": dict(figures)})
        self._scalars("validation", figures, step)
        if self._board is not None:
            for name, picture in pictures.items():
                self._board.add_image(name, _grey(picture), step, dataformats="HW")
            self._board.flush()

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _line(self, row: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(finite(row)) + "\n")
        self._file.flush()

    def _scalars(self, group: str, scalars: Mapping[str, float], step: int) -> None:
        if self._board is None:
            return
        for name, value in scalars.items():
            self._board.add_scalar(f"{group}/{name}", value, step)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Rows of a training's ``log.jsonl``; an incomplete last line is left out."""
    path = folder / _LOG
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(parse_json(line))
        except ValueError:
            break
    return rows


def _grey(picture: Floats) -> Floats:
    """From black to white, 0 to 1: float32 [height, width]."""
    low, high = float(np.nanmin(picture)), float(np.nanmax(picture))
    grey: Floats = ((picture - low) / ((high - low) or 1.0)).astype(np.float32)
    return grey


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
        note = parse_json((place / _NOTE).read_bytes())
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
