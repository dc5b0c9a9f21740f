"""The run of `rtbrain distill`: corpus, teacher and settings joined, and its picture."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .distill_objective import (
    delay_patches,
    fit_targets,
    guide_of,
    objective_of,
    refuse_corpus,
    sizes_of,
)
from .learned import trained_on
from .shutdown import stop_on_signals
from .training_run import Job, held_out_of, learned_of, plan_of, run

if TYPE_CHECKING:
    from rtbrain.config import DistillSettings
    from rtbrain.encoder import BrainBERT
    from rtbrain.offline.corpus.corpus import Corpus
    from rtbrain.offline.objectives.distillation import Distillation, WholeSpectrograms


def distill(
    settings: "DistillSettings", folder: Path, teacher: str, out: Path, *, resume: bool
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
    from rtbrain.encoder import weights_sha256
    from rtbrain.offline.corpus.corpus import open_corpus
    from rtbrain.offline.objectives.distillation import WholeSpectrograms

    stop = stop_on_signals()
    corpus = open_corpus(folder)
    at, encoder = _teacher(teacher)
    sizes = sizes_of(settings)
    refuse_corpus(sizes, encoder, corpus)
    held_out = held_out_of(settings, corpus)
    known = trained_on(at)
    taught_by = known["learned"] if known and settings.guide == "trained" else []
    _refuse_taught(teacher, taught_by, held_out)
    learned = learned_of(corpus, held_out)
    patch_s = sizes.patch_frames * _frame_hop_s(corpus)
    n_patches = corpus.item_shape[0] // sizes.patch_frames
    guide = guide_of(settings, encoder)
    objective = objective_of(settings, guide, patch_s, n_patches)
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
    job = Job(
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
    return run(job, out, resume=resume, stop=stop)


def _teacher(teacher: str) -> "tuple[Path, BrainBERT]":
    """Folder and encoder of a teacher.

    Raises
    ------
    CheckpointError
        There is none, or it is no BrainBERT.
    """
    from rtbrain.encoder import BrainBERT, load_encoder, trained_folders
    from rtbrain.errors import CheckpointError

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
    from rtbrain.errors import SettingsError

    known = [subject for subject in held_out if subject in learned]
    if known:
        raise SettingsError(
            f"held_out {', '.join(known)}: teacher {teacher} learned from them: hold out subjects "
            "that it did not learn from"
        )


def _frame_hop_s(corpus: "Corpus") -> float:
    from rtbrain.config import SpectrogramSettings, parse_settings

    told = corpus.recipe["spectrogram"]
    return parse_settings(told, SpectrogramSettings, where="corpus: spectrogram").frame_hop_s


def _notes(
    settings: "DistillSettings", objective: "Distillation", delay_s: float, known: bool
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
    settings: "DistillSettings",
    objective: "Distillation",
    shown: "WholeSpectrograms | None",
    patch_s: float,
    out: Path,
) -> None:
    """Leave the picture of what held-out subjects give, where there is a guide."""
    from rtbrain.offline.distillation_figures import draw_guidance
    from rtbrain.offline.training.grains import validation_batches
    from rtbrain.offline.training.logbook import read_log
    from rtbrain.offline.training.loop import moved

    if shown is None or objective.guide is None:
        return
    device = next(objective.parameters()).device
    batches = validation_batches(shown, plan_of(settings))
    held = objective.eval().look(moved(batch, device) for batch in batches)
    first: dict[str, Any] = next(row["validation"] for row in read_log(out) if "validation" in row)
    draw_guidance(out / "guidance.png", held, first, patch_s=patch_s)
    typer.echo(f"guidance.png in {out}")
