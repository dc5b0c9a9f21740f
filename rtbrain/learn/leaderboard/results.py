"""Scores over cells, beside what is known: ceilings, bounds, and what noise must give."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import ndtr, stdtr

from rtbrain.learn.intervals import holm, over_subjects, sign_flip
from rtbrain.learn.leaderboard.cells import (
    CLOCK,
    IDEAL,
    ORDER,
    REGIMES,
    SHIFTED,
    SPLITS,
    STRICT,
    Cell,
)
from rtbrain.learn.leaderboard.film import NOISE, QUARTERS, TASKS, VALUES
from rtbrain.learn.leaderboard.rows import LINEAR

CONTROLS = (SHIFTED, CLOCK, ORDER)
DRIVEN = tuple(task for task in TASKS if task != NOISE)
ALL_TASKS = (*TASKS, *QUARTERS, *VALUES)
_P = 0.05


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean score of some cells, its standard error, and the mean of what is the best possible.

    The error is over sentences, or over subjects where that is larger.
    """

    score: float
    error: float
    independent: float
    ceiling: float
    bound: float
    n_cells: int


@dataclass(frozen=True, slots=True)
class Check:
    """A known answer, over cells: how many, and the worst of them."""

    name: str
    n_cells: int
    worst: str
    difference: float
    errors: float  # difference over its standard error
    p: float  # of the worst, by Holm over all

    @property
    def met(self) -> bool:
        """Whether none differs."""
        return self.p > _P


@dataclass(frozen=True, eq=False)
class Results:
    """All cells of a run."""

    cells: Sequence[Cell]
    seconds: float

    @cached_property
    def rows(self) -> list[str]:
        """Rows that learn, then the controls."""
        names = list(dict.fromkeys(cell.row for cell in self.cells))
        learned = [name for name in names if name not in (*CONTROLS, IDEAL)]
        return [IDEAL, *learned, *(name for name in CONTROLS if name in names)]

    @cached_property
    def _sorted(self) -> dict[tuple[str, str, str, str], list[Cell]]:
        found: dict[tuple[str, str, str, str], list[Cell]] = {}
        for cell in self.cells:
            found.setdefault((cell.row, cell.regime, cell.split, cell.task), []).append(cell)
        return found

    def mean(self, row: str, regime: str, split: str, tasks: Sequence[str] = DRIVEN) -> Mean | None:
        """Mean over tasks, sessions and folds; None where there are none."""
        cells = [
            cell for task in tasks for cell in self._sorted.get((row, regime, split, task), ())
        ]
        if not cells:
            return None
        # A few blocks may agree by luck.
        errors = np.array(
            [np.fmax(one.error, max(one.independent, 1 / one.n_test)) for one in cells]
        )
        scores = np.array([one.score for one in cells])
        error = float(np.sqrt(np.square(errors).sum()) / len(cells))
        known = np.array([one.ceiling for one in cells])
        subjects = np.array([one.subject for one in cells])
        apart = [(scores - known)[subjects == one].mean() for one in np.unique(subjects)]
        return Mean(
            float(scores.mean()),
            float(np.fmax(error, over_subjects(apart).error)),
            float(np.sqrt(np.square([one.independent for one in cells]).sum()) / len(cells)),
            float(known.mean()),
            float(np.mean([one.bound for one in cells])),
            len(cells),
        )

    @cached_property
    def checks(self) -> list[Check]:
        """The ideal feature at its ceiling, no row above the bound, noise not decoded."""
        ideal, above, noise = [], [], []
        for row, regime, split in self.groups():
            for task in ALL_TASKS:
                one = self.mean(row, regime, split, [task])
                where = f"{row}, {task}, {regime}, {split}"
                if one is None:
                    continue
                if task.startswith(NOISE):
                    noise.append((where, one.score - one.ceiling, one.error))
                elif row == IDEAL:
                    ideal.append((where, one.score - one.ceiling, one.error))
                elif math.isfinite(one.bound):
                    above.append((where, one.score - one.bound, one.error))
        return [
            _check("ideal feature at its ceiling", ideal, two_sided=True),
            _check("no row above all contacts' likelihood ratio", above, two_sided=False),
            _check("noise tasks at 0.5, or r 0", noise, two_sided=True),
        ]

    @property
    def met(self) -> bool:
        """Whether all known answers were met."""
        return all(check.met for check in self.checks)

    def by_subject(self, row: str, regime: str, split: str = STRICT) -> list[float]:
        """Mean AUC over the driven tasks of each subject."""
        cells = [
            cell for task in DRIVEN for cell in self._sorted.get((row, regime, split, task), ())
        ]
        subjects = sorted({cell.subject for cell in cells})
        return [
            float(np.mean([cell.score for cell in cells if cell.subject == subject]))
            for subject in subjects
        ]

    @cached_property
    def comparisons(self) -> list[dict[str, Any]]:
        """Each row less the default front end, over subjects, strict splits."""
        found: list[dict[str, Any]] = []
        for regime in REGIMES:
            base = np.array(self.by_subject(LINEAR, regime))
            for row in self.rows:
                if row in (*CONTROLS, IDEAL, LINEAR):
                    continue
                difference = np.array(self.by_subject(row, regime)) - base
                mean = over_subjects(difference)
                found.append(
                    {
                        "row": row,
                        "regime": regime,
                        "difference": mean.score,
                        "low": mean.low,
                        "high": mean.high,
                        "subjects": mean.n_blocks,
                        "p_t": float(2 * stdtr(len(difference) - 1, -abs(mean.score / mean.error))),
                        "p_sign_flip": sign_flip(difference),
                    }
                )
        for one, p in zip(found, holm([one["p_t"] for one in found]), strict=True):
            one["p_holm"] = float(p)
        return found

    def groups(self) -> Iterator[tuple[str, str, str]]:
        """Each row in each regime and split."""
        for row in self.rows:
            for regime in REGIMES:
                for split in SPLITS:
                    yield row, regime, split


def _check(name: str, cells: Sequence[tuple[str, float, float]], *, two_sided: bool) -> Check:
    z = np.array([difference / error for _, difference, error in cells])
    p = 2 * ndtr(-np.abs(z)) if two_sided else ndtr(-z)
    worst = int(p.argmin())
    corrected = holm(p)
    where, difference, _ = cells[worst]
    return Check(name, len(cells), where, difference, float(z[worst]), float(corrected[worst]))
