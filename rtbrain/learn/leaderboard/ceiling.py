"""The best possible AUC: of one contact in closed form, of all contacts by the likelihood ratio."""

from functools import lru_cache

import numpy as np
from scipy.linalg import eigh
from scipy.stats import chi2
from scipy.stats import f as f_distribution

from rtbrain.types import Doubles, Ints

_DRAWS = 20_000
_BINS = 600
_LEVELS = 5  # of each quarter of a quantity, for the bound of all contacts


def energy_auc(ratio: Doubles | float, dof: float) -> Doubles:
    """AUC of an energy detector for a rise of power by a factor: ``F_cdf(ratio; dof, dof)``.

    `dof` is twice the bandwidth times the window's length.
    """
    return np.asarray(f_distribution.cdf(ratio, dof, dof))


def mean_energy_auc(on: Doubles, off: Doubles, dof: float) -> float:
    """Mean of `energy_auc` over all pairs of windows, of which `on` and `off` are the powers."""
    on, n_on = np.unique(on, return_counts=True)
    off, n_off = np.unique(off, return_counts=True)
    areas = energy_auc(on[:, np.newaxis] / off, dof)
    return float(n_on @ areas @ n_off / (n_on.sum() * n_off.sum()))


def contacts_auc(correlation: Doubles, on: Doubles, off: Doubles, dof: float) -> float:
    """AUC of the likelihood ratio of all contacts, for gains `on` and `off`, each [n_contacts].

    Of contacts whose noise has this correlation, a class multiplies each contact's signal by its
    gain. Along the generalised eigenvectors of both covariances the likelihood ratio is a sum of
    weighted chi-squared numbers, of which both classes are drawn. No detector can do better, and
    none that does not know both gains can do as well.
    """
    ratios = eigh(
        on[:, np.newaxis] * correlation * on,
        off[:, np.newaxis] * correlation * off,
        eigvals_only=True,
    )
    changed = np.abs(ratios - 1) > 1e-9
    if not changed.any():
        return 0.5
    ratios = ratios[changed]
    of_off, of_on = _chi_squared(dof, ratios.size)
    outside, inside = of_off @ (1 - 1 / ratios), of_on @ (ratios - 1)
    return float(np.searchsorted(np.sort(outside), inside).mean() / _DRAWS)


def quarter_levels() -> tuple[Doubles, Doubles]:
    """Levels that stand for the highest and the lowest quarter of a uniform quantity."""
    low = (np.arange(_LEVELS) + 0.5) / (4 * _LEVELS)
    return 1 - low, low


class EnergyPosterior:
    """What the energy at one contact says of a uniform quantity that drives its power.

    `powers` are those of equally likely levels from 0 to 1, in units of the power at level 0. The
    expected scores are those of the posterior, the best there are for this energy.
    """

    def __init__(self, powers: Doubles, dof: float) -> None:
        self._levels = (np.arange(powers.size) + 0.5) / powers.size
        spread = 6 * np.sqrt(2 / dof)
        self._edges = np.geomspace(
            powers.min() * max(1 - spread, 0.05), powers.max() * (1 + spread), _BINS + 1
        )
        self._edges[[0, -1]] = 0, np.inf
        cumulated = chi2.cdf(dof * self._edges / powers[:, np.newaxis], dof)
        self._likelihood = np.diff(cumulated, axis=1)  # [n_levels, n_bins]
        total = self._likelihood.sum(axis=0)
        posterior = self._likelihood / np.where(total > 0, total, 1)
        self._value = self._levels @ posterior
        quarter = np.minimum((4 * self._levels).astype(np.int64), 3)
        self._quarters = np.stack([posterior[quarter == k].sum(axis=0) for k in range(4)], axis=1)

    def values(self, energies: Doubles) -> Doubles:
        """Expected quantity for each energy, [n, 1]."""
        return np.asarray(self._value[self._bins(energies), np.newaxis])

    def quarters(self, energies: Doubles) -> Doubles:
        """Probability of each quarter for each energy, [n, 4]."""
        return np.asarray(self._quarters[self._bins(energies)])

    def expected_r(self, levels: Doubles) -> float:
        """Correlation of `values` with these true levels."""
        likelihood = self._of(levels)
        mean, square = likelihood @ self._value, likelihood @ self._value**2
        covariance = np.mean(levels * mean) - levels.mean() * mean.mean()
        return float(covariance / np.sqrt(levels.var() * (square.mean() - mean.mean() ** 2)))

    def expected_auc(self, levels: Doubles, quarters: Ints) -> float:
        """Mean AUC of each quarter against the others by `quarters`."""
        likelihood, areas = self._of(levels), []
        for k in np.unique(quarters):
            inside, outside = (
                likelihood[which].mean(axis=0) for which in (quarters == k, quarters != k)
            )
            order = np.argsort(self._quarters[:, k])
            below = np.cumsum(outside[order]) - outside[order] / 2
            areas.append(inside[order] @ below)
        return float(np.mean(areas))

    def _of(self, levels: Doubles) -> Doubles:
        return np.asarray(
            self._likelihood[
                np.minimum((levels * self._levels.size).astype(np.int64), self._levels.size - 1)
            ]
        )

    def _bins(self, energies: Doubles) -> Ints:
        return np.searchsorted(self._edges, energies, side="right") - 1


@lru_cache(maxsize=64)
def _chi_squared(dof: float, n: int) -> tuple[Doubles, Doubles]:
    draws = np.random.default_rng(0).chisquare(dof, (2, _DRAWS, n))
    return draws[0], draws[1]
