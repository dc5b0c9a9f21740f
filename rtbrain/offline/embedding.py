"""A recording through the pipeline's own stages, every window kept."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from rtbrain.errors import RecordingError
from rtbrain.stage import Source, Stage
from rtbrain.types import Chunk, Embedding, Floats, Spectrogram, Times, Window

__all__ = ["Embedded", "embed_recording"]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What a recording gave, a list entry a valid window.

    Attributes
    ----------
    spectrograms : list of ndarray, float32 [n_channels, n_frames, n_freqs]
        Empty unless asked for.
    embeddings : list of Embedding
        In the order of time.
    """

    spectrograms: list[Floats] = field(default_factory=list)
    embeddings: list[Embedding] = field(default_factory=list)

    @property
    def population(self) -> Floats:
        """Population embeddings, float32 [n_windows, n_features]."""
        return np.stack([embedding.population for embedding in self.embeddings])

    @property
    def channels(self) -> Floats:
        """Channel embeddings, float32 [n_windows, n_channels, n_features]."""
        return np.stack([embedding.channels for embedding in self.embeddings])

    @property
    def t_stop(self) -> Times:
        """End of each window, float64 [n_windows], s."""
        return np.array([embedding.t_stop for embedding in self.embeddings])

    @property
    def t_neural(self) -> Times:
        """The moment that each embedding describes, float64 [n_windows], s."""
        return np.array([embedding.t_neural for embedding in self.embeddings])


def embed_recording(
    source: Source,
    cut: Callable[[Chunk], Iterator[Window]],
    spectrogram: Stage[Window, Spectrogram],
    encoder: Stage[Spectrogram, Embedding],
    *,
    keep_spectrograms: bool = False,
    tail_s: float = 0.0,
    on_progress: Callable[[int], None] = lambda n_samples: None,
) -> Embedded:
    """Embed every valid window of a source.

    Parameters
    ----------
    source : Source
        Read to its end.
    cut : callable
        Filters a chunk and gives its windows.
    spectrogram, encoder : Stage
        The rest of the way.
    keep_spectrograms : bool
        Whether to keep a copy of each window's spectrogram.
    tail_s : float
        How long to hold the last sample at the end, s: a filter's delay, so that what it still
        keeps back comes out and a recording of one window gives one.
    on_progress : callable
        Told how many samples were read, after each chunk.

    Raises
    ------
    RecordingError
        A sample is NaN or infinite: offline, bad data is the user's to cut out, not ours to hide.
    """
    kept = Embedded()
    for chunk in _chunks(source, tail_s):
        for window in cut(chunk):
            if not window.quality.valid:
                continue
            item = spectrogram(window)
            if keep_spectrograms:
                kept.spectrograms.append(item.data.copy())
            kept.embeddings.append(encoder(item))
        on_progress(chunk.n_samples)
    return kept


def _chunks(source: Source, tail_s: float) -> Iterator[Chunk]:
    """Chunks of a source, then its last sample held for a while."""
    last: Chunk | None = None
    while (chunk := source.pull(0.0)) is not None:
        _refuse_not_finite(chunk, source)
        last = chunk if chunk.n_samples else last
        yield chunk
    n_tail = math.ceil(tail_s * source.montage.sfreq_hz)
    if last is None or not n_tail:
        return
    data = np.repeat(last.data[:, -1:], n_tail, axis=1)
    stamps = last.timestamps[-1] + np.arange(1, n_tail + 1) / source.montage.sfreq_hz
    yield Chunk(data, stamps, last.first_sample + last.n_samples)


def _refuse_not_finite(chunk: Chunk, source: Source) -> None:
    finite = np.isfinite(chunk.data)
    if finite.all():
        return
    row, column = np.argwhere(~finite)[0]
    raise RecordingError(
        f"channel {source.montage.names[row]} is {chunk.data[row, column]} at "
        f"{chunk.timestamps[column]:.3f} s: leave the channel out with --channels, or the time "
        "with --start and --stop"
    )
