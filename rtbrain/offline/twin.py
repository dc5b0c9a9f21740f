"""Two encoders on the same windows, as one: the second is compared with the first."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from rtbrain.encoder import EncoderModel
from rtbrain.encoder.runtime import on_threads
from rtbrain.offline.compiling import Differences, differences
from rtbrain.stage import Stage
from rtbrain.types import Decode, Embedding, Floats, Mask, Spectrogram

__all__ = ["Gathered", "TwinEncoder", "TwinReadout", "exact_of"]

_NOTHING = np.zeros(0, np.float32)
_NO_CHANNELS = np.zeros((0, 0), np.float32)


class TwinEncoder:
    """Encoder stage that gives what `before` gives, and encodes with `after` beside it.

    Parameters
    ----------
    before, after : Stage
        From Spectrogram to Embedding.
    exact : callable
        The eager model: of a spectrogram and its good channels, the embedding of each channel
        and of the population. It may be slow: it is asked for some windows only.
    most : int
        Windows that are compared with it.
    every : int
        One of so many windows is.

    Attributes
    ----------
    from_s : float
        Windows that begin before it are not encoded, their decodes not valid.
    length_s : float
        Of a window, s.
    population : ndarray, float32 [n_population_features]
        What `after` gave last.
    n_compared : int
        Windows that were compared so far.
    """

    def __init__(
        self,
        before: Stage[Spectrogram, Embedding],
        after: Stage[Spectrogram, Embedding],
        exact: Callable[[Floats, Mask], tuple[Floats, Floats]],
        *,
        length_s: float,
        most: int,
        every: int,
    ) -> None:
        self._before, self._after, self._exact = before, after, exact
        self._most, self._every = most, every
        self._seen = 0
        self._channels: list[tuple[Floats, Floats]] = []
        self._populations: list[tuple[Floats, Floats]] = []
        self.from_s = 0.0
        self.length_s = length_s
        self.population: Floats = _NOTHING

    @property
    def n_compared(self) -> int:
        """Windows that were compared so far."""
        return len(self._populations)

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding by the first encoder."""
        if item.t_stop - self.length_s < self.from_s:
            return _left_out(item, "the encoder was calibrated on it")
        after = self._after(item)
        self.population = after.population
        if self._seen % self._every == 0 and self.n_compared < self._most:
            good = item.quality.good
            channels, population = self._exact(item.data, good)
            self._channels.append((channels[good], after.channels[good]))
            self._populations.append((population, after.population.copy()))
        self._seen += 1
        return self._before(item)

    def reset(self) -> None:
        """Reset both; what was compared is kept."""
        self._before.reset()
        self._after.reset()

    def differences(self) -> tuple[Differences, Differences]:
        """Of the second encoder from the eager model: of the channels, and of the population.

        Raises
        ------
        RecordingError
            Fewer than two windows were compared.
        """
        populations = [np.stack(each) for each in zip(*self._populations, strict=True)]
        if not populations:
            populations = [np.empty((0, 1), np.float32)] * 2
        of_population = differences(populations[0], populations[1])
        channels = [np.concatenate(each) for each in zip(*self._channels, strict=True)]
        return differences(channels[0], channels[1]), of_population


class TwinReadout:
    """Readout stage that gives what `before` gives, and keeps what the second encoder decodes to.

    Parameters
    ----------
    before, after : Stage
        From Embedding to Decode; alike, but each with a memory of its own.
    encoder : TwinEncoder
        Whose embeddings come.

    Attributes
    ----------
    decodes : list of Decode
        Of the second encoder, in the order of time, invalid ones too.
    """

    def __init__(
        self,
        before: Stage[Embedding, Decode],
        after: Stage[Embedding, Decode],
        encoder: TwinEncoder,
    ) -> None:
        self._before, self._after, self._encoder = before, after, encoder
        self.decodes: list[Decode] = []

    def __call__(self, item: Embedding) -> Decode:
        """Decode of the first encoder."""
        other = item
        if item.quality.valid:
            other = replace(item, population=self._encoder.population)
        self.decodes.append(self._after(other))
        return self._before(item)

    def reset(self) -> None:
        """Reset both; the decodes are kept."""
        self._before.reset()
        self._after.reset()


class Gathered:
    """Encoder stage that encodes nothing and keeps spectrograms: to calibrate on.

    Parameters
    ----------
    until_s : float
        Windows that end after it are not kept.
    most : int
        Windows to keep.
    every : int
        One of so many is kept.

    Attributes
    ----------
    windows : list of ndarray, float32 [n_channels, n_frames, n_freqs]
        In place of a channel that is not good stands one that is.
    """

    def __init__(self, *, until_s: float, most: int, every: int) -> None:
        self._until_s, self._most, self._every = until_s, most, every
        self._seen = 0
        self.windows: list[Floats] = []

    def __call__(self, item: Spectrogram) -> Embedding:
        """Not valid: nothing was encoded."""
        if item.t_stop <= self._until_s and len(self.windows) < self._most:
            if self._seen % self._every == 0:
                rows = np.flatnonzero(item.quality.good)
                self.windows.append(item.data[np.resize(rows, len(item.data))])
            self._seen += 1
        return _left_out(item, "kept to calibrate on")

    def reset(self) -> None:
        """Nothing to forget: what was kept is kept."""


def _left_out(item: Spectrogram, reason: str) -> Embedding:
    quality = replace(item.quality, valid=False, reason=reason)
    return Embedding(_NO_CHANNELS, _NOTHING, item.t_stop, item.t_stop, quality)


def exact_of(
    model: EncoderModel, positions: npt.NDArray[np.int64] | None, *, threads: int
) -> Callable[[Floats, Mask], tuple[Floats, Floats]]:
    """The eager model as `TwinEncoder` asks it: in float32, uncompiled.

    Parameters
    ----------
    model : EncoderModel
        On the CPU; put in eval mode.
    positions : ndarray, int64 [n_channels, 3], or None
        L, I, P voxels of the channels; None where no Population Transformer reads them.
    threads : int
        Of torch while it encodes.
    """
    model.eval()

    def exact(spectrogram: Floats, good: Mask) -> tuple[Floats, Floats]:
        where = np.zeros((len(good), 3), np.int64) if positions is None else positions
        # torch warns of arrays that are read-only, as views of a stage's buffers may be.
        given = [np.require(array, requirements="W") for array in (spectrogram, where, good)]
        with on_threads(threads), torch.inference_mode():
            channels, population = model(*(torch.from_numpy(array) for array in given))
        return channels.numpy(), population.numpy()

    return exact
