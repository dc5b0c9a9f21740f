"""Pictures of a fit, by the names that they have in the bundle."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .fit_features import MAIN, Gathered
from .fit_scores import Scored, rows_of

if TYPE_CHECKING:
    from rtbrain.decoder import LinearReadout


def pictures_of(
    gathered: Gathered, scored: Scored, readout: "LinearReadout", *, linear: bool
) -> dict[str, bytes]:
    """PNGs of the held-out decodes and, where there is no encoder, of the contacts' weights.

    Parameters
    ----------
    gathered : Gathered
        What was fitted on.
    scored : Scored
        The held-out decodes.
    readout : LinearReadout
        Of the decoder.
    linear : bool
        Whether the readout reads the contacts' features themselves.
    """
    from rtbrain.offline.figures import (
        contact_weights,
        draw_confusion,
        draw_electrodes,
        draw_reliability,
        draw_roc,
    )
    from rtbrain.offline.fitting_logistic import Standardiser

    labelled, outputs = gathered.labelled, scored.validated[MAIN].outputs
    with tempfile.TemporaryDirectory(prefix="rtbrain-figures-") as scratch:
        folder = Path(scratch)
        if labelled.task == "classification":
            chance = None if scored.chance is None else scored.chance.interval("auc")
            draw_confusion(folder / "confusion.png", outputs, labelled.targets, labelled.names)
            draw_roc(folder / "roc.png", outputs, labelled.targets, labelled.names, chance=chance)
            draw_reliability(folder / "reliability.png", outputs, labelled.targets)
        if linear:
            montage = gathered.encoding.signal.montage
            scale = Standardiser.of(rows_of(gathered, MAIN).features, labelled.rows).scale
            weights = contact_weights(readout, scale, montage.n_channels)
            draw_electrodes(folder / "electrodes.png", montage, weights)
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
