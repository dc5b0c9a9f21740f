"""The encoders of a probe: whether they fit its corpus, what they describe, what they embed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from rtbrain.build import build_feature_pipeline
from rtbrain.config import EncoderSettings, Recipe, parse_settings
from rtbrain.encoder import (
    ChannelEncoder,
    EncoderModel,
    PopT,
    StreamingBERT,
    load_encoder,
    random_encoder,
    require_unseen,
    training_provenance,
    weights_sha256,
)
from rtbrain.errors import CheckpointError, SettingsError
from rtbrain.learn.corpus.corpus import Corpus
from rtbrain.learn.probe.windows import (
    SubjectWindows,
    binned_frames,
    binned_spectra,
    contact_dimensions,
    embedded,
    mean_frame,
)
from rtbrain.types import Floats

PRETRAINED, RANDOM = "pretrained", "random"
_MEAN, _WHOLE, _SPECTRA = "mean spectrogram", "whole spectrogram", "|FFT| of the window"


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
    recipe = _recipe(corpus, pool, n_pooled)
    delay_s = build_feature_pipeline(recipe, corpus.sessions[0].montage).neural_delay_s
    delay_s += model.delay_frames() * recipe.spectrogram.frame_hop_s
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
    return _recipe(corpus, *_pooling(corpus, None)).window.length_s


def describe_encoder(one: LoadedEncoder) -> dict[str, Any]:
    """What a report says of an encoder."""
    folders = {"encoder": one.spec.encoder, "popt": one.spec.popt}
    return {
        "weights_sha256": {
            role: weights_sha256([folder]) for role, folder in folders.items() if folder
        },
        "n_pooled": one.model.n_pooled,
        "neural_delay_s": one.delay_s,
    }


def _pooling(corpus: Corpus, n_pooled: int | None) -> tuple[str, int]:
    encoder = corpus.recipe.get("encoder", {})
    values = {key: encoder[key] for key in ("pool", "n_pooled") if key in encoder}
    settings = parse_settings(values, EncoderSettings, where="corpus: encoder")
    return settings.pool, n_pooled or settings.n_pooled


def _recipe(corpus: Corpus, pool: str, n_pooled: int) -> Recipe:
    """Linear recipe of the corpus's windows and frames."""
    # A manifest holds what was set: the rest has its default.
    values = {
        "mode": "linear",
        "window": corpus.recipe.get("window", {}),
        "spectrogram": corpus.recipe.get("spectrogram", {}),
        "encoder": {"pool": pool, "n_pooled": n_pooled},
    }
    return parse_settings(values, Recipe, where="corpus: recipe")


@dataclass(frozen=True, slots=True, eq=False)
class ProbeEncoders:
    """All encoders that are compared."""

    first: LoadedEncoder
    compared: Mapping[str, Sequence[LoadedEncoder]]
    n_random: int
    tune_steps: int
    form: str

    @property
    def trained(self) -> list[LoadedEncoder]:
        """The first encoder and every run of the others."""
        return [self.first, *(one for runs in self.compared.values() for one in runs)]


def linear_names(form: str) -> dict[str, str]:
    """Rows without an encoder, and what each reads of all contacts."""
    bins = "in bins of 0.25 s over all that the encoders see"
    if form == "patches":  # the linear mode reads spectrograms; the mean of patches means nothing
        return {_SPECTRA: f"its first 40 frequencies {bins}"}
    return {_MEAN: "the mean of the frames that the encoders pool", _WHOLE: f"means {bins}"}


def probe_features(
    windows: SubjectWindows,
    encoders: ProbeEncoders,
    length_s: float,
    on_window: Callable[[int], None],
) -> dict[str, Floats]:
    """Channel embeddings by encoder, and what each linear row reads."""
    first = encoders.first.model
    reads: dict[str, Callable[[Floats], Floats]] = {
        _MEAN: partial(mean_frame, pool=first.pool, n_pooled=first.n_pooled),
        _WHOLE: partial(binned_frames, length_s=length_s),
        _SPECTRA: partial(binned_spectra, length_s=length_s),
    }
    by_frames: dict[int, dict[str, ChannelEncoder]] = {first.n_pooled: first_and_random(encoders)}
    for name, runs in encoders.compared.items():
        for number, one in enumerate(runs):
            same = by_frames.setdefault(one.model.n_pooled, {})
            same[run_key(name, number)] = one.model.channel_encoder.to(_device()).eval()
    found: dict[str, Floats] = {}
    for n_pooled, several in by_frames.items():
        names = [] if found else linear_names(encoders.form)
        found |= embedded(
            windows,
            several,
            {name: reads[name] for name in names},
            pool=first.pool,
            n_pooled=n_pooled,
            device=_device(),
            on_window=on_window,
        )
    return found


def first_and_random(encoders: ProbeEncoders) -> dict[str, ChannelEncoder]:
    """The first channel encoder and random ones of its sizes, on their device."""
    sizes = encoders.first.model.channel_encoder.sizes
    found = {PRETRAINED: encoders.first.model.channel_encoder}
    for k in range(encoders.n_random):
        found[f"{RANDOM} {k}"] = random_encoder(sizes, control_seed(k))
    return {name: encoder.to(_device()).eval() for name, encoder in found.items()}


def dimensions_of(
    windows: SubjectWindows,
    encoders: Mapping[str, ChannelEncoder],
    on_contact: Callable[[int], None],
) -> dict[str, Any]:
    """Intrinsic dimensions of the subject's contacts: pretrained, one random, and the input."""
    pair = {PRETRAINED: encoders[PRETRAINED]}
    if f"{RANDOM} 0" in encoders:
        pair[RANDOM] = encoders[f"{RANDOM} 0"]
    return contact_dimensions(
        windows.sessions[0], pair, device=_device(), on_contact=lambda: on_contact(1)
    )


def run_key(name: str, number: int) -> str:
    """Name of the embeddings of a training run."""
    return f"{name}/{number}"  # no name has a slash, so it cannot be that of a random control


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def control_seed(number: int) -> int:
    """Seed of the random weights of a run, far from those of the recipes."""
    return 1000 * (number + 1)
