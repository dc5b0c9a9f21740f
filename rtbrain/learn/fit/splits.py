"""Which windows a decoder is fitted on, and which it is scored on.

Windows overlap, and brain signals drift: neighbours in time look alike whatever they are
labelled. So test windows are contiguous blocks of time, and training windows stay an embargo
away from them.

References
----------
Varoquaux et al. 2017, Assessing and tuning brain decoders, doi:10.1016/j.neuroimage.2016.10.038.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.learn.fit.labels import Labelled
from rtbrain.types import Ints, Mask

_MOST_BLOCKS_A_FOLD = 6


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One split of the labelled windows."""

    name: str
    train: Ints  # int64 [n_train]
    test: Ints  # int64 [n_test]


def block_folds(labelled: Labelled, *, n_folds: int, embargo_s: float) -> list[Fold]:
    """Folds of contiguous blocks of time within each recording, or of whole clips of one class.

    A recording is cut in as many blocks of equal counts as there are folds. Where a fold then
    lacks a class in training or test, two to six shorter blocks per fold are tried, assigned in
    turn, then to and fro. A training window is left out if a test window of the same recording ends
    within `embargo_s` of its end. Where every recording holds one class, its blocks would lie on
    both sides and tell it: see `clip_folds`, whose folds may be fewer.

    Edges do not follow changes of class: the windows across an edge would then always be of the
    other class, and slow drift alone would score below chance.
    """
    if n_folds < 2:
        raise SettingsError(f"folds: expected 2 or more, got {n_folds}")
    if labelled.are_clips:
        return clip_folds(labelled, n_folds=n_folds)
    parts, classes = labelled.parts, labelled.classes
    stratified = labelled.task == "classification"
    stretches = _stretches(classes, parts)
    if stratified and min(stretches.values(), default=0) < n_folds:
        raise SettingsError(_too_few(stretches, n_folds, labelled.names))
    for n_blocks in range(1, _MOST_BLOCKS_A_FOLD + 1):
        for there_and_back in (False, True):
            fold_of = np.empty(classes.size, np.int64)
            for part in parts:
                fold_of[part] = _assigned(part.size, n_folds, n_blocks, there_and_back)
            folds = [
                _fold(f"block {k + 1}", fold_of == k, labelled, parts, embargo_s)
                for k in range(n_folds)
            ]
            if all(_whole(fold, classes) for fold in folds):
                return folds
    if not stratified:
        raise SettingsError(
            f"{n_folds} folds with {embargo_s:g} s left out between them leave nothing to train on "
            "or to test: record more, or use fewer folds"
        )
    raise SettingsError(_too_few(stretches, n_folds, labelled.names))


def group_folds(groups: Sequence[str], labelled: Labelled) -> list[Fold]:
    """One fold a group, which is held out whole: a session, or a subject."""
    labels, classes = np.asarray(groups), labelled.classes
    kinds = list(dict.fromkeys(groups))
    if len(kinds) < 2:
        raise SettingsError(
            f"one group only, {kinds[0] if kinds else 'none'}: give recordings of two or more "
            "sessions or subjects, or split into blocks"
        )
    folds = []
    for kind in kinds:
        held_out = labels == kind
        fold = Fold(kind, np.flatnonzero(~held_out), np.flatnonzero(held_out))
        for part, rows in (("test", fold.test), ("training", fold.train)):
            absent = sorted(set(classes.tolist()) - set(classes[rows].tolist()))
            if absent:
                listed = ", ".join(labelled.names[number] for number in absent)
                raise SettingsError(
                    f"holding out {kind} leaves no {listed} for {part}: leave that recording out, "
                    "or split into blocks"
                )
        folds.append(fold)
    return folds


def clip_folds(labelled: Labelled, *, n_folds: int) -> list[Fold]:
    """Folds of whole recordings of one class each: those of each class assigned in turn."""
    parts = labelled.parts
    of_class: dict[int, list[Ints]] = {}
    for part in parts:
        of_class.setdefault(int(labelled.classes[part[0]]), []).append(part)
    fewest = min(len(clips) for clips in of_class.values())
    if fewest < 2 or len(of_class) < 2:
        listed = ", ".join(f"{labelled.names[k]} {len(clips)}" for k, clips in of_class.items())
        raise SettingsError(
            f"every recording holds one class only, and these are held out whole: expected 2 or "
            f"more of each of two classes, got {listed}: give more, or record the classes in turn"
        )
    n_folds, fold_of = min(n_folds, fewest), np.empty(labelled.rows.size, np.int64)
    for clips in of_class.values():
        for number, part in enumerate(clips):
            fold_of[part] = number % n_folds
    return [
        Fold(f"clips {k + 1}", np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k))
        for k in range(n_folds)
    ]


def unsafe_random_folds(n_labelled: int, *, n_folds: int, seed: int = 0) -> list[Fold]:
    """Folds of windows drawn at random, as in much published work: their scores leak.

    A test window shares samples with training windows, and its drift with all of them. Not for
    scores to rely on: it shows how much leakage adds.
    """
    order = np.random.default_rng(seed).permutation(n_labelled)
    folds = []
    for number, drawn in enumerate(np.array_split(order, n_folds)):
        test = np.sort(drawn)
        folds.append(Fold(f"random {number + 1}", np.setdiff1d(order, test), test))
    return folds


def subsample(rows: Ints, most: int) -> Ints:
    """At most `most` of the rows, evenly spaced, the first and last among them."""
    if rows.size <= most:
        return rows
    return rows[np.rint(np.linspace(0, rows.size - 1, most)).astype(np.int64)]


def _stretches(classes: Ints, parts: Sequence[Ints]) -> dict[int, int]:
    """How many contiguous stretches each class comes in."""
    counts: dict[int, int] = dict.fromkeys(np.unique(classes).tolist(), 0)
    for part in parts:
        inside = classes[part]
        first = np.append(True, inside[1:] != inside[:-1])
        for number in inside[first].tolist():
            counts[number] += 1
    return counts


def _assigned(n_rows: int, n_folds: int, n_blocks: int, there_and_back: bool) -> Ints:
    """Fold of each row of a recording, as blocks assigned to the folds."""
    n_all = n_folds * n_blocks
    edges = np.rint(np.arange(1, n_all) * n_rows / n_all).astype(np.int64)
    block = np.searchsorted(edges, np.arange(n_rows), side="right")
    turn, fold = np.divmod(block, n_folds)
    if there_and_back:
        fold = np.where(turn % 2, n_folds - 1 - fold, fold)
    return fold.astype(np.int64)


def _fold(
    name: str, held_out: Mask, labelled: Labelled, parts: Sequence[Ints], embargo_s: float
) -> Fold:
    far = ~held_out
    for part in parts:
        t_s = labelled.t_s[part]
        padded = np.concatenate(([-np.inf], t_s[held_out[part]], [np.inf]))
        at = np.searchsorted(padded, t_s)
        gap = np.minimum(padded[at] - t_s, t_s - padded[at - 1])
        far[part] &= gap > embargo_s
    return Fold(name, np.flatnonzero(far), np.flatnonzero(held_out))


def _whole(fold: Fold, classes: Ints) -> bool:
    every = np.unique(classes).size
    return all(np.unique(classes[rows]).size == every for rows in (fold.train, fold.test))


def _too_few(stretches: dict[int, int], n_folds: int, names: Sequence[str]) -> str:
    listed = ", ".join(f"{names[number]} {count}" for number, count in stretches.items())
    fewest = min(stretches.values(), default=0)
    less = f", or use {min(fewest, n_folds - 1)} folds" if min(fewest, n_folds - 1) > 1 else ""
    return (
        f"{n_folds} folds need every class in {n_folds} places or more, with a gap between; "
        f"stretches of each class: {listed}: record more changes{less}"
    )
