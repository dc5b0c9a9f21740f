"""`rtbrain compile`: a faster form of a decoder's encoder, if it decodes as well."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.check.compile.inputs import CompileOptions, Precision, RuntimeName
from rtbrain.check.compile.run import compile_bundle
from rtbrain.config.flags import RecordingStream


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    runtime: Annotated[RuntimeName, typer.Option("--runtime", help="What runs the encoder.")],
    precision: Annotated[Precision, typer.Option("--precision", help="Of the encoder.")],
    validate_on: Annotated[
        list[str] | None,
        typer.Option(
            "--validate-on", help="Labelled recording to check the decoder on; may be repeated."
        ),
    ] = None,
    calibrate_on: Annotated[
        str | None,
        typer.Option(
            "--calibrate-on",
            help="Corpus or recording for int8; else half of the first --validate-on.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Maximum allowed drop in AUC.")
    ] = 0.005,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Of the encoder.")] = 1,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Markers of the states; else as it was fitted.")
    ] = None,
    stream: RecordingStream = None,
    scale: Annotated[float, typer.Option("--scale", help="Multiplies the signals.")] = 1.0,
) -> None:
    """Compile a decoder's encoder for this machine, and report its cost in AUC and its speed."""
    options = CompileOptions(
        bundle.resolve(),
        runtime,
        precision,
        tuple(validate_on or ()),
        calibrate_on,
        tolerance,
        threads,
        classes,
        stream,
        scale,
    )
    compile_bundle(options, Console())
