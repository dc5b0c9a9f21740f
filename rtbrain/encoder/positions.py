"""Where contacts lie, in the voxels that the Population Transformer was trained on."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.encoder.layers import N_POSITIONS
from rtbrain.errors import MontageError
from rtbrain.types import Montage

__all__ = ["lip_positions", "refuse_outside"]

_LIP = ("LIP voxels", "LIP mm")
# x to the right, y anterior, z superior; how many of the unit a millimetre is.
_RAS = {"MNI mm": 1.0, "RAS mm": 1.0, "MNI m": 1000.0, "RAS m": 1000.0}
_CENTRE_VOXEL = 128.0


def lip_positions(montage: Montage) -> npt.NDArray[np.int64]:
    """Contact positions as L, I, P voxels (left, inferior, posterior), 1 mm each.

    L, I, P are taken as they are and truncated, as published. World coordinates (x right,
    y anterior, z superior) are placed in FreeSurfer's conformed volume of 256 voxels of 1 mm,
    centred on the origin: L = 128 - x, I = 128 - z, P = 128 - y, rounded.

    Parameters
    ----------
    montage : Montage
        With positions in ``"LIP voxels"``, ``"LIP mm"``, ``"MNI mm"``, ``"RAS mm"``, ``"MNI m"``
        or ``"RAS m"``.

    Returns
    -------
    ndarray, int64 [n_channels, 3]
        0 to 4999.

    Raises
    ------
    MontageError
        A position is missing, its space is unknown, or it falls outside the table.

    References
    ----------
    Chau et al. 2025, section 3, arXiv:2406.03044.
    """
    if montage.positions is None:
        raise MontageError(
            f"the montage has no positions for its {montage.n_channels} channels "
            f"({_some(list(montage.names))}), which the Population Transformer needs: use a "
            f"recording with positions (electrodes.tsv of BIDS, or LSL's location), or leave it out"
        )
    if montage.space not in (*_LIP, *_RAS):
        raise MontageError(
            f"positions are in '{montage.space}', expected one of {', '.join((*_LIP, *_RAS))}: "
            f"if they are in one of these all the same, name it with --space"
        )
    lost = np.flatnonzero(~np.isfinite(montage.positions).all(axis=1))
    if lost.size:
        names = [montage.names[row] for row in lost]
        raise MontageError(
            f"no position for {_some(names)}: complete the electrodes table, or leave them out"
        )
    if montage.space in _LIP:
        voxels = np.trunc(montage.positions)
    else:
        world_mm = montage.positions.astype(np.float64) * _RAS[montage.space]
        voxels = np.rint(_CENTRE_VOXEL - world_mm[:, [0, 2, 1]])
    positions = voxels.astype(np.int64)
    refuse_outside(positions, list(montage.names))
    return positions


def refuse_outside(positions: npt.NDArray[Any], names: list[str] | None = None) -> None:
    """Refuse positions that the table of position codes does not hold.

    Parameters
    ----------
    positions : ndarray, int64 [..., n_channels, 3]
        L, I, P voxels.
    names : list of str or None
        Labels of the channels, for the message.

    Raises
    ------
    MontageError
        A position is outside 0 to 4999; a negative one would silently read the table's end.
    """
    outside = ((positions < 0) | (positions >= N_POSITIONS)).any(axis=-1)
    if not outside.any():
        return
    channels = np.unique(np.nonzero(outside)[-1]).tolist()
    labels = [names[row] if names else f"number {row}" for row in channels]
    worst = positions[outside][0].tolist()
    raise MontageError(
        f"position of channel {_some(labels)} is outside 0 to {N_POSITIONS - 1}, got {worst}: "
        f"check the space and the unit of the electrodes table"
    )


def _some(labels: list[str]) -> str:
    return ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
