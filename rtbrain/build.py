"""Settings to pipeline: here all stages meet."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from rtbrain import encoder as encoders
from rtbrain.buffer import EventWindows, Windows
from rtbrain.config import RUNNING, Recipe, require_signal_left
from rtbrain.encoder import FrameMean, RuntimeChoice
from rtbrain.errors import SettingsError
from rtbrain.marks import Mark
from rtbrain.pipeline import FeaturePipeline, Pipeline, PipelineObserver, cut_at_markers
from rtbrain.signal import Chain, build_signal
from rtbrain.spectrogram import (
    Bands,
    FrameStatistics,
    Patches,
    PublishedStft,
    RunningStft,
    Superlet,
)
from rtbrain.spectrogram.frames import require_feasible
from rtbrain.stage import Sink, Source, Stage
from rtbrain.stream.clock.drift_correction import DriftCorrection
from rtbrain.types import Decode, Embedding, Floats, Montage, Spectrogram
from rtbrain.units import to_samples

_ROUND_HZ = (512, 1000, 1024, 2000, 2048)  # rates to propose where a duration does not fit
# In this time notches of 60 Hz and Q 30 fall to a hundredth of a step, and dead contacts are found.
SETTLING_S = 1.0
_DRAIN_HOPS = 0.5  # longest drain of a backlog before a window is decoded


def build_feature_pipeline(
    recipe: Recipe,
    montage: Montage,
    *,
    model: "encoders.EncoderModel | None" = None,
    statistics: FrameStatistics | None = None,
    feature_mean: Floats | None = None,
    on_event: Callable[..., None] | None = None,
    manual_marks: Callable[[], Sequence[Mark]] | None = None,
    runtime: RuntimeChoice = RuntimeChoice(),
    whole_windows: bool = False,
    live: bool = True,
    neural_delay_s: float | None = None,
) -> FeaturePipeline:
    """All stages from chunks to embeddings, for a source of these channels and rate.

    After a gap, windows count as soon as they hold the signal that the recipe reads: in the linear
    mode the pooled frames, in the streaming mode what its encoder needs to warm up.

    Parameters
    ----------
    model : EncoderModel, optional
        Encoder; without it, the mean over frames of the linear mode.
    statistics : RunningStatistics or RobustStatistics, optional
        Initial state of the running normaliser.
    feature_mean : ndarray, float32 [n_features], optional
        Mean of the training features, which replaces bad channels in the linear mode.
    on_event : callable, optional
        Called for contacts that turn bad or good, a stream whose true rate is off, and the
        runtime that was chosen.
    manual_marks : callable, optional
        Gives the marks that an operator made since the last call.
    whole_windows : bool
        After a gap too, wait for a whole window: for training, which may read all of it.
    live : bool
        Otherwise, and for whole windows, a streaming encoder takes many at once, uncompiled.
    neural_delay_s : float, optional
        From what a readout describes to its window's end; by default, from the middle of what the
        pooled frames read.

    Raises
    ------
    SettingsError, MontageError
        A duration does not fit the rate, a streaming encoder has another runtime, or channels or
        positions do not fit.
    """
    steps = build_signal(recipe.signal, montage, on_event, manual_marks)
    signal = Chain(montage, [DriftCorrection(montage, on_event), steps])
    sfreq_hz, n_channels = signal.montage.sfreq_hz, signal.montage.n_channels
    length = _whole(recipe.window.length_s, sfreq_hz, "window.length_s")
    require_feasible(recipe.spectrogram, n_channels, length, sfreq_hz)
    used, n_samples = None, length
    if recipe.spectrogram.form in RUNNING and not whole_windows:
        frame = round(recipe.spectrogram.longest_frame_s * sfreq_hz)
        frame_hop = _frame_hop(recipe, sfreq_hz)
        cycle = -(-hop_samples(recipe, sfreq_hz) // frame_hop)
        if model is not None:
            cycle = encoders.patch_cycle(model, cycle)
        used = recipe.used_frames((length - frame) // frame_hop + 1, cycle)
        n_samples = length if used is None else frame + (used - 1) * frame_hop
    require_signal_left(recipe, n_samples / sfreq_hz)
    windows = _windows(recipe, signal.montage, length, n_samples)
    spectrogram = _spectrogram(recipe, n_channels, length, sfreq_hz, statistics, used)
    pooled = recipe.pooled_frames(spectrogram.grid.n_frames)
    centres, weights = spectrogram.grid.centres_samples[pooled], None
    if (time_constant_s := recipe.encoder.pool_time_constant_s) is not None:
        weights = np.exp((centres - centres[-1]) / (time_constant_s * sfreq_hz))
    if (delay_s := neural_delay_s) is None:  # t_stop stamps the last sample, hence one more
        delay_s = -(float(np.average(centres, weights=weights)) + 1) / sfreq_hz
        delay_s += (0 if model is None else model.delay_frames()) * recipe.spectrogram.frame_hop_s
    encoder: Stage[Spectrogram, Embedding]
    if model is None:
        encoder = FrameMean(
            pooled.stop - pooled.start,
            neural_delay_s=delay_s,
            fill=None if feature_mean is None else feature_mean.reshape(n_channels, -1),
            n_newer_frames=spectrogram.grid.n_frames - pooled.stop,
            weights=weights,
        )
        n_features = n_channels * spectrogram.grid.n_freqs
    else:
        encoders.require_matching_mode(recipe.mode, model)
        n_features = model.n_population_features(n_channels)
        shape = n_channels, spectrogram.grid.n_frames, spectrogram.grid.n_freqs
        live = live and not whole_windows
        encoder = _encoder(recipe, model, signal.montage, shape, delay_s, runtime, on_event, live)
    return FeaturePipeline(
        signal, windows, spectrogram, encoder, delay_s, signal.delay_s, n_features
    )


def _encoder(
    recipe: Recipe,
    model: "encoders.EncoderModel",
    montage: Montage,
    shape: tuple[int, int, int],
    delay_s: float,
    runtime: RuntimeChoice,
    on_event: Callable[..., None] | None,
    live: bool,
) -> Stage[Spectrogram, Embedding]:
    positions = None if model.popt is None else encoders.population_positions(montage)[0]
    if recipe.mode != "streaming" or recipe.window.hop_s is None:
        loaded = encoders.load_runtime(model, shape, positions, runtime, on_event=on_event)
        return encoders.EncoderStage(loaded, neural_delay_s=delay_s)
    require_matching_runtime(recipe.mode, runtime)
    hop, frame_hop = hop_samples(recipe, montage.sfreq_hz), _frame_hop(recipe, montage.sfreq_hz)
    stage = encoders.streaming_stage(
        model,
        shape,
        positions,
        hop_frames=hop // frame_hop,
        hop_samples=hop,
        neural_delay_s=delay_s,
        threads=runtime.threads,
        live=live,
    )
    if on_event is not None:
        on_event("runtime", runtime="torchscript", precision="fp32", note="")
    return stage


def require_matching_runtime(mode: str, choice: RuntimeChoice) -> None:
    """Refuse a runtime or a precision that mode streaming does not have."""
    precision = choice.precision or "fp32"
    if mode == "streaming" and (choice.runtime == "openvino" or precision != "fp32"):
        raise SettingsError(
            f"runtime {choice.runtime}, precision {precision}: mode streaming runs on "
            f"torchscript in fp32 only: leave both out"
        )


def _whole(duration_s: float, sfreq_hz: float, key: str) -> int:
    try:
        return to_samples(duration_s, sfreq_hz, what=key)
    except ValueError as error:
        hz = next((hz for hz in _ROUND_HZ if hz >= sfreq_hz and (duration_s * hz) % 1 < 1e-3), None)
        past = "" if hz is None else f"; or add resample_hz: {hz} to the recipe's signal"
        raise SettingsError(f"{error}{past}") from error


def hop_samples(recipe: Recipe, sfreq_hz: float) -> int:
    """Samples from one sliding window to the next, or of an event window."""
    hop_s, frames = recipe.window.hop_s or recipe.window.length_s, recipe.spectrogram
    if frames.form == "bands" and recipe.window.hop_s is not None:
        n_frames = max(1, round(hop_s / frames.frame_hop_s))
        if abs(n_frames * frames.frame_hop_s - hop_s) > 1e-6:
            raise SettingsError(
                f"window.hop_s of {hop_s:g} s is no multiple of spectrogram.frame_hop_s, "
                f"{frames.frame_hop_s:g} s: the nearest that fits is "
                f"{n_frames * frames.frame_hop_s:.9g} s"
            )
        return n_frames * _frame_hop(recipe, sfreq_hz)
    return _whole(hop_s, sfreq_hz, "window.hop_s")


def _frame_hop(recipe: Recipe, sfreq_hz: float) -> int:
    """Samples from one frame to the next; with form bands rounded, for any rate."""
    frame_hop_s = recipe.spectrogram.frame_hop_s
    if recipe.spectrogram.form == "bands":
        if frame_hop := round(frame_hop_s * sfreq_hz):
            return frame_hop
        raise SettingsError(f"spectrogram.frame_hop_s of {frame_hop_s:g} s is below one sample")
    return _whole(frame_hop_s, sfreq_hz, "spectrogram.frame_hop_s")


def _windows(
    recipe: Recipe, montage: Montage, length_samples: int, used_samples: int
) -> Windows | EventWindows:
    settings, sfreq_hz = recipe.window, montage.sfreq_hz
    max_blanked = 1.0 if recipe.stimulation is None else recipe.stimulation.max_blanked
    if settings.hop_s is None:
        return EventWindows(
            montage,
            length_samples=length_samples,
            offset_samples=_whole(settings.offset_s, sfreq_hz, "window.offset_s"),
            texts=settings.texts,
            max_blanked=max_blanked,
        )
    hop = hop_samples(recipe, sfreq_hz)
    frame_hop = 1  # patches are cut from each window anew
    if recipe.spectrogram.form != "patches":
        frame_hop = _frame_hop(recipe, sfreq_hz)
    if hop % frame_hop:
        nearest = max(1, round(hop / frame_hop)) * frame_hop
        raise SettingsError(
            f"window.hop_s of {settings.hop_s} s is {hop} samples at {sfreq_hz:g} Hz, no "
            f"multiple of the STFT hop of {frame_hop} samples: the nearest that fits is "
            f"{nearest / sfreq_hz:.9g} s"
        )
    return Windows(
        montage,
        length_samples=length_samples,
        hop_samples=hop,
        used_samples=used_samples,
        settling_samples=round(SETTLING_S * sfreq_hz),
        coverage_floor=recipe.coverage_floor,
        max_blanked=max_blanked,
    )


def _spectrogram(
    recipe: Recipe,
    n_channels: int,
    length_samples: int,
    sfreq_hz: float,
    statistics: FrameStatistics | None,
    used_frames: int | None,
) -> PublishedStft | RunningStft | Superlet | Patches | Bands:
    settings = recipe.spectrogram
    if settings.form == "patches":
        patch = _whole(settings.frame_s, sfreq_hz, "spectrogram.frame_s")
        return Patches(n_channels, length_samples, patch_samples=patch)
    frame_hop = _frame_hop(recipe, sfreq_hz)
    if settings.form == "superlet":
        n_freqs = settings.n_freqs
        return Superlet(
            n_channels, length_samples, sfreq_hz, hop_samples=frame_hop, n_freqs=n_freqs
        )
    time_constant_frames = settings.time_constant_s / settings.frame_hop_s
    frozen = settings.frozen and statistics is not None
    if settings.form == "bands":
        return Bands(
            n_channels,
            length_samples,
            sfreq_hz,
            bands=settings.bands,
            hop_samples=frame_hop,
            log=settings.log,
            robust=settings.robust,
            clip=settings.clip,
            time_constant_frames=time_constant_frames,
            used_frames=used_frames,
            statistics=statistics,
            frozen=frozen,
        )
    frame = _whole(settings.frame_s, sfreq_hz, "spectrogram.frame_s")
    shape = {"frame_samples": frame, "hop_samples": frame_hop, "n_freqs": settings.n_freqs}
    if settings.form == "published":
        return PublishedStft(n_channels, length_samples, **shape)
    return RunningStft(
        n_channels,
        length_samples,
        **shape,
        time_constant_frames=time_constant_frames,
        used_frames=used_frames,
        statistics=statistics,
        frozen=frozen,
    )


def build_live(
    decoder: tuple[FeaturePipeline, Stage[Embedding, Decode]],
    source: Source,
    sinks: Sequence[Sink[Decode]],
    observer: PipelineObserver,
    *,
    latest_only: bool,
    coverage_floor: float,
    clock: Callable[[], float],
    markers: Callable[[float], list[tuple[float, str]]] | None = None,
    missed: Callable[[], bool] = lambda: False,
    refusal: Callable[[], str] = lambda: "",
    max_latency_s: float = math.inf,
) -> Pipeline:
    """Pipeline of a live session, or of a recording that is played as one.

    Parameters
    ----------
    decoder : tuple
        From `build_decoder`, for the source's montage.
    latest_only : bool
        After a delay, decode the latest sliding window and skip the others.
    coverage_floor : float
        From the decoder's recipe.
    clock : callable
        The clock of the source's stamps, s.
    markers : callable, optional
        ``markers(timeout_s)`` gives the markers that arrived, as (s, text), for event windows and
        announced stimulation; a SettingsError where windows have none.
    missed : callable
        Whether markers of stimulation may be missing since its last call.
    refusal : callable
        Why the stream as a whole cannot be decoded; else empty.
    max_latency_s : float
        Windows whose last sample arrives later than that are stale: not decoded, and invalid.
    """
    features, readout = decoder
    max_drain_s = math.inf
    if isinstance(features.windows, Windows):
        max_drain_s = _DRAIN_HOPS * features.windows.hop_s
    if isinstance(features.windows, EventWindows):
        if markers is None:
            raise SettingsError(
                "the decoder's windows are cut at markers: set stream.markers to the name of the "
                "marker stream"
            )
        latest_only = False  # each event is decoded once, late or not
    if markers is not None:
        features = cut_at_markers(features, markers, coverage_floor, missed)
    return Pipeline(
        source,
        features,
        readout,
        tuple(sinks),
        clock,
        latest_only,
        observer,
        refusal,
        max_latency_s,
        max_drain_s,
    )
