"""A recording to rows of features: what a decoder, and each control, sees of each window."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rtbrain.offline.virtual import VirtualSession
from rtbrain.stage import Stage
from rtbrain.types import Chunk, Embedding, Floats, Spectrogram, Times, Window

__all__ = ["Encodes", "Features", "gather", "joined"]

_PULL_S = 0.0


class Encodes(Protocol):
    """The way from chunks to spectrograms, as `rtbrain.pipeline.Encoding` has it."""

    @property
    def spectrogram(self) -> Stage[Window, Spectrogram]:
        """Spectrogram of a window."""
        ...

    def cut(self, chunk: Chunk) -> Iterator[Window]:
        """Filter a chunk and cut the windows that it completes."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Rows of features by the name of who made them.

    Attributes
    ----------
    rows : dict of str to ndarray, float32 [n_windows, n_features]
        Of each maker.
    channels : ndarray, float32 [n_windows, n_channels, n_features], or None
        Channel embeddings of the encoder, where they were asked for.
    good : ndarray, bool [n_windows, n_channels]
        Channels that were believed.
    t_stop, t_neural : ndarray, float64 [n_windows]
        End of each window, and the moment that it describes, s.
    n_invalid : int
        Windows that a live decoder would have called invalid; they are left out.
    """

    rows: dict[str, Floats]
    channels: Floats | None
    good: npt.NDArray[np.bool_]
    t_stop: Times
    t_neural: Times
    n_invalid: int


def gather(
    session: VirtualSession,
    encoding: Encodes,
    encoders: Mapping[str, Stage[Spectrogram, Embedding]],
    *,
    raw: Mapping[str, Callable[[Window], Floats]] | None = None,
    every: int = 1,
    keep_channels: str | None = None,
    on_progress: Callable[[int], None] = lambda n_samples: None,
) -> Features:
    """Run a recording through the live stages, and keep the features of its valid windows.

    Memory holds the features and a window, never the recording.

    Parameters
    ----------
    session : VirtualSession
        Read to its end.
    encoding : Encodes
        Cuts and pictures the windows.
    encoders : mapping of str to Stage
        Each gives rows of its name: the decoder's own, a control.
    raw : mapping of str to callable, optional
        Makers of features from the filtered window itself.
    every : int
        Of how many windows one is kept; the normaliser sees all.
    keep_channels : str, optional
        Name of the encoder whose channel embeddings are kept too.
    on_progress : callable
        Told how many samples were read so far, after each chunk.
    """
    kept: dict[str, list[Floats]] = {name: [] for name in (*encoders, *(raw or {}))}
    channels: list[Floats] = []
    good, t_stop, t_neural = [], [], []
    n_valid = n_invalid = 0
    while (chunk := session.pull(_PULL_S)) is not None:
        for window in encoding.cut(chunk):
            spectrogram = encoding.spectrogram(window) if window.quality.valid else None
            if spectrogram is None or not spectrogram.quality.good.any():
                n_invalid += 1
                continue
            n_valid += 1
            if (n_valid - 1) % every:
                continue
            moment = window.t_stop
            for name, encoder in encoders.items():
                embedding = encoder(spectrogram)
                kept[name].append(embedding.population)
                moment = min(moment, embedding.t_neural)
                if name == keep_channels:
                    channels.append(embedding.channels)
            for name, make in (raw or {}).items():
                kept[name].append(make(window))
            good.append(spectrogram.quality.good.copy())
            t_stop.append(window.t_stop)
            t_neural.append(moment)
        on_progress(session.n_read)
    n_windows = len(t_stop)
    return Features(
        {name: _stacked(rows) for name, rows in kept.items()},
        _stacked(channels) if keep_channels else None,
        np.array(good, bool).reshape(n_windows, -1 if n_windows else 0),
        np.array(t_stop),
        np.array(t_neural),
        n_invalid,
    )


def joined(parts: "list[Features]") -> Features:
    """Features of several recordings, one after the other."""
    if len(parts) == 1:
        return parts[0]

    def all_of(arrays: list[Any]) -> Any:
        return np.concatenate(arrays)

    channels = [part.channels for part in parts if part.channels is not None]
    return Features(
        {name: all_of([part.rows[name] for part in parts]) for name in parts[0].rows},
        all_of(channels) if channels else None,
        all_of([part.good for part in parts]),
        all_of([part.t_stop for part in parts]),
        all_of([part.t_neural for part in parts]),
        sum(part.n_invalid for part in parts),
    )


def _stacked(rows: list[Floats]) -> Floats:
    """Rows as one array; each is let go as it is copied, so that memory is not doubled."""
    if not rows:
        return np.empty((0, 0), np.float32)
    out = np.empty((len(rows), *rows[0].shape), np.float32)
    for number in range(len(rows)):
        out[number] = rows[number]
        rows[number] = rows[number][:0]
    return out
