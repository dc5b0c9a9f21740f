"""Settings of a distillation to the student, the guide and the losses that they name."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from rtbrain.config import DistillSettings
from rtbrain.encoder import (
    STREAMING_SIZES,
    BrainBERT,
    StreamingBERT,
    StreamingBERTSizes,
    random_encoder,
)
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession
from rtbrain.learn.objectives.distillation import (
    Distillation,
    Guidance,
    Match,
    NextPatch,
    WholeSpectrograms,
)
from rtbrain.learn.objectives.teacher import Teacher

# Of each feature of the guide the deviation is then known to a percent.
_TARGET_ITEMS = 2048


_AT_ONCE = 256


def student_sizes(settings: DistillSettings) -> StreamingBERTSizes:
    """Sizes of the student."""
    sizes = settings.student
    if isinstance(sizes, str):
        if sizes not in STREAMING_SIZES:
            known = ", ".join(STREAMING_SIZES)
            raise SettingsError(f"student: no sizes {sizes!r}; known are {known}")
        return STREAMING_SIZES[sizes]
    if "delay_patches" in sizes:
        raise SettingsError("student: delay_patches follows from match.delay_s: set that alone")
    try:
        return StreamingBERTSizes(**sizes)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"student: {error}") from error


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
            f"{where}: expected spectrogram.form running, whose z-scores know only what came "
            f"before, got {form}: build a corpus by recipe edge or streaming"
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


def teacher_of(settings: DistillSettings, teacher: BrainBERT) -> Teacher | None:
    """The teacher, one of its sizes that learned nothing, or nobody."""
    if settings.guide == "none":
        return None
    if settings.guide == "untrained":
        # Not the student's seed: the two would begin with the same numbers.
        teacher = random_encoder("brainbert", teacher.sizes, settings.seed + 1_000_000)
    return Teacher(teacher, bfloat16=settings.teacher_precision == "bfloat16")


def distillation_objective(
    settings: DistillSettings, guide: Teacher | None, patch_s: float, n_patches: int
) -> Distillation:
    """The objective with weights of the seed; the global generator is not moved."""
    first, delay = round(settings.context_s / patch_s), delay_patches(settings, patch_s)
    if first > n_patches - 2 or delay > n_patches - 1:
        raise SettingsError(
            f"context_s {settings.context_s} and match.delay_s {settings.match.delay_s} leave "
            f"nothing of a window of {n_patches} patches, {n_patches * patch_s:.3g} s: shorten them"
        )
    guidance, match, following = settings.guidance, settings.match, settings.following
    sizes = replace(student_sizes(settings), delay_patches=delay)
    if guide and match.weight and not match.mapped and guide.n_features != sizes.hidden_dim:
        raise SettingsError(
            f"match.mapped false holds feature against feature: the guide has {guide.n_features}, "
            f"the student {sizes.hidden_dim}: set match.mapped to true, or hidden_dim to "
            f"{guide.n_features}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return Distillation(
            StreamingBERT(sizes),
            guide,
            guidance=Guidance(guidance.weight, guidance.first_steps, guidance.tokenwise),
            match=Match(
                match.weight, delay, match.loss == "cosine", match.mapped, match.edge_share
            ),
            following=NextPatch(following.weight, following.alpha, following.gamma),
            first_patch=first,
        )


def delay_patches(settings: DistillSettings, patch_s: float) -> int:
    """The delay in whole patches; 0 where nothing is matched, and so nothing delayed."""
    matched = settings.guide != "none" and settings.match.weight > 0
    return round(settings.match.delay_s / patch_s) if matched else 0


def fit_targets(objective: Distillation, sessions: Sequence[CorpusSession], seed: int) -> None:
    """Take the scale of what the guide says from some of what is learned from."""
    examples, rng = WholeSpectrograms(sessions), np.random.default_rng(seed)
    numbers = np.arange(len(examples))
    if numbers.size > _TARGET_ITEMS:
        numbers = np.sort(rng.choice(numbers, _TARGET_ITEMS, replace=False, shuffle=False))
    parts = np.array_split(numbers, -(-numbers.size // _AT_ONCE))
    objective.fit_targets(examples.draw(part, rng)["spectrogram"] for part in parts)
