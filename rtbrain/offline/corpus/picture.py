"""A look into a corpus: a few of its items, drawn."""

from pathlib import Path

import numpy as np

from rtbrain.offline.corpus.corpus import Corpus

__all__ = ["draw_corpus"]

_DPI = 120
_ROWS, _COLUMNS = 3, 4
_LIMIT = 3.0  # z-scores


def draw_corpus(path: Path, corpus: Corpus, seed: int = 0) -> None:
    """Draw 12 items that may be believed, titled by subject and contact.

    Parameters
    ----------
    path : Path
        PNG to write.
    corpus : Corpus
        Spectrograms and patches become pictures, waveforms and embeddings lines.
    seed : int
        Of the choice.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(3.4 * _COLUMNS, 2.6 * _ROWS), layout="constrained")
    FigureCanvasAgg(figure)
    sessions = corpus.sessions
    for axes in figure.subplots(_ROWS, _COLUMNS).flat:
        session = sessions[rng.integers(len(sessions))]
        windows, channels = np.nonzero(session.good)
        pick = rng.integers(len(windows))
        (item,) = session.read(windows[[pick]], channels[[pick]])
        contact = session.montage.names[channels[pick]]
        axes.set_title(
            f"{session.subject}  {contact}  to {session.t_stop[windows[pick]]:.2f} s", fontsize=8
        )
        if item.ndim == 2:
            image = axes.imshow(
                item.T,
                origin="lower",
                aspect="auto",
                cmap="RdBu_r",
                vmin=-_LIMIT,
                vmax=_LIMIT,
                interpolation="nearest",
            )
        else:
            axes.plot(item, linewidth=0.6, color="#1f5fa8")
        axes.tick_params(labelsize=7)
    words = {
        "spectrogram": ("frame", "frequency bin"),
        "patches": ("patch", "sample"),
        "waveform": ("sample", "µV"),
        "embedding": ("feature", ""),
    }[corpus.form]
    figure.supxlabel(words[0], fontsize=9)
    figure.supylabel(words[1], fontsize=9)
    if corpus.form in ("spectrogram", "patches"):
        figure.colorbar(image, ax=figure.axes, label="z-score", shrink=0.5)
    figure.savefig(path, dpi=_DPI, format="png")
