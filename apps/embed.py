"""`rtbrain embed`: a recording through the live pipeline's stages, to arrays in a file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, model_of_bundle
from rtbrain.decoder import read_bundle
from rtbrain.encoder import open_model
from rtbrain.errors import SettingsError
from rtbrain.files import require_writable_file
from rtbrain.learn.embed import (
    embed_recipe,
    embedding_arrays,
    name_space,
    require_hidden_states,
    save_arrays,
)
from rtbrain.progress import show_progress
from rtbrain.recording.open import read_recording
from rtbrain.recording.playing import print_notes
from rtbrain.recording.replay import ReplaySource


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
    channels: Annotated[
        str | None, typer.Option("--channels", help="Labels, separated by commas.")
    ] = None,
    start: Annotated[float | None, typer.Option("--start", help="From here, s.")] = None,
    stop: Annotated[float | None, typer.Option("--stop", help="To here, s.")] = None,
    scale: Annotated[float, typer.Option("--scale", help="Factor on every sample.")] = 1.0,
    sfreq: NpyRate = None,
    stream: XdfStream = None,
    space: Annotated[
        str | None,
        typer.Option("--space", help='Names the axes of the positions, such as "MNI mm".'),
    ] = None,
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
        names=names_of(channels, "--channels"),
        start_s=start,
        stop_s=stop,
        scale=scale,
        sfreq_hz=sfreq,
        stream=stream,
        space=space,
    )
    print_notes(played, scale)
    montage = name_space(source.montage, space)
    if bundle is not None:
        opened = read_bundle(bundle)
        (features, readout), model = build_decoder(opened, montage), model_of_bundle(opened)
    elif encoder is not None:
        model = open_model(encoder, popt, pool, form=form)
        recipe = embed_recipe(length, hop, reference, notch, pool, form, model)
        features, readout = build_feature_pipeline(recipe, montage, model=model), None
    if hidden:
        require_hidden_states(model)
    with_population = popt is not None or readout is not None
    with show_progress(Console()) as on_progress:
        arrays = embedding_arrays(
            features, readout, model if hidden else None, with_population, source, on_progress
        )
    save_arrays(out, arrays)
