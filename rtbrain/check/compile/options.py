"""What `rtbrain compile` does: makes, checks, and puts in place what is good enough."""

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
    """What the command line asks for.

    Attributes
    ----------
    folder : Path
        The bundle.
    runtime, precision : str
        Of the compiled encoder.
    on : tuple of str
        Recordings to check on.
    calibrate_on : str or None
        Corpus or recording.
    tolerance : float
        Largest fall of AUC.
    threads : int
        Of a call.
    classes, stream, scale
        As `rtbrain evaluate` has them.
    """

    folder: Path
    runtime: RuntimeName
    precision: Precision
    on: tuple[str, ...]
    calibrate_on: str | None
    tolerance: float
    threads: int
    classes: str | None
    stream: str | None
    scale: float

    def way(self, bundle: Bundle) -> ApprovedRuntime:
        """What is noted beside the bundle if it is good enough."""
        return ApprovedRuntime(self.runtime, self.precision, bundle.id)


def require_encoder(asked: CompileOptions, bundle: Bundle) -> EncoderModel:
    """Encoder of the bundle, if it has one that can be compiled."""
    name, model = asked.folder.name, model_of_bundle(bundle)
    if model is None:
        raise SettingsError(f"{name} is of mode linear, which has no encoder: nothing to compile")
    if bundle.manifest.mode == "streaming":
        raise SettingsError(
            f"{name} is of mode streaming, which runs on torchscript fp32 and is compiled when it "
            "starts: nothing to compile"
        )
    return model


def check_options(asked: CompileOptions) -> None:
    """Refuse what cannot be, before any work is done."""
    if asked.precision == "int8" and asked.runtime == "torchscript":
        raise SettingsError(
            "--precision int8 is of openvino alone: give --runtime openvino, or another precision"
        )
    above = asked.folder.parent
    if not os.access(above, os.W_OK):
        raise SettingsError(
            f"{above}: cannot be written to, and what is compiled lies beside the bundle: copy "
            "the bundle to a folder of yours"
        )
    needed = {"torchscript": [], "openvino": ["openvino"]}[asked.runtime]
    for package in [*needed, *(["nncf"] if asked.precision == "int8" else [])]:
        if find_spec(package) is None:
            raise CompiledModelError(
                f"--runtime {asked.runtime} --precision {asked.precision}: the package {package} "
                'is not installed: pip install "rtbrain[fast]"'
            )
    require_precision(asked.precision)
    if asked.precision != "int8" and asked.calibrate_on is not None and asked.on:
        raise SettingsError(
            f"--calibrate-on is for --precision int8, {asked.precision} needs none: leave it out"
        )
    if asked.precision == "int8" and not asked.on:
        raise SettingsError(
            "--precision int8 is admitted only if the decoder still decodes: give a labelled "
            "recording to check it on, --validate-on RECORDING"
        )
