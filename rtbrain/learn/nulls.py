"""What a decoder scores without information: targets drawn anew, and what time alone tells.

Where the design is known, the cues are drawn again from its plan, which is exact whatever drifts.
Where it is not, the labels are shifted round in time, in each recording on its own, and the test is
made twice: on the features as they are, and on those from which slow drift is removed, for shifts
alone take a drifting signal beside a drifting mix of classes for information. Clips of one class
each, from different times, change their classes as a whole.

References
----------
Harris 2021, Nonsense correlations in neuroscience, doi:10.1101/2020.11.29.402719: shifts in
time and detrending are among the methods that fail; only randomising the design is a guarantee.
On simulated drift of up to 8 standard deviations, p without slow drift was at most 0.05 in 0.7 to
5.3 % of recordings without information.
Phipson & Smyth 2010, Permutation p-values should never be zero, doi:10.2202/1544-6115.1585.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.splits import subsample
from rtbrain.learn.metrics import roc_auc, scores_of
from rtbrain.types import Doubles, Floats, Ints, Times

N_DRIFT = 4  # cosines that make up slow drift
SHIFTED, PERMUTED, REDRAWN = "labels shifted", "classes permuted over clips", "cues drawn again"
_POWERS = np.arange(1, 4)  # of time, which the clock alone is decoded from
_ROUNDING = 1e-9  # scores this close are equal


class Design(Protocol):
    """A stored plan of cues, which can be drawn again."""

    def __call__(self, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Targets of every labelled window by another draw of the same plan."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NullTargets:
    """The true targets and those of the null, for some of the windows.

    Attributes
    ----------
    kept : int64 [n_kept]
        Positions of the windows that take part.
    targets : [1 + n, n_kept] or [1 + n, n_kept, n_outputs]
        The true ones first.
    without_drift : the same, or None
        Those for features without slow drift: of values it is removed from every draw. None where
        the draws are exact without.
    how : str
        How the others were made.
    n_eff : float
        How many independent stretches the labels hold.
    overlap : float
        Median over the draws of how far they are the true labels, or these turned round, 0 to 1.
    fixed_pace : bool
        Whether stretches of each class last equally long, so that shifts lay them on each other.
    """

    kept: Ints
    targets: npt.NDArray[Any]
    without_drift: npt.NDArray[Any] | None
    how: str
    n_eff: float
    overlap: float
    fixed_pace: bool = False

    @property
    def n(self) -> int:
        """How many draws there are beside the truth."""
        return len(self.targets) - 1


def label_overlap(targets: npt.NDArray[Any]) -> Doubles:
    """Circular autocorrelation of the centred labels of one recording, float64 [n_windows].

    φ(s) = Σ_i c_i c_{i+s} / Σ_i c_i²; classes as 0 and 1 each, outputs on one scale. Of labels that
    never change it is 0.
    """
    if targets.dtype == np.int64:
        values = (targets[:, np.newaxis] == np.unique(targets)).astype(np.float64)
        values -= values.mean(axis=0)
    else:
        values = targets.astype(np.float64).reshape(len(targets), -1)
        values -= values.mean(axis=0)
        spread: Doubles = np.atleast_1d(values.std(axis=0))
        values = values[:, spread > 0] / spread[spread > 0]
    power = np.square(np.abs(np.fft.rfft(values, axis=0))).sum(axis=1)
    phi: Doubles = np.fft.irfft(power, len(targets))
    return phi / phi[0] if values.size and phi[0] > 0 else np.zeros(len(targets))


def effective_count(labelled: Labelled) -> float:
    """Independent stretches that the labels hold: n / Σ φ(s)² of each recording, summed.

    States that alternate at a fixed pace give few however long they are recorded, since every shift
    lays them on themselves, or against themselves.
    """
    counts = []
    for part in labelled.parts:
        squares = np.square(label_overlap(labelled.targets[part])).sum()
        counts.append(part.size / squares if squares > 0 else 0.0)
    return float(sum(counts))


def possible_shifts(targets: npt.NDArray[Any], t_s: Times, embargo_s: float) -> Ints:
    """Shifts of one recording, in windows, by more than the embargo and the first zero of φ."""
    n = len(targets)
    near = np.searchsorted(t_s, t_s + embargo_s, side="right") - np.arange(n)
    phi = label_overlap(targets)
    negative = phi <= _ROUNDING
    first = int(np.argmax(negative)) if negative.any() else n
    fewest = max(1 + int(near.max(initial=0)), first)
    return np.arange(fewest, n - fewest + 1)


def null_targets(
    labelled: Labelled,
    *,
    embargo_s: float,
    n_permutations: int,
    max_windows: int = 1000,
    design: Design | None = None,
    seed: int = 0,
) -> NullTargets:
    """Targets as they could be if the signals held no information about them.

    Recordings that cannot be shifted, for they are too short or of one class, take no part.

    Raises
    ------
    SettingsError
        No recording can be shifted by more than the embargo.
    """
    rng, parts = np.random.default_rng(seed), labelled.parts
    if design is None and labelled.are_clips:
        return _permuted_clips(labelled, n_permutations, max_windows, rng)
    if design is not None:
        kept = subsample(np.arange(labelled.rows.size), max_windows)
        drawn = [design(rng)[kept] for _ in range(n_permutations)]
        targets = np.stack([labelled.targets[kept], *drawn])
        n_eff, alike = effective_count(labelled), _median_likeness(targets)
        return NullTargets(kept, targets, None, REDRAWN, n_eff, alike)
    possible = [possible_shifts(labelled.targets[p], labelled.t_s[p], embargo_s) for p in parts]
    moved = [(p, shifts) for p, shifts in zip(parts, possible, strict=True) if shifts.size]
    if not moved:
        longest = max(part.size for part in parts)
        raise SettingsError(
            f"labels cannot be shifted by more than {embargo_s:g} s, to where they differ, within "
            f"{longest} windows: record more, or set n_permutations to 0"
        )
    windows = np.sort(np.concatenate([part for part, _ in moved]))
    kept = subsample(windows, max_windows)
    shifts = _drawn([one for _, one in moved], n_permutations, rng)
    source = np.repeat(kept[np.newaxis], 1 + len(shifts), axis=0)
    overlap, total = np.zeros(len(shifts)), 0
    for (part, _), of_part in zip(moved, shifts.T, strict=True):
        at = np.flatnonzero(np.isin(kept, part))
        place = np.searchsorted(part, kept[at])
        source[1:, at] = part[(place - of_part[:, np.newaxis]) % part.size]  # as numpy.roll does
        overlap += part.size * label_overlap(labelled.targets[part])[of_part]
        total += part.size
    targets = labelled.targets[source]
    level = targets
    if labelled.task == "regression":
        # After the shift: before it, the truth alone would lack the drift that features lack too.
        of_kept = labelled.pick(kept).parts
        level = np.stack([remove_drift(one, of_kept) for one in targets])
    median, pace = float(np.median(np.abs(overlap) / total)), labelled.at_fixed_pace
    return NullTargets(kept, targets, level, SHIFTED, effective_count(labelled), median, pace)


def p_value(true: float, null: npt.ArrayLike) -> float:
    """Share of the draws, the truth among them, that score as high or higher (Phipson & Smyth)."""
    values = np.asarray(null, np.float64)
    values = values[np.isfinite(values)]
    return float((1 + np.count_nonzero(values >= true - _ROUNDING)) / (1 + values.size))


def remove_drift(values: npt.NDArray[Any], parts: Sequence[Ints]) -> npt.NDArray[Any]:
    """Values [n_windows, ...] less the constant and slow cosines of each recording, as a copy.

    cos(πk(i+½)/n), k = 1 to 4; over all windows of a recording, test and training alike: a control,
    never what is decoded with.
    """
    found = values.copy()
    for part in parts:
        n_cosines = min(N_DRIFT, part.size // 5)
        moments = (np.arange(part.size) + 0.5) / max(1, part.size)
        basis = np.cos(np.pi * moments[:, np.newaxis] * np.arange(n_cosines + 1))
        basis /= np.sqrt(np.square(basis).sum(axis=0))  # orthogonal already
        rows = found[part].reshape(part.size, -1)
        rows = rows - basis.astype(rows.dtype) @ (basis.T.astype(rows.dtype) @ rows)
        found[part] = rows.reshape(found[part].shape)
    return found


def clock_features(labelled: Labelled) -> Floats:
    """Three powers of the time since the start of each recording, float32 [n_labelled, 3]."""
    t_s = np.zeros(labelled.rows.size)
    for part in labelled.parts:
        t_s[part] = labelled.t_s[part] - labelled.t_s[part].min()
    scaled = 2 * t_s / max(t_s.max(initial=0), 1e-9) - 1
    features: Floats = (scaled[:, np.newaxis] ** _POWERS).astype(np.float32)
    return features


def time_order(labelled: Labelled) -> float:
    """How far the order in time alone parts the classes: |AUC - 0.5|, mean over the classes.

    Of values half the correlation of their ranks with time, which is on the same scale.
    """
    time = clock_features(labelled)[:, 0].astype(np.float64)
    if labelled.task == "regression":
        ranks = [np.argsort(np.argsort(column)) for column in (time, *labelled.targets.T)]
        rhos = [abs(np.corrcoef(ranks[0], one)[0, 1]) / 2 for one in ranks[1:]]
        return float(np.mean(rhos))
    outputs = np.stack((-time, time), axis=1)
    areas = [
        abs(roc_auc(outputs, (labelled.targets == number).astype(np.int64)) - 0.5)
        for number in np.unique(labelled.targets).tolist()
    ]
    return float(np.mean(areas)) if len(areas) > 1 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class NullDistribution:
    """Scores of the truth and of every draw, by one path: as they are, and without slow drift."""

    draws: NullTargets
    scores: dict[str, Doubles]  # dict of ndarray, float64 [1 + n], the truth first
    without_drift: dict[str, Doubles] | None = None  # none where cues were drawn or clips permuted
    of: str = ""  # whose scores they are, after p, where not of the decoder itself

    def p_value(self, name: str) -> float:
        """The larger p value of the two."""
        both = [one[name] for one in (self.scores, self.without_drift) if one is not None]
        return max(p_value(float(values[0]), values[1:]) for values in both)

    def band(self, name: str) -> tuple[float, float]:
        """Middle 95 % of the draws; not what chance gives where these overlap the true labels."""
        low, high = np.nanpercentile(self.scores[name][1:], (2.5, 97.5))
        return float(low), float(high)

    def summary(self) -> dict[str, Any]:
        """All figures as plain values."""
        scores = {}
        for name, values in self.scores.items():
            scores[name] = {
                "p": self.p_value(name),
                "p_shifted": p_value(float(values[0]), values[1:]),
                "true": float(values[0]),
                "median": float(np.nanmedian(values[1:])),
                "band_95": self.band(name),
            }
            if self.without_drift is not None:
                without = self.without_drift[name]
                scores[name] |= {
                    "without_drift": float(without[0]),
                    "p_without_drift": p_value(float(without[0]), without[1:]),
                }
        draws = self.draws
        return {
            "how": draws.how,
            "of": self.of,
            "n": draws.n,
            "n_effective": draws.n_eff,
            "overlap": draws.overlap,
            **scores,
        }


def null_of_outputs(
    outputs: npt.NDArray[Any], labelled: Labelled, draws: NullTargets
) -> NullDistribution:
    """The null of a decoder that is not fitted again: its outputs against other labels.

    Without slow drift, it is removed from the outputs, and from values to predict.
    """
    scored, parts = outputs[draws.kept], labelled.pick(draws.kept).parts
    without = None
    if draws.without_drift is not None:
        without = score_draws(remove_drift(scored, parts), draws.without_drift)
    return NullDistribution(draws, score_draws(scored, draws.targets), without)


def score_draws(outputs: npt.NDArray[Any], targets: npt.NDArray[Any]) -> dict[str, Doubles]:
    """Scores of each draw's targets: of its own outputs [1 + n, n_kept, K], or of one for all."""
    several = outputs if outputs.ndim == 3 else [outputs] * len(targets)
    found = [scores_of(one, truth) for one, truth in zip(several, targets, strict=True)]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def _drawn(possible: Sequence[Ints], n: int, rng: np.random.Generator) -> Ints:
    """Shifts of each recording, int64 [n_drawn, n_recordings], no two draws the same."""
    if len(possible) == 1:
        return rng.choice(possible[0], min(n, possible[0].size), replace=False)[:, np.newaxis]
    drawn = np.stack([rng.choice(one, 4 * n) for one in possible], axis=1)
    unlike = np.sort(np.unique(drawn, axis=0, return_index=True)[1])
    return drawn[unlike[:n]]


def _permuted_clips(
    labelled: Labelled, n: int, max_windows: int, rng: np.random.Generator
) -> NullTargets:
    kept, parts = subsample(np.arange(labelled.rows.size), max_windows), labelled.parts
    clip = np.empty(labelled.rows.size, np.int64)
    for number, part in enumerate(parts):
        clip[part] = number
    classes = np.array([labelled.targets[part[0]] for part in parts])
    drawn = np.unique([rng.permutation(classes) for _ in range(4 * n)], axis=0)
    drawn = rng.permutation(drawn[(drawn != classes).any(axis=1)])[:n]
    targets = np.concatenate((classes[np.newaxis], drawn))[:, clip[kept]]
    alike = _median_likeness(targets)
    return NullTargets(kept, targets, None, PERMUTED, float(len(parts)), alike)


def _median_likeness(targets: npt.NDArray[Any]) -> float:
    """Median size of the correlation of every draw with the truth, classes as 0 and 1 each."""
    true, *drawn = targets
    if not drawn:
        return 0.0
    found = []
    for other in drawn:
        numbers = np.unique(true) if true.dtype == np.int64 else None
        a, b = (
            each if numbers is None else each[:, np.newaxis] == numbers for each in (true, other)
        )
        a, b = (each - each.mean(axis=0, dtype=np.float64) for each in (a, b))
        length = np.sqrt(np.square(a).sum() * np.square(b).sum())
        found.append(abs((a * b).sum() / length) if length > 0 else 0.0)
    return float(np.median(found))
