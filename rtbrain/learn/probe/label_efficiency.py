"""Label efficiency: the performance of a readout with few labelled windows of a new subject.

Every row of the table is fitted on the same windows and scored on the same others, so that the
rows differ in their features alone. Windows to train on and to test on are blocks of time, an
embargo apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.special import stdtrit

from rtbrain.encoder import PopT
from rtbrain.errors import SettingsError
from rtbrain.learn.corpus.corpus import placed_positions
from rtbrain.learn.fit.cross_validation import outputs_of, scores_of
from rtbrain.learn.fit.popt import ChannelEmbeddings, population_of, tune_popt
from rtbrain.learn.fit.readout import fit_readout
from rtbrain.learn.fit.splits import Fold, block_folds
from rtbrain.learn.probe.windows import SubjectWindows
from rtbrain.types import Doubles, Floats, Ints

METRICS = ("auc", "balanced_accuracy")
_FOLDS = 5
_UPPER = 0.975  # quantile at which an interval of 95 % ends


@dataclass(frozen=True, slots=True, eq=False)
class LabelDraw:
    """Windows that a probe is fitted and scored on."""

    count: int
    seed: int
    train: Ints  # int64 [count], [n_test]
    test: Ints  # int64 [count], [n_test]


@dataclass(frozen=True, slots=True, eq=False)
class FrozenRow:
    """A row of the table whose features stay as they are, under a logistic readout."""

    name: str
    features: Sequence[Floats]  # sequence of ndarray, float32 [n_windows, n_features]

    def score(self, windows: SubjectWindows, draw: LabelDraw, embargo_s: float) -> dict[str, float]:
        """Scores of the test windows."""
        features = self.features[draw.seed % len(self.features)]
        fitted = fit_readout(
            features,
            windows.labelled,
            embargo_s=embargo_s,
            train=draw.train,
            recordings=windows.recordings,
        )
        outputs = outputs_of(fitted.readout, features, draw.test)
        return scores_of(outputs, windows.labelled.targets[draw.test])


@dataclass(frozen=True, slots=True, eq=False)
class TunedRow:
    """A row of the table whose Population Transformer is fitted with the readout."""

    name: str
    popts: Sequence[PopT]
    channels: Sequence[Floats]  # sequence of ndarray, float32 [n_windows, n_channels, n_features]
    n_steps: int

    def score(self, windows: SubjectWindows, draw: LabelDraw, embargo_s: float) -> dict[str, float]:
        """Scores of the test windows; NaN where the labelled ones hold no block to stop on."""
        positions, placed = placed_positions(windows.sessions[0].montage)
        channels = self.channels[draw.seed % len(self.channels)]
        embeddings = ChannelEmbeddings(channels, positions, windows.good & placed)
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)  # on busy cores, products this small wait longer than they take
        try:
            tuned = tune_popt(
                self.popts[draw.seed % len(self.popts)],
                embeddings,
                windows.labelled,
                embargo_s=embargo_s,
                seed=draw.seed,
                train=draw.train,
                recordings=windows.recordings,
                n_steps=self.n_steps,
            )
        except SettingsError:  # the report counts the NaN
            return dict.fromkeys(METRICS, math.nan)
        finally:
            torch.set_num_threads(n_threads)
        population = population_of(tuned.popt, embeddings, draw.test)
        outputs = outputs_of(tuned.readout, population, np.arange(draw.test.size))
        return scores_of(outputs, windows.labelled.targets[draw.test])


@dataclass(frozen=True, slots=True)
class LabelEfficiency:
    """A mean over subjects, each of the same weight, with a 95 % interval."""

    mean: float
    low: float
    high: float
    interval: Literal["subjects", "subjects and runs", "seeds", "runs", "none"]
    n_missing: int


def draw_windows(
    windows: SubjectWindows,
    counts: Sequence[int],
    *,
    n_seeds: int,
    embargo_s: float,
    n_folds: int = _FOLDS,
) -> list[LabelDraw]:
    """Labelled windows by count and seed: balanced, and larger draws contain the smaller.

    Seed k tests on block k of the subject's time, so that the spread over seeds is one over
    stretches of the recording too.
    """
    labelled = windows.labelled
    folds = _folds(windows, n_folds, embargo_s)
    draws = []
    for seed in range(n_seeds):
        fold = folds[seed % n_folds]
        order = np.random.default_rng(seed).permutation(fold.train)
        by_class = [order[labelled.targets[order] == k] for k in range(len(labelled.names))]
        for count in counts:
            # Of 25 windows and two classes, the first gets 13.
            shares = [part.size for part in np.array_split(np.arange(count), len(by_class))]
            taken = [rows[:share] for rows, share in zip(by_class, shares, strict=True)]
            draws.append(LabelDraw(count, seed, np.sort(np.concatenate(taken)), fold.test))
    return draws


def max_labels(windows: SubjectWindows, *, embargo_s: float, n_folds: int = _FOLDS) -> int:
    """Most labelled windows that can be drawn, balanced, whichever block is tested."""
    n_classes = len(windows.labelled.names)
    targets = windows.labelled.targets
    fewest = min(
        int(np.bincount(targets[fold.train], minlength=n_classes).min())
        for fold in _folds(windows, n_folds, embargo_s)
    )
    return n_classes * fewest


def probe_subject(
    windows: SubjectWindows,
    rows: Sequence[FrozenRow | TunedRow],
    draws: Sequence[LabelDraw],
    *,
    embargo_s: float,
    on_fit: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Doubles]]:
    """Fit and score every row on every draw."""
    counts = sorted({draw.count for draw in draws})
    n_seeds = 1 + max(draw.seed for draw in draws)
    found = {
        row.name: {metric: np.full((n_seeds, len(counts)), np.nan) for metric in METRICS}
        for row in rows
    }
    for row in rows:
        for draw in draws:
            scores = row.score(windows, draw, embargo_s)
            for metric in METRICS:
                found[row.name][metric][draw.seed, counts.index(draw.count)] = scores[metric]
            on_fit()
    return found


def estimate(scores: Doubles) -> LabelEfficiency:
    """Mean of scores, and its t interval over the means of the subjects.

    For a single subject the interval is over its seeds. It is narrow: seeds test on different
    stretches, but train on shared windows.

    References
    ----------
    Student 1908, The probable error of a mean, doi:10.1093/biomet/6.1.1.
    """
    there = np.isfinite(scores)
    n_missing = int(scores.size - there.sum())
    means = np.array(
        [row[kept].mean() for row, kept in zip(scores, there, strict=True) if kept.any()]
    )
    if not means.size:
        return LabelEfficiency(math.nan, math.nan, math.nan, "none", n_missing)
    mean = float(means.mean())
    over: Literal["subjects", "seeds"] = "subjects" if means.size > 1 else "seeds"
    values = means if over == "subjects" else scores[there]
    if values.size < 2:
        return LabelEfficiency(mean, math.nan, math.nan, "none", n_missing)
    error = values.std(ddof=1) / math.sqrt(values.size)
    half = float(error * stdtrit(values.size - 1, _UPPER))
    return LabelEfficiency(mean, mean - half, mean + half, over, n_missing)


def _folds(windows: SubjectWindows, n_folds: int, embargo_s: float) -> list[Fold]:
    labelled = windows.labelled
    try:
        return block_folds(
            labelled.t_s,
            labelled.targets,
            n_folds=n_folds,
            embargo_s=embargo_s,
            names=labelled.names,
            recordings=windows.recordings,
        )
    except SettingsError as error:
        raise SettingsError(f"subject {windows.subject}: {error}") from error


def estimate_runs(scores: Doubles) -> LabelEfficiency:
    """Mean of scores over draws, runs and subjects, and its interval over the last two.

    With several runs and subjects, both are random effects: the interval covers other subjects and
    other trainings. A subject that lacks all scores of a run is left out. With one run it is that
    of `estimate`; with one subject it is over runs, and says nothing about other subjects.

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
        return LabelEfficiency(math.nan, math.nan, math.nan, "none", n_missing)
    cells = np.nanmean(scores[:, whole], axis=2)  # [R, S]
    mean, runs, subjects = float(cells.mean()), cells.mean(axis=1), cells.mean(axis=0)
    of_runs = runs.var(ddof=1) / runs.size
    if subjects.size < 2:
        half = math.sqrt(of_runs) * float(stdtrit(runs.size - 1, _UPPER))
        return LabelEfficiency(mean, mean - half, mean + half, "runs", n_missing)
    of_subjects = subjects.var(ddof=1) / subjects.size
    error = float(of_runs + of_subjects)
    half = 0.0
    if error > 0:
        freedom = error**2 / (of_runs**2 / (runs.size - 1) + of_subjects**2 / (subjects.size - 1))
        half = math.sqrt(error) * float(stdtrit(freedom, _UPPER))
    return LabelEfficiency(mean, mean - half, mean + half, "subjects and runs", n_missing)


def paired_differences(scores: Doubles, reference: Doubles) -> LabelEfficiency:
    """Mean difference of two rows on the same subjects and draws, with its 95 % interval."""
    return estimate_runs(scores - reference)
