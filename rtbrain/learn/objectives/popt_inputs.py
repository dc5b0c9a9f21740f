"""Inputs of the Population Transformer: pairs of windows, and their standardisation."""

from collections.abc import Sequence

import numpy as np
import torch

from rtbrain.encoder import PopT
from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.learn.objectives.objective import GoodItems
from rtbrain.types import Doubles, Ints

# Share of the hop by which two consecutive windows may miss it: sample times jitter by milliseconds
# and drift from the nominal rate, while a missing window doubles the hop.
_SLACK = 0.25
# The standard deviation of a feature is then known to half a percent.
_MAX_ITEMS = 20_000


class Pairing:
    """Windows of one session that can be paired.

    A window counts where more than half of the channels that the session ever has are good, so
    that any two windows share two channels or more. It begins an item where the next window
    counts too and ends one hop later, but for the jitter of the stamps.
    """

    def __init__(self, session: CorpusSession, hop_s: float) -> None:
        n_ever_good = np.count_nonzero(session.good.any(axis=0))
        n_good = session.good.sum(axis=1)
        # a + b - n is what two windows share at least: 2 or more where 2 a >= n + 2.
        self.windows = np.flatnonzero((2 * n_good >= n_ever_good + 2) & (n_ever_good > 1))
        rises_s = np.diff(session.t_stop[self.windows])
        follows = (np.diff(self.windows) == 1) & (np.abs(rises_s - hop_s) <= _SLACK * hop_s)
        self.items = np.flatnonzero(follows) if self.windows.size > 3 else np.empty(0, np.int64)

    def apart(self, places: Ints, dice: Doubles) -> Ints:
        """Places of other windows, never a first itself nor those before and after it."""
        number = self.windows[places]
        lowest = np.searchsorted(self.windows, number - 1)
        n_shut = np.searchsorted(self.windows, number + 1, side="right") - lowest
        drawn = (dice * (self.windows.size - n_shut)).astype(np.int64)
        return drawn + np.where(drawn >= lowest, n_shut, 0)

    def anywhere(self, dice: Doubles) -> Ints:
        """Places of windows of the session, the first itself among them: as published."""
        return (dice * self.windows.size).astype(np.int64)

    def third(self, places: Ints, partners: Ints, dice: Doubles) -> Ints:
        """Places of windows that are neither of a pair."""
        low, high = np.minimum(places, partners), np.maximum(places, partners)
        differ = (low != high).astype(np.int64)
        drawn: Ints = (dice * (self.windows.size - 1 - differ)).astype(np.int64)
        drawn += drawn >= low
        drawn += differ * (drawn >= high)
        return drawn


def standardise_inputs(encoder: PopT, sessions: Sequence[CorpusSession], *, seed: int) -> None:
    r"""Fold the mean and the deviation of each feature into the first projection.

    .. math:: W' = W \, \mathrm{diag}(1 / s), \quad b' = b - W' m

    so that :math:`W' x + b' = W (x - m) / s + b`. Embeddings of channels share most of their
    direction; a token that is for its most part the same everywhere is little to learn from.

    m and s are those of the good items that the encoder will be trained on, or of 20,000 of them
    where there are more, chosen by `seed`. The encoder is changed in place.

    References
    ----------
    LeCun et al. 1998, Efficient BackProp, section 4.3, doi:10.1007/3-540-49430-8_2.
    """
    mean, deviation = _moments(GoodItems(sessions), seed)
    projection = encoder.input_encoding.in_proj
    weight = projection.weight.detach().double() / torch.from_numpy(deviation)  # [P, D]
    bias = projection.bias.detach().double() - weight @ torch.from_numpy(mean)
    with torch.no_grad():
        projection.weight.copy_(weight)
        projection.bias.copy_(bias)


def _moments(items: GoodItems, seed: int) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of each feature, float64 [D] each."""
    numbers = np.arange(len(items))
    if len(items) > _MAX_ITEMS:
        rng = np.random.default_rng(seed)
        numbers = np.sort(rng.choice(len(items), _MAX_ITEMS, replace=False, shuffle=False))
    values = items.read(numbers)
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    # What never varies, but for rounding, has no scale.
    varies = deviation > np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.where(varies, deviation, 1.0)
