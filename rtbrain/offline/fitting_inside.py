"""Blocks of time inside the training windows, on which penalties and temperatures are chosen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError
from rtbrain.offline.labels import Labelled
from rtbrain.offline.splits import block_folds, thinned

__all__ = ["Folds", "Inside", "blocked_folds", "blocks_inside", "consecutive_blocks"]

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
Folds = Sequence[tuple[Rows, Rows]]

_MOST = 1000  # windows to choose on; overlapping neighbours tell nothing more
_FOLDS = (4, 3)  # two blocks cannot tell penalties or temperatures apart


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """Some of the training windows, and folds of these.

    Attributes
    ----------
    rows : ndarray, int64 [n_inside]
        Row numbers into the training windows, evenly spaced.
    folds : sequence of (train, test)
        Row numbers into `rows`; none where no block could be held out.
    """

    rows: Rows
    folds: Folds


def blocked_folds(n_windows: int, *, n_folds: int, embargo_windows: int) -> list[tuple[Rows, Rows]]:
    """Contiguous test blocks, training rows kept an embargo away from them.

    Parameters
    ----------
    n_windows : int
        Consecutive windows.
    n_folds : int
        Blocks.
    embargo_windows : int
        Windows left out on both sides of a test block: no sample may be seen on both sides.

    Returns
    -------
    list of (train, test)
        Row numbers.
    """
    rows = np.arange(n_windows)
    folds = []
    for block in np.array_split(rows, n_folds):
        far = (rows < block[0] - embargo_windows) | (rows > block[-1] + embargo_windows)
        folds.append((rows[far], block))
    return folds


def consecutive_blocks(labels: Labels, *, n_folds: int, embargo_windows: int) -> Inside:
    """Blocks of consecutive windows; those that lack a class on one side are left out.

    Parameters
    ----------
    labels : ndarray, int64 [n_windows]
        Class numbers.
    n_folds, embargo_windows : int
        As in `blocked_folds`.
    """
    rows = thinned(np.arange(labels.size), _MOST)
    embargo = math.ceil(embargo_windows * rows.size / labels.size)
    folds = [
        (train, test)
        for train, test in blocked_folds(rows.size, n_folds=n_folds, embargo_windows=embargo)
        if min(np.unique(labels[rows[part]]).size for part in (train, test)) > 1
    ]
    return Inside(rows, folds)


def blocks_inside(
    labelled: Labelled, train: Rows, *, embargo_s: float, recordings: Sequence[str] = ()
) -> Inside:
    """Blocks of the training windows: four folds, or three, or none that each hold every class.

    Parameters
    ----------
    labelled : Labelled
        All that have a label.
    train : ndarray, int64 [n_train]
        Row numbers into them.
    embargo_s, recordings
        As in `rtbrain.offline.splits.block_folds`.
    """
    rows = thinned(np.arange(train.size), _MOST)
    at = train[rows]
    places = np.asarray(recordings)[at].tolist() if len(recordings) else ()
    for n_folds in _FOLDS:
        try:
            folds = block_folds(
                labelled.t_s[at],
                labelled.targets[at],
                n_folds=n_folds,
                embargo_s=embargo_s,
                recordings=places,
            )
        except SettingsError:  # too few stretches of a class for so many
            continue
        return Inside(rows, [(fold.train, fold.test) for fold in folds])
    return Inside(rows, [])
