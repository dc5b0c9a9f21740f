"""What chance gives: the same fits with labels shifted in time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from rtbrain.errors import SettingsError
from rtbrain.offline.cross_validation import CrossValidated, scores_of, spread
from rtbrain.offline.fitting_logistic import Standardiser, fit_softmax, row_coordinates
from rtbrain.offline.labels import Labelled
from rtbrain.offline.splits import Fold, recording_parts, thinned
from rtbrain.types import Floats

__all__ = ["Chance", "shifted_labels"]

Rows = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

_MOST = 1000  # windows that each run is fitted and scored on
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True, eq=False)
class Chance:
    """Scores with labels shifted in time: what there is to get without any information.

    Attributes
    ----------
    pooled : dict of ndarray, float64 [n_shifts]
        Pooled scores.
    by_fold : dict of ndarray, float64 [n_shifts]
        Mean of the scores over the folds.
    """

    pooled: dict[str, Doubles]
    by_fold: dict[str, Doubles]

    def interval(self, name: str, *, by_fold: bool = False) -> tuple[float, float]:
        """Middle 95 % of a score."""
        values = (self.by_fold if by_fold else self.pooled)[name]
        low, high = np.percentile(values[np.isfinite(values)], _INTERVAL)
        return float(low), float(high)

    def p_value(self, name: str, score: float, *, by_fold: bool = False) -> float:
        """Share of the shifts, the true labels among them, that score as high or higher.

        References
        ----------
        Phipson & Smyth 2010, doi:10.2202/1544-6115.1585.
        """
        values = (self.by_fold if by_fold else self.pooled)[name]
        values = values[np.isfinite(values)]
        return float((1 + np.count_nonzero(values >= score)) / (1 + values.size))


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """A fold whose features are standardised and rotated once for all shifts."""

    train: Rows  # into the labelled windows
    test: Rows
    z_train: Floats
    z_test: Floats
    c: float

    def outputs(self, targets: npt.NDArray[Any], n_outputs: int) -> Doubles:
        """Held-out outputs of a readout of these targets; NaN where one class is trained on."""
        found = np.full((self.test.size, n_outputs), np.nan)
        wanted = targets[self.train]
        if targets.dtype != np.int64:
            model = Ridge(alpha=1 / self.c).fit(self.z_train, wanted)
            found[:] = model.predict(self.z_test).reshape(found.shape)
        elif np.unique(wanted).size > 1:
            weights = fit_softmax(self.z_train, wanted, n_classes=n_outputs, c=self.c)
            found[:] = softmax(self.z_test @ weights[:, :-1].T + weights[:, -1], axis=1)
        return found


def shifted_labels(
    features: Floats,
    labelled: Labelled,
    folds: Sequence[Fold],
    validated: CrossValidated,
    *,
    embargo_s: float,
    seed: int,
    n_shifts: int = 100,
    recordings: Sequence[str] = (),
    on_shift: Callable[[], None] = lambda: None,
) -> Chance:
    """Fit and score again with the labels of each recording shifted round in time.

    A shift keeps how long states last and how slowly the signal drifts, which shuffling destroys;
    it is longer than the embargo either way round. States that alternate with one period come to
    lie on themselves again, and widen the interval. Only the last layer is fitted again, with the
    penalty that was chosen on the true labels, on 1000 windows at most, without temperature.

    Parameters
    ----------
    features, labelled, folds, embargo_s, recordings
        As in `rtbrain.offline.cross_validation.cross_validate`.
    validated : CrossValidated
        What that gave: each fold's penalty.
    seed : int
        Of the draw of shifts.
    n_shifts : int
        How many; fewer where the recordings hold fewer different ones.
    on_shift : callable
        Called after each.

    Raises
    ------
    SettingsError
        Every recording is too short for any shift.

    References
    ----------
    Harris 2021, Nonsense correlations in neuroscience, doi:10.1101/2020.11.29.402719.
    """
    parts = recording_parts(recordings, labelled.rows.size)
    kept = thinned(np.arange(labelled.rows.size), _MOST)
    prepared = [
        _prepare(features, labelled, fold, kept, result.c)
        for fold, result in zip(folds, validated.folds, strict=True)
    ]
    pooled, by_fold = [], []
    # On busy cores, threads that wait for each other cost small products ten times what they save.
    with threadpool_limits(1):
        for share in _shares(labelled, parts, embargo_s, n_shifts, seed):
            targets = labelled.targets.copy()
            for part in parts:
                targets[part] = np.roll(targets[part], round(share * part.size), axis=0)
            outputs = np.full((labelled.rows.size, len(labelled.names)), np.nan)
            scores = []
            for fold in prepared:
                outputs[fold.test] = fold.outputs(targets, len(labelled.names))
                scores.append(scores_of(outputs[fold.test], targets[fold.test]))
            pooled.append(scores_of(outputs, targets))
            by_fold.append({name: values["mean"] for name, values in spread(scores).items()})
            on_shift()
    names = list(pooled[0])
    return Chance(
        {name: np.array([score[name] for score in pooled]) for name in names},
        {name: np.array([score[name] for score in by_fold]) for name in names},
    )


def _prepare(features: Floats, labelled: Labelled, fold: Fold, kept: Rows, c: float) -> _Prepared:
    train, test = np.intersect1d(kept, fold.train), np.intersect1d(kept, fold.test)
    scaler = Standardiser.of(features, labelled.rows[train])
    z = row_coordinates(scaler(features, labelled.rows[np.concatenate((train, test))]))
    thinning = fold.train.size / train.size
    return _Prepared(train, test, z[: train.size], z[train.size :], c * thinning)


def _shares(
    labelled: Labelled, parts: Sequence[Rows], embargo_s: float, n_shifts: int, seed: int
) -> Doubles:
    """Shifts as shares of each recording; the longest one decides how many there are."""
    longest = max(parts, key=len)
    t_s = labelled.t_s[longest]
    fewest = 1 + int(
        np.max(np.searchsorted(t_s, t_s + embargo_s, side="right") - np.arange(t_s.size))
    )
    possible = np.arange(fewest, longest.size - fewest + 1)
    if not possible.size:
        raise SettingsError(
            f"labels cannot be shifted by more than {embargo_s:g} s within {longest.size} windows: "
            "record more, or ask for no shifts"
        )
    rng = np.random.default_rng(seed)
    drawn = rng.choice(possible, min(n_shifts, possible.size), replace=False)
    return np.sort(drawn) / longest.size
