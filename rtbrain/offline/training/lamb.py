"""LAMB, the optimiser of the published recipes: Adam's step, scaled layer by layer."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

__all__ = ["Lamb"]

_MOST_WEIGHT_NORM = 10.0


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments, without the correction of their bias.

    With gradient g, moments m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g², a tensor w moves by
    u = m / (sqrt(v) + eps) + decay w, as w = w - lr (min(|w|, 10) / |u|) u; the ratio is 1 where
    either norm is 0.

    Parameters
    ----------
    params : iterable of Tensor
        What to train.
    lr : float
        Learning rate.
    betas : (float, float)
        Decay of the two moments, a step.
    eps : float
        Added to the root of the second moment.
    weight_decay : float
        Share of the weights that is added to the update.

    Notes
    -----
    The published recipes ran LAMB without the correction of the moments' bias of the paper's
    algorithm 2, and with the norm of the weights held to 10; so does this.

    References
    ----------
    You et al. 2019, Large Batch Optimization for Deep Learning, arXiv:1904.00962, algorithm 2.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every tensor that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        return loss

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        beta1, beta2 = group["betas"]
        gradient = weight.grad
        mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        update = mean / square.sqrt().add_(group["eps"])
        if group["weight_decay"]:
            update.add_(weight, alpha=group["weight_decay"])
        weight_norm = torch.linalg.vector_norm(weight).clamp(max=_MOST_WEIGHT_NORM)
        update_norm = torch.linalg.vector_norm(update)
        # Without a branch on their values, so that a GPU is never waited for.
        both = (weight_norm > 0) & (update_norm > 0)
        trust = torch.where(both, weight_norm / update_norm, torch.ones_like(weight_norm))
        weight.sub_(update.mul_(trust * group["lr"]))
