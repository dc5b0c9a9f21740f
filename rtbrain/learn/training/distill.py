"""`rtbrain distill`: a streaming encoder from one that sees the whole window, without labels."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from rtbrain.config import DistillSettings, SpectrogramSettings, parse_settings
from rtbrain.encoder import (
    BrainBERT,
    StreamingBERT,
    StreamingBERTSizes,
    load_encoder,
    random_encoder,
    require_unseen,
    sizes_of,
    trained_folders,
    training_provenance,
    weights_sha256,
)
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus, open_corpus
from rtbrain.learn.objectives.distillation import Distillation, Teacher, WholeSpectrograms
from rtbrain.learn.training.batches import validation_batches
from rtbrain.learn.training.loop import moved
from rtbrain.learn.training.records import read_log
from rtbrain.learn.training.report import draw_distillation
from rtbrain.learn.training.run import (
    TrainingJob,
    held_out_subjects,
    run_training,
    training_subjects,
)

# The standard deviation of each feature of the teacher is then known to a percent.
_N_TARGET_ITEMS = 2048
_N_AT_ONCE = 256


def run_distillation(
    settings: DistillSettings,
    folder: Path,
    teacher: str,
    out: Path,
    *,
    resume: bool,
    stop: Callable[[], bool],
) -> bool:
    """Distil a teacher on the corpus in `folder`; False where `stop` came first.

    `teacher` is ``compact``, a folder that holds ``brainbert/``, or such a folder itself.

    Raises
    ------
    SettingsError
        The corpus does not fit, the teacher was trained on subjects that are held out, or `out`
        has content and `resume` is not set.
    CheckpointError
        The teacher is no BrainBERT or reads other frequencies, or the last checkpoint is broken or
        of other settings.
    RecordingError
        The corpus cannot be read, or lacks a subject.
    """
    corpus = open_corpus(folder)
    teacher_folder, encoder = _load_teacher(teacher)
    sizes = student_sizes(settings)
    require_distill_corpus(sizes, encoder, corpus)
    held_out = held_out_subjects(settings, corpus)
    known = training_provenance(teacher_folder)
    teacher_learned = known["learned"] if known and settings.teacher == "trained" else []
    require_unseen(held_out, teacher_learned, "held_out", f"teacher {teacher}")
    trained_on = training_subjects(corpus, held_out)
    values = corpus.recipe["spectrogram"]
    spectrogram = parse_settings(values, SpectrogramSettings, where="corpus: spectrogram")
    patch_s = sizes.patch_frames * spectrogram.frame_hop_s
    n_patches = corpus.item_shape[0] // sizes.patch_frames
    objective = distillation_objective(settings, teacher_of(settings, encoder), patch_s, n_patches)
    examples = WholeSpectrograms(corpus.of(trained_on))
    validation = WholeSpectrograms(corpus.of(held_out)) if held_out else None
    _fit_targets(objective, examples, settings.seed)
    teacher_sha256 = weights_sha256([teacher_folder])
    delay_s = objective.delay_patches * patch_s
    job = TrainingJob(
        settings=settings,
        corpus=corpus,
        held_out=held_out,
        objective=objective,
        examples_of=WholeSpectrograms,
        examples=examples,
        validation=validation,
        provenance={
            # What the teacher knows, the student knows.
            "learned": list(dict.fromkeys([*trained_on, *teacher_learned])),
            "teacher": settings.teacher,
            "teacher_sha256": teacher_sha256 if settings.teacher == "trained" else None,
            "teacher_learned": None if known is None else known["learned"],
            "patch_s": patch_s,
            "match_delay_s": delay_s,
        },
        identity={"teacher_weights": teacher_sha256},
        notes=_notes(settings, objective, delay_s, known is not None),
        draw=partial(_draw, settings, objective, validation, patch_s),
    )
    return run_training(job, out, resume=resume, stop=stop)


def student_sizes(settings: DistillSettings) -> StreamingBERTSizes:
    """Sizes of the student."""
    if "delay_patches" in settings.student and not isinstance(settings.student, str):
        raise SettingsError("student: delay_patches follows from match.delay_s: set that alone")
    return cast(StreamingBERTSizes, sizes_of("streaming", settings.student, key="student"))


def require_distill_corpus(sizes: StreamingBERTSizes, teacher: BrainBERT, corpus: Corpus) -> None:
    """Refuse a corpus that the student or the teacher cannot read."""
    where = corpus.folder
    if corpus.form != "spectrogram":
        raise SettingsError(
            f"{where}: distillation learns from a corpus of form spectrogram, this is of form "
            f"{corpus.form}: make one with rtbrain corpus build"
        )
    form = corpus.recipe.get("spectrogram", {}).get("form")
    if form != "running":
        raise SettingsError(
            f"{where}: expected spectrogram.form running, whose z-scores depend on the past alone, "
            f"got {form}: build a corpus by recipe edge or streaming"
        )
    n_frames, n_freqs = corpus.item_shape
    if n_freqs != sizes.input_dim:
        raise SettingsError(
            f"{where}: its frames have {n_freqs} frequencies, the student reads "
            f"{sizes.input_dim}: set student with input_dim {n_freqs}"
        )
    if teacher.sizes.input_dim != sizes.input_dim:
        raise CheckpointError(
            f"--teacher reads frames of {teacher.sizes.input_dim} frequencies, the student and "
            f"{where} have {sizes.input_dim}: name a teacher that was trained on such a corpus"
        )
    if n_frames < 3 * sizes.patch_frames:
        raise SettingsError(
            f"{where}: windows of {n_frames} frames are fewer than three patches of "
            f"{sizes.patch_frames}: build longer ones"
        )


def teacher_of(settings: DistillSettings, encoder: BrainBERT) -> Teacher | None:
    """The teacher, a random one of the same sizes, or none, as the settings say."""
    if settings.teacher == "none":
        return None
    if settings.teacher == "untrained":
        # Not the student's seed: the two would start with the same numbers.
        encoder = random_encoder(encoder.sizes, settings.seed + 1_000_000)
    return Teacher(encoder, bfloat16=settings.teacher_precision == "bfloat16")


def distillation_objective(
    settings: DistillSettings, teacher: Teacher | None, patch_s: float, n_patches: int
) -> Distillation:
    """The objective with weights from the seed; the global generator is left alone."""
    match, first, delay = settings.match, round(settings.context_s / patch_s), 0
    if teacher and match.weight:
        delay = round(match.delay_s / patch_s)
    if first > n_patches - 2 or delay > n_patches - 1:
        raise SettingsError(
            f"context_s {settings.context_s} and match.delay_s {match.delay_s} leave nothing of a "
            f"window of {n_patches} patches, {n_patches * patch_s:.3g} s: shorten them"
        )
    sizes = replace(student_sizes(settings), delay_patches=delay)
    same_width = teacher is None or teacher.n_features == sizes.hidden_dim
    if teacher and match.weight and not (match.projection or same_width):
        raise SettingsError(
            f"match.projection false compares feature with feature: the teacher has "
            f"{teacher.n_features}, the student {sizes.hidden_dim}: set match.projection to true, "
            f"or hidden_dim to {teacher.n_features}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return Distillation(
            StreamingBERT(sizes),
            teacher,
            guidance=settings.guidance,
            match=match,
            next_patch=settings.next_patch,
            delay_patches=delay,
            first_patch=first,
        )


def _load_teacher(teacher: str) -> tuple[Path, BrainBERT]:
    folder = Path(teacher)
    if not (folder / "encoder.json").is_file():
        folder, _ = trained_folders(teacher)
    encoder = load_encoder(folder)
    if not isinstance(encoder, BrainBERT):
        raise CheckpointError(
            f"--teacher {teacher}: expected a BrainBERT, found a {type(encoder).__name__}: name "
            "one that rtbrain pretrain trained on spectrograms"
        )
    return folder, encoder


def _fit_targets(objective: Distillation, examples: WholeSpectrograms, seed: int) -> None:
    """Take the scale of the teacher's features from some of the training items."""
    rng, numbers = np.random.default_rng(seed), np.arange(len(examples))
    if numbers.size > _N_TARGET_ITEMS:
        numbers = np.sort(rng.choice(numbers, _N_TARGET_ITEMS, replace=False, shuffle=False))
    parts = np.array_split(numbers, -(-numbers.size // _N_AT_ONCE))
    objective.fit_targets(examples.draw(part, rng)["spectrogram"] for part in parts)


def _notes(
    settings: DistillSettings, objective: Distillation, delay_s: float, known: bool
) -> list[str]:
    if objective.teacher is None:
        return ["no teacher: only the next patch is learned"]
    notes = [
        f"teacher: {settings.teacher}, {objective.teacher.n_layers} layers; match delayed by "
        f"{delay_s:.3f} s, {objective.delay_patches} patches"
    ]
    if settings.teacher == "trained" and not known:
        notes.append("it is not known whether the teacher was trained on them")
    return notes


def _draw(
    settings: DistillSettings,
    objective: Distillation,
    validation: WholeSpectrograms | None,
    patch_s: float,
    out: Path,
) -> None:
    """Draw the figures of held-out subjects, where there is a teacher."""
    if validation is None or objective.teacher is None:
        return
    device = next(objective.parameters()).device
    batches = validation_batches(validation, settings)
    scores = objective.eval().scores(moved(batch, device) for batch in batches)
    first: dict[str, Any] = next(row["validation"] for row in read_log(out) if "validation" in row)
    draw_distillation(out / "guidance.png", scores, first, patch_s=patch_s)
