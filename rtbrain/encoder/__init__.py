"""5. Spectrogram to Embedding: BrainBERT, Population Transformer, their compiled form."""

from rtbrain.encoder.artefact import compile_artefact
from rtbrain.encoder.brainbert import BRAINBERT_SIZES, BrainBERT, BrainBERTSizes
from rtbrain.encoder.model import EncoderModel
from rtbrain.encoder.popt import POPT_SIZES, PopT, PopTSizes
from rtbrain.encoder.positions import lip_positions
from rtbrain.encoder.runtime import Runtime, TorchScriptRuntime
from rtbrain.encoder.shipped import load_trained, trained_folders, weights_sha256
from rtbrain.encoder.stage import EncoderStage, FrameMean
from rtbrain.encoder.tensors import encoder_of_tensors, tensors_of_encoder
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
    "EncoderStage",
    "FrameMean",
    "PopT",
    "PopTSizes",
    "Runtime",
    "TorchScriptRuntime",
    "compile_artefact",
    "encoder_of_tensors",
    "import_checkpoint",
    "lip_positions",
    "load_encoder",
    "load_trained",
    "random_encoder",
    "save_encoder",
    "tensors_of_encoder",
    "trained_folders",
    "weights_sha256",
]
