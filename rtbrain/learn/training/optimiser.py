"""What a training does, in plain values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
from torch import Tensor

from rtbrain.errors import SettingsError

_MOST_WEIGHT_NORM = 10.0


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How an objective is trained."""

    steps: int
    batch: int
    micro_batch: int
    optimiser: Literal["lamb", "adamw"]
    lr: float
    weight_decay: float
    warm_up: float
    decay_factor: float
    decay_every: float
    clip: float
    precision: Literal["float32", "bfloat16"]
    seed: int
    validate_every: int
    checkpoint_every: int
    validate_items: int
    prefetch: int

    def __post_init__(self) -> None:
        if self.batch % self.micro_batch:
            raise SettingsError(
                f"batch: expected a multiple of micro_batch, got {self.batch} and "
                f"{self.micro_batch}: change one of them"
            )

    @property
    def n_micro_batches(self) -> int:
        """Grains a step."""
        return self.batch // self.micro_batch

    def lr_at(self, step: int) -> float:
        """Learning rate of the step that follows on `step` steps."""
        return self.lr * rate_factor(
            step,
            self.steps,
            warm_up=self.warm_up,
            decay_factor=self.decay_factor,
            decay_every=self.decay_every,
        )

    def optimiser_of(self, weights: Iterable[Tensor]) -> torch.optim.Optimizer:
        """New optimiser of these weights."""
        if self.optimiser == "lamb":
            return Lamb(weights, lr=self.lr, weight_decay=self.weight_decay)
        return torch.optim.AdamW(weights, lr=self.lr, weight_decay=self.weight_decay)


def rate_factor(
    step: int, n_steps: int, *, warm_up: float, decay_factor: float, decay_every: float
) -> float:
    """Factor on the learning rate: a linear rise, then a stair down.

    Step k of N gets (k + 1) / W up to W = warm_up N, and decay_factor ** floor((k - W) / E) from
    there, with E = decay_every N: as published W is 2.5 % of the steps, and each 1 % takes 1 % off.


    References
    ----------
    Wang et al. 2023, BrainBERT, arXiv:2302.14367.
    """
    n_warm = round(warm_up * n_steps)
    if step < n_warm:
        return (step + 1) / n_warm
    stairs = (step - n_warm) // max(1, round(decay_every * n_steps))
    return float(decay_factor**stairs)


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
        weight_norm = torch.linalg.vector_norm(weight).clamp(max=_MOST_WEIGHT_NORM)
        update_norm = torch.linalg.vector_norm(update)
        # Without a branch on their values, so that a GPU is never waited for.
        both = (weight_norm > 0) & (update_norm > 0)
        trust = torch.where(both, weight_norm / update_norm, torch.ones_like(weight_norm))
        weight.sub_(update.mul_(trust * group["lr"]))
