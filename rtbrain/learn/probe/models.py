"""The encoders of a probe: whether they fit its corpus, and which moment each describes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtbrain.build import build_feature_pipeline
from rtbrain.config import EncoderSettings, Recipe, parse_settings
from rtbrain.encoder import (
    EncoderModel,
    PopT,
    StreamingBERT,
    load_encoder,
    require_unseen,
    training_provenance,
    weights_sha256,
)
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """Folders of one trained encoder, as the flags name them.

    Several of one name are training runs of one encoder; the first encoder has no name. Without
    `n_pooled`, frames are pooled as the corpus says.
    """

    name: str
    encoder: Path
    popt: Path | None
    n_pooled: int | None


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """The flags of a probe."""

    encoder: EncoderSpec
    compared: tuple[EncoderSpec, ...]
    baseline: str
    corpus: Path
    subjects: tuple[str, ...]
    classes: tuple[str, ...] | None
    counts: tuple[int, ...]
    n_seeds: int
    n_random: int
    tune_steps: int


@dataclass(frozen=True, slots=True, eq=False)
class LoadedEncoder:
    """A trained encoder, ready to embed windows of the corpus."""

    spec: EncoderSpec
    model: EncoderModel
    delay_s: float


def load_encoder_spec(spec: EncoderSpec, corpus: Corpus) -> LoadedEncoder:
    """Read a trained encoder and its PopT, where they fit the corpus."""
    if corpus.form not in ("spectrogram", "patches"):
        raise SettingsError(
            f"{corpus.folder.name} holds windows of form {corpus.form}, a probe embeds "
            "spectrograms or patches: build a corpus of these"
        )
    n_frames, n_freqs = corpus.item_shape
    pool, n_pooled = _pooling(corpus, spec.n_pooled)
    channel = load_encoder(spec.encoder)
    if isinstance(channel, PopT):
        raise CheckpointError(f"{spec.encoder}: expected an encoder of one channel, found a PopT")
    popt = None if spec.popt is None else load_encoder(spec.popt)
    if not (popt is None or isinstance(popt, PopT)):
        raise CheckpointError(f"popt {spec.popt}: expected a PopT, found a {type(popt).__name__}")
    expected = channel.sizes.input_dim
    if expected != n_freqs:
        raise CheckpointError(
            f"{spec.encoder.name} reads frames of {expected} values, {corpus.folder.name} holds "
            f"{n_freqs}: probe on a corpus with the settings that it was trained with"
        )
    if n_pooled > n_frames:
        raise SettingsError(
            f"cannot pool {n_pooled} frames of {spec.encoder.name}: {corpus.folder.name} has "
            f"windows of {n_frames}: pool fewer"
        )
    if isinstance(channel, StreamingBERT) and n_pooled % channel.patch_frames:
        flag = "n_pooled=" if spec.name else "--n-pooled "
        raise SettingsError(
            f"{spec.encoder.name} pools whole patches of {channel.patch_frames} frames, got "
            f"{n_pooled}: give {flag}{channel.patch_frames}, or a multiple"
        )
    model = EncoderModel(channel, popt, pool, n_pooled)
    delay_s = _length_and_delay_s(corpus, spec.n_pooled, model.delay_frames())[1]
    return LoadedEncoder(spec, model, delay_s)


def by_name(several: Sequence[LoadedEncoder]) -> dict[str, list[LoadedEncoder]]:
    """Training runs of each encoder."""
    found: dict[str, list[LoadedEncoder]] = {}
    for one in several:
        found.setdefault(one.spec.name, []).append(one)
    for name, runs in found.items():
        if len({one.model.popt is None for one in runs}) > 1:
            raise SettingsError(
                f"--compare {name}: some of its {len(runs)} runs have a popt and some have none: "
                "give one to all, or use two names"
            )
    return found


def require_unseen_subjects(spec: EncoderSpec, subjects: tuple[str, ...]) -> list[str]:
    """Refuse subjects that an encoder was trained on; returns folders that do not name theirs."""
    unknown = []
    for folder in filter(None, (spec.encoder, spec.popt)):
        corpus = training_provenance(folder)
        if corpus is None:  # imported, or saved without a training
            unknown.append(folder.resolve().name)
            continue
        require_unseen(subjects, corpus["learned"], "--subjects", folder.name)
        embedded_by = corpus.get("encoder_sha256")
        if embedded_by and embedded_by != weights_sha256([spec.encoder]):
            raise SettingsError(
                f"popt {folder}: was trained on embeddings of another encoder (sha "
                f"{embedded_by[:12]}) than {spec.encoder.name}: name a pair that belongs together"
            )
    return unknown


def window_length_s(corpus: Corpus) -> float:
    """Length of a window, s."""
    return _length_and_delay_s(corpus, None)[0]


def describe_encoder(one: LoadedEncoder) -> dict[str, Any]:
    """What a report says of an encoder."""
    spec = one.spec
    folders: Mapping[str, Path | None] = {"encoder": spec.encoder, "popt": spec.popt}
    return {
        "weights_sha256": {
            role: weights_sha256([folder]) for role, folder in folders.items() if folder
        },
        "n_pooled": one.model.n_pooled,
        "neural_delay_s": one.delay_s,
    }


def _pooling(corpus: Corpus, n_pooled: int | None) -> tuple[str, int]:
    values = {
        key: value
        for key, value in corpus.recipe.get("encoder", {}).items()
        if key in ("pool", "n_pooled")
    }
    settings = parse_settings(values, EncoderSettings, where="corpus: encoder")
    return settings.pool, n_pooled or settings.n_pooled


def _length_and_delay_s(
    corpus: Corpus, n_pooled: int | None, delay_frames: int = 0
) -> tuple[float, float]:
    """Length of a window, and the time from the moment it describes to its end, as live."""
    pool, n_pooled = _pooling(corpus, n_pooled)
    # A manifest holds what was set: the rest has its default.
    values = {
        "mode": "linear",
        "window": corpus.recipe.get("window", {}),
        "spectrogram": corpus.recipe.get("spectrogram", {}),
        "encoder": {"pool": pool, "n_pooled": n_pooled},
    }
    recipe = parse_settings(values, Recipe, where="corpus: recipe")
    delay_s = build_feature_pipeline(recipe, corpus.sessions[0].montage).neural_delay_s
    return recipe.window.length_s, delay_s + delay_frames * recipe.spectrogram.frame_hop_s
