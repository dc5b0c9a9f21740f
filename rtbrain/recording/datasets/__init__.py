"""Published layouts of recordings, and the synthetic patient, as recordings."""

from rtbrain.recording.datasets.braintreebank import open_trial
from rtbrain.recording.datasets.braintreebank_tasks import (
    LabelledEvents,
    Trial,
    Triggers,
    Words,
    labelled_events,
)

__all__ = [
    "LabelledEvents",
    "Trial",
    "Triggers",
    "Words",
    "labelled_events",
    "open_trial",
]
