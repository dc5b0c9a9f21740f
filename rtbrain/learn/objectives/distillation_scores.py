"""Quality of a distilled encoder: similarity of layers, and figures of held-out items.

Legend: B items, N tokens, G features of the teacher, S layers of the student, L of the teacher,
R rows (items), D features of either side, * axes of estimates made at once.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rtbrain.types import Doubles

MIN_ROWS = 4  # with fewer, the debiased estimator does not exist


def gram(activations: Tensor) -> Tensor:
    """Products of all pairs of rows."""
    rows = activations.float()
    rows = rows - rows.mean(dim=-2, keepdim=True)
    # The scale is removed by CKA; here it keeps wide activations from large numbers.
    return rows @ rows.transpose(-1, -2) / rows.shape[-1]


def debiased_hsic(first: Tensor, second: Tensor) -> Tensor:
    r"""Unbiased estimate of the Hilbert-Schmidt independence criterion.

    With K and L the Gram matrices whose diagonals are set to 0, of n rows:

    .. math::

        \mathrm{HSIC} = \frac{1}{n (n - 3)} \left( \mathrm{tr}(K L) + \frac{1^T K 1 \; 1^T L 1}
        {(n - 1)(n - 2)} - \frac{2}{n - 2} 1^T K L 1 \right)

    The usual estimator makes any two wide layers look alike.

    References
    ----------
    Song et al. 2012, Feature selection via dependence maximization, eq. 5. Nguyen et al. 2021,
    arXiv:2010.15327, eq. 3.
    """
    n = first.shape[-1]
    if n < MIN_ROWS:
        raise ValueError(f"expected {MIN_ROWS} rows or more, got {n}")
    diagonal = torch.eye(n, dtype=torch.bool, device=first.device)
    first, second = first.masked_fill(diagonal, 0.0), second.masked_fill(diagonal, 0.0)
    first_rows, second_rows = first.sum(dim=-1), second.sum(dim=-1)  # [*, R]
    trace = (first * second).sum(dim=(-1, -2))
    apart = first_rows.sum(dim=-1) * second_rows.sum(dim=-1) / ((n - 1) * (n - 2))
    shared = 2 / (n - 2) * (first_rows * second_rows).sum(dim=-1)
    return (trace + apart - shared) / (n * (n - 3))


def debiased_cka(first: Tensor, second: Tensor) -> Tensor:
    r"""Centred kernel alignment of two Gram matrices by the debiased estimator.

    .. math:: \mathrm{CKA} = \mathrm{HSIC}(K, L) / \sqrt{\mathrm{HSIC}(K, K) \mathrm{HSIC}(L, L)}

    References
    ----------
    Kornblith et al. 2019, arXiv:1905.00414; Nguyen et al. 2021, arXiv:2010.15327.
    """
    alike = debiased_hsic(first, first) * debiased_hsic(second, second)
    # An activation that never varies resembles nothing.
    tiny = torch.finfo(alike.dtype).tiny
    return debiased_hsic(first, second) / alike.clamp(min=tiny).sqrt()


@dataclass(frozen=True, slots=True, eq=False)
class DistillationScores:
    """Figures of held-out items; an array is empty where its loss is left out."""

    cka: Doubles  # float64 [S, L]
    matched: Doubles  # float64 [N]
    matched_all: float
    cosine: float
    next_patch: dict[str, float]

    def figures(self) -> dict[str, float]:
        """The same as numbers by name; layers are counted from 1."""
        figures = {
            f"cka_student_{student + 1}_teacher_{teacher + 1}": float(value)
            for (student, teacher), value in np.ndenumerate(self.cka)
        }
        if self.matched.size:
            figures |= {
                "matched_r2": self.matched_all,
                "matched_edge_r2": float(self.matched[-1]),
                "matched_edge_cosine": self.cosine,
            }
        return figures | self.next_patch


class DistillationTotals:
    """Sums over batches."""

    def __init__(self) -> None:
        self._across: list[Tensor] = []
        self._own: list[Tensor] = []
        self._teachers: list[Tensor] = []
        self._match: list[tuple[Tensor, Tensor, Tensor, float]] = []
        self._n_items = 0
        self._first = 0
        self._next_patch = dict.fromkeys(
            ("next_patch_l1", "next_patch_l1_of_zero", "next_patch_l1_of_last"), 0.0
        )
        self._n_cells = 0

    def add_layers(self, layers: list[Tensor], theirs: list[Tensor]) -> None:
        """Take activations in, [B, N, D] a layer; a batch below four items counts for nothing."""
        if len(layers[0]) < MIN_ROWS:
            return
        students = torch.stack([gram(layer.flatten(1)) for layer in layers])  # [S, B, B]
        teachers = torch.stack([gram(layer.flatten(1)) for layer in theirs])  # [L, B, B]
        self._across.append(debiased_hsic(students[:, None], teachers[None]))
        self._own.append(debiased_hsic(students, students))
        self._teachers.append(debiased_hsic(teachers, teachers))

    def add_match(self, predicted: Tensor, target: Tensor, first: int) -> None:
        """Take in predictions and targets, [B, N, G]; tokens from `first` on are trained on."""
        true, error = target.double(), (target - predicted).double().square().sum(dim=(0, 2))  # [N]
        cosine = functional.cosine_similarity(predicted[:, -1], target[:, -1], dim=-1)
        sums = true.sum(dim=0), true.square().sum(dim=0)  # [N, G]
        self._match.append((error, *sums, float(cosine.sum())))
        self._n_items += len(target)
        self._first = min(first, target.shape[1] - 1)

    def add_next_patch(self, predicted: Tensor, target: Tensor, last: Tensor) -> None:
        """Take in the next patch as predicted, as it is, and the patch before."""
        guesses = (predicted, torch.zeros_like(target), last)
        for name, guess in zip(self._next_patch, guesses, strict=True):
            self._next_patch[name] += float((target - guess).double().abs().sum())
        self._n_cells += target.numel()

    def scores(self) -> DistillationScores:
        """All batches together: HSIC, errors and variances are summed before they are divided."""
        cka = np.empty((0, 0))
        if self._across:
            across = torch.stack(self._across).double().mean(dim=0)
            own = torch.stack(self._own).double().mean(dim=0)
            teachers = torch.stack(self._teachers).double().mean(dim=0)
            alike = (own[:, None] * teachers[None]).clamp(min=torch.finfo(torch.float64).tiny)
            cka = (across / alike.sqrt()).numpy(force=True)
        matched, matched_all, cosine = self._matched()
        next_patch = {}
        if self._n_cells:
            next_patch = {name: total / self._n_cells for name, total in self._next_patch.items()}
        return DistillationScores(cka, matched, matched_all, cosine, next_patch)

    def _matched(self) -> tuple[Doubles, float, float]:
        if not self._match:
            return np.empty(0), float("nan"), float("nan")
        errors, sums, squares, cosines = zip(*self._match, strict=True)
        error, total, square = (torch.stack(each).sum(dim=0) for each in (errors, sums, squares))
        n = self._n_items
        by_token = (square - total.square() / n).sum(dim=-1)  # [N], around each token's own mean
        matched = (1 - error / by_token).numpy(force=True)
        trained = slice(self._first, None)
        n_all = n * total[trained].shape[0]
        spread = square[trained].sum() - total[trained].sum(dim=0).square().sum() / n_all
        return matched, float(1 - error[trained].sum() / spread), sum(cosines) / n
