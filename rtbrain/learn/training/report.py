"""What a finished training leaves: the encoder, a report, and its curve as a picture."""

import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from rtbrain.encoder import save_encoder
from rtbrain.learn.objectives.objective import Objective
from rtbrain.learn.training.checkpoint import write_safely
from rtbrain.learn.training.logbook import read_log
from rtbrain.learn.training.loop import TrainingProgress
from rtbrain.learn.training.ranks import Ranks

_VERSIONS = ("rtbrain", "torch", "numpy")


_SMOOTHED = 50  # points of the curve, each a mean of the steps around it


def finish(
    folder: Path,
    objective: Objective,
    progress: TrainingProgress,
    *,
    settings: Mapping[str, Any],
    corpus: Mapping[str, Any],
    by_subject: Mapping[str, Mapping[str, float] | None],
    ranks: Ranks,
) -> dict[str, float | None]:
    """Write the encoder, ``report.json`` and ``curve.png``."""
    _put_encoder(folder, objective)
    rows = read_log(folder)
    steps = [row for row in rows if "loss" in row]
    looks = [(row["step"], row["validation"]) for row in rows if "validation" in row]
    figures: dict[str, float | None] = looks[-1][1] if looks else {}
    tail = steps[-max(1, len(steps) // _SMOOTHED) :]
    report = {
        "settings": settings,
        "corpus": corpus,
        "steps": progress.step,
        "loss": {"first": steps[0]["loss"], "last": sum(row["loss"] for row in tail) / len(tail)},
        "validation": (
            {"first": looks[0][1], "last": figures, "by_subject": by_subject} if looks else None
        ),
        "time_s": round(progress.time_s, 1),
        "machine": {
            "device": _device_name(ranks.device),
            "processes": ranks.n_ranks,
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _VERSIONS},
        },
    }
    _draw(folder / "curve.png", steps, looks)
    text = json.dumps(report, indent=2) + "\n"
    write_safely(folder / ".report.json", text.encode())
    os.replace(folder / ".report.json", folder / "report.json")
    return figures


def _put_encoder(folder: Path, objective: Objective) -> None:
    part = folder / ".encoder"
    shutil.rmtree(part, ignore_errors=True)
    save_encoder(objective.encoder, part)  # type: ignore[arg-type]
    # The note last, so that a folder with a note is complete.
    for path in sorted(part.iterdir(), key=lambda path: path.suffix == ".json"):
        os.replace(path, folder / path.name)
    part.rmdir()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _draw(
    path: Path, steps: list[dict[str, Any]], looks: list[tuple[int, dict[str, float | None]]]
) -> None:
    """Loss of each step, its running mean, and the figures of the validations.

    A figure has a panel, in which those that it is held against, such as ``l1_of_zero`` beside
    ``l1``, are dashed.
    """
    every = list(looks[0][1]) if looks else []
    names = [name for name in every if name.split("_of_")[0] not in every or "_of_" not in name]
    n_columns = min(3, 1 + len(names))
    n_rows = -(-(1 + len(names)) // n_columns)
    figure = Figure(figsize=(4.2 * n_columns, 2.8 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).flatten()
    at, losses = [row["step"] for row in steps], [row["loss"] for row in steps]
    length = max(1, len(steps) // _SMOOTHED)
    means = [
        sum(losses[first : first + length]) / len(losses[first : first + length])
        for first in range(0, len(losses), length)
    ]
    panels[0].plot(at, losses, color="0.8", linewidth=0.8, label="each step")
    panels[0].plot(at[::length], means, color="C0", label=f"mean of {length}")
    panels[0].set_title("training loss", fontsize=9)
    panels[0].legend(fontsize=7, frameon=False)
    for panel, name in zip(panels[1:], names, strict=False):
        for other in (name, *(each for each in every if each.startswith(f"{name}_of_"))):
            values = [float("nan") if look[other] is None else look[other] for _, look in looks]
            style = "-" if other == name else "--"
            label = other.removeprefix(f"{name}_")
            panel.plot([step for step, _ in looks], values, style, marker=".", label=label)
        panel.legend(fontsize=7, frameon=False)
        panel.set_title(f"held out: {name}", fontsize=9)
    for panel in panels[: 1 + len(names)]:
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=7)
    for panel in panels[1 + len(names) :]:
        panel.set_visible(False)
    figure.savefig(path, dpi=110)
