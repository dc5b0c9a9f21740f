"""What a probe may claim: intervals over subjects, paired differences, labels saved."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import stdtr, stdtrit

from rtbrain.learn.intervals import Interval, holm, over_subjects, sign_flip
from rtbrain.learn.verdict import ALPHA, LEAST_SUBJECTS
from rtbrain.types import Doubles

PRIMARY = 64  # labels at which a claim is made, fixed beforehand
_UPPER = 0.975  # quantile at which an interval of 95 % ends
# Doublings of the labels by which one curve is moved over another, and the points of each that
# must lie on the other.
_SHIFTS, _LEAST_POINTS = sorted(np.arange(-60, 61) / 10, key=abs), 2
_LEAST_SAVED = 4  # subjects to say how many labels are saved


@dataclass(frozen=True, slots=True)
class LabelEfficiency:
    """A mean over subjects, each of the same weight, with a 95 % interval."""

    mean: float
    low: float
    high: float
    interval: str  # what it is over: subjects, subjects and runs, seeds, runs, or none
    n_missing: int
    p: float = math.nan  # of a mean of 0, by the same t


def estimate(scores: Doubles) -> LabelEfficiency:
    """Mean of scores [n_runs, n_subjects, n_draws], and its 95 % interval over runs and subjects.

    Where there are several of both, both are random effects: the interval covers other subjects
    and other trainings. A subject that lacks all scores of a run is left out. With one run it is
    the t interval over subjects; with one subject it is over runs, and says nothing about other
    subjects. With one of each it is the range over the seeds: these train on shared windows.

    References
    ----------
    Student 1908, The probable error of a mean, doi:10.1093/biomet/6.1.1.
    Satterthwaite 1946, An approximate distribution of estimates of variance components,
    doi:10.2307/3002019.
    Clark 1973, The language-as-fixed-effect fallacy, doi:10.1016/S0022-5371(73)80014-3.
    """
    there = np.isfinite(scores)
    n_missing = int(scores.size - there.sum())
    whole = there.any(axis=2).all(axis=0)  # [S]
    if not whole.any():
        return LabelEfficiency(math.nan, math.nan, math.nan, "none", n_missing)
    cells = np.nanmean(scores[:, whole], axis=2)  # [R, S]
    mean = float(cells.mean())
    means = {"subjects": cells.mean(axis=0), "runs": cells.mean(axis=1)}
    over = {name: values for name, values in means.items() if values.size > 1}
    if not over:
        seeds = scores[there]
        if seeds.size < 2:
            return LabelEfficiency(mean, math.nan, math.nan, "none", n_missing)
        return LabelEfficiency(mean, float(seeds.min()), float(seeds.max()), "seeds", n_missing)
    parts = np.array([values.var(ddof=1) / values.size for values in over.values()])
    freedoms = np.array([values.size - 1 for values in over.values()])
    half, p = 0.0, float(not mean)
    if parts.sum() > 0:
        freedom = parts.sum() ** 2 / (parts**2 / freedoms).sum()
        error = math.sqrt(parts.sum())
        half = error * float(stdtrit(freedom, _UPPER))
        p = float(2 * stdtr(freedom, -abs(mean) / error))
    return LabelEfficiency(mean, mean - half, mean + half, " and ".join(over), n_missing, p)


def compare(differences: Doubles, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    """Paired differences [n_runs, n_subjects, n_seeds, n_counts] by number of labels.

    ``p_holm`` is corrected for the counts; ``sign_flip`` stands beside it from 6 subjects on.
    """
    found = [estimate(differences[..., k]) for k in range(len(counts))]
    known = [k for k, one in enumerate(found) if math.isfinite(one.p)]
    corrected = dict(zip(known, holm([found[k].p for k in known]).tolist(), strict=True))
    compared = []
    for k, one in enumerate(found):
        subjects = _by_subject(differences[..., k])
        flipped = sign_flip(subjects) if subjects.size >= LEAST_SUBJECTS else math.nan
        compared.append(
            {name: getattr(one, name) for name in LabelEfficiency.__slots__}
            | {"p_holm": corrected.get(k, math.nan), "sign_flip": flipped, "n": subjects.size}
        )
    return compared


def claim(name: str, reference: str, compared: list[dict[str, Any]], counts: list[int]) -> str:
    """What a paired difference shows at the count fixed beforehand, in a sentence."""
    k = primary(counts)
    one = compared[k]
    if not math.isfinite(one["mean"]):
        return f"{name} at {counts[k]} labels: not fitted."
    text = f"{name} minus {reference} at {counts[k]} labels: {one['mean']:+.3f}"
    if "subjects" not in one["interval"]:
        return f"{text}; one subject: no claim about others."
    text += f" [{one['low']:+.3f}, {one['high']:+.3f}], {one['n']} subjects, p {one['p_holm']:.3f}"
    if math.isfinite(one["sign_flip"]):
        text += f", sign-flip {one['sign_flip']:.3f}"
    if one["n"] < LEAST_SUBJECTS:
        return f"{text}; no claim below {LEAST_SUBJECTS} subjects."
    if one["p_holm"] > ALPHA:
        return f"{text}: not shown to differ."
    return f"{text}: {'better' if one['mean'] > 0 else 'worse'}."


def primary(counts: list[int]) -> int:
    """Which of the counts a claim is made at: 64, or the nearest in doublings."""
    return int(np.abs(np.log2(counts) - math.log2(PRIMARY)).argmin())


@dataclass(frozen=True, slots=True)
class LabelsSaved:
    """By how many doublings of the labels an encoder's curve lies before that of no encoder."""

    doublings: Interval
    at_end: float  # share of the subjects whose curves fit best at the last shift that was tried

    @property
    def text(self) -> str:
        """As a factor of labels, with its interval."""
        n = self.doublings.n_blocks
        if n < _LEAST_SAVED:
            return f"no claim: {n} subject{'' if n == 1 else 's'}, {_LEAST_SAVED} are needed"
        mean, low, high = (2**at for at in (getattr(self.doublings, k) for k in _BOUNDS))
        text = f"{mean:.1f} times fewer labels [{low:.1f}, {high:.1f}], {n} subjects"
        if low <= 1 <= high:
            text = f"not shown to save labels: {text}"
        elif high < 1:
            text = f"{1 / mean:.1f} times more labels [{1 / high:.1f}, {1 / low:.1f}], {n} subjects"
        return f"{text}; in {self.at_end:.0%} of them at the end of what can be seen"

    def summary(self) -> dict[str, Any]:
        """As plain values for a report."""
        factors = {name: 2.0 ** getattr(self.doublings, name) for name in _BOUNDS}
        of = {"factor": factors.pop("score"), "interval_95": list(factors.values())}
        return of | {"subjects": self.doublings.n_blocks, "at_end": self.at_end, "text": self.text}


_BOUNDS = ("score", "low", "high")


def labels_saved(encoder: Doubles, linear: Doubles, counts: tuple[int, ...]) -> LabelsSaved | None:
    """Labels that an encoder saves, by scores [n_runs, n_subjects, n_seeds, n_counts] of both.

    Runs and seeds of a subject are averaged first; then each subject's curve is moved along log2 of
    the labels until it lies on that of no encoder. None below three counts, or without a subject
    that has scores at all.
    """
    curves = [
        np.stack([_by_subject(scores[..., k], whole=False) for k in range(len(counts))], axis=1)
        for scores in (encoder, linear)
    ]
    whole = np.isfinite(curves[0]).all(axis=1) & np.isfinite(curves[1]).all(axis=1)
    if len(counts) < 3 or not whole.any():
        return None
    doublings = np.log2(counts)
    shifts, ends = zip(
        *(
            curve_shift(doublings, one[s], other[s])
            for one, other in [curves]
            for s in np.flatnonzero(whole)
        ),
        strict=True,
    )
    return LabelsSaved(over_subjects(np.array(shifts)), float(np.mean(ends)))


def curve_shift(doublings: Doubles, encoder: Doubles, linear: Doubles) -> tuple[float, bool]:
    """Doublings by which linear needs more labels than an encoder; whether that is the last tried.

    Rising curves (monotone regression) are compared where they overlap, each at the points of the
    other, by the mean square; -6 to 6 in steps of 0.1, as far as two points of each overlap.

    References
    ----------
    Barlow et al. 1972, Statistical inference under order restrictions (isotonic regression).
    """
    rising = [isotonic_regression(curve).x for curve in (encoder, linear)]
    tried: list[tuple[float, float]] = []
    for shift in _SHIFTS:
        rest = []
        for (one, other), by in ((rising, shift), (rising[::-1], -shift)):
            moved = doublings + by
            over = (moved >= doublings[0] - 1e-9) & (moved <= doublings[-1] + 1e-9)
            if over.sum() >= _LEAST_POINTS:
                rest.append(one[over] - np.interp(moved[over], doublings, other))
        if len(rest) == 2:
            tried.append((float(np.square(np.concatenate(rest)).mean()), float(shift)))
    best = min(tried, key=lambda one: one[0])[1]  # of equals the smallest shift
    return best, abs(best) >= max(abs(shift) for _, shift in tried) - 1e-9


def _by_subject(scores: Doubles, *, whole: bool = True) -> Doubles:
    """Means over runs and seeds of each subject, of [n_runs, n_subjects, n_seeds].

    Subjects that lack all scores of a run are left out, or NaN where not only `whole` are asked.
    """
    there = np.isfinite(scores).any(axis=2).all(axis=0)
    means = np.full(there.size, np.nan)
    means[there] = np.nanmean(scores[:, there], axis=2).mean(axis=0)
    return means[there] if whole else means
