"""A corpus of spectrograms through a frozen channel encoder, to a corpus of embeddings.

Legend: B batch (of items), T frames, F freqs, D features.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from rtbrain.config import Recipe, parse_settings
from rtbrain.encoder import ChannelEncoder, PopT, load_encoder, training_provenance
from rtbrain.errors import CheckpointError, RecordingError, SettingsError
from rtbrain.files import sha256
from rtbrain.learn.corpus.corpus import (
    MANIFEST,
    Corpus,
    CorpusDtype,
    CorpusManifest,
    CorpusSession,
    hash_settings,
    open_corpus,
)
from rtbrain.learn.corpus.report import corpus_progress, print_corpus
from rtbrain.learn.corpus.writer import CorpusWriter, SessionWriter
from rtbrain.terminal import OnProgress
from rtbrain.types import Floats

# Measured on two busy cores with the compact BrainBERT: 12, 19 and 49 items/s at 16, 64 and 256.
_BATCH_ITEMS = 256
_READ_ITEMS = 1024  # 30 MB of the published spectrogram


def embed_to_corpus(
    corpus: Path,
    encoder: Path,
    out: Path,
    dtype: CorpusDtype,
    n_pooled: int | None,
    console: Console,
) -> None:
    """Embed a corpus by the encoder of a folder, or continue to, and print what it holds."""
    whole = open_corpus(corpus)
    model = load_encoder(encoder)
    if isinstance(model, PopT):
        raise CheckpointError(f"{encoder}: expected an encoder of one channel, found a PopT")
    header, pool, n_pooled = embedding_header(whole, encoder, dtype, n_pooled)
    writer = CorpusWriter(out, header)
    embed = _frozen(model, pool, n_pooled)
    sessions = list(zip(whole.sessions, whole.manifest.sessions, strict=True))
    n_done = len(writer.manifest.done)
    with corpus_progress(console, n_done, len(sessions)) as on_progress:
        for number, (session, entry) in enumerate(sessions, start=1):
            if entry.number not in writer.manifest.done:
                with writer.session(entry.number) as part:
                    _embed_session(part, session, embed, on_progress)
                    writer.expect_shape(part.item_shape)
                    made = part.finish(
                        source=entry.source,
                        subject=session.subject,
                        session=session.session,
                        montage=session.montage,
                        events=session.events,
                        notes=entry.notes,
                    )
                writer.commit(made, ())
            on_progress(number, len(sessions), "sources")
    writer.finish()
    print_corpus(console, out, writer.manifest)


def _frozen(encoder: ChannelEncoder, pool: str, n_pooled: int) -> Callable[[Floats], Floats]:
    """Encoder in eval mode as a function of arrays: float32 [B, T, F] to float32 [B, D]."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder.to(device).eval()

    def embed(items: Floats) -> Floats:
        with torch.inference_mode():
            parts = [
                encoder.embed(part.to(device), pool, n_pooled).float().cpu()
                for part in torch.split(torch.from_numpy(items), _BATCH_ITEMS)
            ]
        whole: Floats = torch.cat(parts).numpy()
        return whole

    return embed


def _embed_session(
    part: SessionWriter,
    session: CorpusSession,
    embed: Callable[[Floats], Floats],
    on_progress: OnProgress,
) -> None:
    """Embed every good item of a session; the others are zeros and not good."""
    at_once = max(1, _READ_ITEMS // session.montage.n_channels)
    for first in range(0, session.n_windows, at_once):
        good = session.good[first : first + at_once]
        rows, channels = np.nonzero(good)
        try:
            values = embed(session.read(first + rows, channels))
        except (RuntimeError, ValueError) as error:
            shape = list(session.shards[0].shape[2:])
            raise RecordingError(
                f"the encoder does not take items of {shape}: {error}: embed a corpus whose "
                "recipe it was trained with"
            ) from error
        out = np.zeros((*good.shape, values.shape[1]), np.float32)
        out[rows, channels] = values
        for row in range(len(good)):
            part.add(out[row], good[row], float(session.t_stop[first + row]))
        on_progress(first + len(good), session.n_windows, session.subject)


def embedding_header(
    corpus: Corpus, encoder: Path, dtype: CorpusDtype, n_pooled: int | None
) -> tuple[CorpusManifest, str, int]:
    """Manifest of an empty corpus of embeddings, and how frames are pooled.

    It names the subjects that the encoder was trained on, or null where its folder has no report.
    """
    if corpus.form not in ("spectrogram", "patches"):
        raise SettingsError(
            f"{corpus.folder} holds items of form {corpus.form}: an encoder reads spectrograms or "
            "patches"
        )
    pooled = parse_settings(corpus.recipe, Recipe, where=f"{corpus.folder.name}: recipe").encoder
    recipe, n_pooled = corpus.recipe, n_pooled or pooled.n_pooled
    if n_pooled != pooled.n_pooled:
        recipe = recipe | {"encoder": recipe.get("encoder", {}) | {"n_pooled": n_pooled}}
    trained = training_provenance(encoder)
    settings = {
        "corpus_sha256": sha256(corpus.folder / MANIFEST),
        "encoder_sha256": sha256(encoder / "weights.safetensors"),
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
        settings_sha256=hash_settings(settings | {"dtype": dtype}),
    )
    return header, pooled.pool, n_pooled
