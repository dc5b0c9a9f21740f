"""5. Spectrogram or patches to Embedding: channel encoders, Population Transformer, compiled.

Names load when they are first used: the linear mode needs none of torch, which takes seconds.
"""

import importlib
from typing import Any

_NAMES = {
    "folder": "encoder_of_tensors encoder_tensors import_checkpoint load_encoder save_encoder",
    "frame_mean": "FrameMean",
    "models.brainbert": "BRAINBERT_SIZES BrainBERT BrainBERTSizes",
    "models.model": "ChannelEncoder ChannelSizes EncoderKind EncoderModel EncoderSizes "
    "encoder_kind random_control random_encoder sizes_of",
    "models.patch_encoders": "BioFAME BioFAMESizes NeuroBERT NeuroBERTSizes",
    "models.popt": "POPT_SIZES PopT PopTSizes lip_positions population_positions",
    "models.streaming": "STREAMING_SIZES StreamingBERT StreamingBERTSizes",
    "runtimes.choice": "ApprovedRuntime Precision RuntimeChoice RuntimeName approve_runtime "
    "compiled_folder_of",
    "runtimes.choose": "load_runtime",
    "runtimes.contract": "require_precision",
    "runtimes.openvino_runtime": "OpenVINORuntime compile_openvino",
    "runtimes.peak": "measure_peak_flops",
    "runtimes.streaming_runtime": "StreamingModel require_matching_mode",
    "runtimes.torchscript": "compile_population compile_torchscript",
    "runtimes.window_runtime": "TorchScriptRuntime on_threads",
    "stage": "EncoderStage StreamingEncoderStage patch_cycle streaming_stage",
    "trained": "SHIPPED SHIPPED_STREAMING load_trained open_model require_readable require_unseen "
    "trained_folders training_provenance weights_sha256",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
