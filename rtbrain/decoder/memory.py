"""What a decoder keeps of the windows that it was fitted on, so that it can be fitted on.

A readout of classes has no sufficient statistics: whoever adds a session to it needs the windows
again. A sample of their features is small, holds in every mode, and is no signal: neither the
recording nor its time can be had back from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Floats

MOST_REMEMBERED = 1000  # windows; a fit chooses its penalty on as many
_FEWEST_FEATURES = 4  # by which a window is known: fewer may be equal by chance
_FURTHEST = 1e4  # deviations from the mean, within the range of float16


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """A weighted sample of labelled windows, in the features that the readout reads.

    Attributes
    ----------
    z : ndarray, float16 [n_windows, n_features]
        Features, less `mean` and over `scale`, float32 [n_features].
    targets : ndarray, float32 [n_windows, n_outputs]
        Values, or a one in the column of the class.
    weights : ndarray, float32 [n_windows]
        Windows of the newest session that each counts for.
    c : ndarray, float64 [1]
        Inverse of the readout's penalty, on standardised features.
    temperature : ndarray, float64 [1]
        What its outputs were divided by.
    """

    z: npt.NDArray[np.float16]
    targets: Floats
    weights: Floats
    mean: Floats
    scale: Floats
    c: Doubles
    temperature: Doubles

    @classmethod
    def of(
        cls,
        features: Floats,
        targets: Floats,
        scaling: tuple[Doubles, Doubles],
        c: float,
        temperature: float = 1.0,
        *,
        most: int = MOST_REMEMBERED,
    ) -> "Memory":
        """Memory of windows in the order of time, by the mean and the scale of their features."""
        numbers = np.array([float(c)]), np.array([float(temperature)])
        mean, scale = (part.astype(np.float32) for part in scaling)
        at, weights = _systematic(np.ones(len(features)), most)
        z = _halves((features[at] - mean) / scale)
        return cls(z, targets[at].astype(np.float32), weights, mean, scale, *numbers)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> "Memory | None":
        """Memory of a bundle's arrays; None where they hold none."""
        names = [one.name for one in fields(cls)]
        found = {name: tensors.get(f"memory.{name}") for name in names}
        if any(array is None for array in found.values()):
            return None
        return cls(**found)  # type: ignore[arg-type]

    def as_tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by the names that a bundle stores them under."""
        return {f"memory.{one.name}": getattr(self, one.name) for one in fields(self)}

    def standardise(self, features: Floats) -> Floats:
        """Features [N, D] in the units of `z`, float32."""
        z: Floats = (features - self.mean) / self.scale
        return z

    def n_known(self, features: Floats) -> int:
        """How many of these windows [N, D] it remembers, found by their features."""
        if features.shape[1] < _FEWEST_FEATURES:
            return 0
        both = {row.tobytes() for row in self.z}
        return len(both & {row.tobytes() for row in _halves(self.standardise(features))})

    def aged(self, factor: float) -> "Memory":
        """The same, of which every window counts for less."""
        return replace(self, weights=(self.weights * factor).astype(np.float32))

    def add(self, features: Floats, targets: Floats, most: int = MOST_REMEMBERED) -> "Memory":
        """With the windows of a newer session: the share of each is that of its weight."""
        z = np.concatenate((self.z, _halves(self.standardise(features))))
        of = np.concatenate((self.targets, targets.astype(np.float32)))
        at, weights = _systematic(np.append(self.weights, np.ones(len(features))), most)
        return replace(self, z=z[at], targets=of[at], weights=weights)


def _halves(z: Floats) -> npt.NDArray[np.float16]:
    return np.clip(z, -_FURTHEST, _FURTHEST).astype(np.float16)


def _systematic(weights: Doubles, most: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """At most so many rows, drawn evenly along the sum of their weights, and their new weights."""
    if weights.size <= most:
        return np.arange(weights.size), weights.astype(np.float32)
    each = weights.sum() / most
    edges = np.cumsum(weights)
    picks = np.searchsorted(edges, (np.arange(most) + 0.5) * each)
    at, counts = np.unique(np.minimum(picks, weights.size - 1), return_counts=True)
    return at.astype(np.int64), (counts * each).astype(np.float32)
