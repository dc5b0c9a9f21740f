"""Label efficiency: what a readout makes of few labelled windows of a subject held out.

Every row of the table is fitted on the same windows and scored on the same others, so that the
rows differ in their features alone. Windows to train on and to test on are blocks of time, an
embargo apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import stdtrit

from rtbrain.encoder import PopT
from rtbrain.errors import SettingsError
from rtbrain.offline.cross_validation import outputs_of, scores_of
from rtbrain.offline.fitting import fit_classifier
from rtbrain.offline.fitting_popt import ChannelEmbeddings, population_of, tune_popt
from rtbrain.offline.placing import placed_positions
from rtbrain.offline.probing_windows import SubjectWindows
from rtbrain.offline.splits import Fold, block_folds
from rtbrain.types import Floats

__all__ = [
    "METRICS",
    "Draw",
    "Estimate",
    "FrozenRow",
    "TunedRow",
    "draw_windows",
    "estimate",
    "most_labels",
    "probe_subject",
]

Rows = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

METRICS = ("auc", "balanced_accuracy")

_FOLDS = 5
_UPPER = 0.975  # quantile at which an interval of 95 % ends


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """Windows that a probe is fitted and scored on.

    Attributes
    ----------
    count, seed : int
        How many are labelled, and by which draw.
    train, test : ndarray, int64 [count], [n_test]
        Row numbers of the subject's windows, ascending.
    """

    count: int
    seed: int
    train: Rows
    test: Rows


@dataclass(frozen=True, slots=True, eq=False)
class FrozenRow:
    """A row of the table whose features stay as they are, under a logistic readout.

    Attributes
    ----------
    name : str
        What the row is called.
    features : sequence of ndarray, float32 [n_windows, n_features]
        One a seed, or one for all of them.
    """

    name: str
    features: Sequence[Floats]

    def score(self, windows: SubjectWindows, draw: Draw, embargo_s: float) -> dict[str, float]:
        """Scores of the test windows."""
        features = self.features[draw.seed % len(self.features)]
        fitted = fit_classifier(
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
    """A row of the table whose Population Transformer is fitted with the readout.

    Attributes
    ----------
    name : str
        What the row is called.
    popts : sequence of PopT
        Where the fit begins: one a seed, or one for all.
    channels : sequence of ndarray, float32 [n_windows, n_channels, n_features]
        Embeddings that stay frozen: one a seed, or one for all.
    n_steps : int
        Of the fit, at most.
    """

    name: str
    popts: Sequence[PopT]
    channels: Sequence[Floats]
    n_steps: int

    def score(self, windows: SubjectWindows, draw: Draw, embargo_s: float) -> dict[str, float]:
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
        except SettingsError:  # told by the caller, as a count of NaN
            return dict.fromkeys(METRICS, math.nan)
        finally:
            torch.set_num_threads(n_threads)
        population = population_of(tuned.popt, embeddings, draw.test)
        outputs = outputs_of(tuned.readout, population, np.arange(draw.test.size))
        return scores_of(outputs, windows.labelled.targets[draw.test])


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over subjects, each of the same weight, with a 95 % interval.

    Attributes
    ----------
    mean : float
        NaN without any score.
    low, high : float
        Of the interval; NaN where there is none.
    interval : str
        What it is over: ``subjects``; ``subjects and runs`` of a training; ``seeds`` of the only
        subject, or ``runs``, which say nothing of others; ``none`` for one score.
    n_missing : int
        Scores that there are not.
    """

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
) -> list[Draw]:
    """Labelled windows by count and seed: balanced, and more labels hold the fewer.

    Seed k tests on block k of the subject's time, so that the spread over seeds is one over
    stretches of the recording too.

    Parameters
    ----------
    windows : SubjectWindows
        Of the subject.
    counts : sequence of int
        How many to label; at most `most_labels`.
    n_seeds : int
        Draws of each.
    embargo_s : float
        At least the window's length, s: training and test share no sample.
    n_folds : int
        Blocks of time.

    Raises
    ------
    SettingsError
        The classes come in too few stretches for so many blocks.
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
            draws.append(Draw(count, seed, np.sort(np.concatenate(taken)), fold.test))
    return draws


def most_labels(windows: SubjectWindows, *, embargo_s: float, n_folds: int = _FOLDS) -> int:
    """Labelled windows that can be drawn, balanced, whichever block is tested.

    Parameters
    ----------
    windows, embargo_s, n_folds
        As in `draw_windows`.

    Raises
    ------
    SettingsError
        The classes come in too few stretches for so many blocks.
    """
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
    draws: Sequence[Draw],
    *,
    embargo_s: float,
    on_fit: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Doubles]]:
    """Fit and score every row on every draw.

    Parameters
    ----------
    windows : SubjectWindows
        Of the subject.
    rows : sequence of FrozenRow or TunedRow
        What to hold against each other.
    draws : sequence of Draw
        As of `draw_windows`.
    embargo_s : float
        Also kept inside the training windows, where penalties are chosen, s.
    on_fit : callable
        Called after each.

    Returns
    -------
    dict of dict of ndarray, float64 [n_seeds, n_counts]
        By row and metric.
    """
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


def estimate(scores: Doubles) -> Estimate:
    """Mean of scores, and its t interval over the means of the subjects.

    Of one subject alone the interval is over its seeds. These test on other stretches, but learn
    from windows that they share, so that it is a narrow one.

    Parameters
    ----------
    scores : ndarray, float64 [n_subjects, n_seeds]
        NaN are left out.

    Notes
    -----
    A bootstrap of subjects is too narrow where they are few: for 2, 3 and 4 of them it held the
    truth in 69, 80 and 86 of 100 simulated probes, the t interval in 95 each time.

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
        return Estimate(math.nan, math.nan, math.nan, "none", n_missing)
    mean = float(means.mean())
    over: Literal["subjects", "seeds"] = "subjects" if means.size > 1 else "seeds"
    values = means if over == "subjects" else scores[there]
    if values.size < 2:
        return Estimate(mean, math.nan, math.nan, "none", n_missing)
    error = values.std(ddof=1) / math.sqrt(values.size)
    half = float(error * stdtrit(values.size - 1, _UPPER))
    return Estimate(mean, mean - half, mean + half, over, n_missing)


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
