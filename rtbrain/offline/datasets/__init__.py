"""Recordings of every kind behind one protocol, `rtbrain.stream.recording.Recording`."""

from rtbrain.offline.datasets.braintreebank import Trial, open_trial
from rtbrain.offline.datasets.braintreebank_tasks import LabelledEvents, labelled_events
from rtbrain.offline.datasets.braintreebank_words import Triggers, Words
from rtbrain.offline.datasets.opening import open_dataset

__all__ = [
    "LabelledEvents",
    "Trial",
    "Triggers",
    "Words",
    "labelled_events",
    "open_dataset",
    "open_trial",
]
