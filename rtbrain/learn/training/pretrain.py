"""`rtbrain pretrain`: an encoder trained on a corpus, without labels."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import torch

from rtbrain.config import PretrainSettings
from rtbrain.encoder import EncoderKind, EncoderSizes, require_unseen, sizes_of
from rtbrain.encoder.models.layers import set_dropout
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession, open_corpus
from rtbrain.learn.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from rtbrain.learn.objectives.objective import Examples, Objective
from rtbrain.learn.objectives.patches import FourierInversion, FrequencyMaintain, MaskedPatches
from rtbrain.learn.objectives.popt import PopulationObjective, PopulationPairs, standardise_inputs
from rtbrain.learn.training.run import (
    TrainingJob,
    held_out_subjects,
    run_training,
    training_subjects,
)

# What each encoder learns by, and the form of corpus that it learns from.
_OBJECTIVES: dict[str, tuple[Callable[..., Objective], str]] = {
    "brainbert": (MaskedSpectrogram, "spectrogram"),
    "popt": (PopulationObjective, "embedding"),
    "neurobert": (FourierInversion, "patches"),
    "biofame": (FrequencyMaintain, "patches"),
}


def run_pretraining(
    settings: PretrainSettings, folder: Path, out: Path, *, resume: bool, stop: Callable[[], bool]
) -> bool:
    """Train on the corpus in `folder`; False where `stop` came first.

    Raises
    ------
    SettingsError
        The corpus does not fit the settings, its encoder was trained on subjects that are held
        out, or `out` has content and `resume` is not set.
    CheckpointError
        The last checkpoint is broken, or of other settings.
    RecordingError
        The corpus cannot be read, or lacks a subject.
    """
    corpus = open_corpus(folder)
    require_pretrain_corpus(settings, corpus)
    held_out = held_out_subjects(settings, corpus)
    encoder_learned = corpus.manifest.settings.get("learned")
    require_unseen(held_out, encoder_learned, "held_out", f"the encoder that made {folder}")
    sessions = corpus.of(training_subjects(corpus, held_out))
    examples_of = partial(pretraining_examples, settings, hop_s=corpus.hop_s)
    examples = examples_of(sessions)
    validation = examples_of(corpus.of(held_out)) if held_out else None
    objective = pretraining_objective(settings)
    popt = settings.objective.popt
    if popt is not None and popt.standardise and isinstance(objective, PopulationObjective):
        standardise_inputs(objective.encoder, sessions, seed=settings.seed)
    notes = []
    if held_out and corpus.form == "embedding" and encoder_learned is None:
        notes.append("it is not known whether the corpus's encoder was trained on them")
    n_unplaced = sum(
        each.n_unplaced for each in (examples, validation) if isinstance(each, PopulationPairs)
    )
    if n_unplaced:
        notes.append(f"contacts without a position, left out: {n_unplaced}")
    job = TrainingJob(
        settings=settings,
        corpus=corpus,
        held_out=held_out,
        objective=objective,
        examples_of=examples_of,
        examples=examples,
        validation=validation,
        provenance={
            "encoder_sha256": corpus.manifest.settings.get("encoder_sha256"),
            "encoder_learned": encoder_learned,
            "contacts_without_position": n_unplaced,
        },
        identity={},
        notes=notes,
    )
    return run_training(job, out, resume=resume, stop=stop)


def objective_name(settings: PretrainSettings) -> EncoderKind:
    """Name of the objective, as in the settings."""
    name = next(name for name, chosen in settings.objective if chosen is not None)
    return cast(EncoderKind, name)


def encoder_sizes(settings: PretrainSettings) -> EncoderSizes:
    """Sizes of the encoder."""
    name = objective_name(settings)
    sizes = getattr(settings.objective, name).sizes
    return sizes_of(name, sizes, key=f"objective.{name}.sizes")


def pretraining_objective(settings: PretrainSettings) -> Objective:
    """The objective with weights from the seed; the global generator is left alone."""
    sizes = encoder_sizes(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoder = sizes.make()
        if settings.upstream_layer_norm_bias:
            for module in encoder.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    torch.nn.init.ones_(module.bias)
        make, _ = _OBJECTIVES[objective_name(settings)]
        chosen = settings.objective.brainbert
        weights = {} if chosen is None else {"alpha": chosen.alpha, "gamma": chosen.gamma}
        objective = make(encoder, **weights)
    if settings.dropout is not None:
        set_dropout(objective, settings.dropout)
    return objective


def pretraining_examples(
    settings: PretrainSettings, sessions: Sequence[CorpusSession], hop_s: float
) -> Examples:
    """Examples of these sessions for the objective."""
    chosen = settings.objective
    if chosen.brainbert is not None:
        return MaskedSpectrograms(
            sessions,
            masking=chosen.brainbert.masking,
            upstream_mask_labels=chosen.brainbert.upstream_mask_labels,
        )
    if chosen.popt is not None:
        return PopulationPairs(
            sessions,
            subset_sizes=chosen.popt.subset_sizes,
            replace_share=chosen.popt.replace_share,
            blur_voxels=chosen.popt.blur_voxels,
            hop_s=hop_s,
            upstream_negatives=chosen.popt.upstream_negatives,
        )
    patches = getattr(chosen, objective_name(settings))
    return MaskedPatches(sessions, mask_share=patches.mask_share)


def require_pretrain_corpus(settings: PretrainSettings, corpus: Corpus) -> None:
    """Refuse a corpus that this objective cannot learn from."""
    name, sizes = objective_name(settings), encoder_sizes(settings)
    _, form = _OBJECTIVES[name]
    if corpus.form != form:
        made = "rtbrain corpus embed" if name == "popt" else "rtbrain corpus build"
        raise SettingsError(
            f"{corpus.folder}: objective {name} learns from a corpus of form {form}, this "
            f"is of form {corpus.form}: make one with {made}"
        )
    if corpus.item_shape[-1] != sizes.input_dim:
        raise SettingsError(
            f"{corpus.folder}: its items have {corpus.item_shape[-1]} features, objective.{name} "
            f"is for {sizes.input_dim}: set sizes with input_dim {corpus.item_shape[-1]}, or "
            f"build the corpus for this encoder"
        )
