"""The log of a training: one line of JSON per step, and the same for tensorboard."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.files import finite, write_atomically
from rtbrain.types import Floats

_LOG = "log.jsonl"


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
        row = asdict(record)
        self._line(row)
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
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _grey(picture: Floats) -> Floats:
    """From black to white, 0 to 1: float32 [height, width]."""
    low, high = float(np.nanmin(picture)), float(np.nanmax(picture))
    grey: Floats = ((picture - low) / ((high - low) or 1.0)).astype(np.float32)
    return grey
