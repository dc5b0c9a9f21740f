"""The results of a training: the encoder, a report, and pictures."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rtbrain.encoder import save_encoder
from rtbrain.files import strict_json, write_atomically
from rtbrain.learn.objectives.distillation_scores import DistillationScores
from rtbrain.learn.objectives.objective import Objective
from rtbrain.learn.report.figures import new_figure, save_figure
from rtbrain.learn.training.loop import Ranks, TrainingProgress
from rtbrain.learn.training.records import read_log
from rtbrain.processes import scratch_folder

_VERSIONS = ("rtbrain", "torch", "numpy")
_N_SMOOTHED = 50  # points of the curve, each a mean of the steps around it


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
    """Write the encoder, ``report.json`` and ``curve.png``; returns the last figures."""
    _write_encoder(folder, objective)
    rows = read_log(folder)
    steps = [row for row in rows if "loss" in row]
    validations = [(row["step"], row["validation"]) for row in rows if "validation" in row]
    last: dict[str, float | None] = validations[-1][1] if validations else {}
    tail = steps[-max(1, len(steps) // _N_SMOOTHED) :]
    cuda = ranks.device.type == "cuda"
    report = {
        "settings": settings,
        "corpus": corpus,
        "steps": progress.step,
        "loss": {"first": steps[0]["loss"], "last": sum(row["loss"] for row in tail) / len(tail)},
        "validation": (
            {"first": validations[0][1], "last": last, "by_subject": by_subject}
            if validations
            else None
        ),
        "time_s": round(progress.time_s, 1),
        "machine": {
            "device": torch.cuda.get_device_name(ranks.device) if cuda else "cpu",
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
    _draw_curve(folder / "curve.png", steps, validations)
    write_atomically(folder / "report.json", strict_json(report))
    return last


def _write_encoder(folder: Path, objective: Objective) -> None:
    with scratch_folder(".encoder-", folder) as part:
        save_encoder(objective.encoder, part)  # type: ignore[arg-type]
        # The note last, so that a folder with a note is complete.
        for path in sorted(part.iterdir(), key=lambda path: path.suffix == ".json"):
            os.replace(path, folder / path.name)


def _draw_curve(
    path: Path, steps: list[dict[str, Any]], validations: list[tuple[int, dict[str, float | None]]]
) -> None:
    """Draw the loss of each step and its running mean, and a panel per figure of the validations.

    Baselines, such as ``l1_of_zero`` beside ``l1``, are dashed lines in the panel of their figure.
    """
    figures = list(validations[0][1]) if validations else []
    names = [name for name in figures if name.split("_of_")[0] not in figures or "_of_" not in name]
    n_columns = min(3, 1 + len(names))
    n_rows = -(-(1 + len(names)) // n_columns)
    figure = new_figure(4.2 * n_columns, 2.8 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).flatten()
    at, losses = [row["step"] for row in steps], [row["loss"] for row in steps]
    length = max(1, len(steps) // _N_SMOOTHED)
    means = [np.mean(losses[first : first + length]) for first in range(0, len(losses), length)]
    panels[0].plot(at, losses, color="0.8", linewidth=0.8, label="each step")
    panels[0].plot(at[::length], means, color="C0", label=f"mean of {length}")
    panels[0].set_title("training loss", fontsize=9)
    panels[0].legend(fontsize=7, frameon=False)
    for panel, name in zip(panels[1:], names, strict=False):
        for other in (name, *(each for each in figures if each.startswith(f"{name}_of_"))):
            values = [
                float("nan") if found[other] is None else found[other] for _, found in validations
            ]
            style = "-" if other == name else "--"
            label = other.removeprefix(f"{name}_")
            panel.plot([step for step, _ in validations], values, style, marker=".", label=label)
        panel.legend(fontsize=7, frameon=False)
        panel.set_title(f"held out: {name}", fontsize=9)
    for panel in panels[: 1 + len(names)]:
        panel.set_xlabel("step", fontsize=8)
        panel.tick_params(labelsize=7)
    for panel in panels[1 + len(names) :]:
        panel.set_visible(False)
    save_figure(figure, path, dpi=110)


def draw_distillation(
    path: Path, scores: DistillationScores, first: Mapping[str, float | None], *, patch_s: float
) -> None:
    """Draw the CKA of all pairs of layers before and after, and the variance matched by token."""
    n_student, n_teacher = scores.cka.shape
    before = np.array(
        [
            [first.get(f"cka_student_{s + 1}_teacher_{t + 1}") for t in range(n_teacher)]
            for s in range(n_student)
        ],
        np.float64,
    )
    figure = new_figure(10.5, 3.4)
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.8))
    for panel, values, title in (
        (panels[0], before, "CKA before"),
        (panels[1], scores.cka, "CKA after"),
    ):
        image = panel.imshow(values, vmin=0, vmax=1, cmap="viridis", origin="lower")
        for (s, t), value in np.ndenumerate(values):
            panel.text(t, s, f"{value:.2f}", ha="center", color="w" if value < 0.6 else "k")
        panel.set_xticks(range(n_teacher), [str(t + 1) for t in range(n_teacher)])
        panel.set_yticks(range(n_student), [str(s + 1) for s in range(n_student)])
        panel.set_xlabel("layer of the teacher")
        panel.set_ylabel("layer of the student")
        panel.set_title(title, fontsize=10)
    figure.colorbar(image, ax=panels[:2], shrink=0.8)
    if scores.matched.size:
        end_s = patch_s * (np.arange(scores.matched.size) + 1 - scores.matched.size)
        panels[2].plot(end_s, scores.matched, marker=".")
        panels[2].set_ylim(min(0.0, float(scores.matched.min())), 1)
        panels[2].set_xlabel("end of the patch, s before the end of the window")
        panels[2].set_title("share of the teacher's variance that is predicted", fontsize=10)
        panels[2].grid(alpha=0.3)
    else:
        panels[2].set_visible(False)
    save_figure(figure, path, dpi=110)
