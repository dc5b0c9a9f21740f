"""What a row of the leaderboard reads of a session: front ends, and encoders behind theirs.

All read causal filters' output for contacts as they are given, and the second after an event. Only
the floor is no causal decoder: as published, it is z-scored by the whole session.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import torch

from rtbrain.build import build_feature_pipeline
from rtbrain.config import Recipe, load_settings, parse_settings
from rtbrain.encoder import (
    ChannelEncoder,
    PopT,
    load_encoder,
    random_encoder,
    trained_folders,
    weights_sha256,
)
from rtbrain.errors import CheckpointError, RecordingError
from rtbrain.learn.fit.features import LinearStft, gather
from rtbrain.learn.leaderboard.film import WINDOW_S
from rtbrain.learn.leaderboard.sessions import BEFORE_S, SFREQ_HZ, Session
from rtbrain.pipeline import cut_at_markers
from rtbrain.types import Chunk, Embedding, Floats, Spectrogram, Window

LINEAR, STFT, FLOOR = "linear bands", "linear STFT", "floor"
_MAINS: tuple[dict[str, Any], ...] = ({"notch": {"mains_hz": 60}}, {"highpass_hz": 0.5})
_CHUNK_SAMPLES = 1024
_SEED = 1000
_ITEMS = 512  # contacts and windows that an encoder reads at once
# Length of the frames, s, their bins, and the distance from one to the next, s.
_FLOOR = ((0.5, range(1, 8), 0.25), (0.125, range(2, 8), 0.0625), (0.0625, range(4, 11), 0.03125))
_CLIP = 20.0


@dataclass(frozen=True, slots=True)
class EncoderRow:
    """An encoder of one channel by the name of its row."""

    name: str
    model: ChannelEncoder
    weights: str  # their SHA-256, or the seed that they were drawn with


def load_rows(encoders: Sequence[str]) -> list[EncoderRow]:
    """Each encoder by folder, or by the name of one that ships, and one of its sizes at random."""
    found: list[EncoderRow] = []
    for text in encoders:
        folder = Path(text)
        if not (folder / "encoder.json").is_file():
            folder, _ = trained_folders(text)
        model = load_encoder(folder)
        if isinstance(model, PopT):
            raise CheckpointError(f"--encoder {text}: expected an encoder of one channel, not PopT")
        name = Path(text).name
        if any(name == one.name for one in found):
            name = f"{name} {len(found) // 2 + 1}"
        random = random_encoder(model.sizes, _SEED)
        found += [
            EncoderRow(name, model, weights_sha256([folder])),
            EncoderRow(f"{name}, random init", random, f"seed {_SEED}"),
        ]
    return found


def session_features(
    session: Session,
    data: Floats,
    encoders: Sequence[EncoderRow],
    on_second: Callable[[], None],
) -> dict[str, Floats]:
    """Features of each event by row: dict of str to float32 [n_events, n_contacts, n_features]."""
    linear = load_settings("linear", Recipe).model_dump(mode="json", exclude_unset=True)
    recipe = _recipe("linear", linear["spectrogram"], BEFORE_S)
    stft = LinearStft(session.participant.montage, length_samples=round(WINDOW_S * SFREQ_HZ))
    raw = {STFT: stft, FLOOR: _floor_frames}
    found = _gathered(session, data, recipe, (), raw, on_second)
    found[FLOOR] = _robust(found[FLOOR])
    for own, group in groupby(encoders, key=lambda row: _encoder_recipe(row.model)):
        found |= _gathered(session, data, own, tuple(group), {}, on_second)
    return found


def n_passes(encoders: Sequence[EncoderRow]) -> int:
    """How often a session is read for its features."""
    return 1 + len([*groupby(encoders, key=lambda row: _encoder_recipe(row.model))])


def _gathered(
    session: Session,
    data: Floats,
    recipe: Recipe,
    rows: Sequence[EncoderRow],
    raw: Mapping[str, Any],
    on_second: Callable[[], None],
) -> dict[str, Floats]:
    pipeline = build_feature_pipeline(recipe, session.participant.montage)
    markers: list[tuple[float, str]] = []

    def due(timeout_s: float) -> list[tuple[float, str]]:
        arrived = markers.copy()
        markers.clear()
        return arrived

    def chunks() -> Iterator[Chunk]:
        n_samples = data.shape[1]
        times = session.film.times_s
        for first in range(0, n_samples, _CHUNK_SAMPLES):
            stamps = np.arange(first, min(first + _CHUNK_SAMPLES, n_samples)) / SFREQ_HZ
            inside = (times >= first / SFREQ_HZ) & (times < (first + _CHUNK_SAMPLES) / SFREQ_HZ)
            markers.extend((float(t_s), "") for t_s in times[inside])
            on_second()
            yield Chunk(data[:, first : first + stamps.size], stamps, first)

    makers: dict[str, Any] = {row.name: _Channels(row, recipe) for row in rows}
    if not rows:
        makers = {LINEAR: pipeline.encoder}
    part = gather(chunks(), cut_at_markers(pipeline, due, recipe.coverage_floor), makers, raw=raw)
    if part.t_stop.size != session.film.times_s.size:
        raise RecordingError(
            f"{session.film.times_s.size} events, but {part.t_stop.size} windows in {recipe.mode}"
        )
    n_contacts = data.shape[0]
    return {name: rows.reshape(len(rows), n_contacts, -1) for name, rows in part.rows.items()}


class _Channels:
    """Spectrograms to the embeddings of an encoder that is not compiled, many at once."""

    def __init__(self, row: EncoderRow, recipe: Recipe) -> None:
        self._encoder = row.model.eval()
        self._n_pooled = recipe.encoder.n_pooled

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of one window."""
        return self.many([item])[0]

    def many(self, items: Sequence[Spectrogram]) -> list[Embedding]:
        """Embedding of each window in turn."""
        frames = torch.from_numpy(np.concatenate([item.data for item in items]))
        with torch.inference_mode():
            parts = [
                self._encoder.embed(part, "last", self._n_pooled)
                for part in torch.split(frames, _ITEMS)
            ]
        flat = torch.cat(parts).numpy()
        channels = flat.reshape(len(items), -1, flat.shape[1])
        return [
            Embedding(one, one.ravel(), item.t_stop, item.t_stop, item.quality)
            for one, item in zip(channels, items, strict=True)
        ]

    def population(self, channels: Floats, good: Any) -> Floats:
        """All channels in a row."""
        return channels.reshape(len(channels), -1)

    def reset(self) -> None:
        """Windows are read one by one."""


def _recipe(mode: str, spectrogram: dict[str, Any], before_s: float, **signal: Any) -> Recipe:
    """Recipe of windows at events, which pools all frames of the second after each."""
    steps = [*_MAINS, *({key: value} for key, value in signal.items())]
    values = {
        "mode": "linear",
        "signal": steps,
        "window": {"mode": "event", "length_s": WINDOW_S + before_s, "offset_s": -before_s},
        "spectrogram": spectrogram,
    }
    recipe = parse_settings(values | {"encoder": {"n_pooled": 1}}, Recipe, where=mode)
    n_pooled = recipe.spectrogram.count_frames(WINDOW_S)
    return parse_settings(values | {"encoder": {"n_pooled": n_pooled}}, Recipe, where=mode)


def _encoder_recipe(model: ChannelEncoder) -> Recipe:
    """What an encoder reads: running spectrograms, or patches, of the second after an event."""
    patch = getattr(model, "patch_frames", 1)
    n_inputs, kind = model.sizes.input_dim, type(model).__name__
    if kind in ("NeuroBERT", "BioFAME"):
        spectrogram = {"form": "patches", "frame_s": n_inputs / 2048}
    else:
        spectrogram = {"form": "running", "n_freqs": n_inputs}
    recipe = _recipe(kind, spectrogram, 0.0, resample_hz=2048)
    whole = recipe.encoder.n_pooled // patch * patch
    values = recipe.model_dump(mode="json", exclude_unset=True)
    return parse_settings(values | {"encoder": {"n_pooled": whole}}, Recipe, where=kind)


def _floor_frames(window: Window) -> Floats:
    """Magnitudes of slow, mid and fast frames whose middles lie in the second after the event.

    Of each contact 4, 16 and 32 frames of 7, 6 and 7 bins: 348 values. The last frames of all three
    end with the window's last sample.

    References
    ----------
    Tang, Spalding, Cogan 2026, MAPA, arXiv:2609.13507 (its front end, here after causal filters).
    """
    parts = []
    for frame_s, bins, hop_s in _FLOOR:
        length, hop = round(frame_s * SFREQ_HZ), round(hop_s * SFREQ_HZ)
        n_frames = round(WINDOW_S / hop_s)
        frames = np.lib.stride_tricks.sliding_window_view(window.data, length, axis=1)
        taper = np.sin(np.pi * np.arange(length) / length).astype(np.float32) ** 2
        newest = frames[:, ::-1][:, ::hop][:, :n_frames][:, ::-1]
        values = np.abs(scipy.fft.rfft(newest * taper, axis=-1)[..., bins.start : bins.stop])
        parts.append(values.reshape(len(values), -1))
    return np.concatenate(parts, axis=1).astype(np.float32).reshape(-1)


def _robust(values: Floats) -> Floats:
    """Z-scores of each contact's bins by median and MAD over the session, limited."""
    out = np.empty_like(values)
    start = 0
    for _, bins, hop_s in _FLOOR:
        n_frames, n_bins = round(WINDOW_S / hop_s), len(bins)
        part = slice(start, start + n_frames * n_bins)
        start = part.stop
        grid = values[..., part].reshape(*values.shape[:2], n_frames, n_bins)
        middle = np.median(grid, axis=(0, 2), keepdims=True)
        spread = 1.4826 * np.median(np.abs(grid - middle), axis=(0, 2), keepdims=True)
        scores = np.clip((grid - middle) / np.maximum(spread, 1e-6), -_CLIP, _CLIP)
        out[..., part] = scores.reshape(*values.shape[:2], -1)
    return out
