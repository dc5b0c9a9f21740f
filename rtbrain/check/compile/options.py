"""Options of `rtbrain compile`, checked before any work."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rtbrain.bundling import model_of_bundle
from rtbrain.decoder import Bundle
from rtbrain.encoder import ApprovedRuntime, EncoderModel, require_precision
from rtbrain.errors import CompiledModelError, SettingsError

RuntimeName = Literal["torchscript", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Options of the command; `folder` is the bundle."""

    folder: Path
    runtime: RuntimeName
    precision: Precision
    validate_on: tuple[str, ...]  # recordings
    calibrate_on: str | None  # corpus or recording
    tolerance: float  # largest drop of AUC
    threads: int
    classes: str | None
    stream: str | None
    scale: float

    def approval(self, bundle: Bundle) -> ApprovedRuntime:
        """What is noted beside the bundle if the compiled encoder is good enough."""
        return ApprovedRuntime(self.runtime, self.precision, bundle.id)


def require_encoder(options: CompileOptions, bundle: Bundle) -> EncoderModel:
    """Encoder of the bundle; SettingsError if it has none that can be compiled."""
    name, model = options.folder.name, model_of_bundle(bundle)
    if model is None:
        raise SettingsError(f"{name} is of mode linear, which has no encoder: nothing to compile")
    if bundle.manifest.mode == "streaming":
        raise SettingsError(
            f"{name} is of mode streaming, which runs on torchscript fp32 and is compiled when it "
            "starts: nothing to compile"
        )
    return model


def check_options(options: CompileOptions) -> None:
    """Refuse options that cannot work."""
    if options.precision == "int8" and options.runtime == "torchscript":
        raise SettingsError(
            "--precision int8 needs openvino: pass --runtime openvino, or another precision"
        )
    above = options.folder.parent
    if not os.access(above, os.W_OK):
        raise SettingsError(
            f"{above} cannot be written to, and the compiled encoder goes beside the bundle: copy "
            "the bundle to a folder of your own"
        )
    needed = {"openvino": options.runtime == "openvino", "nncf": options.precision == "int8"}
    for package, is_needed in needed.items():
        if is_needed and find_spec(package) is None:
            raise CompiledModelError(
                f"--runtime {options.runtime} --precision {options.precision} needs {package}: "
                'pip install "rtbrain[fast]"'
            )
    require_precision(options.precision)
    if options.precision != "int8" and options.calibrate_on is not None and options.validate_on:
        raise SettingsError(
            f"--calibrate-on is for --precision int8, {options.precision} needs none: leave it out"
        )
    if options.precision == "int8" and not options.validate_on:
        raise SettingsError(
            "--precision int8 must be checked on the decoder: pass a labelled recording, "
            "--validate-on RECORDING"
        )
