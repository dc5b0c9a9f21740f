"""`rtbrain compile`: a decoder's encoder for a faster runtime, where it decodes as well."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .compile_run import Asked, Precision, RuntimeName, compile_and_check
from .compile_sources import Given, given, halved, is_corpus, open_recording, same

if TYPE_CHECKING:
    from rtbrain.decoder import Bundle
    from rtbrain.encoder import EncoderModel


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    runtime: Annotated[RuntimeName, typer.Option("--runtime", help="What runs the encoder.")],
    precision: Annotated[Precision, typer.Option("--precision", help="Of the encoder.")],
    on: Annotated[
        list[str] | None,
        typer.Option("--on", help="Labelled recording to check the decoder on; may be repeated."),
    ] = None,
    calibrate_on: Annotated[
        str | None,
        typer.Option(
            "--calibrate-on", help="Corpus or recording for int8; else half of the first --on."
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Largest fall of AUC that is admitted.")
    ] = 0.005,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of the encoder.")] = 1,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers of the states; else as it was fitted.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Stream to take from an .xdf file.")
    ] = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signals.")] = 1.0,
) -> None:
    """Compile a decoder's encoder for this machine, and say what that costs and gains."""
    from rich.console import Console

    from rtbrain.decoder import read_bundle

    asked = Asked(
        bundle.resolve(),
        runtime,
        precision,
        tuple(on or ()),
        calibrate_on,
        tolerance,
        threads,
        classes,
        stream,
        scale,
    )
    found = read_bundle(bundle)
    _refuse(asked)
    model = _model(asked, found)
    with ExitStack() as stack:
        compile_and_check(Console(), asked, found, model, *_sources(asked, found, stack))


def _model(asked: Asked, bundle: "Bundle") -> "EncoderModel":
    """Encoder of the bundle, if it has one that can be compiled."""
    from rtbrain.bundling import model_of_bundle
    from rtbrain.errors import SettingsError

    name, model = asked.folder.name, model_of_bundle(bundle)
    if model is None:
        raise SettingsError(f"{name} is of mode linear, which has no encoder: nothing to compile")
    if bundle.manifest.mode == "streaming":
        raise SettingsError(
            f"{name} is of mode streaming, which runs on torchscript fp32 and is compiled when it "
            "starts: nothing to compile"
        )
    return model


def _refuse(asked: Asked) -> None:
    """Refuse what cannot be, before any work is done."""
    from importlib.util import find_spec

    from rtbrain.encoder import refuse_precision
    from rtbrain.errors import ArtefactError, SettingsError

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
            raise ArtefactError(
                f"--runtime {asked.runtime} --precision {asked.precision}: the package {package} "
                'is not installed: pip install "rtbrain[fast]"'
            )
    refuse_precision(asked.precision)
    if asked.precision != "int8" and asked.calibrate_on is not None and asked.on:
        raise SettingsError(
            f"--calibrate-on is for --precision int8, {asked.precision} needs none: leave it out"
        )
    if asked.precision == "int8" and not asked.on:
        raise SettingsError(
            "--precision int8 is admitted only if the decoder still decodes: give a labelled "
            "recording to check it on, --on RECORDING"
        )


def _sources(
    asked: Asked, bundle: "Bundle", stack: ExitStack
) -> "tuple[list[Given], Given | None]":
    """What is checked on, and the recording that is calibrated on, if it is one."""
    from rtbrain.errors import SettingsError

    def one(source: str) -> Given:
        opening = open_recording(source, bundle, asked.stream, asked.scale)
        (recording,) = stack.enter_context(opening)
        return given(source, recording, bundle, asked.classes)

    twice = [name for n, name in enumerate(asked.on) if any(same(name, o) for o in asked.on[:n])]
    if twice:
        raise SettingsError(f"--on {twice[0]} is given twice: its windows would count twice")
    checked = [one(source) for source in asked.on]
    source = asked.calibrate_on
    if asked.precision == "int8":
        _refuse_unlabelled(checked, bundle)
        source = source or asked.on[0]
    if source is None or is_corpus(source):
        return checked, None
    shared = next((n for n, each in enumerate(checked) if same(each.source, source)), None)
    if shared is None:
        return checked, one(source)
    checked[shared] = halved(checked[shared])
    return checked, checked[shared]


def _refuse_unlabelled(checked: list[Given], bundle: "Bundle") -> None:
    from rtbrain.errors import SettingsError

    for one in checked:
        if one.labels is None:
            raise SettingsError(
                f"--on {one.name}: holds no labels of the decoder's "
                f"{', '.join(bundle.manifest.labels)}, and int8 is admitted only after a check: "
                "name a labelled recording, or its markers with --classes"
            )
