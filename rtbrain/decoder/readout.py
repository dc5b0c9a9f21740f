"""Embedding to Decode: one linear layer, softmax where the outputs are classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rtbrain.errors import BundleError
from rtbrain.types import Decode, Embedding, Floats

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True, eq=False)
class LinearReadout:
    """Weights of a fitted readout, the standardiser folded in.

    `weight` float32 [n_outputs, n_features] and `bias` float32 [n_outputs]; with task
    ``classification`` a softmax over the outputs follows. BundleError where shapes disagree.
    """

    weight: Floats
    bias: Floats
    task: Task

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise BundleError(
                f"readout weight {self.weight.shape} and bias {self.bias.shape} do not fit: "
                "expected [n_outputs, n_features] and [n_outputs]; fit the decoder again"
            )

    def __call__(self, features: Floats) -> Floats:
        """Outputs of one feature vector."""
        logits = self.weight.astype(np.float64) @ features + self.bias
        if self.task == "classification":
            logits = np.exp(logits - logits.max())
            logits /= logits.sum()
        return logits.astype(np.float32)

    def as_tensors(self) -> dict[str, Floats]:
        """Arrays by the names that a bundle stores them under."""
        return {"readout.weight": self.weight, "readout.bias": self.bias}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Floats], task: Task) -> "LinearReadout":
        """Readout of a bundle's arrays; BundleError where it holds none."""
        missing = {"readout.weight", "readout.bias"} - set(tensors)
        if missing:
            raise BundleError(f"bundle holds no {', '.join(sorted(missing))}: fit it again")
        return cls(tensors["readout.weight"], tensors["readout.bias"], task)


class Readout:
    """Stage from Embedding to Decode.

    `smoothing`, 0 (none) to below 1, is the weight of the last output in each new one: a causal
    exponential average over hops. An invalid embedding gives NaN and ends the average. `readout`
    may be replaced at any time by one of as many outputs.
    """

    def __init__(self, readout: LinearReadout, *, smoothing: float = 0.0) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be from 0 to below 1, got {smoothing}")
        self.readout = readout
        self._smoothing = smoothing
        self._last: Floats | None = None

    @property
    def n_outputs(self) -> int:
        """Values of one decode."""
        return int(self.readout.bias.shape[0])

    def __call__(self, item: Embedding) -> Decode:
        """Decode one embedding."""
        if not item.quality.valid:
            self.reset()
            values = np.full(self.n_outputs, np.nan, np.float32)
        else:
            values = self.readout(item.population)
            if self._last is not None:
                values = self._smoothing * self._last + (1 - self._smoothing) * values
                values = values.astype(np.float32)
            self._last = values if self._smoothing else None
        return Decode(values, item.t_neural, item.t_stop, item.quality, drift=item.drift)

    def reset(self) -> None:
        """Forget the last output."""
        self._last = None
