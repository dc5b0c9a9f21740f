"""Embeddings as z-scores in the eyes of a fresh Population Transformer, whose files stay the same.

Legend: D features of a channel, P of the population.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from rtbrain.encoder import PopT
from rtbrain.offline.corpus.corpus import CorpusSession
from rtbrain.offline.objectives.reading import GoodItems

__all__ = ["standardise_inputs"]

Doubles = npt.NDArray[np.float64]

# The deviation of a feature is then known to half a percent.
_MOST_ITEMS = 20_000


def standardise_inputs(encoder: PopT, sessions: Sequence[CorpusSession], *, seed: int) -> None:
    r"""Fold the mean and the deviation of each feature into the first projection.

    .. math:: W' = W \, \mathrm{diag}(1 / s), \quad b' = b - W' m

    so that :math:`W' x + b' = W (x - m) / s + b`. Embeddings of channels share most of their
    direction; a token that is for its most part the same everywhere is little to learn from.

    Parameters
    ----------
    encoder : PopT
        Changed in place.
    sessions : sequence of CorpusSession
        Of form "embedding", to be trained on; m and s are those of their good items, or of 20,000
        of these where there are more.
    seed : int
        Which 20,000: processes with the same seed fold the same numbers.

    Raises
    ------
    SettingsError
        No item is good.
    RecordingError
        An embedding that the corpus calls good is not finite.

    Notes
    -----
    The CLS token, a vector of ones, goes through the same projection: it becomes
    :math:`W (1 - m) / s + b`, a constant as before, and another one.

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
    if len(items) > _MOST_ITEMS:
        rng = np.random.default_rng(seed)
        numbers = np.sort(rng.choice(len(items), _MOST_ITEMS, replace=False, shuffle=False))
    values = items.read(numbers)
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    # What never varies, but for rounding, has no scale to be brought to.
    varies = deviation > np.finfo(np.float32).eps * np.abs(mean)
    return mean, np.where(varies, deviation, 1.0)
