"""`rtbrain compile`: a decoder's encoder for a faster runtime, where it decodes as well."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rtbrain.check.compile.options import (
    CompileOptions,
    Precision,
    RuntimeName,
    check_options,
    require_encoder,
)
from rtbrain.check.compile.run import compile_and_check
from rtbrain.check.compile.sources import open_sources
from rtbrain.decoder import read_bundle


def command(
    bundle: Annotated[Path, typer.Argument(help="Decoder bundle, a folder.")],
    runtime: Annotated[RuntimeName, typer.Option("--runtime", help="What runs the encoder.")],
    precision: Annotated[Precision, typer.Option("--precision", help="Of the encoder.")],
    on: Annotated[
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
    asked = CompileOptions(
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
    check_options(asked)
    model = require_encoder(asked, found)
    with ExitStack() as stack:
        compile_and_check(Console(), asked, found, model, *open_sources(asked, found, stack))
