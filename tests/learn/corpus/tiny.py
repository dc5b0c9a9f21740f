"""Small corpora on disk, made of arrays."""

from collections.abc import Sequence
from pathlib import Path

from rtbrain.learn.corpus.corpus import Corpus, CorpusManifest, CorpusSession, open_corpus
from rtbrain.learn.corpus.writer import CorpusWriter


def write_corpus(
    folder: Path,
    sessions: Sequence[CorpusSession],
    *,
    form: str = "spectrogram",
    dtype: str = "float32",
    hop_s: float = 0.5,
    recipe: dict | None = None,
) -> Corpus:
    """Write these sessions to disk, and open them as a corpus."""
    header = CorpusManifest(form=form, dtype=dtype, hop_s=hop_s, recipe=recipe or {}, settings={})
    writer = CorpusWriter(folder, header)
    for number, session in enumerate(sessions):
        with writer.session(number) as part:
            for row in range(session.n_windows):
                part.add(session.window(row), session.good[row], float(session.t_stop[row]))
            writer.expect_shape(part.item_shape)
            entry = part.finish(
                source=f"session {number}",
                subject=session.subject,
                session=session.session,
                montage=session.montage,
                events=session.events,
            )
        writer.commit(entry, ())
    writer.finish()
    return open_corpus(folder)
