"""When an output of a decoder is an event."""

import math
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from rtbrain.config.front_end import Settings

Preset = Literal["few_misses", "balanced", "few_alarms"]


class DetectSettings(Settings):
    """When one output is an event, by the times of its decodes.

    Only decodes that are valid count. An event begins where the output reaches `up`, once it has
    stayed there for `hold_s`; the next one needs the output to fall below `down` first. A gap
    between decodes, or one that is invalid, begins anew.
    """

    up: float
    """Probability, or value, that begins an event."""
    down: float | None = None
    """What the output must fall below before another event can begin; by default, up."""
    hold_s: NonNegativeFloat = 0.0
    """How long the output must stay at or above up, s."""
    refractory_s: NonNegativeFloat = 1.0
    """Time after an event in which no other is sent, s."""
    max_per_min: PositiveInt = 30
    """Most events in any 60 s."""
    min_coverage: float | None = Field(default=None, ge=0, le=1)
    """Least share of good channels."""
    max_drift: PositiveFloat | None = None
    """Greatest drift; 1 is where drift is flagged. Decodes of unknown drift do not count then."""

    @model_validator(mode="after")
    def _in_order(self) -> "DetectSettings":
        if self.down is not None and self.down > self.up:
            raise ValueError(
                f"expected down at or below up, got down {self.down:g}, up {self.up:g}"
            )
        return self

    @property
    def low(self) -> float:
        """What the output must fall below before another event can begin."""
        return self.up if self.down is None else self.down

    def moved_to(self, up: float, down: float | None = None) -> Self:
        """The same at another threshold; `down` stays as far below, for probabilities in logits."""
        if down is None and self.down is not None:
            if 0 < self.down <= self.up < 1 and 0 < up < 1:
                ratio = self.down * (1 - self.up) / (self.up * (1 - self.down))
                odds = ratio * up / (1 - up)
                down = math.floor(1e4 * odds / (1 + odds) + 1e-9) / 1e4 or up
            else:
                down = up - (self.up - self.down)
        return self.model_validate(self.model_dump() | {"up": up, "down": down})
