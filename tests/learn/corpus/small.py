"""A small front end and small recordings, which become a corpus within a second."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rtbrain.build import build_feature_pipeline
from rtbrain.config import Recipe, SourceSettings, parse_settings
from rtbrain.learn.corpus.build import build_corpus
from rtbrain.learn.corpus.corpus import CorpusManifest
from rtbrain.learn.corpus.sources import CorpusSource
from rtbrain.learn.corpus.writer import CorpusWriter
from rtbrain.recording.recording import Event, Recording
from rtbrain.terminal import no_progress
from rtbrain.types import Floats
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 512.0
RECIPE = {
    "mode": "linear",
    "signal": [{"pick": {"kinds": ["seeg", "eeg"]}}, {"quality": {}}, {"highpass_hz": 0.5}],
    "window": {"length_s": 2.0, "hop_s": 0.5},
    "spectrogram": {
        "form": "running",
        "frame_s": 0.25,
        "frame_hop_s": 0.0625,
        "n_freqs": 20,
        "time_constant_s": 10.0,
    },
}


def recording_of(data: Floats, sfreq_hz: float = SFREQ_HZ, **values: object) -> Recording:
    recording = Recording(
        montage_of(len(data), sfreq_hz),
        data.shape[1],
        lambda start, stop: data[:, start:stop].copy(),
        events=(Event(1.0, 0.5, "speech"),),
    )
    return replace(recording, **values)


def brain(duration_s: float = 8.0, seed: int = 0, n_channels: int = 8) -> Floats:
    return brain_like(n_channels, round(duration_s * SFREQ_HZ), SFREQ_HZ, seed)


def source_of(recording: Recording, name: str = "a.vhdr", **values: object) -> CorpusSource:
    return CorpusSource(name, lambda: recording, SourceSettings(recording=name, **values))


def recipe_of(**changes: object) -> Recipe:
    return parse_settings(RECIPE | changes, Recipe, where="test")


def front_end(montage, on_event, recipe: Recipe | None = None):
    return build_feature_pipeline(
        recipe or recipe_of(), montage, on_event=on_event, whole_windows=True
    )


def header_of(**values: object) -> CorpusManifest:
    made = {
        "form": "spectrogram",
        "dtype": "float32",
        "hop_s": 0.5,
        "recipe": RECIPE,
        "settings": {},
        "settings_sha256": "a",
    }
    return CorpusManifest(**made | values)


def build(
    folder: Path, sources: Sequence[CorpusSource], make=front_end, **values: object
) -> CorpusManifest:
    writer = CorpusWriter(folder, header_of(**values))
    build_corpus(writer, sources, make, no_progress)
    return writer.manifest


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def why_of(manifest: CorpusManifest, source: str) -> dict[str, str]:
    return {one.what: one.why for one in manifest.left_out if one.source == source}


def dead(data: Floats, row: int) -> Floats:
    flat = data.copy()
    flat[row] = np.float32(3.0)
    return flat
