"""5. Spectrogram to Embedding: BrainBERT, Population Transformer, their compiled form."""

from rtbrain.encoder.brainbert import BRAINBERT_SIZES, BrainBERT, BrainBERTSizes
from rtbrain.encoder.model import EncoderModel
from rtbrain.encoder.popt import POPT_SIZES, PopT, PopTSizes
from rtbrain.encoder.positions import lip_positions
from rtbrain.encoder.weights import (
    import_checkpoint,
    load_encoder,
    random_encoder,
    save_encoder,
)

__all__ = [
    "BRAINBERT_SIZES",
    "POPT_SIZES",
    "BrainBERT",
    "BrainBERTSizes",
    "EncoderModel",
    "PopT",
    "PopTSizes",
    "import_checkpoint",
    "lip_positions",
    "load_encoder",
    "random_encoder",
    "save_encoder",
]
