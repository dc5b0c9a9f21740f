"""Real-time check before going live: whether this machine decodes a bundle in time.

Steps are measured on made-up windows, without a live stream.
"""

import gc
import importlib.util
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rtbrain import encoder as encoders
from rtbrain.build import hop_samples
from rtbrain.config import DecodeSettings, Recipe
from rtbrain.decoder import Readout
from rtbrain.errors import CompiledModelError, SettingsError
from rtbrain.pipeline import FeaturePipeline
from rtbrain.stage import Stage
from rtbrain.types import Decode, Embedding, Floats, Montage, Quality, Window
from rtbrain.units import to_samples

# Largest share of the hop that the median step may take. The rest is for filters and windows,
# samples in, decodes out, and the steps that take longer than the median: beyond it a decoder
# skips windows now and then, and from a whole hop on, always.
MAX_SHARE = 0.8
# Other work slows a measurement, and nothing makes one faster than the decoder is: one that is too
# slow is repeated, unless no busy second can explain it.
_MAX_MEASUREMENTS = 3
_HOPELESS = 4.0
_PAUSE_S = 1.0
# Long enough for a median, short enough for a start at the bedside.
_MAX_STEPS = 15
_LONGEST_S = 1.0
_STEP_UV = 3.0


@dataclass(frozen=True, slots=True)
class StepTiming:
    """How long a step takes here: spectrogram, encoder and readout of a window."""

    step_s: float
    hop_s: float | None
    n_steps: int
    n_turns: int = 1  # stages that take turns, as those of a streaming encoder


def require_realtime(
    decoder: tuple[FeaturePipeline, Readout],
    recipe: Recipe,
    settings: DecodeSettings,
    n_channels: int,
    report: Callable[..., None],
    allow_late: bool,
) -> None:
    """Measure and report a step, and refuse a decoder that would always be late.

    One that is too slow is measured again, a little later, before it is refused.
    """
    pace = _fastest_pace(decoder, recipe)
    report("pace", **timing_fields(pace))
    if keeps_up(pace):
        return
    runtime, precision = _runtime_of(decoder[0])
    running = f"{settings.threads} thread{'s' * (settings.threads > 1)}{runtime}"
    faster = faster_ways(recipe, settings.threads, precision)
    reason = explain_too_slow(pace, recipe, n_channels, running, faster)
    if not allow_late:
        raise SettingsError(
            f"{reason}; if something else kept this machine busy, try again; --allow-late skips "
            "what it cannot decode"
        )
    report("too_slow", reason=reason)


def runtime_choice(settings: DecodeSettings) -> encoders.RuntimeChoice:
    """What runs the encoder, by the settings of a session."""
    compiled = None if settings.bundle is None else encoders.compiled_folder_of(settings.bundle)
    return encoders.RuntimeChoice(
        settings.runtime, settings.precision, settings.threads, compiled_folder=compiled
    )


def _fastest_pace(decoder: tuple[FeaturePipeline, Readout], recipe: Recipe) -> StepTiming:
    """Pace of the first measurement that fits, or the fastest of several."""
    fastest = measure_step(*decoder, recipe)
    for _ in range(_MAX_MEASUREMENTS - 1):
        if keeps_up(fastest) or fastest.step_s > _HOPELESS * (fastest.hop_s or math.inf):
            break
        time.sleep(_PAUSE_S)
        fastest = min(fastest, measure_step(*decoder, recipe), key=lambda pace: pace.step_s)
    return fastest


def _runtime_of(features: FeaturePipeline) -> tuple[str, str]:
    """What runs the encoder, for the message, and at which precision."""
    runtime = getattr(features.encoder, "runtime", None)
    if runtime is None:  # no choice of either
        return "", "fp32"
    return f", {runtime.name} {runtime.precision}", runtime.precision


def faster_ways(recipe: Recipe, threads: int, precision: str) -> list[tuple[str, float]]:
    """Ways to run a decoder faster on this machine, and how many times at best, by its peak."""
    if recipe.mode == "linear":  # threads and precision are the encoder's, and it has none
        return []
    n_cores = os.cpu_count() or 1
    found = [(f"threads: {n_cores}", n_cores / threads)] * (n_cores > threads)
    if recipe.mode not in ("published", "edge") or precision != "fp32":
        return found
    fp32 = encoders.measure_peak_flops("fp32", threads=threads)
    try:
        encoders.require_precision("bf16")
        times = encoders.measure_peak_flops("bf16", threads=threads) / fp32
        found.append(("precision: bf16", times))
    except CompiledModelError:
        pass  # this CPU has no instructions for it
    if importlib.util.find_spec("openvino") is not None:
        times = encoders.measure_peak_flops("int8", threads=threads) / fp32
        found.append(("int8, by rtbrain compile", times))
    return found


def keeps_up(pace: StepTiming) -> bool:
    """Whether a step leaves time; decodes that come with events have no hop to keep."""
    return pace.hop_s is None or pace.step_s <= MAX_SHARE * pace.hop_s


def timing_fields(pace: StepTiming) -> dict[str, object]:
    """Fields of the status stream's event ``pace``."""
    fields: dict[str, object] = {"step_ms": _ms(pace.step_s), "steps": pace.n_steps}
    if pace.hop_s is not None:
        fields |= {"hop_ms": _ms(pace.hop_s), "fits": keeps_up(pace)}
    return fields


def explain_too_slow(
    pace: StepTiming,
    recipe: Recipe,
    n_channels: int,
    running: str,
    faster: Sequence[tuple[str, float]],
) -> str:
    """One line: how late the decoder would be, and what would fit by the measured cost."""
    hop_s = pace.hop_s or math.inf
    over = pace.step_s / (MAX_SHARE * hop_s)
    options = [
        *_fewer_channels(n_channels, over),
        *_longer_hop(recipe, pace),
        *_other_modes(recipe),
        *(setting for setting, times in faster if times >= over),
    ]
    return (
        f"a step of this decoder takes {_ms(pace.step_s):g} ms here ({n_channels} channels, "
        f"{running}), expected at most {MAX_SHARE:.0%} of its hop of {_ms(hop_s):g} ms: "
        f"what would fit: {', or '.join(options) or 'nothing here'}"
    )


def _fewer_channels(n_channels: int, over: float) -> list[str]:
    # Costs grow at least in proportion to channels, but for a part that is the same for any
    # number: hence about.
    n_fit = math.floor(n_channels / over)
    return [f"about {n_fit} channels"] if n_fit else []


def _longer_hop(recipe: Recipe, pace: StepTiming) -> list[str]:
    """The shortest hop that fits, in whole frames; where a longer hop makes no longer step."""
    if recipe.mode == "streaming":  # a whole patch is read at any shorter hop
        hop_s = pace.n_turns * (pace.hop_s or 0.0)
        fits = pace.n_turns > 1 and pace.step_s <= MAX_SHARE * hop_s
        return [f"window.hop_s {hop_s:.12g}"] if fits else []
    patches = recipe.spectrogram.form == "patches"
    unit_s = recipe.spectrogram.frame_s if patches else recipe.spectrogram.frame_hop_s
    hop_s = math.ceil(pace.step_s / MAX_SHARE / unit_s) * unit_s
    # Longer than its window, it would leave signal out.
    return [f"window.hop_s {hop_s:.12g}"] if hop_s <= recipe.window.length_s else []


def _other_modes(recipe: Recipe) -> list[str]:
    if recipe.mode == "linear":
        return []
    return ["mode linear"] if recipe.mode == "streaming" else ["mode streaming", "mode linear"]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


@dataclass(frozen=True, slots=True)
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


def measure_step(
    features: FeaturePipeline, readout: Stage[Embedding, Decode], recipe: Recipe
) -> StepTiming:
    """Measure steps on a random walk in windows of the decoder's own shape.

    The first window of each stage is not counted, since it costs more where a stage keeps what it
    has seen; but if it took longer than the window lasts, it ends the measurement. Afterwards the
    stages are as new.
    """
    montage, n_turns = features.signal.montage, getattr(features.encoder, "n_stages", 1)
    durations_s: list[float] = []
    began_s = time.perf_counter()
    try:
        for window in random_walk_windows(montage, recipe, _MAX_STEPS + n_turns):
            start_s = time.perf_counter()
            readout(features.encode(window))
            durations_s.append(time.perf_counter() - start_s)
            if durations_s[0] > recipe.window.length_s:
                break
            if len(durations_s) > n_turns and time.perf_counter() - began_s > _LONGEST_S:
                break
    finally:
        for stage in (features.spectrogram, features.encoder, readout):
            stage.reset()
    counted = sorted(durations_s[n_turns:] or durations_s)
    return StepTiming(counted[len(counted) // 2], recipe.window.hop_s, len(counted), n_turns)


def random_walk_windows(montage: Montage, recipe: Recipe, n_windows: int) -> Iterator[Window]:
    """Windows of a random walk, of the recipe's length and hop, with every channel good.

    Event windows follow each other without overlap.
    """
    length = to_samples(recipe.window.length_s, montage.sfreq_hz)
    hop = hop_samples(recipe, montage.sfreq_hz)
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
