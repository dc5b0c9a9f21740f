"""`rtbrain embed`: a recording through the live pipeline's stages, to arrays in a file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rtbrain.config.flags import (
    Channels,
    Exclude,
    Kinds,
    RecordingRate,
    RecordingStream,
    Space,
    names_of,
)
from rtbrain.learn.embed import FrontEnd, embed_recording


def command(
    recording: Annotated[Path, typer.Argument(help="Recording: a file, or a BIDS-iEEG folder.")],
    out: Annotated[Path, typer.Option("--out", help="Where the arrays go, an .npz file.")],
    encoder: Annotated[
        Path | None, typer.Option("--encoder", help="BrainBERT, a folder of import-checkpoint.")
    ] = None,
    popt: Annotated[
        Path | None, typer.Option("--popt", help="Population Transformer, a folder likewise.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Decoder bundle, instead of the two.")
    ] = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Also every frame's hidden state.")
    ] = False,
    length: Annotated[float, typer.Option("--length", help="Window, s.")] = 5.0,
    hop: Annotated[
        float | None, typer.Option("--hop", help="Between windows, s; as published: 500/2048.")
    ] = None,
    reference: Annotated[
        Literal["none", "car", "bipolar", "laplacian"], typer.Option("--reference")
    ] = "none",
    notch: Annotated[
        Literal["none", "50", "60"], typer.Option("--notch", help="Mains, Hz.")
    ] = "none",
    pool: Annotated[Literal["centre", "last"], typer.Option("--pool")] = "centre",
    form: Annotated[
        Literal["published", "running", "superlet"], typer.Option("--form", help="Spectrogram.")
    ] = "published",
    channels: Channels = None,
    exclude: Exclude = None,
    kinds: Kinds = None,
    start: Annotated[float | None, typer.Option("--start", help="From here, s.")] = None,
    stop: Annotated[float | None, typer.Option("--stop", help="To here, s.")] = None,
    scale: Annotated[float, typer.Option("--scale", help="Factor on every sample.")] = 1.0,
    sfreq: RecordingRate = None,
    stream: RecordingStream = None,
    space: Space = None,
) -> None:
    """Embed a recording offline, by the very stages that run live."""
    embed_recording(
        recording,
        out,
        encoder=encoder,
        popt=popt,
        bundle=bundle,
        front_end=FrontEnd(length, hop, reference, notch, pool, form),
        hidden=hidden,
        channels=names_of(channels, "--channels"),
        exclude=names_of(exclude, "--exclude"),
        kinds=names_of(kinds, "--kinds"),
        start_s=start,
        stop_s=stop,
        scale=scale,
        sfreq_hz=sfreq,
        stream=stream,
        space=space,
    )
