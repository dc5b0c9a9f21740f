"""The run of `rtbrain pretrain`: corpus, settings and what was learned before, joined."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rtbrain.config import PretrainSettings
from rtbrain.encoder import BRAINBERT_SIZES, POPT_SIZES
from rtbrain.encoder.models.biofame import BIOFAME_SIZES
from rtbrain.encoder.models.layers import set_dropout
from rtbrain.encoder.models.model import SIZES_BY_KIND, EncoderSizes, make_encoder
from rtbrain.encoder.models.neurobert import NEUROBERT_SIZES
from rtbrain.encoder.weights.open_model import refuse_seen_subjects
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession, open_corpus
from rtbrain.learn.objectives.biofame import FrequencyMaintain, WaveformPatches
from rtbrain.learn.objectives.brainbert import MaskedSpectrogram, MaskedSpectrograms
from rtbrain.learn.objectives.neurobert import FourierInversion, MaskedPatches
from rtbrain.learn.objectives.objective import Examples, Objective
from rtbrain.learn.objectives.popt import PopulationObjective, PopulationPairs
from rtbrain.learn.objectives.popt_inputs import standardise_inputs
from rtbrain.learn.training.run import (
    TrainingJob,
    held_out_subjects,
    run_training,
    training_subjects,
)
from rtbrain.processes import stop_on_signals

FORMS = {
    "brainbert": "spectrogram",
    "popt": "embedding",
    "neurobert": "patches",
    "biofame": "patches",
}


def run_pretraining(settings: PretrainSettings, folder: Path, out: Path, *, resume: bool) -> bool:
    """Train, and leave the encoder with its report; False where it was stopped before.

    Parameters
    ----------
    settings : PretrainSettings
        What to learn, and how.
    folder : Path
        Of the corpus.
    out : Path
        Of the training.
    resume : bool
        Go on from what lies there.

    Raises
    ------
    SettingsError
        The corpus does not fit the settings, its encoder learned from subjects that are held out,
        or `out` has content and `resume` is not set.
    CheckpointError
        The last checkpoint is broken, or of other settings.
    RecordingError
        The corpus cannot be read, or lacks a subject.
    """
    stop = stop_on_signals()
    corpus = open_corpus(folder)
    require_pretrain_corpus(settings, corpus)
    held_out = held_out_subjects(settings, corpus)
    encoder_learned = corpus.manifest.settings.get("learned")
    refuse_seen_subjects(folder, encoder_learned, held_out)
    learned = corpus.of(training_subjects(corpus, held_out))
    examples = pretraining_examples(settings, learned, corpus.hop_s)
    shown = pretraining_examples(settings, corpus.of(held_out), corpus.hop_s) if held_out else None
    objective = pretraining_objective(settings)
    begin_encoder(settings, objective, learned)
    notes = []
    if held_out and corpus.form == "embedding" and encoder_learned is None:
        notes.append("whether the corpus's encoder learned from them is not known")
    unplaced = _n_unplaced(examples) + _n_unplaced(shown)
    if unplaced:
        notes.append(f"contacts without a position, left out: {unplaced}")
    told = {
        "encoder_sha256": corpus.manifest.settings.get("encoder_sha256"),
        "encoder_learned": encoder_learned,
        "contacts_without_position": unplaced,
    }
    job = TrainingJob(
        settings=settings,
        corpus=corpus,
        held_out=held_out,
        objective=objective,
        examples_of=partial(pretraining_examples, settings, hop_s=corpus.hop_s),
        examples=examples,
        shown=shown,
        told=told,
        identity={},
        notes=notes,
    )
    return run_training(job, out, resume=resume, stop=stop)


def _n_unplaced(examples: Examples | None) -> int:
    """Contacts that are not shown, since they have no position."""
    return examples.n_unplaced if isinstance(examples, PopulationPairs) else 0


def objective_name(settings: PretrainSettings) -> str:
    """Which objective it is."""
    return next(name for name, chosen in settings.objective if chosen is not None)


def encoder_sizes(settings: PretrainSettings) -> EncoderSizes:
    """Sizes of the encoder."""
    name = objective_name(settings)
    sizes = getattr(settings.objective, name).sizes
    every: dict[str, Mapping[str, EncoderSizes]] = {
        "brainbert": BRAINBERT_SIZES,
        "popt": POPT_SIZES,
        "neurobert": NEUROBERT_SIZES,
        "biofame": BIOFAME_SIZES,
    }
    named = every[name]
    where = f"objective.{name}.sizes"
    if isinstance(sizes, str):
        if sizes not in named:
            raise SettingsError(f"{where}: no sizes {sizes!r}; known are {', '.join(named)}")
        return named[sizes]
    make: Callable[..., EncoderSizes] = SIZES_BY_KIND[name]  # type: ignore[index]
    try:
        return make(**sizes)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{where}: {error}") from error


def pretraining_objective(settings: PretrainSettings) -> Objective:
    """The objective with weights of the seed; the global generator is not moved."""
    sizes = encoder_sizes(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        encoder = make_encoder(sizes)
        if settings.upstream_layer_norm_bias:
            for module in encoder.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    torch.nn.init.ones_(module.bias)
        objective = _around(settings, encoder)
    if settings.dropout is not None:
        set_dropout(objective, settings.dropout)
    return objective


def begin_encoder(
    settings: PretrainSettings, objective: Objective, sessions: Sequence[CorpusSession]
) -> None:
    """Fit the first weights of an objective to what it will learn from, where that is asked for."""
    popt = settings.objective.popt
    if popt is not None and popt.standardise and isinstance(objective, PopulationObjective):
        standardise_inputs(objective.encoder, sessions, seed=settings.seed)


def _around(settings: PretrainSettings, encoder: Any) -> Objective:
    chosen = settings.objective
    if chosen.brainbert is not None:
        return MaskedSpectrogram(
            encoder, alpha=chosen.brainbert.alpha, gamma=chosen.brainbert.gamma
        )
    if chosen.popt is not None:
        return PopulationObjective(encoder)
    if chosen.neurobert is not None:
        return FourierInversion(encoder)

    return FrequencyMaintain(encoder)


def pretraining_examples(
    settings: PretrainSettings, sessions: Sequence[CorpusSession], hop_s: float
) -> Examples:
    """What the objective is shown of these sessions."""
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
    if chosen.neurobert is not None:
        return MaskedPatches(sessions, mask_share=chosen.neurobert.mask_share)
    if chosen.biofame is not None:
        return WaveformPatches(sessions, mask_share=chosen.biofame.mask_share)
    raise AssertionError("settings hold exactly one objective")


def require_pretrain_corpus(settings: PretrainSettings, corpus: Corpus) -> None:
    """Refuse a corpus that this objective cannot learn from."""
    name, sizes = objective_name(settings), encoder_sizes(settings)
    if corpus.form != FORMS[name]:
        made = "rtbrain corpus embed" if name == "popt" else "rtbrain corpus build"
        raise SettingsError(
            f"{corpus.folder}: objective {name} learns from a corpus of form {FORMS[name]}, this "
            f"is of form {corpus.form}: make one with {made}"
        )
    if corpus.item_shape[-1] != sizes.input_dim:
        raise SettingsError(
            f"{corpus.folder}: its items have {corpus.item_shape[-1]} features, objective.{name} "
            f"is for {sizes.input_dim}: set sizes with input_dim {corpus.item_shape[-1]}, or "
            f"build the corpus for this encoder"
        )
