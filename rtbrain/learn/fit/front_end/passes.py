"""One pass over a recording for several front ends: the filters that they share run once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import takewhile
from queue import Full, Queue
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rtbrain.build import build_feature_pipeline, cut_at_markers
from rtbrain.config import Recipe, SignalStep, parse_settings
from rtbrain.encoder import FrameMean
from rtbrain.errors import MontageError
from rtbrain.learn.fit.features import FeatureRows, gather
from rtbrain.learn.fit.front_end.names import FrontEnd, referenced_steps
from rtbrain.learn.fit.front_end.spectra import SharedSpectra
from rtbrain.pipeline import FeaturePipeline
from rtbrain.signal import Chain, build_signal
from rtbrain.spectrogram import RunningStft
from rtbrain.spectrogram.frames import FrameGrid
from rtbrain.stream.clock.drift_correction import DriftCorrection
from rtbrain.types import Chunk, Floats, Montage, Spectrogram, Times, Window, to_samples

Markers = Callable[[float], list[tuple[float, str]]]
Job = Callable[[Iterator[Chunk], Markers], Any]
_AHEAD = 8  # chunks that wait for a job
_WAIT_S = 0.2
# Frames of `linear` in v0.1.0, s, and how many it averaged.
_OLD_FRAME_S, _OLD_HOP_S, _OLD_POOLED, _OLD_FREQS = 400 / 2048, 50 / 2048, 10, 40


class SharedPass:
    """Pipelines of some recipes as jobs of one pass, by their signal steps.

    The steps that all begin with run once, and so do those of the jobs that are alike up to their
    references. Filters that follow one another run in one pass, and are not parted.
    """

    def __init__(self, montage: Montage, steps: Sequence[Sequence[SignalStep]]) -> None:
        before = [tuple(takewhile(_before_references, each)) for each in steps]
        n = len(list(takewhile(lambda same: len(set(same)) == 1, zip(*before, strict=False))))
        while n and any(_is_filter(each[n]) for each in before if len(each) > n):
            if not _is_filter(before[0][n - 1]):
                break
            n -= 1
        first = build_signal(before[0][:n], montage)
        self._first = Chain(montage, [DriftCorrection(montage, None), first])
        several = {own for own in before if before.count(own) > 1}
        shared = {own: build_signal(own[n:], first.montage) for own in several}
        self._next = [shared.get(own) for own in before]
        self._rest = [
            build_signal(each[n:] if own is None else each[len(of) :], (own or first).montage)
            for each, of, own in zip(steps, before, self._next, strict=True)
        ]

    def within(self, pipeline: FeaturePipeline, number: int) -> FeaturePipeline:
        """A pipeline whose chunks have been through the shared steps."""
        return replace(pipeline, signal=self._rest[number])

    def run(self, chunks: Iterable[Chunk], markers: Markers, jobs: Sequence[Job]) -> list[Any]:
        """Results of jobs that each take all chunks, and the markers that came with them."""
        for stage in {self._first, *filter(None, self._next)}:
            stage.reset()
        queues: list[Queue[Any]] = [Queue(_AHEAD) for _ in jobs]
        # Threads of their own: those of BLAS would wait for each other.
        with threadpool_limits(1), ThreadPoolExecutor(len(jobs), "front end") as pool:
            futures = [
                pool.submit(_follow, job, queue) for job, queue in zip(jobs, queues, strict=True)
            ]
            pairs = list(zip(queues, futures, strict=True))
            try:
                for chunk in chunks:
                    ready, new = self._first(chunk), markers(0.0)
                    made = {stage: stage(ready) for stage in set(filter(None, self._next))}
                    items = [(made[own] if own else ready, new) for own in self._next]
                    if not all(map(_put, queues, items, futures)):
                        break
            finally:
                for queue, future in pairs:
                    _put(queue, None, future)
            return [future.result() for future in futures]


def _before_references(step: SignalStep) -> bool:
    return step.reference is None and step.resample_hz is None


def _is_filter(step: SignalStep) -> bool:
    return step.notch is not None or step.highpass_hz is not None


def _follow(job: Job, queue: "Queue[Any]") -> Any:
    arrived: list[tuple[float, str]] = []

    def chunks() -> Iterator[Chunk]:
        while (item := queue.get()) is not None:
            chunk, new = item
            arrived.extend(new)
            yield chunk

    def markers(timeout_s: float) -> list[tuple[float, str]]:
        new = arrived.copy()
        arrived.clear()
        return new

    return job(chunks(), markers)


def _put(queue: "Queue[Any]", item: Any, future: "Future[Any]") -> bool:
    """Whether a job took an item; one that has failed does not."""
    while not future.done():
        try:
            queue.put(item, timeout=_WAIT_S)
        except Full:
            continue
        return True
    return False


def search_job(
    pipeline: FeaturePipeline, spectra: SharedSpectra, every: int, coverage_floor: float
) -> Job:
    """A job that adds every `every`-th valid window to the spectra, and gives when each ends."""

    def job(chunks: Iterator[Chunk], markers: Markers) -> Times:
        cut = cut_at_markers(pipeline, markers, coverage_floor)
        n_valid, stops = 0, []
        for chunk in chunks:
            for window in cut.cut(chunk):
                if window.quality.valid:
                    if n_valid % every == 0:
                        spectra.add(window)
                        stops.append(window.t_stop)
                    n_valid += 1
        return np.array(stops)

    return job


def rows_job(pipeline: FeaturePipeline, every: int, coverage_floor: float) -> Job:
    """A job that gathers a front end's features; those of bad contacts are NaN."""

    def job(chunks: Iterator[Chunk], markers: Markers) -> FeatureRows:
        cut = cut_at_markers(pipeline, markers, coverage_floor)
        found = gather(chunks, cut, {"": pipeline.encoder}, every=every)
        rows = found.rows[""]
        if rows.size:
            by_contact = rows.reshape(*found.good.shape, -1)
            by_contact[~found.good] = np.nan
        return found

    return job


def at_windows(found: FeatureRows, t_stop: Times, n_features: int) -> Floats:
    """Features of the windows that end then; NaN of those that there are not."""
    out = np.full((t_stop.size, n_features), np.nan, np.float32)
    _, to, of = np.intersect1d(t_stop, found.t_stop, return_indices=True)
    if of.size:
        out[to] = found.rows[""][of]
    return out


def old_steps(recipe: Recipe, montage: Montage) -> tuple[SignalStep, ...]:
    """Signal steps of `linear` in v0.1.0: no high-pass; a Laplacian where labels allow one."""
    values = recipe.model_dump(mode="json", exclude_unset=True)
    steps = []
    for step in values.get("signal", []):
        if "published_laplacian" in step:
            step = {"notch": step["published_laplacian"]}
        if "highpass_hz" not in step:
            steps.append(step)
    for reference in ("laplacian", "as_given"):
        values["signal"] = referenced_steps(steps, reference)
        found = parse_settings(values, Recipe, where="linear of v0.1.0").signal
        try:
            build_signal(found, montage)
        except MontageError:
            continue
        break
    return found


def old_pipeline(recipe: Recipe, montage: Montage) -> FeaturePipeline:
    """The default decoder of v0.1.0 on the windows of a linear recipe.

    A running STFT, without logarithms, averaged over its 10 newest frames, or over all of a window
    at an event.
    """
    pipeline = build_feature_pipeline(recipe, montage, whole_windows=True)
    filtered = pipeline.signal.montage
    length = to_samples(recipe.window.length_s, filtered.sfreq_hz, what="window.length_s")
    frame, hop = (round(s * filtered.sfreq_hz) for s in (_OLD_FRAME_S, _OLD_HOP_S))
    frame = min(frame, length)
    if recipe.window.hop_s is not None:
        # A frame more than is read, so that windows of a fit leave none out between them.
        length = min(length, frame + _OLD_POOLED * hop)
    spectrogram = RunningStft(
        filtered.n_channels,
        length,
        frame_samples=frame,
        hop_samples=max(1, min(hop, frame)),
        n_freqs=min(_OLD_FREQS, frame // 2 + 1),
        time_constant_frames=60.0 / _OLD_HOP_S,
    )
    n_frames = spectrogram.grid.n_frames
    n_pooled = n_frames if recipe.window.hop_s is None else min(_OLD_POOLED, n_frames)
    centre = float(spectrogram.grid.centres_samples[-n_pooled:].mean())
    mean = FrameMean(n_pooled, neural_delay_s=-(centre + 1) / filtered.sfreq_hz)
    n_features = filtered.n_channels * spectrogram.grid.n_freqs
    newest = _Newest(spectrogram, spectrogram.grid, length)
    return replace(pipeline, spectrogram=newest, encoder=mean, n_features=n_features)


@dataclass(frozen=True, slots=True)
class _Newest:
    """A spectrogram of the newest samples of each window."""

    stage: RunningStft
    grid: FrameGrid
    n_samples: int

    def __call__(self, item: Window) -> Spectrogram:
        older = item.data.shape[1] - self.n_samples
        data, first_sample = item.data[:, older:], item.first_sample + older
        return self.stage(replace(item, data=data, first_sample=first_sample))

    def reset(self) -> None:
        self.stage.reset()


def wide_recipe(recipe: Recipe, front_ends: Sequence[FrontEnd]) -> Recipe:
    """The recipe with sliding windows that are long enough for all front ends."""
    if recipe.window.hop_s is None:
        return recipe
    length_s = max(one.recipe(recipe).window.length_s for one in front_ends)
    window = recipe.window.model_copy(update={"length_s": length_s})
    return recipe.model_copy(update={"window": window})
