"""From gradients to steps: the learning rate of each step, and the optimiser."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

from rtbrain.config.training import TrainingSettings

_MAX_WEIGHT_NORM = 10.0


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Learning rate of a step, counted from 0: a linear rise, then a stair down.

    Step k of N gets (k + 1) / W of the highest rate up to W = warm_up N, and
    factor ** floor((k - W) / E) from there, with E = every N (Wang et al. 2023, arXiv:2302.14367).
    """
    highest, n_warm = settings.optimiser.lr, round(settings.warm_up * settings.steps)
    if step < n_warm:
        return highest * ((step + 1) / n_warm)
    stairs = (step - n_warm) // max(1, round(settings.decay.every * settings.steps))
    return float(highest * settings.decay.factor**stairs)


def make_optimiser(settings: TrainingSettings, weights: Iterable[Tensor]) -> torch.optim.Optimizer:
    """New optimiser of these weights."""
    kind = Lamb if settings.optimiser.name == "lamb" else torch.optim.AdamW
    lr, weight_decay = settings.optimiser.lr, settings.optimiser.weight_decay
    return kind(weights, lr=lr, weight_decay=weight_decay)


class Lamb(torch.optim.Optimizer):
    """Layer-wise adaptive moments, without the correction of their bias.

    With gradient g, moments m = b1 m + (1 - b1) g and v = b2 v + (1 - b2) g², a tensor w moves by
    u = m / (sqrt(v) + eps) + decay w, as w = w - lr (min(|w|, 10) / |u|) u; the ratio is 1 where
    either norm is 0.

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
        weight_norm = torch.linalg.vector_norm(weight).clamp(max=_MAX_WEIGHT_NORM)
        update_norm = torch.linalg.vector_norm(update)
        # No branch on their values: that would wait for the GPU.
        both = (weight_norm > 0) & (update_norm > 0)
        trust = torch.where(both, weight_norm / update_norm, torch.ones_like(weight_norm))
        weight.sub_(update.mul_(trust * group["lr"]))
