"""A small thing to learn: rows of noise through a linear bottleneck with dropout."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from rtbrain.config.training import TrainingSettings
from rtbrain.learn.objectives.objective import Batch, Objective

N_FEATURES = 6


class Rows:
    """Items of noise, half of whose cells the generator hides."""

    def __init__(self, n_items: int = 37, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        basis = np.random.default_rng(0).standard_normal((2, N_FEATURES))
        low_rank = rng.standard_normal((n_items, 2)) @ basis
        self._rows = low_rank.astype(np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def draw(self, items: np.ndarray, rng: np.random.Generator) -> Batch:
        target = self._rows[items]
        mask = rng.random(target.shape) < 0.5
        return {
            "item": torch.from_numpy(items),
            "input": torch.from_numpy(np.where(mask, 0, target).astype(np.float32)),
            "target": torch.from_numpy(target),
        }


class Bottleneck(Objective):
    """Has a head that no loss reads, as released encoders do."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.Sequential(
                nn.Linear(N_FEATURES, 8), nn.GELU(), nn.Dropout(0.1), nn.LayerNorm(8)
            )
            self.head = nn.Linear(8, N_FEATURES)
            self.unread = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        error = self.head(self.encoder(batch["input"])) - batch["target"]
        return error.abs().mean(), {"squared": error.detach().square().mean()}

    def score(self, batches: Iterable[Batch]) -> dict[str, float]:
        return {"error": float(np.mean([float(self(batch)[0]) for batch in batches]))}

    def pictures(self, batch: Batch) -> dict[str, np.ndarray]:
        return {"target": batch["target"].float().numpy(force=True)}


def settings_of(**changed: object) -> TrainingSettings:
    values: dict[str, object] = {
        "steps": 12,
        "batch": 8,
        "micro_batch": 2,
        "optimiser": {"name": "lamb", "lr": 0.01},
        "warm_up": 0.25,
        "decay": {"factor": 0.9, "every": 0.25},
        "clip": 1.0,
        "precision": "float32",
        "seed": 3,
        "validate_every": 5,
        "checkpoint_every": 4,
        "validate_items": 9,
        "prefetch": 2,
    }
    return TrainingSettings.model_validate(values | changed)
