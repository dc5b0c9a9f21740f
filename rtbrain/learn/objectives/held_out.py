"""What a distilled encoder is worth on held-out items, added up batch by batch.

Legend: B items, N tokens, G features of the guide, S layers of the student, L of the guide.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rtbrain.learn.objectives.cka import MIN_ROWS, debiased_hsic, gram
from rtbrain.types import Doubles


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutScores:
    """Figures of held-out items; an array is empty where its loss is left out.

    Attributes
    ----------
    cka : ndarray, float64 [S, L]
        Of the student's layers with the guide's, all tokens of an item one row.
    matched : ndarray, float64 [N]
        Share of the variance of the guide's features that the student says, a token each.
    matched_all : float
        The same of all tokens that are trained on.
    cosine : float
        Mean cosine of the two, at the newest token.
    following : dict of str to float
        Mean absolute errors of the next patch in z-scores: of the model, of saying 0, and of
        saying the last patch again.
    """

    cka: Doubles
    matched: Doubles
    matched_all: float
    cosine: float
    following: dict[str, float]

    def figures(self) -> dict[str, float]:
        """Plain numbers.

        Returns
        -------
        dict of float
            ``cka_student_i_guide_j``, layers counted from 1; ``matched_r2``, the share of variance
            over all trained tokens, and ``matched_edge_r2`` of the newest; ``matched_edge_cosine``;
            ``following_l1``, ``following_l1_of_zero`` and ``following_l1_of_last``.
        """
        figures = {
            f"cka_student_{student + 1}_guide_{guide + 1}": float(value)
            for (student, guide), value in np.ndenumerate(self.cka)
        }
        if self.matched.size:
            figures |= {
                "matched_r2": self.matched_all,
                "matched_edge_r2": float(self.matched[-1]),
                "matched_edge_cosine": self.cosine,
            }
        return figures | self.following


class HeldOutTotals:
    """Sums over batches."""

    def __init__(self) -> None:
        self._across: list[Tensor] = []
        self._own: list[Tensor] = []
        self._guides: list[Tensor] = []
        self._match: list[tuple[Tensor, Tensor, Tensor, float]] = []
        self._n_items = 0
        self._first = 0
        self._following = dict.fromkeys(
            ("following_l1", "following_l1_of_zero", "following_l1_of_last"), 0.0
        )
        self._n_cells = 0

    def add_layers(self, layers: list[Tensor], said: list[Tensor]) -> None:
        """Take activations in, [B, N, D] a layer; a batch below four items tells nothing."""
        if len(layers[0]) < MIN_ROWS:
            return
        students = torch.stack([gram(layer.flatten(1)) for layer in layers])  # [S, B, B]
        guides = torch.stack([gram(layer.flatten(1)) for layer in said])  # [L, B, B]
        self._across.append(debiased_hsic(students[:, None], guides[None]))
        self._own.append(debiased_hsic(students, students))
        self._guides.append(debiased_hsic(guides, guides))

    def add_match(self, made: Tensor, target: Tensor, first: int) -> None:
        """Take in what was said and what should be, [B, N, G]; trained on from token `first`."""
        true, error = target.double(), (target - made).double().square().sum(dim=(0, 2))  # [N]
        cosine = functional.cosine_similarity(made[:, -1], target[:, -1], dim=-1)
        sums = true.sum(dim=0), true.square().sum(dim=0)  # [N, G]
        self._match.append((error, *sums, float(cosine.sum())))
        self._n_items += len(target)
        self._first = min(first, target.shape[1] - 1)

    def add_following(self, predicted: Tensor, target: Tensor, last: Tensor) -> None:
        """Take in the next patch as predicted, as it is, and the patch before."""
        guesses = (predicted, torch.zeros_like(target), last)
        for name, guess in zip(self._following, guesses, strict=True):
            self._following[name] += float((target - guess).double().abs().sum())
        self._n_cells += target.numel()

    def out(self) -> HeldOutScores:
        """All batches together: HSIC, errors and variances are summed before they are divided."""
        cka = np.empty((0, 0))
        if self._across:
            across = torch.stack(self._across).double().mean(dim=0)
            own = torch.stack(self._own).double().mean(dim=0)
            guides = torch.stack(self._guides).double().mean(dim=0)
            alike = (own[:, None] * guides[None]).clamp(min=torch.finfo(torch.float64).tiny)
            cka = (across / alike.sqrt()).numpy(force=True)
        matched, matched_all, cosine = self._matched()
        following = {}
        if self._n_cells:
            following = {name: total / self._n_cells for name, total in self._following.items()}
        return HeldOutScores(cka, matched, matched_all, cosine, following)

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
