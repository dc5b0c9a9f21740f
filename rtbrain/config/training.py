"""What every training is asked: who is held out, how gradients become steps, how long."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from rtbrain.config.base import Settings

__all__ = ["Sizes", "TrainingSettings"]

Sizes = str | dict[str, PositiveInt]


class OptimiserSettings(Settings):
    """How a gradient becomes a step."""

    name: Literal["lamb", "adamw"] = "lamb"
    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 0.0


class DecaySettings(Settings):
    """The learning rate behind the warm-up: times `factor` every share `every` of the steps."""

    factor: float = Field(default=0.99, gt=0, le=1)
    every: float = Field(default=0.01, gt=0, le=1)


class TrainingSettings(Settings):
    """How an encoder is trained on a corpus, whatever it learns.

    Attributes
    ----------
    held_out : tuple of str, or int
        Subjects to validate on, by label, or how many of the corpus's last.
    optimiser : OptimiserSettings
        LAMB or AdamW.
    warm_up : float
        Share of the steps in which the learning rate rises.
    decay : DecaySettings
        How it falls from there.
    clip : float
        Longest gradient.
    steps, batch : int
        Steps of the optimiser, and items a step.
    micro_batch : int
        Items that go through the model at once: as many as the memory holds.
    precision : str
        Of the products of matrices; ``bfloat16`` helps GPUs, and CPUs that have it.
    seed : int
        Of everything that is random.
    validate_every, validate_items : int
        Steps between validations, and held-out items to score, at most.
    checkpoint_every : int
        Steps between checkpoints.
    prefetch : int
        Micro-batches that are drawn ahead.
    """

    held_out: NonNegativeInt | tuple[str, ...] = 1
    optimiser: OptimiserSettings
    warm_up: float = Field(default=0.025, ge=0, lt=1)
    decay: DecaySettings = DecaySettings()
    clip: PositiveFloat = 1.0
    steps: PositiveInt
    batch: PositiveInt = 256
    micro_batch: PositiveInt = 32
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: NonNegativeInt = 0
    validate_every: PositiveInt = 1000
    validate_items: PositiveInt = 1024
    checkpoint_every: PositiveInt = 1000
    prefetch: NonNegativeInt = 2

    @model_validator(mode="after")
    def _whole_grains(self) -> "TrainingSettings":
        if self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} is no multiple of micro_batch {self.micro_batch}")
        return self
