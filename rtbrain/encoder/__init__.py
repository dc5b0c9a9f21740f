"""5. Spectrogram or patches to Embedding: channel encoders, Population Transformer, compiled."""

from rtbrain.encoder.artefact import compile_artefact, compile_population
from rtbrain.encoder.biofame import BIOFAME_SIZES, BioFAME, BioFAMESizes
from rtbrain.encoder.brainbert import BRAINBERT_SIZES, BrainBERT, BrainBERTSizes
from rtbrain.encoder.choosing import (
    Admitted,
    RuntimeName,
    admit,
    admitted,
    compiled_folder_of,
    load_runtime,
)
from rtbrain.encoder.contract import Contract, Precision, refuse_precision
from rtbrain.encoder.kinds import ChannelEncoder, ChannelSizes, encoder_of_sizes, kind_of
from rtbrain.encoder.model import EncoderModel
from rtbrain.encoder.neurobert import NEUROBERT_SIZES, NeuroBERT, NeuroBERTSizes
from rtbrain.encoder.openvino_artefact import compile_openvino
from rtbrain.encoder.openvino_runtime import OpenVINORuntime
from rtbrain.encoder.popt import POPT_SIZES, PopT, PopTSizes
from rtbrain.encoder.positions import lip_positions
from rtbrain.encoder.runtime import Runtime, TorchScriptRuntime
from rtbrain.encoder.shipped import load_trained, trained_folders, weights_sha256
from rtbrain.encoder.stage import EncoderStage, FrameMean
from rtbrain.encoder.streaming import (
    STREAMING_SIZES,
    StreamingBERT,
    StreamingBERTSizes,
    StreamingState,
)
from rtbrain.encoder.streaming_artefact import compile_streaming
from rtbrain.encoder.streaming_model import StreamingModel, refuse_other_mode
from rtbrain.encoder.streaming_runtime import StreamingRuntime
from rtbrain.encoder.streaming_stage import StreamingEncoderStage, streaming_stage
from rtbrain.encoder.tensors import encoder_of_tensors, tensors_of_encoder
from rtbrain.encoder.weights import (
    import_checkpoint,
    load_encoder,
    random_encoder,
    save_encoder,
)

__all__ = [
    "BIOFAME_SIZES",
    "BRAINBERT_SIZES",
    "NEUROBERT_SIZES",
    "POPT_SIZES",
    "STREAMING_SIZES",
    "Admitted",
    "BioFAME",
    "BioFAMESizes",
    "BrainBERT",
    "BrainBERTSizes",
    "ChannelEncoder",
    "ChannelSizes",
    "Contract",
    "EncoderModel",
    "EncoderStage",
    "FrameMean",
    "NeuroBERT",
    "NeuroBERTSizes",
    "OpenVINORuntime",
    "PopT",
    "PopTSizes",
    "Precision",
    "Runtime",
    "RuntimeName",
    "StreamingBERT",
    "StreamingBERTSizes",
    "StreamingEncoderStage",
    "StreamingModel",
    "StreamingRuntime",
    "StreamingState",
    "TorchScriptRuntime",
    "admit",
    "admitted",
    "compile_artefact",
    "compile_openvino",
    "compile_population",
    "compile_streaming",
    "compiled_folder_of",
    "encoder_of_sizes",
    "encoder_of_tensors",
    "import_checkpoint",
    "kind_of",
    "lip_positions",
    "load_encoder",
    "load_runtime",
    "load_trained",
    "random_encoder",
    "refuse_other_mode",
    "refuse_precision",
    "save_encoder",
    "streaming_stage",
    "tensors_of_encoder",
    "trained_folders",
    "weights_sha256",
]
