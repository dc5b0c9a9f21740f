"""One row of `rtbrain bench encoder` or `pipeline`, in a process of its own.

``python -m rtbrain.check.bench.child JOB`` prints what it measured as a line of JSON.
Legend: C channels, T frames, F freqs, D features.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import scipy.signal
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import encoder_of_recipe
from rtbrain.check.bench.steps import PARTS, PUBLISHED_PIPELINE, BenchJob, BenchResult
from rtbrain.config import Recipe, load_settings
from rtbrain.decoder import LinearReadout, Readout
from rtbrain.encoder import (
    BRAINBERT_SIZES,
    POPT_SIZES,
    BrainBERTSizes,
    EncoderModel,
    PopT,
    PopTSizes,
    RuntimeChoice,
    StreamingModel,
    compile_openvino,
    measure_peak_flops,
    patch_cycle,
    random_encoder,
)
from rtbrain.errors import RtbrainError
from rtbrain.live.realtime_check import measure
from rtbrain.pipeline import FeaturePipeline
from rtbrain.processes import end_with_parent, resident_kib
from rtbrain.synthetic.patient import Patient
from rtbrain.synthetic.signal import SyntheticSource
from rtbrain.types import Embedding, Floats, Montage, Spectrogram

Made = TypeVar("Made")
# The published spectrogram: frames of 400 samples every 50, the lowest 40 bins, 10 clipped a side.
_FRAME, _FRAME_HOP, _N_FREQS, _CLIP = 400, 50, 40, 10
_N_POOLED = 10
SFREQ_HZ, _MOST_ON_SHAFTS = 2048.0, 256
_CALIBRATION_S = 7.0
_CHUNK_S, _LONGEST_S = 0.02, 4.0
_MOST_STEPS, _FEWEST_STEPS, _WARM_UP_STEPS = 100, 3, 3
# Channels whose embeddings are compared with those of the eager encoder, which is slow.
_MOST_COMPARED = 32


def main() -> None:
    """Measure the job on the command line."""
    end_with_parent()
    job = BenchJob(**json.loads(sys.argv[1]))
    measure_job = measure_published_pipeline if job.mode == PUBLISHED_PIPELINE else measure_mode
    try:
        measured = measure_job(job)
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
    n_good = int(first.quality.good.sum())
    flop = (0, 0) if model is None else _flop(recipe, model, first, n_good)
    difference = lost = None
    if model is not None and len(first.data) <= _MOST_COMPARED:
        difference, lost = _compared(model, first, embedded)
    return BenchResult(
        durations_ms=durations_ms,
        hop_s=recipe.window.hop_s or 0.0,
        algorithmic_s=features.neural_delay_s + features.signal_delay_s,
        n_encoded=len(first.data),
        n_good=n_good,
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
    way = PublishedPipeline(job.n_channels, BRAINBERT_SIZES["large"], POPT_SIZES["published"])
    shape = job.n_channels, round(recipe.window.length_s * SFREQ_HZ)
    window = np.random.default_rng(0).normal(0, 3, shape).cumsum(axis=1).astype(np.float32)
    spectrogram = way.spectrogram(window)
    some = spectrogram[: min(8, job.n_channels)]
    embedded = way.channels(some)[:1].expand(job.n_channels, -1)
    stft = measure(lambda: way.spectrogram(window), repeats=5, warmup=1)
    each = measure(lambda: way.channels(some), repeats=3, warmup=1)
    joined = measure(lambda: way.population(embedded), repeats=5, warmup=1)
    encoder_ms = each.median_ms * job.n_channels / len(some) + joined.median_ms
    peak = measure_peak_flops("fp32", threads=job.threads)
    flop = way.flop(spectrogram)
    montage = bench_patient(job.n_channels).montage
    return BenchResult(
        durations_ms=dict(zip(PARTS, ([0.0], [stft.median_ms], [encoder_ms], [0.0]), strict=True)),
        hop_s=recipe.window.hop_s or 0.0,
        algorithmic_s=build_feature_pipeline(recipe, montage).neural_delay_s,
        n_encoded=job.n_channels,
        n_good=job.n_channels,
        flop_channels=flop[0],
        flop_population=flop[1],
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


def bench_patient(n_channels: int) -> Patient:
    """Synthetic patient whose signal is decoded."""
    electrodes = "shafts" if n_channels <= _MOST_ON_SHAFTS else "grids"
    return Patient(0, n_channels=n_channels, electrodes=electrodes, sfreq_hz=SFREQ_HZ)


def _features(
    recipe: Recipe, montage: Montage, model: EncoderModel | None, job: BenchJob
) -> FeaturePipeline:
    if model is None:
        return build_feature_pipeline(recipe, montage)
    if job.runtime == "none" or job.runtime == "torch":
        raise AssertionError
    runtime = RuntimeChoice(job.runtime, job.precision, job.threads)
    return build_feature_pipeline(recipe, montage, model=model, runtime=runtime)


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
    patient = bench_patient(job.n_channels)
    source = SyntheticSource(patient, chunk_samples=round(_CHUNK_S * SFREQ_HZ))
    durations_ms: dict[str, list[float]] = {part: [] for part in PARTS}
    first, front_s, spent_s = None, 0.0, 0.0
    gc.collect()
    for chunk in iter(partial(source.pull, 0.0), None):
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
    raise AssertionError("a patient without end has ended")


def _flop(
    recipe: Recipe, model: EncoderModel, spectrogram: Spectrogram, n_good: int
) -> tuple[int, int]:
    """Operations of a step: of the channel encoder, and of the Population Transformer."""
    frames = torch.from_numpy(spectrogram.data[:1])
    if recipe.mode == "streaming":
        hop_frames = round((recipe.window.hop_s or 0.0) / recipe.spectrogram.frame_hop_s)
        live = StreamingModel(model, patch_cycle(model, hop_frames))
        state, known = live.new_state(1), torch.ones(1, dtype=torch.bool)
        each = count_flop(lambda: live.advance(frames[:, : live.hop_frames], known, state))
    else:
        each = count_flop(lambda: model.channel_encoder.embed(frames, model.pool, model.n_pooled))
    return n_good * each, 0 if model.popt is None else population_flop(model.popt, n_good)


def population_flop(popt: PopT, n_channels: int) -> int:
    """Operations of a Population Transformer for one step."""
    embedding = torch.zeros(1, n_channels, popt.sizes.input_dim)
    positions = torch.zeros(1, n_channels, 3, dtype=torch.int64)
    good = torch.ones(1, n_channels, dtype=torch.bool)
    return count_flop(lambda: popt.population(embedding, positions, good))


def count_flop(function: Callable[[], object]) -> int:
    """Operations of the matrix products of a call; all others are a share of a percent."""
    counter = FlopCounterMode(display=False)
    # The fused kernel of CPUs is not among those that torch counts; what it computes is the same.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        function()
    return counter.get_total_flops()


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


class PublishedPipeline:
    """Window of all channels to the population's embedding, with random weights.

    Each window anew: ``scipy.signal.stft``, z-scores, torch's own transformers over every frame of
    every channel, then over every channel.

    References
    ----------
    Wang et al. 2023, arXiv:2302.14367. Chau et al. 2025, arXiv:2406.03044.
    """

    def __init__(self, n_channels: int, sizes: BrainBERTSizes, popt_sizes: PopTSizes) -> None:
        self._brainbert, self._popt = random_encoder(sizes, 0), random_encoder(popt_sizes, 1)
        self._frames = torch_builtin(
            sizes.hidden_dim, sizes.nhead, sizes.layer_dim_feedforward, self._brainbert.transformer
        )
        self._channels = torch_builtin(
            popt_sizes.hidden_dim,
            popt_sizes.n_head,
            popt_sizes.layer_dim_feedforward,
            self._popt.transformer_encoder,
        )
        generator = torch.Generator().manual_seed(0)
        positions = torch.randint(50, 200, (1, n_channels, 3), generator=generator)
        self._index = nn.functional.pad(positions, (0, 1, 1, 0))  # CLS is at 0, and so is each seq

    def spectrogram(self, window: Floats) -> Tensor:
        """Z-scores of a window."""
        _, _, bins = scipy.signal.stft(window, nperseg=_FRAME, noverlap=_FRAME - _FRAME_HOP)
        magnitude = np.abs(bins[:, :_N_FREQS])  # [C, F, T]
        deviation = magnitude.std(axis=2, keepdims=True)
        deviation[deviation == 0] = 1
        z = (magnitude - magnitude.mean(axis=2, keepdims=True)) / deviation
        kept = z[:, :, _CLIP:-_CLIP].transpose(0, 2, 1)
        return torch.from_numpy(np.ascontiguousarray(kept, np.float32))

    @torch.inference_mode()
    def channels(self, spectrogram: Tensor) -> Tensor:
        """Embedding of each channel: [C, T, F] to [C, D]."""
        hidden = self._frames(self._brainbert.input_encoding(spectrogram))
        middle = hidden.shape[1] // 2
        pooled: Tensor = hidden[:, middle - _N_POOLED // 2 : middle + _N_POOLED // 2].mean(1)
        return pooled

    @torch.inference_mode()
    def population(self, channels: Tensor) -> Tensor:
        """Embedding of the population: [C, D] to [P]."""
        tokens = torch.cat((torch.ones(1, 1, channels.shape[1]), channels[None]), 1)
        hidden = self._channels(self._popt.input_encoding(tokens, self._index))
        cls: Tensor = hidden[0, 0]
        return cls

    def flop(self, spectrogram: Tensor) -> tuple[int, int]:
        """Operations for one window: of the channel encoder, and of the Population Transformer."""
        brainbert, popt, n_channels = self._brainbert, self._popt, len(spectrogram)
        tokens = torch.zeros(1, 1 + n_channels, popt.sizes.input_dim)
        each = count_flop(lambda: brainbert.transformer(brainbert.input_encoding(spectrogram[:1])))
        joined = count_flop(
            lambda: popt.transformer_encoder(popt.input_encoding(tokens, self._index))
        )
        return n_channels * each, joined


def torch_builtin(
    n_features: int, n_heads: int, n_feedforward: int, stack: nn.Module
) -> nn.TransformerEncoder:
    """Torch's own transformer with the weights of ours, in eval mode."""
    layer = nn.TransformerEncoderLayer(
        n_features, n_heads, n_feedforward, activation="gelu", batch_first=True
    )
    weights = stack.state_dict()
    n_layers = sum(name.endswith("norm2.bias") for name in weights)
    encoder = nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
    encoder.load_state_dict(weights)
    return encoder.eval()


if __name__ == "__main__":
    main()
