"""The encoders of a probe: whether they fit its corpus, and what moment each describes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .learned import trained_on

if TYPE_CHECKING:
    from rtbrain.encoder import EncoderModel
    from rtbrain.offline.corpus.corpus import Corpus


@dataclass(frozen=True, slots=True)
class Named:
    """Folders of one trained encoder, as the flags name them.

    Attributes
    ----------
    name : str
        Of its rows; several of one name are training runs of one encoder. Empty for the first.
    encoder : Path
        Of channels.
    popt : Path or None
        Population Transformer on top.
    n_pooled : int or None
        Frames averaged; None as the corpus says.
    """

    name: str
    encoder: Path
    popt: Path | None
    n_pooled: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A trained encoder, ready to embed windows of the corpus.

    Attributes
    ----------
    named : Named
        Where it is from.
    model : EncoderModel
        Encoder, PopT, and what they pool.
    delay_s : float
        From the moment that an embedding describes to its window's end, as live, s.
    """

    named: Named
    model: "EncoderModel"
    delay_s: float


def load(named: Named, corpus: "Corpus") -> Loaded:
    """Read a trained encoder and its PopT, where they fit the corpus.

    Raises
    ------
    CheckpointError, SettingsError
        They do not, or the corpus cannot be embedded.
    """
    from rtbrain.encoder import EncoderModel, PopT, StreamingBERT, load_encoder
    from rtbrain.errors import CheckpointError, SettingsError

    if corpus.form not in ("spectrogram", "patches"):
        raise SettingsError(
            f"{corpus.folder.name} holds windows of form {corpus.form}, a probe embeds "
            "spectrograms or patches: build a corpus of these"
        )
    n_frames, n_freqs = corpus.item_shape
    pool, n_pooled = _pooling(corpus, named.n_pooled)
    channel = load_encoder(named.encoder)
    if isinstance(channel, PopT):
        raise CheckpointError(f"{named.encoder}: expected an encoder of one channel, found a PopT")
    popt = None if named.popt is None else load_encoder(named.popt)
    if not (popt is None or isinstance(popt, PopT)):
        raise CheckpointError(f"popt {named.popt}: expected a PopT, found a {type(popt).__name__}")
    expected = channel.sizes.input_dim
    if expected != n_freqs:
        raise CheckpointError(
            f"{named.encoder.name} reads frames of {expected} values, {corpus.folder.name} holds "
            f"{n_freqs}: probe on a corpus with the settings that it was trained with"
        )
    if n_pooled > n_frames:
        raise SettingsError(
            f"{n_pooled} frames of {named.encoder.name} are to be pooled, {corpus.folder.name} has "
            f"windows of {n_frames}: pool fewer"
        )
    if isinstance(channel, StreamingBERT) and n_pooled % channel.patch_frames:
        flag = "n_pooled=" if named.name else "--n-pooled "
        raise SettingsError(
            f"{named.encoder.name} pools whole patches of {channel.patch_frames} frames, got "
            f"{n_pooled}: give {flag}{channel.patch_frames}, or a multiple"
        )
    model = EncoderModel(channel, popt, pool, n_pooled)
    delay_s = _length_and_delay_s(corpus, named.n_pooled, model.delay_frames())[1]
    return Loaded(named, model, delay_s)


def by_name(several: "tuple[Loaded, ...]") -> dict[str, list[Loaded]]:
    """Training runs of each encoder.

    Raises
    ------
    SettingsError
        Some runs of one have a PopT and some have none.
    """
    from rtbrain.errors import SettingsError

    found: dict[str, list[Loaded]] = {}
    for one in several:
        found.setdefault(one.named.name, []).append(one)
    for name, runs in found.items():
        if len({one.model.popt is None for one in runs}) > 1:
            raise SettingsError(
                f"--beside {name}: some of its {len(runs)} runs have a popt and some have none: "
                "give one to all, or use two names"
            )
    return found


def refuse_learned(named: Named, subjects: tuple[str, ...]) -> list[str]:
    """Refuse subjects that an encoder was trained on; whose report does not exist, by name."""
    from rtbrain.encoder import weights_sha256
    from rtbrain.errors import SettingsError

    unknown = []
    for folder in filter(None, (named.encoder, named.popt)):
        corpus = trained_on(folder)
        if corpus is None:  # imported, or saved by hand
            unknown.append(folder.resolve().name)
            continue
        known = [subject for subject in subjects if subject in corpus["learned"]]
        if known:
            raise SettingsError(
                f"--subjects {','.join(known)}: {folder.name} was trained on them: name subjects "
                "that were held out"
            )
        embedded_by = corpus.get("encoder_sha256")
        if embedded_by and embedded_by != weights_sha256([named.encoder]):
            raise SettingsError(
                f"popt {folder}: was trained on embeddings of another encoder (sha "
                f"{embedded_by[:12]}) than {named.encoder.name}: name the two that belong together"
            )
    return unknown


def length_s(corpus: "Corpus") -> float:
    """Length of a window, s."""
    return _length_and_delay_s(corpus, None)[0]


def told_of(one: Loaded) -> dict[str, Any]:
    """What a report says of an encoder."""
    from rtbrain.encoder import weights_sha256

    named = one.named
    folders: Mapping[str, Path | None] = {"encoder": named.encoder, "popt": named.popt}
    return {
        "weights_sha256": {
            role: weights_sha256([folder]) for role, folder in folders.items() if folder
        },
        "n_pooled": one.model.n_pooled,
        "neural_delay_s": one.delay_s,
    }


def _pooling(corpus: "Corpus", n_pooled: int | None) -> tuple[str, int]:
    from rtbrain.config import EncoderSettings, parse_settings

    told = {
        key: value
        for key, value in corpus.recipe.get("encoder", {}).items()
        if key in ("pool", "n_pooled")
    }
    settings = parse_settings(told, EncoderSettings, where="corpus: encoder")
    return settings.pool, n_pooled or settings.n_pooled


def _length_and_delay_s(
    corpus: "Corpus", n_pooled: int | None, delay_frames: int = 0
) -> tuple[float, float]:
    """Length of a window, and from the moment that is described to its end, as live."""
    from rtbrain.build import build_encoding
    from rtbrain.config import Recipe, parse_settings

    pool, n_pooled = _pooling(corpus, n_pooled)
    # A manifest tells what was set: the rest is as by default.
    values = {
        "mode": "linear",
        "window": corpus.recipe.get("window", {}),
        "spectrogram": corpus.recipe.get("spectrogram", {}),
        "encoder": {"pool": pool, "n_pooled": n_pooled},
    }
    recipe = parse_settings(values, Recipe, where="corpus: recipe")
    delay_s = build_encoding(recipe, corpus.sessions[0].montage).neural_delay_s
    return recipe.window.length_s, delay_s + delay_frames * recipe.spectrogram.frame_hop_s
