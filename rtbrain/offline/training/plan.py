"""What a training does, in plain values."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rtbrain.errors import SettingsError
from rtbrain.offline.training.lamb import Lamb
from rtbrain.offline.training.schedule import rate_factor

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How an objective is trained.

    Attributes
    ----------
    steps : int
        Of the optimiser.
    batch : int
        Items a step.
    micro_batch : int
        Items that go through the model at once: a grain; a step is the mean over its grains.
    optimiser : {"lamb", "adamw"}
    lr, weight_decay : float
    warm_up, decay_factor, decay_every : float
        As `rate_factor` takes them.
    clip : float
        Longest gradient; longer ones are shortened to it.
    precision : {"float32", "bfloat16"}
        Of the products of matrices; weights, moments and losses are float32 in either.
    seed : int
        Of the order of items, masks and dropout.
    validate_every, checkpoint_every : int
        Steps.
    validate_items : int
        Held-out items to score, at most: always the same.
    prefetch : int
        Grains that a thread draws ahead of the model; 0: none.

    Raises
    ------
    SettingsError
        The batch does not divide into grains.
    """

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
    def n_grains(self) -> int:
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
