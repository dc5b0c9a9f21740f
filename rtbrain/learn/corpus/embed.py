"""A corpus of spectrograms through a frozen channel encoder, to a corpus of embeddings.

Legend: B batch (of items), T frames, F freqs, D features.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.config import Recipe, parse_settings
from rtbrain.encoder import PopT, load_encoder, training_provenance
from rtbrain.errors import CheckpointError, RecordingError, SettingsError
from rtbrain.learn.corpus.build import BuildProgress
from rtbrain.learn.corpus.corpus import Corpus, CorpusSession
from rtbrain.learn.corpus.manifest import MANIFEST, CorpusManifest, file_entry
from rtbrain.learn.corpus.sources import _sha256
from rtbrain.learn.corpus.writer import CorpusWriter, SessionWriter
from rtbrain.types import Floats

# Measured on two busy cores with the compact BrainBERT: 12, 19 and 49 items/s at 16, 64 and 256.
_BATCH_ITEMS = 256
_READ_ITEMS = 1024  # 30 MB of the published spectrogram


class ChannelEmbedder(Protocol):
    """An encoder of one channel, as `rtbrain.encoder.BrainBERT` is one."""

    def embed(self, spectrogram: Tensor, pool: str, n_pooled: int) -> Tensor:
        """Give one embedding an item: float32 [B, D]."""
        ...


def frozen_embedder(
    encoder: ChannelEmbedder, pool: str, n_pooled: int, device: torch.device
) -> Callable[[Floats], Floats]:
    """Encoder as a function of arrays: float32 [B, T, F] to float32 [B, D].

    Parameters
    ----------
    encoder : Embeds
        A module; it is moved to the device and put in eval mode.
    pool : str
        ``centre`` or ``last``.
    n_pooled : int
        Frames that are averaged.
    device : torch.device
        Where it runs.
    """
    if isinstance(encoder, nn.Module):
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


def embed_corpus(
    writer: CorpusWriter,
    corpus: Corpus,
    embed: Callable[[Floats], Floats],
    observer: BuildProgress,
) -> None:
    """Embed every item that may be believed; the others are zeros and not good.

    Sessions that the writer has already are left as they are.

    Parameters
    ----------
    writer : CorpusWriter
        Of form ``embedding``.
    corpus : Corpus
        Of spectrograms or patches.
    embed : callable
        float32 [B, T, F] to float32 [B, D].
    observer : Watcher
        Told of each session, in seconds of its windows' hops.

    Raises
    ------
    RecordingError
        The encoder does not fit the items, or gives what is not finite or too large for float16.
    """
    for session, entry in zip(corpus.sessions, corpus.manifest.sessions, strict=True):
        number = entry.number
        if number not in writer.manifest.done:
            observer.begin(number, session.n_windows * corpus.hop_s)
            with writer.session(number) as part:
                _embed_session(part, session, embed, partial(_tell, observer, number, corpus.hop_s))
                writer.expect_shape(part.item_shape)
                made = part.finish(
                    number=number,
                    source=entry.source,
                    subject=session.subject,
                    session=session.session,
                    montage=session.montage,
                    events=session.events,
                    notes=entry.notes,
                )
            writer.commit(made, ())
        observer.end(number)
    writer.finish()


def _tell(observer: BuildProgress, number: int, hop_s: float, n_windows: int) -> None:
    observer.advance(number, n_windows * hop_s)


def _embed_session(
    part: SessionWriter,
    session: CorpusSession,
    embed: Callable[[Floats], Floats],
    told: Callable[[int], None],
) -> None:
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
        told(len(good))


def channel_encoder(folder: Path) -> ChannelEmbedder:
    """Encoder of one channel from a folder.

    Raises
    ------
    CheckpointError
        The folder holds no encoder, or one of populations.
    """
    model = load_encoder(folder)
    if isinstance(model, PopT):
        raise CheckpointError(f"{folder}: expected an encoder of one channel, found a PopT")
    return model


def embedding_header(
    corpus: Corpus,
    encoder: Path,
    dtype: Literal["float16", "float32"],
    n_pooled: int | None = None,
) -> tuple[CorpusManifest, str, int]:
    """Manifest of a corpus of embeddings that holds nothing yet, and what is pooled.

    It names whom the encoder learned from, or null where its folder has no report. `n_pooled`
    frames are averaged, or as many as the corpus's recipe says.

    Raises
    ------
    SettingsError
        The corpus holds neither spectrograms nor patches, or the encoder's report is broken.
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
