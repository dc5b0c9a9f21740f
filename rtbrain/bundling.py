"""A fitted decoder to a bundle and back: recipe, weights, and what the normaliser had seen."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from rtbrain import __version__
from rtbrain import encoder as encoders
from rtbrain.buffer import Windows
from rtbrain.build import build_feature_pipeline
from rtbrain.config import EncoderSettings, Recipe
from rtbrain.decoder import Bundle, LinearReadout, Manifest, Memory, Readout, require_matching
from rtbrain.decoder.drift import DriftModel, DriftMonitor
from rtbrain.decoder.drift_input import DriftInput
from rtbrain.encoder import RuntimeChoice
from rtbrain.errors import BundleError, SettingsError
from rtbrain.marks import Mark
from rtbrain.pipeline import FeaturePipeline
from rtbrain.signal import Chain, ChannelQuality, MainsCheck, Pick, build_signal
from rtbrain.spectrogram import (
    Bands,
    FrameStatistics,
    RobustStatistics,
    RunningFrames,
    RunningStatistics,
)
from rtbrain.stage import SignalStage
from rtbrain.types import Doubles, Floats, Montage

# Bundles hold the tensors of a channel encoder, whatever its kind, under this name.
_CHANNEL_ENCODER = "brainbert"


def build_decoder(
    bundle: Bundle,
    montage: Montage,
    *,
    on_event: Callable[..., None] | None = None,
    manual_marks: Callable[[], Sequence[Mark]] | None = None,
    runtime: RuntimeChoice = RuntimeChoice(),
    statistics: FrameStatistics | None = None,
    live: bool = True,
) -> tuple[FeaturePipeline, Readout]:
    """Decoder of a bundle for a stream of these channels, re-bound by label.

    The other arguments are those of `build_feature_pipeline`; the normaliser begins with the
    bundle's statistics where none are given. Raises a StreamError where the stream
    lacks a channel of the bundle, or has another rate.
    """
    require_matching(bundle, montage)
    recipe = bundle.recipe
    features = build_feature_pipeline(
        recipe,
        bundle.montage,
        model=model_of_bundle(bundle),
        statistics=statistics_of_bundle(bundle) if statistics is None else statistics,
        feature_mean=bundle.tensors.get("readout.feature_mean"),
        on_event=on_event,
        manual_marks=manual_marks,
        runtime=replace(runtime, bundle_id=bundle.id),
        live=live,
        neural_delay_s=bundle.manifest.neural_delay_s,
    )
    stages: list[SignalStage] = [Pick(montage, names=bundle.montage.names), features.signal]
    if on_event is not None:
        stages.insert(1, MainsCheck(bundle.montage, recipe.mains_hz, on_event))
    features = replace(features, signal=Chain(montage, stages))
    weights = LinearReadout.from_tensors(bundle.tensors, bundle.manifest.task)
    if weights.weight.shape[1] != features.n_features:
        raise BundleError(
            f"the decoder's readout reads {weights.weight.shape[1]} features, its encoder gives "
            f"{features.n_features}: fit it again"
        )
    if (drift := DriftModel.from_tensors(bundle.part("drift"))) is not None:
        features = replace(features, drift=DriftMonitor(drift_input(features), drift, on_event))
    return features, Readout(weights, smoothing=smoothing_of(recipe, features))


def drift_input(features: FeaturePipeline) -> DriftInput:
    """What the drift of a decoder is judged by, from its own stages."""
    signal = features.signal
    quality = signal.find(ChannelQuality) if isinstance(signal, Chain) else None
    return DriftInput(signal.montage, features.n_features, quality)


def smoothing_of(recipe: Recipe, features: FeaturePipeline) -> float:
    """Weight of the last output in each new one, as `Readout` takes it."""
    if not recipe.smoothing_s or not isinstance(features.windows, Windows):
        return 0.0
    return float(np.exp(-features.windows.hop_s / recipe.smoothing_s))


def decode_delay_s(
    recipe: Recipe, features: FeaturePipeline, contributions: Doubles | None
) -> float:
    """From the moment that decodes describe to their window's end, s.

    It is the centre of what they are made of. Frames of several lengths have several centres: each
    counts by the `contributions` of its features, float64 [n_features]. Smoothing adds the mean age
    of what it averages.
    """
    delay_s, stage = features.neural_delay_s, features.spectrogram
    offsets = stage.grid.offsets_samples if isinstance(stage, Bands) else None
    if offsets is not None and contributions is not None:
        by_bin = contributions.reshape(-1, offsets.size).sum(axis=0)
        offset_samples, group = np.unique(offsets, return_inverse=True)
        weights = np.maximum(np.bincount(group, by_bin), 0)
        if by_bin.sum() > 0:  # otherwise it decodes nothing
            newer_samples = float(weights @ offset_samples / weights.sum())
            delay_s -= newer_samples / features.signal.montage.sfreq_hz
    if smoothing := smoothing_of(recipe, features):
        delay_s += cast(Windows, features.windows).hop_s * smoothing / (1 - smoothing)
    return delay_s


def load_libraries(bundle: Bundle) -> None:
    """Load the libraries that `build_decoder` uses for a bundle, which takes seconds."""
    build_signal(bundle.recipe.signal, bundle.montage)
    if bundle.recipe.mode != "linear":
        model_of_bundle(bundle)


def encoder_of_recipe(recipe: Recipe) -> "encoders.EncoderModel | None":
    """Encoder of the recipe, with trained or seeded random weights; None for the linear mode.

    Raises a CheckpointError where the weights are absent, broken or of another kind, a
    SettingsError where the recipe names none, or there are no sizes of that name.
    """
    if recipe.mode == "linear":
        return None
    settings = recipe.encoder
    channel: encoders.ChannelEncoder
    popt = None
    if settings.weights is None:
        raise SettingsError(
            f"encoder: mode {recipe.mode} names no weights: set encoder.weights to "
            f"{encoders.SHIPPED} or {encoders.SHIPPED_STREAMING}, which ship, to a folder of "
            "trained ones, or to random"
        )
    if settings.trained:
        channel, popt = encoders.load_trained(settings.weights)
        encoders.require_readable(channel, recipe.spectrogram.form, f"weights {settings.weights}")
        popt = None if settings.popt is None else popt
    else:
        channel = encoders.random_encoder(_channel_sizes(settings), settings.seed)
        if settings.popt is not None:
            popt = encoders.random_encoder(_popt_sizes(settings.popt), settings.seed + 1)
    return encoders.EncoderModel(channel, popt, settings.pool, settings.n_pooled)


def describe_encoder(recipe: Recipe) -> str:
    """Which encoder `encoder_of_recipe` gives, as ``trained compact (sha 0123456789ab)``."""
    if recipe.mode == "linear":
        return "none"
    settings = recipe.encoder
    if settings.weights is None or not settings.trained:
        return f"random, seed {settings.seed}"
    folders = [
        folder for folder in encoders.trained_folders(settings.weights) if folder is not None
    ]
    # The name alone: a bundle may be shared, and holds no paths.
    name = Path(settings.weights).resolve().name
    return f"trained {name} (sha {encoders.weights_sha256(folders)[:12]})"


def describe_population(recipe: Recipe, montage: Montage) -> str:
    """How an encoder's channels become a population, in a sentence; empty for the linear mode.

    `montage` is that of the source.
    """
    if recipe.mode == "linear":
        return ""
    if recipe.encoder.popt is None:
        return "no Population Transformer: the readout reads all contacts in a row"
    filtered = build_signal(recipe.signal, montage).montage
    made_up = encoders.population_positions(filtered)[1]
    return made_up or f"the Population Transformer reads positions in {montage.space}"


def _channel_sizes(settings: EncoderSettings) -> "encoders.ChannelSizes":
    kind, sizes = settings.channel_encoder
    return cast("encoders.ChannelSizes", encoders.sizes_of(kind, sizes, key=f"encoder.{kind}"))


def _popt_sizes(sizes: str | dict[str, int]) -> "encoders.PopTSizes":
    return cast("encoders.PopTSizes", encoders.sizes_of("popt", sizes, key="encoder.popt"))


def random_twin(
    model: "encoders.EncoderModel", recipe: Recipe, number: int
) -> "encoders.EncoderModel":
    """A model of the same architecture with random weights, one of several by its number."""
    return encoders.random_control(model, recipe.encoder.seed + 1000 * (number + 1))


def bundle_parts(
    recipe: Recipe,
    model: "encoders.EncoderModel | None",
    features: FeaturePipeline,
    readout: LinearReadout,
    labels: Sequence[str],
    montage: Montage,
    trained_on: str,
    feature_mean: Floats | None = None,
    neural_delay_s: float | None = None,
    memory: Memory | None = None,
) -> tuple[Manifest, dict[str, npt.NDArray[Any]]]:
    """Manifest and arrays of a bundle for a decoder that was just fitted.

    `montage` is that of the source, `feature_mean` float32 [n_features] that of the training,
    `neural_delay_s` as `decode_delay_s` gives it, or None for the middle of the frames, `memory`
    what the readout may be fitted on again.
    """
    trained: Any = "pretrained" if recipe.encoder.trained else "untrained"
    # The bundle holds the weights, and no path.
    update: dict[str, Any] = {} if recipe.encoder.weights is None else {"weights": None}
    if model is not None:  # names of sizes may change; the numbers in a bundle may not
        sizes = model.channel_encoder.sizes
        update[encoders.encoder_kind(sizes)] = asdict(sizes)
        update["popt"] = None if model.popt is None else asdict(model.popt.sizes)
    if update:
        encoder = recipe.encoder.model_copy(update=update)
        recipe = recipe.model_copy(update={"encoder": encoder})
    tensors: dict[str, npt.NDArray[Any]] = dict(readout.as_tensors())
    if model is None and feature_mean is not None:
        tensors["readout.feature_mean"] = feature_mean
    tensors |= {} if memory is None else memory.as_tensors()
    tensors |= normaliser_tensors(features)
    if model is not None:
        tensors |= encoders.encoder_tensors(_CHANNEL_ENCODER, model.channel_encoder)
        if model.popt is not None:
            tensors |= encoders.encoder_tensors("popt", model.popt)
    manifest = Manifest(
        mode=recipe.mode,
        task=readout.task,
        labels=tuple(labels),
        sfreq_hz=montage.sfreq_hz,
        recipe=recipe.model_dump(mode="json", exclude_unset=True),
        neural_delay_s=neural_delay_s,
        encoder_state="none" if model is None else trained,
        trained_on=trained_on,
        trained_by=f"rtbrain {__version__}",
        licence="BSD-3-Clause",
    )
    return manifest, tensors


def normaliser_tensors(features: FeaturePipeline) -> dict[str, npt.NDArray[Any]]:
    """What a running normaliser has seen so far, by the names of a bundle; nothing without one."""
    if not isinstance(features.spectrogram, RunningFrames):
        return {}
    statistics = asdict(features.spectrogram.statistics)
    return {f"normaliser.{key}": value for key, value in statistics.items()}


def model_of_bundle(bundle: Bundle) -> "encoders.EncoderModel | None":
    """Encoder with the bundle's weights, which must fit its recipe; None for the linear mode."""
    recipe = bundle.recipe
    if recipe.mode == "linear":
        return None
    settings = recipe.encoder
    part = bundle.part(_CHANNEL_ENCODER)
    channel = cast(
        "encoders.ChannelEncoder",
        encoders.encoder_of_tensors("weights", _channel_sizes(settings), part),
    )
    popt = None
    if settings.popt is not None:
        sizes = _popt_sizes(settings.popt)
        popt = cast(
            "encoders.PopT",
            encoders.encoder_of_tensors("weights", sizes, bundle.part("popt")),
        )
    return encoders.EncoderModel(channel, popt, settings.pool, settings.n_pooled)


def statistics_of_bundle(bundle: Bundle) -> FrameStatistics | None:
    """What the running normaliser had seen when the decoder was fitted; None without one."""
    arrays = bundle.part("normaliser")
    if not arrays:
        return None
    return RobustStatistics(**arrays) if "median" in arrays else RunningStatistics(**arrays)
