"""`rtbrain embed`: a recording through the live pipeline's stages, to arrays in a file."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from rtbrain.encoder import open_model
from rtbrain.errors import SettingsError
from rtbrain.files import require_writable_file
from rtbrain.learn.embed import (
    bundle_stages,
    embed_recipe,
    embedding_arrays,
    encoder_stages,
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
    sfreq: Annotated[
        float | None, typer.Option("--sfreq", help="Rate of an .npy file, Hz.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Which stream of an XDF file.")
    ] = None,
    space: Annotated[
        str | None,
        typer.Option("--space", help='Names the axes of the positions, such as "MNI mm".'),
    ] = None,
) -> None:
    """Embed a recording offline, by the very stages that run live."""
    require_writable_file(out, "--out")
    if out.exists():
        raise SettingsError(f"{out} exists already: name a new file")
    if (bundle is None) == (encoder is None):
        raise SettingsError("give either --encoder FOLDER or --bundle FOLDER")
    front_end = (popt, length, hop, reference, notch, pool, form)
    if bundle is not None and front_end != (None, 5.0, None, "none", "none", "centre", "published"):
        raise SettingsError(
            "--bundle brings its own encoder, window and filters: leave out --popt, --length, "
            "--hop, --reference, --notch, --pool and --form"
        )
    played = read_recording(recording, sfreq_hz=sfreq, stream=stream)
    source = ReplaySource(
        played,
        chunk_samples=max(1, round(played.montage.sfreq_hz)),
        names=None if channels is None else [name.strip() for name in channels.split(",")],
        start_s=start,
        stop_s=stop,
        scale=scale,
    )
    print_notes(played, scale)
    montage = name_space(source.montage, space)
    if bundle is not None:
        features, readout, model = bundle_stages(bundle, montage)
    elif encoder is not None:
        model = open_model(encoder, popt, pool, form=form)
        recipe = embed_recipe(length, hop, reference, notch, pool, form, model)
        features, readout = encoder_stages(recipe, montage, model), None
    if hidden:
        require_hidden_states(model)
    with_population = popt is not None or readout is not None
    with show_progress(Console()) as on_progress:
        arrays = embedding_arrays(
            features, readout, model if hidden else None, with_population, source, on_progress
        )
    save_arrays(out, arrays)
