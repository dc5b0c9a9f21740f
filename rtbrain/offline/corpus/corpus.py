"""A corpus as it is read: sessions of windows, memory-mapped."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbrain.stream.recording import Event
from rtbrain.types import Floats, Montage, Times

__all__ = ["CorpusSession"]

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CorpusSession:
    """Windows of one recording, in the order of time.

    Attributes
    ----------
    subject, session : str
        Labels; never names of people.
    montage : Montage
        Channels behind the signal chain, with their positions.
    events : tuple of Event
        Of the recording, s since its first sample.
    t_stop : ndarray, float64 [n_windows]
        End of each window, s since the recording's first sample.
    good : ndarray, bool [n_windows, n_channels]
        Whether a channel may be believed there; items that are not good hold anything.
    shards : sequence of ndarray [n_shard_windows, n_channels, ...]
        Memory-mapped, float16 or float32, in order: together n_windows rows. An item is
        [n_frames, n_freqs] of a spectrogram (or patches), [n_samples] µV of a waveform,
        [n_features] of an embedding.
    """

    subject: str
    session: str
    montage: Montage
    events: tuple[Event, ...]
    t_stop: Times
    good: npt.NDArray[np.bool_]
    shards: Sequence[npt.NDArray[np.floating]]

    @property
    def n_windows(self) -> int:
        """How many windows there are."""
        return len(self.t_stop)

    def read(self, windows: Rows, channels: Rows) -> Floats:
        """Items of these (window, channel) pairs, float32 [n, ...]."""
        starts = np.cumsum([0, *(len(shard) for shard in self.shards)])
        of = np.searchsorted(starts, windows, side="right") - 1
        out = np.empty((len(windows), *self.shards[0].shape[2:]), np.float32)
        for number in np.unique(of):
            rows = of == number
            out[rows] = self.shards[number][windows[rows] - starts[number], channels[rows]]
        return out

    def window(self, number: int) -> Floats:
        """All channels of one window, float32 [n_channels, ...]."""
        n_channels = self.montage.n_channels
        return self.read(np.full(n_channels, number), np.arange(n_channels))
