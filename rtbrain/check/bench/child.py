"""One row of `rtbrain bench encoder` or `pipeline`, in a process of its own.

``python -m rtbrain.check.bench.child JOB`` prints what it measured as a line of JSON.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np
import torch

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import encoder_of_recipe
from rtbrain.check.bench.references import PublishedPipeline, step_flop
from rtbrain.check.bench.steps import PARTS, PUBLISHED_PIPELINE, BenchJob, BenchResult
from rtbrain.config import Recipe, load_settings
from rtbrain.decoder import LinearReadout, Readout
from rtbrain.encoder import (
    BRAINBERT_SIZES,
    POPT_SIZES,
    EncoderModel,
    RuntimeChoice,
    compile_openvino,
)
from rtbrain.errors import RtbrainError
from rtbrain.live.realtime_check import measure, measure_peak_flops
from rtbrain.pipeline import FeaturePipeline
from rtbrain.processes import resident_kib
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Embedding, Montage, Spectrogram

Made = TypeVar("Made")
_SFREQ_HZ = 2048.0
_CALIBRATION_S = 7.0
_CHUNK_S = 0.02
_LONGEST_S = 4.0
_MOST_STEPS, _FEWEST_STEPS, _WARM_UP_STEPS = 100, 3, 3
# Channels whose embeddings are compared with those of the eager encoder, which is slow.
_MOST_COMPARED = 32


def main() -> None:
    """Measure the job on the command line."""
    job = BenchJob(**json.loads(sys.argv[1]))
    try:
        measured = (
            measure_published_pipeline(job) if job.mode == PUBLISHED_PIPELINE else measure_mode(job)
        )
    except RtbrainError as error:
        measured = BenchResult(unavailable=str(error))
    print(json.dumps(asdict(measured)))


def measure_mode(job: BenchJob) -> BenchResult:
    """Steps of a mode, of a synthetic patient's signal, by the stages that decode live."""
    recipe, montage = bench_recipe(job), bench_patient(job.n_channels).montage
    model = encoder_of_recipe(recipe) if job.encoded else None
    idle_kib = resident_kib()
    quantise_s = 0.0
    if model is not None and job.precision == "int8":
        quantise_s = _timed(lambda: _quantise(recipe, montage, model, job))[0]
    compile_s, _ = _timed(lambda: _features(recipe, montage, model, job))
    ready_s, features = _timed(lambda: _features(recipe, montage, model, job))
    durations_ms, first, embedded = _steps(features, job)
    rss_kib = resident_kib()
    flop = _flop(recipe, model, first, int(first.quality.good.sum()))
    difference = lost = None
    if model is not None and len(first.data) <= _MOST_COMPARED:
        difference, lost = _compared(model, first, embedded)
    return BenchResult(
        durations_ms=durations_ms,
        hop_s=recipe.window.hop_s or 0.0,
        algorithmic_s=features.neural_delay_s + features.signal_delay_s,
        n_encoded=len(first.data),
        n_good=int(first.quality.good.sum()),
        flop_channels=flop[0],
        flop_population=flop[1],
        peak_flops=measure_peak_flops(job.precision, threads=job.threads),
        peak_fp32_flops=measure_peak_flops("fp32", threads=job.threads),
        compile_s=quantise_s + compile_s,
        ready_s=ready_s,
        rss_mib=rss_kib / 1024,
        idle_rss_mib=idle_kib / 1024,
        difference=difference,
        lost_direction=lost,
    )


def measure_published_pipeline(job: BenchJob) -> BenchResult:
    """The reference: each channel costs the same, so as many as fit in the time stand for all."""
    torch.set_num_threads(job.threads)
    recipe = bench_recipe(replace(job, mode="published"))
    sizes, popt_sizes = BRAINBERT_SIZES["large"], POPT_SIZES["published"]
    way = PublishedPipeline(job.n_channels, sizes, popt_sizes)
    rng = np.random.default_rng(0)
    n_samples = round(recipe.window.length_s * _SFREQ_HZ)
    window = np.cumsum(rng.normal(0, 3, (job.n_channels, n_samples)), axis=1).astype(np.float32)
    spectrogram = way.spectrogram(window)
    some = spectrogram[: min(8, job.n_channels)]
    embedded = way.channels(some)[:1].expand(job.n_channels, -1)
    stft = measure(lambda: way.spectrogram(window), repeats=5, warmup=1)
    each = measure(lambda: way.channels(some), repeats=3, warmup=1)
    joined = measure(lambda: way.population(embedded), repeats=5, warmup=1)
    encoder_ms = each.median_ms * job.n_channels / len(some) + joined.median_ms
    peak = measure_peak_flops("fp32", threads=job.threads)
    shape = (spectrogram.shape[1], recipe.encoder.n_pooled)
    return BenchResult(
        durations_ms=dict(zip(PARTS, ([0.0], [stft.median_ms], [encoder_ms], [0.0]), strict=True)),
        hop_s=recipe.window.hop_s or 0.0,
        algorithmic_s=_features(
            recipe, bench_patient(job.n_channels).montage, None, job
        ).neural_delay_s,
        n_encoded=job.n_channels,
        n_good=job.n_channels,
        flop_channels=step_flop(sizes, None, job.n_channels, *shape, plain=True),
        flop_population=step_flop(None, popt_sizes, job.n_channels, *shape, plain=True),
        peak_flops=peak,
        peak_fp32_flops=peak,
    )


def bench_recipe(job: BenchJob) -> Recipe:
    """Ready-made recipe of a job's mode, changed as the job says."""
    recipe = load_settings(job.mode, Recipe)
    update: dict[str, Any] = {} if job.filtered else {"signal": ()}
    if job.hop_s is not None:
        update["window"] = recipe.window.model_copy(update={"hop_s": job.hop_s})
    return recipe.model_copy(update=update)


def bench_patient(n_channels: int) -> Any:
    """Synthetic patient whose signal is decoded."""
    return Patient(0, n_channels=n_channels, sfreq_hz=_SFREQ_HZ)


def _features(
    recipe: Recipe, montage: Montage, model: EncoderModel | None, job: BenchJob
) -> FeaturePipeline:
    if model is None:
        return build_feature_pipeline(recipe, montage)
    if job.runtime == "none" or job.runtime == "torch":
        raise AssertionError
    return build_feature_pipeline(
        recipe,
        montage,
        model=model,
        runtime=RuntimeChoice(job.runtime, job.precision, job.threads),
    )


def _quantise(recipe: Recipe, montage: Montage, model: EncoderModel, job: BenchJob) -> None:
    """Quantise the encoder by windows of the patient, into the cache of compiled ones."""
    front = _features(recipe, montage, None, job)
    source = SyntheticSource(bench_patient(job.n_channels), duration_s=_CALIBRATION_S)
    windows = []
    while (chunk := source.pull(0.0)) is not None:
        for window in front.cut(chunk):
            if window.quality.valid:
                windows.append(front.spectrogram(window).data)
    n_channels, n_frames, n_freqs = windows[0].shape
    compile_openvino(model, (n_channels, n_frames, n_freqs), precision="int8", calibration=windows)


def _timed(make: Callable[[], Made]) -> tuple[float, Made]:
    start_s = time.perf_counter()
    made = make()
    return time.perf_counter() - start_s, made


def _steps(
    features: FeaturePipeline, job: BenchJob
) -> tuple[dict[str, list[float]], Spectrogram, Embedding]:
    """Time of each part in each step, ms, and what went into the first step and came of it."""
    weight = np.zeros((2, features.n_features), np.float32)
    readout = Readout(LinearReadout(weight, np.zeros(2, np.float32), "classification"))
    source = SyntheticSource(
        bench_patient(job.n_channels), chunk_samples=round(_CHUNK_S * _SFREQ_HZ)
    )
    durations_ms: dict[str, list[float]] = {part: [] for part in PARTS}
    first = None
    front_s = spent_s = 0.0
    gc.collect()
    while True:
        chunk = source.pull(0.0)
        if chunk is None:  # a patient without end
            raise AssertionError
        start_s = time.perf_counter()
        windows = list(features.cut(chunk))
        front_s += time.perf_counter() - start_s
        for window in windows:
            if not window.quality.valid:  # it costs nothing; and the buffer must fill first
                front_s = 0.0
                continue
            at_s = [time.perf_counter()]
            spectrogram = features.spectrogram(window)
            at_s.append(time.perf_counter())
            embedding = features.encoder(spectrogram)
            at_s.append(time.perf_counter())
            readout(embedding)
            at_s.append(time.perf_counter())
            first = first or (spectrogram, embedding)
            for part, seconds in zip(PARTS, (front_s, *np.diff(at_s)), strict=True):
                durations_ms[part].append(1000 * float(seconds))
            front_s = 0.0
            spent_s += at_s[-1] - at_s[0]
            n_steps = len(durations_ms["front"])
            # Hopeless ones are all alike; where stages keep what they saw, the first are not.
            n_warm = _WARM_UP_STEPS if spent_s < _LONGEST_S else 1
            if n_steps >= n_warm + _MOST_STEPS or (
                spent_s > _LONGEST_S and n_steps >= n_warm + _FEWEST_STEPS
            ):
                return {p: all_[n_warm:] for p, all_ in durations_ms.items()}, *first


def _flop(
    recipe: Recipe, model: EncoderModel | None, spectrogram: Spectrogram, n_good: int
) -> tuple[int, int]:
    """Operations of a step: of the channel encoder, and of the Population Transformer."""
    if model is None:
        return 0, 0
    n_frames = spectrogram.data.shape[1]
    if recipe.mode == "streaming":
        n_frames = round((recipe.window.hop_s or 0.0) / recipe.spectrogram.frame_hop_s)
    popt = None if model.popt is None else model.popt.sizes
    shape = (n_good, n_frames, recipe.encoder.n_pooled)
    sizes = model.channel_encoder.sizes
    return step_flop(sizes, None, *shape), step_flop(None, popt, *shape)


def _compared(
    model: EncoderModel, spectrogram: Spectrogram, embedding: Embedding
) -> tuple[float, float]:
    """Largest difference from the eager encoder, and 1 - cos without the mean over channels."""
    good = spectrogram.quality.good
    with torch.inference_mode():
        frames = torch.from_numpy(np.ascontiguousarray(spectrogram.data[good]))
        expected = model.channel_encoder.embed(frames, model.pool, model.n_pooled).numpy()
    got = embedding.channels[good]
    a, b = (each - each.mean(axis=0) for each in (expected, got))
    cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(np.abs(expected - got).max()), float(1 - np.median(cosine))


if __name__ == "__main__":
    main()
