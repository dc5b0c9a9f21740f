from rtbrain.encoder.folder import (
    encoder_of_tensors,
    encoder_tensors,
    import_checkpoint,
    load_encoder,
    save_encoder,
)
from rtbrain.encoder.frame_mean import FrameMean
from rtbrain.encoder.models.brainbert import BRAINBERT_SIZES, BrainBERT, BrainBERTSizes
from rtbrain.encoder.models.model import (
    ChannelEncoder,
    ChannelSizes,
    EncoderKind,
    EncoderModel,
    EncoderSizes,
    encoder_kind,
    random_control,
    random_encoder,
    sizes_of,
)
from rtbrain.encoder.models.patch_encoders import BioFAME, BioFAMESizes, NeuroBERT, NeuroBERTSizes
from rtbrain.encoder.models.popt import (
    POPT_SIZES,
    PopT,
    PopTSizes,
    lip_positions,
    population_positions,
)
from rtbrain.encoder.models.streaming import STREAMING_SIZES, StreamingBERT, StreamingBERTSizes
from rtbrain.encoder.runtimes.choice import (
    ApprovedRuntime,
    Precision,
    RuntimeChoice,
    RuntimeName,
    approve_runtime,
    compiled_folder_of,
)
from rtbrain.encoder.runtimes.choose import load_runtime
from rtbrain.encoder.runtimes.contract import require_precision
from rtbrain.encoder.runtimes.openvino_runtime import OpenVINORuntime, compile_openvino
from rtbrain.encoder.runtimes.peak import measure_peak_flops
from rtbrain.encoder.runtimes.streaming_runtime import StreamingModel, require_matching_mode
from rtbrain.encoder.runtimes.torchscript import compile_population, compile_torchscript
from rtbrain.encoder.runtimes.window_runtime import TorchScriptRuntime, on_threads
from rtbrain.encoder.stage import EncoderStage, StreamingEncoderStage, patch_cycle, streaming_stage
from rtbrain.encoder.trained import (
    SHIPPED,
    SHIPPED_STREAMING,
    load_trained,
    open_model,
    require_readable,
    require_unseen,
    trained_folders,
    training_provenance,
    weights_sha256,
)

__all__ = [
    "BRAINBERT_SIZES",
    "POPT_SIZES",
    "SHIPPED",
    "SHIPPED_STREAMING",
    "STREAMING_SIZES",
    "ApprovedRuntime",
    "BioFAME",
    "BioFAMESizes",
    "BrainBERT",
    "BrainBERTSizes",
    "ChannelEncoder",
    "ChannelSizes",
    "EncoderKind",
    "EncoderModel",
    "EncoderSizes",
    "EncoderStage",
    "FrameMean",
    "NeuroBERT",
    "NeuroBERTSizes",
    "OpenVINORuntime",
    "PopT",
    "PopTSizes",
    "Precision",
    "RuntimeChoice",
    "RuntimeName",
    "StreamingBERT",
    "StreamingBERTSizes",
    "StreamingEncoderStage",
    "StreamingModel",
    "TorchScriptRuntime",
    "approve_runtime",
    "compile_openvino",
    "compile_population",
    "compile_torchscript",
    "compiled_folder_of",
    "encoder_kind",
    "encoder_of_tensors",
    "encoder_tensors",
    "import_checkpoint",
    "lip_positions",
    "load_encoder",
    "load_runtime",
    "load_trained",
    "measure_peak_flops",
    "on_threads",
    "open_model",
    "patch_cycle",
    "population_positions",
    "random_control",
    "random_encoder",
    "require_matching_mode",
    "require_precision",
    "require_readable",
    "require_unseen",
    "save_encoder",
    "sizes_of",
    "streaming_stage",
    "trained_folders",
    "training_provenance",
    "weights_sha256",
]
