"""`rtbrain embed`: a recording through the pipeline's own stages, to arrays in a file."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import build_decoder, describe_population, model_of_bundle
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.decoder import Readout, read_bundle
from rtbrain.encoder import EncoderModel, StreamingBERT, open_model
from rtbrain.errors import RecordingError, SettingsError
from rtbrain.files import atomic_file, require_new_file
from rtbrain.learn.fit.features import gather
from rtbrain.learn.fit.inputs import chunks_of
from rtbrain.pipeline import FeaturePipeline
from rtbrain.recording.open import read_recording
from rtbrain.recording.playing import print_note, print_notes
from rtbrain.recording.recording import select
from rtbrain.recording.replay import ReplaySource
from rtbrain.terminal import OnProgress, show_progress
from rtbrain.types import Chunk, Embedding, Quality


class FrontEnd(NamedTuple):
    """What comes before an encoder of a folder; a bundle brings its own."""

    length_s: float = 5.0
    hop_s: float | None = None
    reference: str = "none"
    notch: str = "none"
    pool: str = "centre"
    form: str = "published"


def embed_recording(
    recording: Path,
    out: Path,
    *,
    encoder: Path | None,
    popt: Path | None,
    bundle: Path | None,
    front_end: FrontEnd,
    hidden: bool,
    channels: Sequence[str] | None,
    exclude: Sequence[str] | None,
    kinds: Sequence[str] | None,
    start_s: float | None,
    stop_s: float | None,
    scale: float,
    sfreq_hz: float | None,
    stream: str | None,
    space: str | None,
) -> None:
    """Embed a recording by the encoders of folders or of a bundle; write and print the arrays."""
    require_new_file(out, "--out")
    if (bundle is None) == (encoder is None):
        raise SettingsError("give either --encoder FOLDER or --bundle FOLDER")
    if bundle is not None and (popt is not None or front_end != FrontEnd()):
        raise SettingsError(
            "--bundle brings its own encoder, window and filters: leave out --popt, --length, "
            "--hop, --reference, --notch, --pool and --form"
        )
    opened = read_recording(recording, sfreq_hz=sfreq_hz, stream=stream)
    opened = select(opened, channels=channels, exclude=exclude, kinds=kinds, space=space)
    source = ReplaySource(
        opened,
        chunk_samples=max(1, round(opened.montage.sfreq_hz)),
        start_s=start_s,
        stop_s=stop_s,
        scale=scale,
    )
    print_notes(opened, scale)
    montage = source.montage
    model: EncoderModel | None = None
    readout: Readout | None = None
    if encoder is not None:
        model = open_model(encoder, popt, front_end.pool, form=front_end.form)
        recipe = _recipe(front_end, model)
        features = build_feature_pipeline(recipe, montage, model=model)
        if popt is not None:
            print_note(describe_population(recipe, montage))
    elif bundle is not None:
        verified = read_bundle(bundle)
        features, readout = build_decoder(verified, montage)
        model = model_of_bundle(verified)
    if hidden:
        _require_hidden_states(model)
    with show_progress(Console()) as on_progress:
        arrays = _arrays(features, readout, source, on_progress)
    if popt is None and readout is None:
        del arrays["population"]
    if hidden and model is not None:
        arrays["hidden"] = _hidden(model, arrays["spectrogram"])
    with atomic_file(out) as part, part.open("wb") as file:
        np.savez(file, **arrays)
    console = Console()
    for key, array in arrays.items():
        console.print(f"{key:12} {list(array.shape)}")


def _chunks(source: ReplaySource, tail_s: float, on_progress: OnProgress) -> Iterator[Chunk]:
    """Chunks of a source, then its last sample held for a while."""
    last: Chunk | None = None
    for chunk in chunks_of(source, source.n_samples, on_progress, "embedding"):
        _require_finite(chunk, source)
        last = chunk if chunk.n_samples else last
        yield chunk
    n_tail = math.ceil(tail_s * source.montage.sfreq_hz)
    if last is None or not n_tail:
        return
    data = np.repeat(last.data[:, -1:], n_tail, axis=1)
    stamps = last.timestamps[-1] + np.arange(1, n_tail + 1) / source.montage.sfreq_hz
    yield Chunk(data, stamps, last.first_sample + last.n_samples)


def _require_finite(chunk: Chunk, source: ReplaySource) -> None:
    finite = np.isfinite(chunk.data)
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0]
    raise RecordingError(
        f"channel {source.montage.names[row]} is {chunk.data[row, column]} at "
        f"{chunk.timestamps[column]:.3f} s: leave the channel out with --exclude, or the time "
        "with --start and --stop"
    )


def _recipe(front_end: FrontEnd, model: EncoderModel) -> Recipe:
    """Recipe of these flags; rates and frames as published."""
    length_s, hop_s, reference, notch, pool, form = front_end
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


def _arrays(
    pipeline: FeaturePipeline,
    readout: Readout | None,
    source: ReplaySource,
    on_progress: OnProgress,
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
        "population": found.rows[""],
    }
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
    return arrays


def _require_hidden_states(model: EncoderModel | None) -> None:
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
