"""How long a step of a decoder takes here, measured on made-up windows without a live stream."""

import dataclasses
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from rtbrain.config import Recipe
from rtbrain.encoder import on_threads
from rtbrain.pipeline import FeaturePipeline
from rtbrain.stage import Stage
from rtbrain.types import Decode, Embedding, Floats, Montage, Quality, Window, to_samples

# Long enough for a median, short enough for a start at the bedside.
_MAX_STEPS = 15
_LONGEST_S = 1.0
_STEP_UV = 3.0
PRECISIONS = ("fp32", "bf16", "int8")
# Large enough to leave the cores no excuse, small enough for their caches.
_N = 1024
_PEAK_S = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """How long one call takes: the median and the 99th percentile of `repeats` calls."""

    median_ms: float
    p99_ms: float
    repeats: int


def measure(function: Callable[[], object], *, repeats: int, warmup: int) -> Timing:
    """Time single calls after `warmup` others, with the garbage collector held back."""
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}: nothing would be measured")
    for _ in range(warmup):
        function()
    durations_ms = np.empty(repeats)
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for repeat in range(repeats):
            start_ns = time.perf_counter_ns()
            function()
            durations_ms[repeat] = (time.perf_counter_ns() - start_ns) / 1e6
    finally:
        if was_enabled:
            gc.enable()
    median_ms, p99_ms = np.percentile(durations_ms, (50, 99))
    return Timing(float(median_ms), float(p99_ms), repeats)


@dataclass(frozen=True, slots=True)
class StepTiming:
    """How long a step takes here: spectrogram, encoder and readout of a window."""

    step_s: float
    hop_s: float | None
    n_steps: int


def measure_step(
    features: FeaturePipeline, readout: Stage[Embedding, Decode], recipe: Recipe
) -> StepTiming:
    """Measure steps on a random walk in windows of the decoder's own shape.

    The first window is not counted, since it costs more where a stage keeps what it has seen; but
    if it took longer than the window lasts, it ends the measurement. Afterwards the stages are as
    new.
    """
    montage = features.signal.montage
    durations_s: list[float] = []
    began_s = time.perf_counter()
    try:
        for window in random_walk_windows(montage, recipe, _MAX_STEPS + 1):
            start_s = time.perf_counter()
            readout(features.encode(window))
            durations_s.append(time.perf_counter() - start_s)
            if durations_s[0] > recipe.window.length_s:
                break
            if len(durations_s) > 1 and time.perf_counter() - began_s > _LONGEST_S:
                break
    finally:
        for stage in (features.spectrogram, features.encoder, readout):
            stage.reset()
    counted = sorted(durations_s[1:] or durations_s)
    return StepTiming(counted[len(counted) // 2], recipe.window.hop_s, len(counted))


def random_walk_windows(montage: Montage, recipe: Recipe, n_windows: int) -> Iterator[Window]:
    """Windows of a random walk, of the recipe's length and hop, with every channel good.

    Event windows follow each other without overlap.
    """
    length = to_samples(recipe.window.length_s, montage.sfreq_hz)
    hop = to_samples(recipe.window.hop_s or recipe.window.length_s, montage.sfreq_hz)
    rng = np.random.default_rng(0)

    def walk(n_samples: int) -> Floats:
        return rng.normal(0, _STEP_UV, (montage.n_channels, n_samples)).astype(np.float32)

    quality = Quality(np.ones(montage.n_channels, np.bool_))
    data = np.cumsum(walk(length), axis=1, dtype=np.float32)
    for number in range(n_windows):
        first = number * hop
        yield Window(data, (first + length) / montage.sfreq_hz, first, quality)
        steps = np.concatenate((data[:, -1:], walk(hop)), axis=1)
        newer = np.cumsum(steps, axis=1, dtype=np.float32)[:, 1:]
        data = np.concatenate((data, newer), axis=1)[:, -length:]


def measure_peak_flops(precision: str, *, threads: int) -> float:
    """Best rate of torch's ways to multiply two matrices of 1024 x 1024, operations per second.

    `precision` is ``fp32``, ``bf16``, or ``int8`` with sums of 32 bits; each multiply and add are
    two operations. On CPUs torch multiplies float32 by MKL, which is at half the speed of oneDNN
    on those of another maker than its own: both are tried, and the better counts.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    with on_threads(threads), torch.inference_mode():
        fastest_s = min(_fastest_s(product) for product in _products(precision))
    return 2 * _N**3 / fastest_s


def _products(precision: str) -> list[Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    if precision == "int8":
        a, b = (
            torch.randint(-127, 128, (_N, _N), dtype=torch.int8, generator=generator)
            for _ in range(2)
        )
        return [lambda: torch._int_mm(a, b)]
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    x, y = (torch.randn(_N, _N, generator=generator).to(dtype) for _ in range(2))
    products: list[Callable[[], object]] = [lambda: x @ y.T]
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        packed = torch.ops.mkldnn._reorder_linear_weight(y, _N)  # as of a linear map: transposed
        products.append(lambda: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], ""))
    return products


def _fastest_s(product: Callable[[], object]) -> float:
    """Shortest call of a while: other work slows a call, and nothing makes one faster."""
    fastest_s = measure(product, repeats=1, warmup=1).median_ms / 1e3
    end_s = time.perf_counter() + _PEAK_S
    while time.perf_counter() < end_s:
        fastest_s = min(fastest_s, measure(product, repeats=1, warmup=0).median_ms / 1e3)
    return fastest_s
