"""Distillation: what a causal encoder learns from one that sees the whole window, and how."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from rtbrain.config.base import Settings
from rtbrain.config.training import Sizes, TrainingSettings

__all__ = ["DistillSettings"]

_FEWEST_ROWS = 4  # the debiased estimate of CKA needs so many


class GuidanceSettings(Settings):
    """Layers of the student that are to be like layers of the guide.

    Attributes
    ----------
    weight : float
        Of this loss; 0 leaves it out.
    first_steps : int or None
        Steps that are guided; None: all.
    tokenwise : bool
        Hold items against each other token by token; false, as published: all tokens of an item
        at once.
    """

    weight: NonNegativeFloat = 1.0
    first_steps: PositiveInt | None = None
    tokenwise: bool = False


class MatchSettings(Settings):
    """What the student says of each patch, held against what the guide's last layer says.

    Attributes
    ----------
    weight : float
        Of this loss; 0 leaves it out.
    delay_s : float
        How much later the student may say it, s: rounded to whole patches. The student keeps it,
        and all that is decoded with it is stamped, aged and labelled that much earlier.
    loss : str
        ``mse`` of z-scores, or ``cosine``.
    mapped : bool
        Through a linear map that is thrown away; else feature by feature.
    edge_share : float
        Share of this loss that is of the newest patch of a window alone.
    """

    weight: NonNegativeFloat = 1.0
    delay_s: NonNegativeFloat = 0.0
    loss: Literal["mse", "cosine"] = "mse"
    mapped: bool = True
    edge_share: float = Field(default=0.0, ge=0, le=1)


class FollowingSettings(Settings):
    """The patch that comes next.

    Attributes
    ----------
    weight : float
        Of this loss; 0 leaves it out.
    alpha, gamma : float
        Weight of the cells that stand out, and by how much they do, in z-scores.
    """

    weight: NonNegativeFloat = 0.0
    alpha: NonNegativeFloat = 2.0
    gamma: NonNegativeFloat = 1.0


class DistillSettings(TrainingSettings):
    """A streaming encoder from a corpus of running spectrograms and a guide.

    Attributes
    ----------
    student : str or dict
        Sizes of the streaming encoder, by name or by number.
    guide : str
        ``trained``: the teacher; ``untrained``: one of its sizes with random weights; ``none``:
        neither guidance nor match, the next patch alone is learned.
    guide_precision : str
        Of the guide's products of matrices; it is not trained, so ``bfloat16`` costs little.
    guidance, match, following
        The losses.
    context_s : float
        What a token must have seen, s, before match and following count it.
    """

    student: Sizes = "compact"
    guide: Literal["trained", "untrained", "none"] = "trained"
    guide_precision: Literal["float32", "bfloat16"] = "float32"
    guidance: GuidanceSettings = GuidanceSettings()
    match: MatchSettings = MatchSettings()
    following: FollowingSettings = FollowingSettings()
    context_s: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _something_to_learn(self) -> "DistillSettings":
        guided = self.guide != "none"
        always = self.guidance.weight > 0 and self.guidance.first_steps is None
        if not (self.following.weight or (guided and (self.match.weight or always))):
            why = "guide none" if not guided else "no loss that lasts"
            raise ValueError(f"{why} leaves nothing to learn: set following.weight above 0")
        if guided and self.guidance.weight and self.micro_batch < _FEWEST_ROWS:
            raise ValueError(
                f"guidance compares the items of a micro_batch: expected {_FEWEST_ROWS} or more "
                f"(256 for a good estimate), got {self.micro_batch}"
            )
        return self
