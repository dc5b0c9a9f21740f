"""What compiling an encoder costs: errors of its embeddings, and of the decoder behind it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import RecordingError
from rtbrain.offline.cross_validation import scores_of
from rtbrain.offline.splits import time_blocks
from rtbrain.types import Floats, Times

__all__ = ["Change", "Differences", "changes", "decisive", "differences"]

_N_DRAWS = 1000
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Differences:
    """Between vectors that should be equal.

    Attributes
    ----------
    cosine_p50, cosine_p99 : float
        1 - cos of the angle between a vector and its twin, the mean that all vectors share taken
        out of both: half, and 99 of 100, are below.
    largest : float
        Largest difference of any value.
    n_vectors : int
        How many were compared.
    """

    cosine_p50: float
    cosine_p99: float
    largest: float
    n_vectors: int


def differences(expected: Floats, given: Floats) -> Differences:
    """How far vectors are from those that they should be.

    Embeddings of all channels and windows share most of their direction: the cosine of two of
    them is near 1 whatever they tell of the signal. So the mean of `expected` is taken out of
    both first; not each one's own mean, which would hide what is wrong with all alike.

    Parameters
    ----------
    expected, given : ndarray, float32 [n_vectors, n_features]
        Pairs.

    Raises
    ------
    RecordingError
        There are fewer than two, so that no mean can be taken out.
    """
    if len(expected) < 2:
        raise RecordingError(
            f"expected 2 or more windows to compare embeddings on, got {len(expected)}: name a "
            "longer recording"
        )
    shared = expected.mean(axis=0, dtype=np.float64)
    a, b = expected - shared, given - shared
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # A vector that is the mean itself has no direction.
    cosine = (a * b).sum(axis=1)[lengths > 0] / lengths[lengths > 0]
    p50, p99 = np.percentile(1 - cosine, (50, 99)) if cosine.size else (np.nan, np.nan)
    largest = np.abs(given.astype(np.float64) - expected).max()
    return Differences(float(p50), float(p99), float(largest), len(expected))


@dataclass(frozen=True, slots=True)
class Change:
    """A score before and after.

    Attributes
    ----------
    before, after : float
        The score; NaN where only one class occurred.
    low, high : float
        Middle 95 % of after - before, over draws of blocks of time.
    """

    before: float
    after: float
    low: float
    high: float

    @property
    def fall(self) -> float:
        """How much is lost; below 0 where something is gained."""
        return self.before - self.after

    def as_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return asdict(self) | {"fall": self.fall}


def changes(
    before: Floats,
    after: Floats,
    targets: npt.NDArray[Any],
    t_s: Times,
    *,
    block_s: float,
    recordings: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Change]:
    """Scores of a decoder before and after, on the same windows.

    Both are scored on the same draws of blocks of time, with replacement, so that the interval is
    that of the difference and not of how hard the windows are.

    Parameters
    ----------
    before, after : ndarray, float32 [n_labelled, n_outputs]
        Probabilities, or values.
    targets : ndarray, int64 [n_labelled], or float32 [n_labelled, n_outputs]
        Class numbers, or values.
    t_s : ndarray, float64 [n_labelled]
        Ends of the windows, s.
    block_s : float
        Length of a block, s: longer than a window.
    recordings : sequence of str [n_labelled]
        Where there are several: which one each window is of.
    seed : int
        Of the draws.

    Returns
    -------
    dict of Change
        Of classes ``auc`` and ``balanced_accuracy``, of values ``pearson_r`` and ``r2``.

    References
    ----------
    Künsch 1989, The jackknife and the bootstrap for general stationary observations,
    doi:10.1214/aos/1176347265.
    """
    block = time_blocks(t_s, block_s, recordings)
    order = np.argsort(block, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(block[order])) + 1)
    rng = np.random.default_rng(seed)
    drawn: list[dict[str, float]] = []
    for _ in range(_N_DRAWS):
        rows = np.concatenate([blocks[pick] for pick in rng.integers(0, len(blocks), len(blocks))])
        one, other = (scores_of(outputs[rows], targets[rows]) for outputs in (before, after))
        drawn.append({name: other[name] - one[name] for name in one})
    scores_before, scores_after = scores_of(before, targets), scores_of(after, targets)
    return {
        name: Change(score, scores_after[name], *_middle([draw[name] for draw in drawn]))
        for name, score in scores_before.items()
    }


def _middle(values: Sequence[float]) -> tuple[float, float]:
    finite = np.array(values)[np.isfinite(values)]
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.percentile(finite, _INTERVAL)
    return float(low), float(high)


def decisive(found: dict[str, Change]) -> tuple[str, Change]:
    """The score by which a compiled decoder is admitted, and its name: AUC, or correlation."""
    name = "auc" if "auc" in found else "pearson_r"
    return name, found[name]
