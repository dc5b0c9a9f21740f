"""The run of `rtbrain distill`: corpus, teacher and settings joined, and its picture."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import typer
from matplotlib.figure import Figure

from rtbrain.config import DistillSettings, SpectrogramSettings, parse_settings
from rtbrain.encoder import BrainBERT, load_encoder, trained_folders, weights_sha256
from rtbrain.encoder.weights.open_model import training_provenance
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus, open_corpus
from rtbrain.learn.objectives.distillation import Distillation, WholeSpectrograms
from rtbrain.learn.objectives.held_out import HeldOutScores
from rtbrain.learn.training.batches import validation_batches
from rtbrain.learn.training.distill_objective import (
    delay_patches,
    distillation_objective,
    fit_targets,
    require_distill_corpus,
    student_sizes,
    teacher_of,
)
from rtbrain.learn.training.logbook import read_log
from rtbrain.learn.training.loop import moved
from rtbrain.learn.training.run import (
    TrainingJob,
    held_out_subjects,
    run_training,
    training_plan,
    training_subjects,
)
from rtbrain.processes import stop_on_signals


def run_distillation(
    settings: DistillSettings, folder: Path, teacher: str, out: Path, *, resume: bool
) -> bool:
    """Distil, and leave the student with its report; False where it was stopped before.

    Parameters
    ----------
    settings : DistillSettings
        What to learn, and how.
    folder : Path
        Of the corpus.
    teacher : str
        ``compact``, a folder that holds ``brainbert/``, or such a folder itself.
    out : Path
        Of the distillation.
    resume : bool
        Go on from what lies there.

    Raises
    ------
    SettingsError
        The corpus does not fit, the teacher learned from subjects that are held out, or `out` has
        content and `resume` is not set.
    CheckpointError
        The teacher is no BrainBERT or reads other frequencies, or the last checkpoint is broken or
        of other settings.
    RecordingError
        The corpus cannot be read, or lacks a subject.
    """
    stop = stop_on_signals()
    corpus = open_corpus(folder)
    at, encoder = _teacher(teacher)
    sizes = student_sizes(settings)
    require_distill_corpus(sizes, encoder, corpus)
    held_out = held_out_subjects(settings, corpus)
    known = training_provenance(at)
    taught_by = known["learned"] if known and settings.guide == "trained" else []
    _refuse_taught(teacher, taught_by, held_out)
    learned = training_subjects(corpus, held_out)
    patch_s = sizes.patch_frames * _frame_hop_s(corpus)
    n_patches = corpus.item_shape[0] // sizes.patch_frames
    guide = teacher_of(settings, encoder)
    objective = distillation_objective(settings, guide, patch_s, n_patches)
    examples = WholeSpectrograms(corpus.of(learned))
    shown = WholeSpectrograms(corpus.of(held_out)) if held_out else None
    if guide:
        fit_targets(objective, corpus.of(learned), settings.seed)
    sums = weights_sha256([at])
    delay_s = delay_patches(settings, patch_s) * patch_s
    told = {
        # What is known to the teacher is known to the student.
        "learned": [*learned, *(each for each in taught_by if each not in learned)],
        "guide": settings.guide,
        "guide_sha256": sums if settings.guide == "trained" else None,
        "guide_learned": None if known is None else known["learned"],
        "patch_s": patch_s,
        "match_delay_s": delay_s,
    }
    job = TrainingJob(
        settings=settings,
        corpus=corpus,
        held_out=held_out,
        objective=objective,
        examples_of=WholeSpectrograms,
        examples=examples,
        shown=shown,
        told=told,
        identity={"teacher": sums},
        notes=_notes(settings, objective, delay_s, known is not None),
        draw=partial(_draw, settings, objective, shown, patch_s),
    )
    return run_training(job, out, resume=resume, stop=stop)


def _teacher(teacher: str) -> tuple[Path, BrainBERT]:
    """Folder and encoder of a teacher."""
    at = Path(teacher)
    if not (at / "encoder.json").is_file():
        at, _ = trained_folders(teacher)
    encoder = load_encoder(at)
    if not isinstance(encoder, BrainBERT):
        raise CheckpointError(
            f"--teacher {teacher}: expected a BrainBERT, found a {type(encoder).__name__}: name "
            "one that rtbrain pretrain made of spectrograms"
        )
    return at, encoder


def _refuse_taught(teacher: str, learned: list[str], held_out: tuple[str, ...]) -> None:
    known = [subject for subject in held_out if subject in learned]
    if known:
        raise SettingsError(
            f"held_out {', '.join(known)}: teacher {teacher} learned from them: hold out subjects "
            "that it did not learn from"
        )


def _frame_hop_s(corpus: Corpus) -> float:
    told = corpus.recipe["spectrogram"]
    return parse_settings(told, SpectrogramSettings, where="corpus: spectrogram").frame_hop_s


def _notes(
    settings: DistillSettings, objective: Distillation, delay_s: float, known: bool
) -> list[str]:
    if objective.guide is None:
        return ["no guide: the next patch alone is learned"]
    notes = [
        f"guide: {settings.guide}, {objective.guide.n_layers} layers; match delayed by "
        f"{delay_s:.3f} s, {objective.match.delay_patches} patches"
    ]
    if settings.guide == "trained" and not known:
        notes.append("whether the teacher learned from them is not known")
    return notes


def _draw(
    settings: DistillSettings,
    objective: Distillation,
    shown: WholeSpectrograms | None,
    patch_s: float,
    out: Path,
) -> None:
    """Leave the picture of what held-out subjects give, where there is a guide."""
    if shown is None or objective.guide is None:
        return
    device = next(objective.parameters()).device
    batches = validation_batches(shown, training_plan(settings))
    held = objective.eval().look(moved(batch, device) for batch in batches)
    first: dict[str, Any] = next(row["validation"] for row in read_log(out) if "validation" in row)
    draw_distillation(out / "guidance.png", held, first, patch_s=patch_s)
    typer.echo(f"guidance.png in {out}")


def draw_distillation(
    path: Path, held: HeldOutScores, first: Mapping[str, float | None], *, patch_s: float
) -> None:
    """Draw CKA of all pairs of layers before and after, and variance matched by token."""
    n_student, n_teacher = held.cka.shape
    before = np.array(
        [
            [first.get(f"cka_student_{s + 1}_guide_{g + 1}") for g in range(n_teacher)]
            for s in range(n_student)
        ],
        np.float64,
    )
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.8))
    for panel, values, title in (
        (panels[0], before, "CKA before"),
        (panels[1], held.cka, "CKA after"),
    ):
        image = panel.imshow(values, vmin=0, vmax=1, cmap="viridis", origin="lower")
        for (s, g), value in np.ndenumerate(values):
            panel.text(g, s, f"{value:.2f}", ha="center", color="w" if value < 0.6 else "k")
        panel.set_xticks(range(n_teacher), [str(g + 1) for g in range(n_teacher)])
        panel.set_yticks(range(n_student), [str(s + 1) for s in range(n_student)])
        panel.set_xlabel("layer of the guide")
        panel.set_ylabel("layer of the student")
        panel.set_title(title, fontsize=10)
    figure.colorbar(image, ax=panels[:2], shrink=0.8)
    if held.matched.size:
        end_s = patch_s * (np.arange(held.matched.size) + 1 - held.matched.size)
        panels[2].plot(end_s, held.matched, marker=".")
        panels[2].set_ylim(min(0.0, float(held.matched.min())), 1)
        panels[2].set_xlabel("end of the patch, s before the end of the window")
        panels[2].set_title("share of the guide's variance that the student says", fontsize=10)
        panels[2].grid(alpha=0.3)
    else:
        panels[2].set_visible(False)
    figure.savefig(path, dpi=110)
