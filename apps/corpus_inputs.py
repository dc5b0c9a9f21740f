"""What `rtbrain corpus` makes of its settings: sources, front end, the head of the manifest."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .learned import trained_on

if TYPE_CHECKING:
    from rtbrain.config import CorpusSettings, Recipe, SourceSettings
    from rtbrain.offline.corpus.corpus import Corpus
    from rtbrain.offline.corpus.embedding import Embeds
    from rtbrain.offline.corpus.manifest import CorpusManifest
    from rtbrain.offline.corpus.sources import CorpusSource
    from rtbrain.pipeline import Encoding
    from rtbrain.types import Montage

_SYNTHETIC = "synthetic:"


def recipe_of(settings: "CorpusSettings") -> "Recipe":
    """Recipe that the settings name, with their hop.

    Raises
    ------
    SettingsError
        It makes no sliding windows, or another form than is to be stored, or cannot be built.
    """
    from rtbrain.config import Recipe, parse_settings, read_settings
    from rtbrain.errors import SettingsError

    if isinstance(settings.recipe, str):
        values, where = read_settings(settings.recipe)
    else:
        values, where = settings.recipe, "recipe"
    window = values.get("window")
    if settings.hop_s is not None and isinstance(window, dict):
        values = values | {"window": window | {"hop_s": settings.hop_s}}
    recipe = parse_settings(values, Recipe, where=where)
    if recipe.window.hop_s is None:
        raise SettingsError(f"{where}: window.mode is event: a corpus takes sliding windows")
    if settings.store != "waveform":
        patches = str(recipe.spectrogram.form) == "patches"
        if patches != (settings.store == "patches"):
            raise SettingsError(
                f"{where}: spectrogram.form is {recipe.spectrogram.form}, store {settings.store}: "
                f"set store to {'patches' if patches else 'spectrogram'}"
            )
    _try(recipe)
    return recipe


def _try(recipe: "Recipe") -> None:
    """Build the front end once where the rate of its windows is known, to find what cannot be."""
    from rtbrain.build import build_encoding
    from rtbrain.types import Montage

    rates = [step.resample_hz for step in recipe.signal if step.resample_hz is not None]
    named = any(step.pick is not None and step.pick.names for step in recipe.signal)
    if rates and not named:
        names = tuple(f"A{number}" for number in range(1, 9))
        build_encoding(recipe, Montage(names, ("seeg",) * 8, rates[-1]))


def front_end_of(
    recipe: "Recipe",
) -> "Callable[[Montage, Callable[..., None]], Encoding]":
    """What makes the live stages for a recording's channels."""
    from rtbrain.build import build_encoding

    def made(montage: "Montage", on_event: Callable[..., None]) -> "Encoding":
        return build_encoding(recipe, montage, on_event=on_event)

    return made


def sources_of(settings: "CorpusSettings") -> "list[CorpusSource]":
    """Sources of the settings, none opened yet.

    Raises
    ------
    SettingsError
        One is named twice for the same stretch, or describes a synthetic patient that cannot be.
    """
    from rtbrain.errors import SettingsError
    from rtbrain.offline.datasets import open_dataset

    seen, first = set(), dict[Path, int]()
    for number, source in enumerate(settings.sources):
        first.setdefault(Path(source.recording).resolve(), number)
        key = (source.recording, source.start_s, source.stop_s)
        if key in seen:
            raise SettingsError(f"sources: {source.recording} is there twice: leave one out")
        seen.add(key)
        if source.recording.startswith(_SYNTHETIC):
            open_dataset(source.recording, sfreq_hz=source.sfreq_hz or settings.sfreq_hz).close()
    return [
        _source(settings, source, first[Path(source.recording).resolve()])
        for source in settings.sources
    ]


def _source(settings: "CorpusSettings", source: "SourceSettings", first: int) -> "CorpusSource":
    from rtbrain.offline.corpus.sources import CorpusSource
    from rtbrain.offline.datasets import open_dataset

    sfreq_hz, hidden = source.sfreq_hz, tuple[str, ...]()
    if source.recording.startswith(_SYNTHETIC) or source.recording.lower().endswith(".npy"):
        sfreq_hz = source.sfreq_hz or settings.sfreq_hz
    if not source.recording.startswith(_SYNTHETIC):
        path = Path(source.recording)
        folders = {f"{each.parent}/" for each in (path, path.absolute(), path.resolve())}
        # The longest first: a relative folder is a part of the whole path.
        hidden = tuple(sorted(folders - {"./", "//"}, key=len, reverse=True))
    return CorpusSource(
        name=name_of(source.recording),
        opened=partial(open_dataset, source.recording, sfreq_hz=sfreq_hz),
        hidden=hidden,
        subject=source.subject or "",
        session=source.session or "",
        start_s=source.start_s,
        stop_s=source.stop_s,
        channels=source.channels,
        scale=source.scale,
        first_of_file=first,
    )


def name_of(recording: str) -> str:
    """What the manifest calls a recording: no folders, which may name people."""
    return recording if recording.startswith(_SYNTHETIC) else Path(recording).resolve().name


def header_of(settings: "CorpusSettings", recipe: "Recipe") -> "CorpusManifest":
    """Manifest of a corpus that holds nothing yet."""
    from rtbrain.offline.corpus.manifest import CorpusManifest

    asked = settings.model_dump(mode="json", exclude_unset=True)
    recipe_values = recipe.model_dump(mode="json", exclude_unset=True)
    told = asked | {
        "recipe": settings.recipe if isinstance(settings.recipe, str) else "inline",
        "sources": [one | {"recording": name_of(one["recording"])} for one in asked["sources"]],
    }
    if isinstance(settings.recipe, str):
        told["recipe"] = Path(settings.recipe).name
    return CorpusManifest(
        form=settings.store,
        dtype=settings.dtype,
        hop_s=recipe.window.hop_s or 0.0,
        recipe=recipe_values,
        settings=told,
        asked_sha256=_sha256({"asked": asked, "recipe": recipe_values}),
    )


def _sha256(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def channel_encoder(folder: Path) -> "Embeds":
    """Encoder of one channel from a folder.

    Raises
    ------
    CheckpointError
        The folder holds no encoder, or one of populations.
    """
    from rtbrain.encoder import PopT, load_encoder
    from rtbrain.errors import CheckpointError

    model = load_encoder(folder)
    if isinstance(model, PopT):
        raise CheckpointError(f"{folder}: expected an encoder of one channel, found a PopT")
    return model


def embedding_header(
    corpus: "Corpus",
    encoder: Path,
    dtype: Literal["float16", "float32"],
    n_pooled: int | None = None,
) -> "tuple[CorpusManifest, str, int]":
    """Manifest of a corpus of embeddings that holds nothing yet, and what is pooled.

    It names whom the encoder learned from, or null where its folder has no report. `n_pooled`
    frames are averaged, or as many as the corpus's recipe says.

    Raises
    ------
    SettingsError
        The corpus holds neither spectrograms nor patches, or the encoder's report is broken.
    """
    from rtbrain.config import Recipe, parse_settings
    from rtbrain.errors import SettingsError
    from rtbrain.offline.corpus.manifest import MANIFEST, CorpusManifest, file_entry

    if corpus.form not in ("spectrogram", "patches"):
        raise SettingsError(
            f"{corpus.folder} holds items of form {corpus.form}: an encoder reads spectrograms or "
            "patches"
        )
    pooled = parse_settings(corpus.recipe, Recipe, where=f"{corpus.folder.name}: recipe").encoder
    recipe, n_pooled = corpus.recipe, n_pooled or pooled.n_pooled
    if n_pooled != pooled.n_pooled:
        recipe = recipe | {"encoder": recipe.get("encoder", {}) | {"n_pooled": n_pooled}}
    trained = trained_on(encoder)
    settings = {
        "corpus_sha256": file_entry(corpus.folder, corpus.folder / MANIFEST).sha256,
        "encoder_sha256": file_entry(encoder, encoder / "weights.safetensors").sha256,
        "pool": pooled.pool,
        "n_pooled": n_pooled,
        "learned": None if trained is None else trained["learned"],
    }
    header = CorpusManifest(
        form="embedding",
        dtype=dtype,
        hop_s=corpus.hop_s,
        recipe=recipe,
        settings=settings,
        asked_sha256=_sha256(settings | {"dtype": dtype}),
    )
    return header, pooled.pool, n_pooled
