"""rtbrain: a real-time streaming decoder for intracranial brain recordings.

The data path, one folder per step::

    Chunk        stream/       samples in: LSL, FieldTrip, a recording, a synthetic patient
    Chunk        signal/       causal filters, references, resampling
    Window       buffer/       a ring buffer and the windows cut from it
    Spectrogram  spectrogram/  STFT, superlets
    Embedding    encoder/      BrainBERT and the Population Transformer, compiled
    Decode       decoder/      a readout, and the bundle that carries it
    Detection    detect/       events: thresholds, hold and refractory times
                 outlet/       decodes and events over LSL, and what acts on the world

In a notebook::

    decoder = rtbrain.fit("patient.vhdr", classes=["rest", "speech"])
    print(decoder.scores)
    decoder.save("bundle")

Names load when they are first used, so that ``import rtbrain`` takes no time.
"""

import importlib
from typing import Any

from rtbrain.errors import RtbrainError

__version__ = "0.1.0"
_MODULES = {
    "Chunk": "rtbrain.types",
    "Decode": "rtbrain.types",
    "Detection": "rtbrain.types",
    "Embedding": "rtbrain.types",
    "FittedDecoder": "rtbrain.learn.fit.decoder",
    "Montage": "rtbrain.types",
    "Quality": "rtbrain.types",
    "ScoreTable": "rtbrain.learn.report.score_table",
    "Spectrogram": "rtbrain.types",
    "Window": "rtbrain.types",
    "detections": "rtbrain.live.listen",
    "evaluate": "rtbrain.learn.evaluate",
    "fit": "rtbrain.learn.fit.run",
    "listen": "rtbrain.live.listen",
    "load": "rtbrain.learn.fit.decoder",
    "read": "rtbrain.recording.open",
    "refit": "rtbrain.learn.refit.run",
    "run": "rtbrain.live.run",
    "session_report": "rtbrain.learn.session.report",
    "streams": "rtbrain.stream.lsl.streams",
}
__all__ = [
    "Chunk",
    "Decode",
    "Detection",
    "Embedding",
    "FittedDecoder",
    "Montage",
    "Quality",
    "RtbrainError",
    "ScoreTable",
    "Spectrogram",
    "Window",
    "__version__",
    "detections",
    "evaluate",
    "fit",
    "listen",
    "load",
    "read",
    "refit",
    "run",
    "session_report",
    "streams",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'rtbrain' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
