"""What `rtbrain compile` is asked to do, checked before any work."""

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
    """What the command line asks for; `folder` is the bundle."""

    folder: Path
    runtime: RuntimeName
    precision: Precision
    on: tuple[str, ...]  # recordings to check on
    calibrate_on: str | None  # corpus or recording
    tolerance: float  # largest drop of AUC
    threads: int
    classes: str | None
    stream: str | None
    scale: float

    def way(self, bundle: Bundle) -> ApprovedRuntime:
        """What is noted beside the bundle if it is good enough."""
        return ApprovedRuntime(self.runtime, self.precision, bundle.id)


def require_encoder(options: CompileOptions, bundle: Bundle) -> EncoderModel:
    """Encoder of the bundle, if it has one that can be compiled."""
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
    """Refuse what cannot be, before any work is done."""
    if options.precision == "int8" and options.runtime == "torchscript":
        raise SettingsError(
            "--precision int8 is of openvino alone: give --runtime openvino, or another precision"
        )
    above = options.folder.parent
    if not os.access(above, os.W_OK):
        raise SettingsError(
            f"{above}: cannot be written to, and what is compiled lies beside the bundle: copy "
            "the bundle to a folder of yours"
        )
    needed = {"torchscript": [], "openvino": ["openvino"]}[options.runtime]
    for package in [*needed, *(["nncf"] if options.precision == "int8" else [])]:
        if find_spec(package) is None:
            raise CompiledModelError(
                f"--runtime {options.runtime} --precision {options.precision} needs {package}: "
                'pip install "rtbrain[fast]"'
            )
    require_precision(options.precision)
    if options.precision != "int8" and options.calibrate_on is not None and options.on:
        raise SettingsError(
            f"--calibrate-on is for --precision int8, {options.precision} needs none: leave it out"
        )
    if options.precision == "int8" and not options.on:
        raise SettingsError(
            "--precision int8 must be checked on the decoder: pass a labelled recording, "
            "--validate-on RECORDING"
        )
