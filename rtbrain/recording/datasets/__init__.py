"""Recordings of every kind behind one protocol, `rtbrain.recording.recording.Recording`."""

from rtbrain.recording.datasets.braintreebank import Trial, open_trial
from rtbrain.recording.datasets.braintreebank_tasks import LabelledEvents, labelled_events
from rtbrain.recording.datasets.braintreebank_words import Triggers, Words
from rtbrain.recording.datasets.open import open_dataset

__all__ = [
    "LabelledEvents",
    "Trial",
    "Triggers",
    "Words",
    "labelled_events",
    "open_dataset",
    "open_trial",
]
