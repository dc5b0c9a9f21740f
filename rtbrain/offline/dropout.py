"""Channels left out at random while a readout is fitted, so that it has seen some missing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rtbrain.stage import Stage
from rtbrain.types import Embedding, Spectrogram

__all__ = ["ChannelDropout", "FewerChannels"]


class FewerChannels:
    """Stage from Spectrogram to the embedding of a random share of its good channels.

    A readout that was fitted on whole montages alone is lost when half of the contacts go bad:
    the population embedding of the rest lies where it never looked. Swap-VAE (arXiv:2111.02338)
    trains against lost units in the same way.

    Parameters
    ----------
    encoder : Stage
        Of the decoder.
    most : float
        Largest share of the good channels that is left out; each window draws its share
        uniformly from 0 to this.
    seed : int
        Of the draws.
    """

    def __init__(
        self, encoder: Stage[Spectrogram, Embedding], *, most: float = 0.7, seed: int = 0
    ) -> None:
        self._encoder = encoder
        self._most = most
        self._seed = seed
        self._rng = np.random.default_rng(seed)

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of some of the good channels."""
        good = np.flatnonzero(item.quality.good)
        n_out = int(self._rng.uniform(0, self._most) * good.size)
        fewer = item.quality.good.copy()
        fewer[self._rng.permutation(good)[:n_out]] = False
        return self._encoder(replace(item, quality=replace(item.quality, good=fewer)))

    def reset(self) -> None:
        """Draw from the start."""
        self._rng = np.random.default_rng(self._seed)
        self._encoder.reset()


class ChannelDropout:
    """Stage from Spectrogram to Embedding that also embeds each window with fewer channels.

    Parameters
    ----------
    encoder : Stage
        Of the decoder; asked twice a window.
    most : float
        See `FewerChannels`.
    seed : int
        Of the draws.

    Attributes
    ----------
    with_fewer : list of Embedding
        One a window, in the order of the calls.
    """

    def __init__(
        self, encoder: Stage[Spectrogram, Embedding], *, most: float = 0.7, seed: int = 0
    ) -> None:
        self.with_fewer: list[Embedding] = []
        self._encoder = encoder
        self._fewer = FewerChannels(encoder, most=most, seed=seed)

    def __call__(self, item: Spectrogram) -> Embedding:
        """Embedding of all good channels; that of fewer is kept."""
        # All of them first: an encoder that remembers would forget those that are left out.
        whole = self._encoder(item)
        self.with_fewer.append(self._fewer(item))
        return whole

    def rows(self, whole: Sequence[Embedding]) -> list[Embedding]:
        """Both embeddings of every window, in the order of time.

        Parameters
        ----------
        whole : sequence of Embedding
            What the calls gave.
        """
        return [item for pair in zip(whole, self.with_fewer, strict=True) for item in pair]

    def reset(self) -> None:
        """Forget what was kept, and draw from the start."""
        self.with_fewer.clear()
        self._fewer.reset()
