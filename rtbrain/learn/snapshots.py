"""What drift is calibrated on: recordings that are played, or the frames that a fit kept."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import drift_input
from rtbrain.config import LabelSettings, Recipe
from rtbrain.decoder import Bundle
from rtbrain.decoder.drift_input import DriftInput, Measured, Snapshot
from rtbrain.learn.fit.features import EncodesMany, windows_of
from rtbrain.learn.fit.front_end.passes import Job, Markers
from rtbrain.learn.fit.inputs import LONG_CHUNK_S, chunks_of, virtual_session
from rtbrain.live.play import bind_session, decoder_for
from rtbrain.pipeline import FeaturePipeline, cut_at_markers
from rtbrain.recording.recording import Recording
from rtbrain.spectrogram import RunningFrames
from rtbrain.stage import Stage
from rtbrain.terminal import OnProgress
from rtbrain.types import Chunk, Embedding, Floats, Montage, Spectrogram, Window

APART_S = 0.5  # between the snapshots that are kept, or more where these are too many
_MOST_BYTES = 2**28
_MOST_FRAME_BYTES = 2**29  # that are kept; of longer recordings they are computed again
_BLOCK_BYTES = 2**26
_BATCH = 8  # windows that are encoded together


def snapshots_of(
    bundle: Bundle,
    recording: Recording,
    labels: LabelSettings | None,
    names: Sequence[str] | None,
    n_recordings: int,
    what: str,
    on_progress: OnProgress,
) -> Iterator[Snapshot]:
    """What the distances are of, of a recording, at most twice a second."""
    pipeline = decoder_for(bundle, recording, live=False)[0]
    inputs = drift_input(pipeline)
    session = virtual_session(recording, labels, bundle.recipe.window, names, LONG_CHUNK_S)
    pipeline = cut_at_markers(pipeline, session.markers, bundle.recipe.coverage_floor)
    chunks = chunks_of(bind_session(bundle, session), recording.n_samples, on_progress, what)
    found = embedded_windows(chunks, pipeline, inputs)
    items = (inputs(window, embedding) for window, embedding in found)
    return _thinned(items, inputs, n_recordings * recording.duration_s)


def _thinned(items: Iterable[Snapshot], inputs: DriftInput, seconds: float) -> Iterator[Snapshot]:
    """Those that are known, at most twice a second, or as many of `seconds` as memory holds."""
    row_bytes = 4 * inputs.n_features + 8 * inputs.channels.size**2
    apart_s, last_s = max(APART_S, seconds * row_bytes / _MOST_BYTES), -math.inf
    for item in items:
        known = np.isfinite(item.features[:1]).all() and item.features.size
        if known and item.t_stop - last_s >= 0.99 * apart_s:
            last_s = item.t_stop
            yield item


def embedded_windows(
    chunks: Iterable[Chunk], pipeline: FeaturePipeline, inputs: DriftInput
) -> Iterator[tuple[Window, Embedding]]:
    """Windows that are due, of their samples those that are read, with their embeddings."""
    batch: list[tuple[Window, Spectrogram | Embedding]] = []
    for window in windows_of(chunks, pipeline):
        if inputs.due(window):
            newest = replace(window, data=window.data[:, -inputs.n_samples :].copy())
            batch.append((newest, pipeline.transform(window)))
            if len(batch) == _BATCH:
                yield from _encoded(batch, pipeline.encoder)
                batch = []
    yield from _encoded(batch, pipeline.encoder)


def _encoded(
    batch: Sequence[tuple[Window, Spectrogram | Embedding]], encoder: Stage[Spectrogram, Embedding]
) -> Iterator[tuple[Window, Embedding]]:
    items = [made for _, made in batch if isinstance(made, Spectrogram)]
    many = encoder.many(items) if isinstance(encoder, EncodesMany) else map(encoder, items)
    found = iter(many)
    for window, made in batch:
        yield window, made if isinstance(made, Embedding) else next(found)


class KeptWindow(NamedTuple):
    """A window that was due, without its samples."""

    window: Window
    frames: Floats | None  # those that are new, as `RunningFrames.measure` gives them
    measured: Measured


def keeps_frames(
    recipe: Recipe, montage: Montage, recordings: Sequence[Recording], names: Sequence[str]
) -> FeaturePipeline | None:
    """Stages whose frames a fit keeps for its drift, so that no recording is played again.

    None where an encoder reads them, where they are too many, and where a contact is masked that
    the recording marks as bad: in a fit it is not.
    """
    masked = any(set(names) & set(one.bad) for one in recordings)
    if recipe.mode != "linear" or recipe.window.hop_s is None or masked:
        return None
    pipeline = build_feature_pipeline(recipe, montage)
    frames = pipeline.spectrogram
    if not isinstance(frames, RunningFrames):
        return None
    n_frames = sum(one.duration_s for one in recordings) / recipe.spectrogram.frame_hop_s
    n_bytes = 4 * n_frames * frames.grid.n_channels * frames.grid.n_freqs
    return pipeline if n_bytes <= _MOST_FRAME_BYTES else None


def frames_job(pipeline: FeaturePipeline, inputs: DriftInput, coverage_floor: float) -> Job:
    """A job that keeps the frames of the windows that are due, before they are normalised."""

    def job(chunks: Iterator[Chunk], markers: Markers) -> list[KeptWindow]:
        blocks = _Blocks()
        cut, frames = cut_at_markers(pipeline, markers, coverage_floor), pipeline.spectrogram
        kept: list[KeptWindow] = []
        for window in windows_of(chunks, cut):
            if isinstance(frames, RunningFrames) and inputs.due(window):
                new = blocks.keep(frames.measure(window)) if window.quality.valid else None
                nothing = np.broadcast_to(np.float32(0), window.data.shape)
                kept.append(KeptWindow(replace(window, data=nothing), new, inputs.measure(window)))
        return kept

    return job


class _Blocks:
    """Frames in large arrays: what is freed of small ones does not return to the system."""

    def __init__(self) -> None:
        self._block: Floats = np.empty((0, 0, 0), np.float32)
        self._n_held = 0

    def keep(self, frames: Floats) -> Floats:
        """Copy of frames [n_channels, n, n_freqs]."""
        n_channels, n, n_freqs = frames.shape
        if self._n_held + n > len(self._block):
            most = max(n, _BLOCK_BYTES // (4 * n_channels * n_freqs))
            self._block, self._n_held = np.empty((most, n_channels, n_freqs), np.float32), 0
        kept = self._block[self._n_held : self._n_held + n].swapaxes(0, 1)
        kept[:] = frames
        self._n_held += n
        return kept


def snapshots_of_frames(
    windows: Sequence[KeptWindow], pipeline: FeaturePipeline, seconds: float
) -> list[Snapshot]:
    """Snapshots of a recording by the frames that were kept of it.

    To the bit those of `snapshots_of`, by a pipeline with the statistics of the bundle and the mean
    of its training features; `seconds` are those of all recordings.
    """
    frames, inputs = pipeline.spectrogram, drift_input(pipeline)

    def items() -> Iterator[Snapshot]:
        for window, new, measured in windows:
            make = None
            if isinstance(frames, RunningFrames) and new is not None:
                make = partial(frames.normalise, magnitudes=new)
            made = pipeline.transform(window, make)
            embedding = made if isinstance(made, Embedding) else pipeline.encoder(made)
            yield inputs.take(window, embedding, measured)

    return list(_thinned(items(), inputs, seconds))
