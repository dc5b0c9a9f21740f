"""Tiny corpora of noise and settings that learn from them in a blink."""

from pathlib import Path

import numpy as np
import yaml

from rtbrain.learn.corpus.corpus import CorpusSession
from tests.conftest import montage_of
from tests.learn.corpus.tiny import write_corpus

SUBJECTS = ("s1", "s2", "s3")
SFREQ_HZ = 2048
ENCODER = {
    "hidden_dim": 8,
    "layer_dim_feedforward": 16,
    "nhead": 2,
    "encoder_num_layers": 1,
    "input_dim": 8,
}
POPULATION = {
    "input_dim": 8,
    "hidden_dim": 8,
    "layer_dim_feedforward": 16,
    "n_head": 2,
    "n_layers": 1,
}
OBJECTIVES = {
    "brainbert": {"sizes": ENCODER},
    "popt": {"sizes": POPULATION, "subset_sizes": [3, 5]},
    "neurobert": {"sizes": ENCODER},
    "biofame": {"sizes": ENCODER},
}
FORMS = {
    "brainbert": "spectrogram",
    "popt": "embedding",
    "neurobert": "patches",
    "biofame": "patches",
}


def corpus_of(folder: Path, form: str, recipe: dict | None = None) -> Path:
    """Three subjects of twelve windows and six channels."""
    shape = (8,) if form == "embedding" else (20, 8)
    rng = np.random.default_rng(0)
    sessions = [
        CorpusSession(
            subject,
            "a",
            montage_of(6, SFREQ_HZ),
            (),
            0.5 * np.arange(1, 13),
            np.ones((12, 6), np.bool_),
            [rng.standard_normal((12, 6, *shape), np.float32)],
        )
        for subject in SUBJECTS
    ]
    write_corpus(folder, sessions, form=form, recipe=recipe)
    return folder


def settings_of(path: Path, name: str = "brainbert", **changed: object) -> Path:
    """A file of settings for that objective."""
    values: dict[str, object] = {
        "objective": {name: OBJECTIVES[name]},
        "optimiser": {"name": "lamb", "lr": 0.01},
        "steps": 6,
        "batch": 8,
        "micro_batch": 2,
        "validate_every": 4,
        "validate_items": 20,
        "checkpoint_every": 5,
    }
    path.write_text(yaml.safe_dump(values | changed))
    return path
