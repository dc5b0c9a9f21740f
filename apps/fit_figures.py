"""Pictures of a fit, by the names that they have in the bundle."""

from typing import TYPE_CHECKING

from .fit_features import Gathered
from .fit_scores import Scored

if TYPE_CHECKING:
    from rtbrain.decoder import LinearReadout


def pictures_of(
    gathered: Gathered, scored: Scored, readout: "LinearReadout", *, linear: bool
) -> dict[str, bytes]:
    """PNGs of the held-out decodes and of the readout's weights."""
    return {}
