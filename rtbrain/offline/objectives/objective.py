"""What training asks of an objective: a model that gives its loss, and examples to draw."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from rtbrain.types import Floats

__all__ = ["Batch", "Examples", "Objective"]

Batch = dict[str, Tensor]


class Examples(Protocol):
    """Numbered examples of a corpus, drawn on demand.

    What an item comes out as depends on its number and the generator alone, so that training can
    be stopped and resumed, or spread over processes, and see the same.
    """

    def __len__(self) -> int:
        """How many items there are."""
        ...

    def draw(self, items: npt.NDArray[np.int64], rng: np.random.Generator) -> Batch:
        """Inputs, targets and masks of these items; the first axis of each is B."""
        ...


class Objective(nn.Module):
    """An encoder and what is learned with it.

    Attributes
    ----------
    encoder : nn.Module
        What is kept when training has ended.
    """

    encoder: nn.Module

    def begin_step(self, step: int) -> None:
        """Hear how many steps were done, before each; an objective that changes with time asks."""

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch, a scalar, and detached scalars that are told beside it."""
        raise NotImplementedError

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Figures over held-out batches; called in eval mode, without gradients."""
        raise NotImplementedError

    def pictures(self, batch: Batch) -> dict[str, Floats]:
        """What people would rather see, by name: each [height, width]; none by default."""
        return {}

    def __call__(self, batch: Batch) -> Any:  # typed as `forward` is
        """Loss and measures, through the hooks of `nn.Module`."""
        return super().__call__(batch)
