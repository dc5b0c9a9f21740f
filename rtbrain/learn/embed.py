"""`rtbrain embed`: a recording through the pipeline's own stages, to arrays in a file."""

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, model_of_bundle
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import Readout, read_bundle
from rtbrain.encoder import EncoderModel, StreamingBERT
from rtbrain.errors import MontageError, RecordingError, SettingsError
from rtbrain.files import atomic_file
from rtbrain.learn.fit.features import gather
from rtbrain.pipeline import FeaturePipeline
from rtbrain.progress import OnProgress, no_progress
from rtbrain.recording.replay import ReplaySource
from rtbrain.types import Chunk, Embedding, Montage, Quality


def _chunks(source: ReplaySource, tail_s: float, on_progress: OnProgress) -> Iterator[Chunk]:
    """Chunks of a source, then its last sample held for a while."""
    last: Chunk | None = None
    n_read = 0
    while (chunk := source.pull(0.0)) is not None:
        _refuse_not_finite(chunk, source)
        last = chunk if chunk.n_samples else last
        n_read += chunk.n_samples
        yield chunk
        on_progress(n_read, source.n_samples, "embedding")
    n_tail = math.ceil(tail_s * source.montage.sfreq_hz)
    if last is None or not n_tail:
        return
    data = np.repeat(last.data[:, -1:], n_tail, axis=1)
    stamps = last.timestamps[-1] + np.arange(1, n_tail + 1) / source.montage.sfreq_hz
    yield Chunk(data, stamps, last.first_sample + last.n_samples)


def _refuse_not_finite(chunk: Chunk, source: ReplaySource) -> None:
    finite = np.isfinite(chunk.data)
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0]
    raise RecordingError(
        f"channel {source.montage.names[row]} is {chunk.data[row, column]} at "
        f"{chunk.timestamps[column]:.3f} s: leave the channel out with --channels, or the time "
        "with --start and --stop"
    )


def name_space(montage: Montage, space: str | None) -> Montage:
    """Montage whose positions are in a space that the user names."""
    if space is None:
        return montage
    if montage.positions is None:
        raise MontageError("the recording holds no positions that --space could name")
    return replace(montage, space=space)


def bundle_stages(
    folder: Path, montage: Montage
) -> tuple[FeaturePipeline, Readout | None, EncoderModel | None]:
    """Stages of a bundle for these channels, and its encoder."""
    bundle = read_bundle(folder)
    return (*build_decoder(bundle, montage), model_of_bundle(bundle))


def encoder_stages(recipe: Recipe, montage: Montage, model: EncoderModel) -> FeaturePipeline:
    """Stages of a recipe with this encoder."""
    return build_feature_pipeline(recipe, montage, model=model)


def embed_recipe(
    length_s: float,
    hop_s: float | None,
    reference: str,
    notch: str,
    pool: str,
    form: str,
    model: EncoderModel,
) -> Recipe:
    """Recipe of these flags; rates and frames as published."""
    published = load_settings("published", Recipe)
    encoder: dict[str, Any] = {"pool": pool}
    mode = "published" if pool == "centre" and form != "running" else "edge"
    if isinstance(model.channel_encoder, StreamingBERT):
        mode = "streaming"
        encoder["streaming"] = asdict(model.channel_encoder.sizes)
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
        "spectrogram": {"form": form, "n_freqs": model.channel_encoder.sizes.input_dim},
        "encoder": encoder,
    }
    return parse_settings(values, Recipe, where="flags")


def embedding_arrays(
    pipeline: FeaturePipeline,
    readout: Readout | None,
    hidden_of: EncoderModel | None,
    with_population: bool,
    source: ReplaySource,
    on_progress: OnProgress = no_progress,
) -> dict[str, Any]:
    """Arrays of every valid window of a source, by the names they have in the file."""
    found = gather(
        _chunks(source, pipeline.signal_delay_s, on_progress),
        pipeline,
        {"": pipeline.encoder},
        keep_channels="",
        keep_spectrograms=True,
    )
    if not found.t_stop.size:
        raise RecordingError(
            "the recording holds no whole window: shorten --length, or record for longer"
        )
    arrays: dict[str, Any] = {
        "spectrogram": found.spectrograms,
        "embedding": found.channels,
        "t_stop": found.t_stop,
        "t_neural": found.t_neural,
        "channels": np.array(pipeline.signal.montage.names),
    }
    if with_population:
        arrays["population"] = found.rows[""]
    if readout is not None:
        embeddings = (
            Embedding(channels, population, float(t_neural), float(t_stop), Quality(good))
            for channels, population, t_neural, t_stop, good in zip(
                found.channels,
                found.rows[""],
                found.t_neural,
                found.t_stop,
                found.good,
                strict=True,
            )
        )
        arrays["decode"] = np.stack([readout(item).values for item in embeddings])
    if hidden_of is not None:
        arrays["hidden"] = _hidden(hidden_of, arrays["spectrogram"])
    return arrays


def require_hidden_states(model: EncoderModel | None) -> None:
    """Refuse hidden states where there are none, or where the embeddings are made of others."""
    if model is None:
        raise SettingsError("--hidden needs an encoder; this bundle is in mode linear")
    if isinstance(model.channel_encoder, StreamingBERT):
        raise SettingsError(
            "--hidden: a StreamingBERT remembers what came before a window, so that the hidden "
            "states of a window alone are not those of its embedding: leave --hidden out"
        )


def _hidden(model: EncoderModel, spectrograms: Any) -> Any:
    """Hidden state of every frame, float32 [n_windows, n_channels, n_frames, n_features]."""
    with torch.inference_mode():
        windows = [model.channel_encoder(torch.from_numpy(item)).numpy() for item in spectrograms]
    return np.stack(windows)


def save_arrays(out: Path, arrays: dict[str, Any]) -> None:
    """Write an .npz file, whole or not at all, and print the shapes."""
    with atomic_file(out) as part, part.open("wb") as file:
        np.savez(file, **arrays)
    console = Console()
    for key, array in arrays.items():
        console.print(f"{key:12} {list(array.shape)}")
