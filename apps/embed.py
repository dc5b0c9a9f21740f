"""`rtbrain embed`: a recording through the live pipeline's stages, to arrays in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .target import refuse_target, write_whole

if TYPE_CHECKING:
    from rtbrain.config import Recipe
    from rtbrain.decoder import Readout
    from rtbrain.encoder import EncoderModel
    from rtbrain.pipeline import Encoding
    from rtbrain.stream.replay import ReplaySource
    from rtbrain.types import Montage


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
    from rtbrain.errors import SettingsError
    from rtbrain.stream.recording import read_recording
    from rtbrain.stream.replay import ReplaySource

    from .notes import tell_notes

    refuse_target(out, "--out")
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
    tell_notes(played, scale)
    montage = _named(source.montage, space)
    if bundle is not None:
        encoding, readout, model = _of_bundle(bundle, montage)
    elif encoder is not None:
        model = load_model(encoder, popt, pool, form=form)
        recipe = recipe_of(length, hop, reference, notch, pool, form, model)
        encoding, readout = _encoding(recipe, montage, model), None
    if hidden:
        _refuse_hidden(model)
    with_population = popt is not None or readout is not None
    _save(out, _arrays(encoding, readout, model if hidden else None, with_population, source))


def _named(montage: "Montage", space: str | None) -> "Montage":
    """Montage whose positions are in a space that the user names."""
    from dataclasses import replace

    from rtbrain.errors import MontageError

    if space is None:
        return montage
    if montage.positions is None:
        raise MontageError("the recording holds no positions that --space could name")
    return replace(montage, space=space)


def _of_bundle(
    folder: Path, montage: "Montage"
) -> "tuple[Encoding, Readout | None, EncoderModel | None]":
    from rtbrain.build import build_decoder
    from rtbrain.bundling import model_of_bundle
    from rtbrain.decoder import read_bundle

    bundle = read_bundle(folder)
    return (*build_decoder(bundle, montage), model_of_bundle(bundle))


def _encoding(recipe: "Recipe", montage: "Montage", model: "EncoderModel") -> "Encoding":
    from rtbrain.build import build_encoding

    return build_encoding(recipe, montage, model=model)


def load_model(
    encoder: Path, popt: Path | None, pool: str, n_pooled: int = 10, *, form: str = "published"
) -> "EncoderModel":
    """Encoders of folders, joined.

    Parameters
    ----------
    encoder, popt : Path
        Of a channel encoder, and of a Population Transformer where there is to be one.
    pool, n_pooled
        As in `rtbrain.encoder.EncoderModel`.
    form : str
        What the encoder is to read, as in a recipe: ``patches``, or a form of spectrogram.

    Raises
    ------
    CheckpointError
        A folder holds the other kind, the two do not fit, or the encoder reads another form.
    """
    from rtbrain.encoder import BrainBERT, EncoderModel, PopT, StreamingBERT, load_encoder
    from rtbrain.errors import CheckpointError

    channel = load_encoder(encoder)
    name = type(channel).__name__
    if isinstance(channel, PopT):
        raise CheckpointError(f"encoder {encoder}: expected one of a channel, found a PopT")
    if isinstance(channel, StreamingBERT):
        reads, fits = "running spectrograms", form == "running"
    elif isinstance(channel, BrainBERT):
        reads, fits = "spectrograms", form != "patches"
    else:
        reads, fits = "patches", form == "patches"
    if not fits:
        raise CheckpointError(
            f"encoder {encoder}: a {name} reads {reads}, and would get spectrogram.form {form}: "
            f"fit it with a recipe of {reads}, or name another encoder"
        )
    if popt is None:
        return EncoderModel(channel, None, pool, n_pooled)
    population = load_encoder(popt)
    if not isinstance(population, PopT):
        raise CheckpointError(
            f"--popt {popt}: expected a PopT, found a {type(population).__name__}"
        )
    return EncoderModel(channel, population, pool, n_pooled)


def recipe_of(
    length_s: float,
    hop_s: float | None,
    reference: str,
    notch: str,
    pool: str,
    form: str,
    model: "EncoderModel",
) -> "Recipe":
    """Recipe of these flags; rates and frames as published."""
    from dataclasses import asdict

    from rtbrain.config import Recipe, load_settings, parse_settings
    from rtbrain.encoder import StreamingBERT

    published = load_settings("published", Recipe)
    encoder: dict[str, Any] = {"pool": pool}
    mode = "published" if pool == "centre" and form != "running" else "edge"
    if isinstance(model.brainbert, StreamingBERT):
        mode = "streaming"
        encoder["streaming"] = asdict(model.brainbert.sizes)
    pick, *_, resample = (
        step.model_dump(mode="json", exclude_unset=True) for step in published.signal
    )
    hop = published.window.hop_s if hop_s is None else hop_s
    notches = [] if notch == "none" else [{"notch": {"mains_hz": int(notch)}}]
    references = [] if reference == "none" else [{"reference": reference}]
    values = {
        "mode": mode,
        "signal": [pick, *notches, *references, resample],
        "window": {"length_s": length_s, "hop_s": hop},
        "spectrogram": {"form": form, "n_freqs": model.brainbert.sizes.input_dim},
        "encoder": encoder,
    }
    return parse_settings(values, Recipe, where="flags")


def _arrays(
    encoding: "Encoding",
    readout: "Readout | None",
    hidden_of: "EncoderModel | None",
    with_population: bool,
    source: "ReplaySource",
) -> dict[str, Any]:
    import numpy as np
    from rich.progress import Progress

    from rtbrain.errors import RecordingError
    from rtbrain.offline.embedding import embed_recording

    with Progress(transient=True) as progress:
        task = progress.add_task("embedding", total=source.n_samples)
        embedded = embed_recording(
            source,
            encoding.cut,
            encoding.spectrogram,
            encoding.encoder,
            keep_spectrograms=True,
            tail_s=encoding.signal_delay_s,
            on_progress=lambda n_samples: progress.advance(task, n_samples),
        )
    if not embedded.embeddings:
        raise RecordingError(
            "the recording holds no whole window: shorten --length, or record for longer"
        )
    arrays: dict[str, Any] = {
        "spectrogram": np.stack(embedded.spectrograms),
        "embedding": embedded.channels,
        "t_stop": embedded.t_stop,
        "t_neural": embedded.t_neural,
        "channels": np.array(encoding.signal.montage.names),
    }
    if with_population:
        arrays["population"] = embedded.population
    if readout is not None:
        arrays["decode"] = np.stack([readout(item).values for item in embedded.embeddings])
    if hidden_of is not None:
        arrays["hidden"] = _hidden(hidden_of, arrays["spectrogram"])
    return arrays


def _refuse_hidden(model: "EncoderModel | None") -> None:
    """Refuse hidden states where there are none, or none that the embeddings are made of."""
    from rtbrain.encoder import StreamingBERT
    from rtbrain.errors import SettingsError

    if model is None:
        raise SettingsError("--hidden needs an encoder; this bundle is in mode linear")
    if isinstance(model.brainbert, StreamingBERT):
        raise SettingsError(
            "--hidden: a StreamingBERT remembers what came before a window, so that the hidden "
            "states of a window alone are not those of its embedding: leave --hidden out"
        )


def _hidden(model: "EncoderModel", spectrograms: Any) -> Any:
    """Hidden state of every frame, float32 [n_windows, n_channels, n_frames, n_features]."""
    import numpy as np
    import torch

    with torch.inference_mode():
        windows = [model.brainbert(torch.from_numpy(item)).numpy() for item in spectrograms]
    return np.stack(windows)


def _save(out: Path, arrays: dict[str, Any]) -> None:
    import numpy as np
    from rich.console import Console

    write_whole(out, lambda file: np.savez(file, **arrays))
    console = Console()
    for key, array in arrays.items():
        console.print(f"{key:12} {list(array.shape)}")
