"""How sure one may be of a score: intervals over blocks that hold whole stretches of the labels.

Neighbouring windows are alike, and so are those of one stretch of a state: what counts is how
many stretches there were. Two decoders are compared on the same blocks; a subject is one number.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, expit, logit, stdtrit

from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.metrics import scores_of, scores_without_blocks
from rtbrain.types import Doubles, Ints

# Defaults by judgement from simulated recordings: see also rtbrain.learn.verdict.
GOOD_BLOCKS, FEW_BLOCKS, ROUGH_BLOCKS = 20, 10, 5
CEILING = 0.95  # above this AUC the upper bound does not hold
MARGIN = 0.02  # a loss of AUC that is of no account
_TAIL = 0.975
_FORGOTTEN = 0.1  # autocorrelation of values below which they are told apart
_EXACT_FLIPS = 16  # subjects up to which all signs are tried


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Parts of the recordings that are left out in turn."""

    number: Ints  # int64 [n_labelled], from 0
    unit: str  # what they are, such as "pairs of stretches"
    n_recordings: int = 1  # that they are cut from

    @property
    def n(self) -> int:
        """How many there are."""
        return int(self.number.max(initial=-1)) + 1


def stretch_blocks(labelled: Labelled, *, embargo_s: float) -> Blocks:
    """Blocks of each recording that hold whole stretches of every class.

    Cuts lie at the ends of stretches of the commonest class; neighbours are joined until a block
    lasts `embargo_s`. A cut within a stretch would let what is peculiar to it count in two blocks:
    of 400 simulated pairs of equal decoders, 26 to 36 were then called different, and not 20.
    Values are cut into equal blocks of `embargo_s` or twice the lag at which
    their autocorrelation falls below 0.1, whichever is longer. No block spans two recordings.
    """
    number, first, unit = np.zeros(labelled.rows.size, np.int64), 0, "pairs of stretches"
    parts = labelled.parts
    if labelled.task == "regression":
        length_s = max(embargo_s, 2 * _memory_s(labelled))
        unit = f"blocks of {length_s:.0f} s"
    elif all(np.unique(labelled.targets[part]).size < 2 for part in parts):
        unit = "clips"
    common = int(np.bincount(labelled.classes).argmax())
    for part in parts:
        t_s = labelled.t_s[part]
        if labelled.task == "regression":
            n = max(1, int((t_s[-1] - t_s[0]) / length_s))
            edges = np.searchsorted(t_s, np.linspace(t_s[0], t_s[-1], n + 1)[1:-1])
        else:
            edges = _joined(_ends(labelled.targets[part], common), t_s, embargo_s)
        of = np.searchsorted(edges, np.arange(part.size), side="right")
        number[part] = first + of
        first += int(of.max(initial=-1)) + 1
    return Blocks(number, unit, len(parts))


def group_blocks(groups: Sequence[str], unit: str) -> Blocks:
    """Whole sessions or subjects as blocks, `unit` says which."""
    return Blocks(np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64), unit)


@dataclass(frozen=True, slots=True)
class Interval:
    """A score, or a difference of two, with its 95 % interval; NaN where there is none."""

    score: float
    low: float
    high: float
    error: float  # standard error of the score itself
    n_blocks: int
    unit: str
    name: str = ""  # of the score, such as "auc"
    n_recordings: int = 1

    @property
    def not_worse(self) -> bool:
        """Of a difference: whether more than a margin of 0.02 is not lost."""
        return self.low > -MARGIN

    def brief(self) -> str:
        """Score and bounds, as ``0.83 [0.75, 0.89]``."""
        score = "–" if math.isnan(self.score) else f"{self.score:.2f}"
        if self.n_blocks < ROUGH_BLOCKS or math.isnan(self.low):
            return score
        if self.name == "auc" and self.score > CEILING:
            return f"{score}, at least {self.low:.2f}"
        return f"{score} [{self.low:.2f}, {self.high:.2f}]"

    def text(self) -> str:
        """Score, bounds, and what they are over, for a reader."""
        counted = f"{self.n_blocks} {self.unit}"
        if self.n_blocks < ROUGH_BLOCKS:
            return f"{self.brief()}, no interval: {counted} only"
        if math.isnan(self.low):
            return f"{self.brief()}, no interval: a class lies in one of the {counted} only"
        if self.n_blocks < FEW_BLOCKS:
            return f"{self.brief()}; {counted} only: a rough range"
        few = "" if self.n_blocks >= GOOD_BLOCKS else " (few blocks)"
        if self.unit in ("sessions", "subjects"):
            return f"{self.brief()}, 95 % over {counted}{few}"
        of = "this recording" if self.n_recordings == 1 else "these recordings"
        return f"{self.brief()}, 95 % over {counted} of {of}{few}; says nothing of another day"

    def summary(self) -> dict[str, Any]:
        """As plain values for a report."""
        return {
            "low": self.low,
            "high": self.high,
            "blocks": self.n_blocks,
            "unit": self.unit,
            "brief": self.brief(),
            "text": self.text(),
        }


def jackknife(
    outputs: npt.NDArray[Any], targets: npt.NDArray[Any], blocks: Blocks
) -> dict[str, Interval]:
    """95 % intervals of the pooled scores by leaving out each block in turn.

    AUC on the scale of its logit, correlation on that of Fisher's z, the others as they are.
    Outputs [n_labelled, n_outputs] with NaN are left out.

    References
    ----------
    Tukey 1958, Bias and confidence in not-quite large samples, doi:10.1214/aoms/1177706647; blocks
    of dependent samples: Künsch 1989, doi:10.1214/aos/1176347265.
    """
    without = scores_without_blocks(outputs, targets, blocks.number)
    return {
        name: _interval(name, score, without[name], blocks)
        for name, score in scores_of(outputs, targets).items()
    }


def paired_jackknife(
    outputs: npt.NDArray[Any],
    baseline: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    blocks: Blocks,
) -> dict[str, Interval]:
    """Scores of `outputs` minus those of `baseline` on the same blocks, with 95 % intervals.

    Only windows that both decode count. It is conditional on one training of each.
    """
    both = np.isfinite(outputs).all(axis=1) & np.isfinite(baseline).all(axis=1)
    of = [each[both] for each in (outputs, baseline)]
    truth, number = targets[both], blocks.number[both]
    one, other = (scores_of(each, truth) for each in of)
    left, right = (scores_without_blocks(each, truth, number) for each in of)
    return {
        name: _interval("", one[name] - other[name], left[name] - right[name], blocks)
        for name in one
    }


def over_subjects(values: npt.ArrayLike, unit: str = "subjects") -> Interval:
    """Mean over subjects, one number each, with its t interval; seeds are averaged before."""
    found = np.asarray(values, np.float64)
    mean, error = float(found.mean()), math.nan
    if found.size > 1:
        error = float(found.std(ddof=1)) / math.sqrt(found.size)
    half = _quantile(found.size) * error
    return Interval(mean, mean - half, mean + half, error, found.size, unit)


def share_interval(k: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, k of n (Clopper & Pearson 1934, doi:10.1093/biomet/26.4.404)."""
    low = float(betaincinv(k, n - k + 1, 0.025)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 0.975)) if k < n else 1.0
    return low, high


def sign_flip(differences: npt.ArrayLike) -> float:
    """Two-sided p value of a mean difference of subjects: over all ways to swap the two.

    Of 5 subjects it is 0.0625 at best. Above 16 subjects 65,536 ways are drawn.

    References
    ----------
    Fisher 1935, The design of experiments, section 21.
    """
    values = np.asarray(differences, np.float64)
    if values.size <= _EXACT_FLIPS:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=values.size)))
    else:
        drawn = np.random.default_rng(0).choice((1.0, -1.0), (2**_EXACT_FLIPS - 1, values.size))
        signs = np.concatenate((np.ones((1, values.size)), drawn))
    means = np.abs(signs @ values)
    return float(np.mean(means >= means[0] - 1e-12 * np.abs(values).sum()))


def holm(p_values: npt.ArrayLike) -> Doubles:
    """P values corrected for how many there are, float64 [n].

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure, jstor:4615733.
    """
    found = np.asarray(p_values, np.float64)
    order = np.argsort(found)
    factors = np.arange(found.size, 0, -1)
    corrected = np.empty_like(found)
    corrected[order] = np.minimum(1, np.maximum.accumulate(found[order] * factors))
    return corrected


def _interval(name: str, score: float, without: Doubles, blocks: Blocks) -> Interval:
    n = without.size
    error = math.sqrt((n - 1) / n * np.square(without - without.mean()).sum()) if n > 1 else np.nan
    half = _quantile(n) * error
    if n < ROUGH_BLOCKS or not math.isfinite(score + half):
        low = high = math.nan
    elif name in ("auc", "balanced_accuracy") and score in (0.0, 1.0):
        # No block differs: the bound is that of as many blocks, all right (Clopper & Pearson 1934).
        bound = (1 - _TAIL) ** (1 / n)
        low, high = (bound, 1.0) if score else (0.0, 1 - bound)
    elif name == "auc":
        half /= score * (1 - score)
        low, high = (float(expit(logit(score) + step)) for step in (-half, half))
    elif name == "pearson_r":
        half /= 1 - score**2
        low, high = (math.tanh(math.atanh(score) + step) for step in (-half, half))
    else:
        low, high = score - half, score + half
        if name == "balanced_accuracy":
            low, high = max(low, 0.0), min(high, 1.0)
    return Interval(score, low, high, float(error), n, blocks.unit, name, blocks.n_recordings)


def _quantile(n: int) -> float:
    return float(stdtrit(n - 1, _TAIL)) if n > 1 else math.nan


def _ends(classes: Ints, common: int) -> Ints:
    """First windows after the inner stretches of a class."""
    edges = np.flatnonzero(classes[1:] != classes[:-1]) + 1
    starts, stops = edges[:-1], edges[1:]
    ends: Ints = stops[classes[starts] == common]
    return ends


def _joined(cuts: Ints, t_s: Doubles, least_s: float) -> Ints:
    """Those of the cuts that leave no block shorter than `least_s`, but a whole recording."""
    kept: list[int] = []
    start_s = t_s[0]
    for cut in cuts.tolist():
        if t_s[cut] - start_s >= least_s:
            kept.append(cut)
            start_s = t_s[cut]
    if kept and t_s[-1] - start_s < least_s:
        kept.pop()
    return np.array(kept, np.int64)


def _memory_s(labelled: Labelled) -> float:
    """Lag at which the autocorrelation of values falls below 0.1, s; the longest of the outputs."""
    n = max(part.size for part in labelled.parts)
    total = np.zeros((2 * n, labelled.targets.shape[1]))
    hops = []
    for part in labelled.parts:
        values = labelled.targets[part].astype(np.float64)
        spectrum = np.fft.fft(values - values.mean(axis=0), 2 * n, axis=0)
        total += np.fft.ifft(np.square(np.abs(spectrum)), axis=0).real
        hops += np.diff(labelled.t_s[part]).tolist()
    falls = total[:n] < _FORGOTTEN * total[0]
    lags = np.where(falls.any(axis=0), falls.argmax(axis=0), n)
    return float(lags.max()) * float(np.median(hops)) if hops else 0.0
