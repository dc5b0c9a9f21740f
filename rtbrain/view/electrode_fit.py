"""How panes of contacts are fitted to the pixels that there are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF

from rtbrain.view.electrode_layout import Pane

__all__ = ["PAD_PX", "Fitted", "fit"]

PAD_PX = 6.0
_RADIUS_SHARE = 0.42
_RADII_PX = (2.5, 11.0)
_LEAST_EXTENT = 1e-6
_LEAST_SCALE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A pane and where its contacts are.

    Attributes
    ----------
    pane : Pane
        What it shows.
    room : QRectF
        Its own, px.
    px : ndarray, float64 [n_shown, 2]
        Where its contacts are.
    radius_px : float
        Of a contact's disc.
    px_a_unit : float
        The scale.
    """

    pane: Pane
    room: QRectF
    px: npt.NDArray[np.float64]
    radius_px: float
    px_a_unit: float


def fit(panes: list[Pane], rooms: QRectF, letter: float) -> list[Fitted]:
    """Panes fitted to their room, side by side or in a column, on one scale.

    Parameters
    ----------
    panes : list of Pane
        At least one.
    rooms : QRectF
        For all of them, px.
    letter : float
        Height of a line of text, px.
    """
    edged = any(any(pane.edges) for pane in panes)
    pad = np.array([2 * letter + 2 * PAD_PX, (3.2 if edged else 1.6) * letter + 2 * PAD_PX])
    low = np.array([_low(pane) for pane in panes])
    extent = np.array([pane.places.max(axis=0) for pane in panes]) - low
    extent = np.maximum(extent, _LEAST_EXTENT)
    room = np.array([rooms.width(), rooms.height()])
    scale, axis = _scale(extent, room, pad)
    pitch = np.median([_pitch(pane) for pane in panes])
    radius = float(np.clip(_RADIUS_SHARE * pitch * scale, *_RADII_PX))
    needed = extent * scale + pad
    spare = (room[axis] - needed[:, axis].sum()) / len(panes)
    fitted, start = [], np.array([rooms.x(), rooms.y()])
    for place, pane in enumerate(panes):
        size = room.copy()
        size[axis] = needed[place, axis] + spare
        middle = start + size / 2 + (0, letter / 2)
        px = (pane.places - low[place] - extent[place] / 2) * scale + middle
        box = QRectF(*start.tolist(), *size.tolist()).adjusted(PAD_PX, 0, -PAD_PX, 0)
        fitted.append(Fitted(pane, box, px, radius, scale))
        start = start.copy()
        start[axis] += size[axis]
    return fitted


def _low(pane: Pane) -> npt.NDArray[np.float64]:
    low = pane.places.min(axis=0)
    if pane.left_of:
        low[0] = 0.0  # the names of the first column
    return np.asarray(low)


def _scale(
    extent: npt.NDArray[np.float64], room: npt.NDArray[np.float64], pad: npt.NDArray[np.float64]
) -> tuple[float, int]:
    """Pixels a unit, and whether the panes stand side by side (0) or in a column (1)."""
    free = room - len(extent) * pad
    one = room - pad
    across = min(free[0] / extent[:, 0].sum(), one[1] / extent[:, 1].max())
    down = min(one[0] / extent[:, 0].max(), free[1] / extent[:, 1].sum())
    return max(across, down, _LEAST_SCALE), 0 if across >= down else 1


def _pitch(pane: Pane) -> float:
    """Usual distance from a contact to the nearest other one, depth included."""
    where = np.column_stack([pane.places, pane.depth])
    if len(where) < 2:
        return 1.0
    away = np.linalg.norm(where[:, None] - where[None], axis=2)
    np.fill_diagonal(away, np.inf)
    return float(np.median(away.min(axis=1)))
