"""One pass over a recording for several front ends: the filters that they share run once."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import takewhile
from queue import Full, Queue
from threading import Lock
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rtbrain.build import hop_samples
from rtbrain.config import Recipe, SignalStep, parse_settings
from rtbrain.errors import MontageError
from rtbrain.learn.fit.features import FeatureRows, gather
from rtbrain.learn.fit.front_end.names import FRAME_HOP_S, FrontEnd, referenced_steps
from rtbrain.learn.fit.front_end.spectra import SharedSpectra
from rtbrain.pipeline import FeaturePipeline, cut_at_markers
from rtbrain.signal import Chain, build_signal
from rtbrain.signal.chain import AnyStage
from rtbrain.stream.clock.drift_correction import DriftCorrection
from rtbrain.types import Chunk, Floats, Montage, Times

Markers = Callable[[float], list[tuple[float, str]]]
Job = Callable[[Iterator[Chunk], Markers], Any]
_AHEAD = 8  # chunks that wait for a job
_WAIT_S = 0.2
# Frames of `linear` in v0.1.0, and from the first to the last that it averaged, s.
_OLD_FRAME_S, _OLD_SPAN_S, _OLD_FREQS = 400 / 2048, 9 * 50 / 2048, 40


class SharedPass:
    """Pipelines of some recipes as jobs of one pass, by their signal steps.

    The steps that all begin with run once, and so do those of the jobs that are alike, to their end
    or up to their references. Filters that follow one another run in one pass, and are not parted.
    """

    def __init__(self, montage: Montage, steps: Sequence[Sequence[SignalStep]]) -> None:
        before = [
            tuple(each if list(map(list, steps)).count(list(each)) > 1 else _before(each))
            for each in steps
        ]
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

    def find(self, kind: type[AnyStage], number: int) -> AnyStage | None:
        """First stage of a kind that the chunks of a pipeline go through; None where none is."""
        chains = filter(None, (self._first, self._next[number], self._rest[number]))
        return next(filter(None, (chain.find(kind) for chain in chains)), None)

    def run(self, chunks: Iterable[Chunk], markers: Markers, jobs: Sequence[Job]) -> list[Any]:
        """Results of jobs that each take all chunks, and the markers that came with them."""
        for stage in {self._first, *filter(None, self._next)}:
            stage.reset()
        queues: list[Queue[Any]] = [Queue(_AHEAD) for _ in jobs]
        turn = Lock()
        # Threads of their own: those of BLAS would wait for each other.
        with threadpool_limits(1), ThreadPoolExecutor(len(jobs), "front end") as pool:
            futures = [
                pool.submit(_follow, job, queue, turn)
                for job, queue in zip(jobs, queues, strict=True)
            ]
            pairs = list(zip(queues, futures, strict=True))
            try:
                for chunk in chunks:
                    for t, text in (new := markers(0.0)):
                        for chain in {self._first, *filter(None, self._next)}:
                            chain.mark(t, text)
                    ready = self._first(chunk)
                    made = {stage: stage(ready) for stage in set(filter(None, self._next))}
                    items = [(made[own] if own else ready, new) for own in self._next]
                    if not all(map(_put, queues, items, futures)):
                        break
            finally:
                for queue, future in pairs:
                    _put(queue, None, future)
            return [future.result() for future in futures]


def _before(steps: Sequence[SignalStep]) -> Iterator[SignalStep]:
    """Steps up to the references."""
    return takewhile(lambda step: step.reference is None and step.resample_hz is None, steps)


def _is_filter(step: SignalStep) -> bool:
    return step.notch is not None or step.highpass_hz is not None


def _follow(job: Job, queue: "Queue[Any]", turn: Lock) -> Any:
    """Result of a job, which works on what is there while it has its turn.

    So one thread filters and one other works: more wait for the lock of the interpreter, which took
    a fifth of a pass.
    """
    arrived: list[tuple[float, str]] = []

    def chunks() -> Generator[Chunk, None, None]:
        while True:
            item = queue.get()
            with turn:
                while item is not None:
                    chunk, new = item
                    arrived.extend(new)
                    yield chunk
                    if queue.empty():
                        break
                    item = queue.get()
                else:
                    return

    def markers(timeout_s: float) -> list[tuple[float, str]]:
        new = arrived.copy()
        arrived.clear()
        return new

    with closing(chunks()) as given:  # the turn of a job that fails ends too
        return job(given, markers)


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


def old_recipe(recipe: Recipe, montage: Montage) -> Recipe:
    """`linear` of v0.1.0 on the windows and filters of a linear recipe.

    A running STFT without logarithms, whose frames of the newest 0.41 s, or of all of a window at
    an event, are averaged; a Laplacian where labels allow one. Frames are 31 ms apart, or as near
    as the hop allows; in v0.1.0 they were 24 ms apart.
    """
    values = recipe.model_dump(mode="json", exclude_unset=True)
    steps = [
        {"notch": step["published_laplacian"]} if "published_laplacian" in step else step
        for step in values.get("signal", [])
    ]
    rates = [step.resample_hz for step in recipe.signal if step.resample_hz]
    sfreq_hz = rates[-1] if rates else montage.sfreq_hz
    length = round(recipe.window.length_s * sfreq_hz)
    frame, apart = (max(2, round(s * sfreq_hz)) for s in (_OLD_FRAME_S, FRAME_HOP_S))
    frame = min(frame, length)
    n_pooled = n_frames = (length - frame) // min(apart, frame) + 1
    if recipe.window.hop_s is not None:
        hop = hop_samples(recipe, sfreq_hz)
        apart = next(n for n in range(min(apart, frame, hop), 0, -1) if hop % n == 0)
        values["window"]["hop_s"] = hop / sfreq_hz
        n_frames = (length - frame) // apart + 1
        n_pooled = min(n_frames, round(_OLD_SPAN_S * sfreq_hz / apart) + 1)
    values["spectrogram"] = {
        "form": "running",
        "frame_s": frame / sfreq_hz,
        "frame_hop_s": min(apart, frame) / sfreq_hz,
        "n_freqs": min(_OLD_FREQS, frame // 2 + 1),
    }
    values["encoder"] = {"pool": "last", "n_pooled": n_pooled}
    for reference in ("laplacian", "as_given"):
        values["signal"] = referenced_steps(steps, reference)
        found = parse_settings(values, Recipe, where="linear of v0.1.0")
        try:
            build_signal(found.signal, montage)
        except MontageError:
            continue
        break
    return found


def wide_recipe(recipe: Recipe, front_ends: Sequence[FrontEnd]) -> Recipe:
    """The recipe with sliding windows that are long enough for all front ends."""
    if recipe.window.hop_s is None:
        return recipe
    length_s = max(one.recipe(recipe).window.length_s for one in front_ends)
    window = recipe.window.model_copy(update={"length_s": length_s})
    return recipe.model_copy(update={"window": window})
