"""rtbrain: a real-time streaming decoder for intracranial brain recordings.

The way of the data, one folder a step::

    Chunk        stream/       samples in: LSL, recordings, a synthetic patient
    Chunk        signal/       causal filters, references, resampling
    Window       buffer/       a ring in place, windows cut from it
    Spectrogram  spectrogram/  STFT, superlets
    Embedding    encoder/      BrainBERT and the Population Transformer, compiled
    Decode       decoder/      a readout, and the bundle that carries it
                 outlet/       decodes and their worth, over LSL

`pipeline` is the loop, `build` joins the stages by the settings of `config`, `offline` fits and
scores.
"""

from rtbrain.errors import RtbrainError
from rtbrain.types import Chunk, Decode, Embedding, Montage, Quality, Spectrogram, Window

__all__ = [
    "Chunk",
    "Decode",
    "Embedding",
    "Montage",
    "Quality",
    "RtbrainError",
    "Spectrogram",
    "Window",
    "__version__",
]

__version__ = "0.1.0"
