"""The run of `rtbrain pretrain`: corpus, settings and what was learned before, joined."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .learned import refuse_learned
from .pretrain_objective import begin, examples_of, objective_of, refuse_corpus
from .shutdown import stop_on_signals
from .training_run import Job, held_out_of, learned_of, run

if TYPE_CHECKING:
    from rtbrain.config import PretrainSettings
    from rtbrain.offline.objectives import Examples


def pretrain(settings: "PretrainSettings", folder: Path, out: Path, *, resume: bool) -> bool:
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
    from rtbrain.offline.corpus.corpus import open_corpus

    stop = stop_on_signals()
    corpus = open_corpus(folder)
    refuse_corpus(settings, corpus)
    held_out = held_out_of(settings, corpus)
    encoder_learned = corpus.manifest.settings.get("learned")
    refuse_learned(folder, encoder_learned, held_out)
    learned = corpus.of(learned_of(corpus, held_out))
    examples = examples_of(settings, learned, corpus.hop_s)
    shown = examples_of(settings, corpus.of(held_out), corpus.hop_s) if held_out else None
    objective = objective_of(settings)
    begin(settings, objective, learned)
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
    job = Job(
        settings=settings,
        corpus=corpus,
        held_out=held_out,
        objective=objective,
        examples_of=partial(examples_of, settings, hop_s=corpus.hop_s),
        examples=examples,
        shown=shown,
        told=told,
        identity={},
        notes=notes,
    )
    return run(job, out, resume=resume, stop=stop)


def _n_unplaced(examples: "Examples | None") -> int:
    """Contacts that are not shown, since they have no position."""
    from rtbrain.offline.objectives.popt import PopulationPairs

    return examples.n_unplaced if isinstance(examples, PopulationPairs) else 0
