"""Scores of encoders that were trained several times, and paired differences between encoders.

Legend: R training runs, S subjects, K draws of labels.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from rtbrain.offline.probing import Estimate, estimate

__all__ = ["estimate_runs", "paired"]

Doubles = npt.NDArray[np.float64]

_UPPER = 0.975  # quantile at which an interval of 95 % ends


def estimate_runs(scores: Doubles) -> Estimate:
    """Mean of scores over draws, runs and subjects, and its interval over the last two.

    Of several runs and subjects the interval says what other subjects and another training would
    give: both were drawn. A subject that lacks all scores of a run is left out. Of one run it is
    that of `rtbrain.offline.probing.estimate`, and of one subject it is over runs, which says
    nothing of other subjects.

    Parameters
    ----------
    scores : ndarray, float64 [R, S, K]
        NaN are left out.

    Notes
    -----
    The squared error of the mean is s_S^2 / S + s_R^2 / R, of the means of subjects and of runs,
    with the degrees of freedom of Satterthwaite. What a run gives a subject beyond both is counted
    twice by that: 95 of 100 simulated intervals held the truth where subjects or runs differ, and
    99 where neither does.

    References
    ----------
    Satterthwaite 1946, An approximate distribution of estimates of variance components,
    doi:10.2307/3002019.
    Clark 1973, The language-as-fixed-effect fallacy, doi:10.1016/S0022-5371(73)80014-3.
    """
    if len(scores) == 1:
        return estimate(scores[0])
    there = np.isfinite(scores)
    n_missing = int(scores.size - there.sum())
    whole = there.any(axis=2).all(axis=0)  # [S]
    if not whole.any():
        return Estimate(math.nan, math.nan, math.nan, "none", n_missing)
    cells = np.nanmean(scores[:, whole], axis=2)  # [R, S]
    mean, runs, subjects = float(cells.mean()), cells.mean(axis=1), cells.mean(axis=0)
    of_runs = runs.var(ddof=1) / runs.size
    if subjects.size < 2:
        half = math.sqrt(of_runs) * float(stdtrit(runs.size - 1, _UPPER))
        return Estimate(mean, mean - half, mean + half, "runs", n_missing)
    of_subjects = subjects.var(ddof=1) / subjects.size
    error = float(of_runs + of_subjects)
    half = 0.0
    if error > 0:
        freedom = error**2 / (of_runs**2 / (runs.size - 1) + of_subjects**2 / (subjects.size - 1))
        half = math.sqrt(error) * float(stdtrit(freedom, _UPPER))
    return Estimate(mean, mean - half, mean + half, "subjects and runs", n_missing)


def paired(scores: Doubles, reference: Doubles) -> Estimate:
    """Mean difference of two rows on the same subjects and draws, with its 95 % interval.

    Parameters
    ----------
    scores, reference : ndarray, float64 [R, S, K]
        NaN in either is left out of both. As many runs of each, paired in their order, or one of
        either, which is then held against every run of the other.

    Raises
    ------
    ValueError
        There are several runs of both, and not as many.
    """
    return estimate_runs(scores - reference)
