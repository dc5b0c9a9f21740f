"""A corpus of spectrograms through a frozen channel encoder, to a corpus of embeddings.

Legend: B batch (of items), T frames, F freqs, D features.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.errors import RecordingError
from rtbrain.offline.corpus.building import Watcher
from rtbrain.offline.corpus.corpus import Corpus, CorpusSession
from rtbrain.offline.corpus.session_writer import SessionWriter
from rtbrain.offline.corpus.writing import CorpusWriter
from rtbrain.types import Floats

__all__ = ["Embeds", "embed_corpus", "frozen"]

# Measured on two busy cores with the compact BrainBERT: 12, 19 and 49 items/s at 16, 64 and 256.
_BATCH_ITEMS = 256
_READ_ITEMS = 1024  # 30 MB of the published spectrogram


class Embeds(Protocol):
    """An encoder of one channel, as `rtbrain.encoder.BrainBERT` is one."""

    def embed(self, spectrogram: Tensor, pool: str, n_pooled: int) -> Tensor:
        """Give one embedding an item: float32 [B, D]."""
        ...


def frozen(
    encoder: Embeds, pool: str, n_pooled: int, device: torch.device
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
    watcher: Watcher,
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
    watcher : Watcher
        Told of each session, in seconds of its windows' hops.

    Raises
    ------
    RecordingError
        The encoder does not fit the items, or gives what is not finite or too large for float16.
    """
    for session, entry in zip(corpus.sessions, corpus.manifest.sessions, strict=True):
        number = entry.number
        if number not in writer.manifest.done:
            watcher.begin(number, session.n_windows * corpus.hop_s)
            with writer.session(number) as part:
                _embed_session(part, session, embed, partial(_tell, watcher, number, corpus.hop_s))
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
        watcher.end(number)
    writer.finish()


def _tell(watcher: Watcher, number: int, hop_s: float, n_windows: int) -> None:
    watcher.advance(number, n_windows * hop_s)


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
