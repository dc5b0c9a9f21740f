"""Where each contact is drawn: in three projections, or shaft by shaft without positions."""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QRectF
from scipy.spatial import KDTree

from rtbrain.types import Doubles, Floats, Ints, Montage
from rtbrain.view.traces.scene import Lanes

_LINE_CONTACTS = 16
_UNPLACED_SHARE = 0.3
# Distance between lines, and width of a shaft's name, in contacts.
_LINE_PITCH = 1.3
NAME_PITCH = 4.0
PAD_PX = 6.0
_RADIUS_SHARE = 0.42
_RADII_PX = (2.5, 11.0)
_MIN_EXTENT = 1e-6
_MIN_SCALE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Pane:
    """A drawing of some contacts, in units of its own."""

    title: str
    rows: Ints  # int64 [n_shown]
    places: Doubles  # float64 [n_shown, 2]
    depth: Doubles  # float64 [n_shown]
    edges: str  # left, right, top, bottom; or empty
    shafts: tuple[tuple[str, int], ...]
    left_of: bool = False


def arrange_panes(
    montage: Montage, width_px: float, height_px: float
) -> tuple[list[Pane], list[Pane]]:
    """Projections of the contacts with positions, and a schematic of the others."""
    placed = montage.placed
    projections: list[Pane] = []
    if montage.positions is not None and placed.any():
        projections = _projections(montage, montage.positions, np.flatnonzero(placed))
    others = np.flatnonzero(~placed)
    if not others.size:
        return projections, []
    if projections:
        height_px *= _UNPLACED_SHARE
    title = "without position, by shaft" if projections else "by shaft (no positions)"
    return projections, [_schematic(montage, others, width_px / max(height_px, 1.0), title)]


def _projections(montage: Montage, positions: Floats, rows: Ints) -> list[Pane]:
    known = positions[rows].astype(np.float64)
    space = (montage.space or "").split()
    lip = bool(space) and space[0] == "LIP"
    # LIP axes point left, down and back; all others right, forward and up.
    right, front, up = -known[:, [0, 2, 1]].T if lip else known.T
    named = lip or (bool(space) and space[0] in {"MNI", "RAS", "head"})
    shafts = _first_contacts(montage, rows)

    def pane(title: str, across: Doubles, down: Doubles, depth: Doubles, edges: str) -> Pane:
        places = np.stack([across, down], axis=1)
        return Pane(title, rows, places, depth, edges if named else "", shafts)

    # Seen from above, from behind and from the right, so that left is left.
    return [
        pane("axial", right, -front, up, "LRAP"),
        pane("coronal", right, -up, -front, "LRSI"),
        pane("sagittal", front, -up, right, "PASI"),
    ]


def _first_contacts(montage: Montage, rows: Ints) -> tuple[tuple[str, int], ...]:
    lanes = Lanes.of(montage)
    place_of = {int(row): place for place, row in enumerate(rows)}
    first: dict[int, tuple[str, int]] = {}
    for row, shaft, number in zip(lanes.rows, lanes.shafts, lanes.shaft_numbers, strict=True):
        if row in place_of:
            first.setdefault(number, (shaft, place_of[row]))
    return tuple(first.values())


def _schematic(montage: Montage, rows: Ints, aspect: float, title: str) -> Pane:
    """Shafts as lines of up to 16 contacts, folded into columns."""
    lanes = Lanes.of(montage)
    wanted = set(rows.tolist())
    by_shaft: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for row, shaft, number in zip(lanes.rows, lanes.shafts, lanes.shaft_numbers, strict=True):
        if row in wanted:
            by_shaft.setdefault(number, []).append(row)
            names[number] = shaft
    lines: list[tuple[str, list[int]]] = []
    for number, members in by_shaft.items():
        for start in range(0, len(members), _LINE_CONTACTS):
            name = names[number] if start == 0 else ""
            lines.append((name, members[start : start + _LINE_CONTACTS]))
    longest = max(len(members) for _, members in lines)
    n_columns = min(
        range(1, len(lines) + 1),
        key=lambda n: max(
            n * (longest + NAME_PITCH) / max(aspect, 0.1), _LINE_PITCH * -(-len(lines) // n)
        ),
    )
    n_lines = -(-len(lines) // n_columns)
    order: list[int] = []
    places: list[tuple[float, float]] = []
    shafts: list[tuple[str, int]] = []
    for place, (name, members) in enumerate(lines):
        column, line = divmod(place, n_lines)
        if name:
            shafts.append((name, len(order)))
        for step, row in enumerate(members):
            order.append(row)
            across = column * (longest + NAME_PITCH) + NAME_PITCH + step
            places.append((across, _LINE_PITCH * line))
    return Pane(
        title,
        np.asarray(order, np.int64),
        np.asarray(places, np.float64).reshape(-1, 2),
        np.zeros(len(order)),
        "",
        tuple(shafts),
        left_of=True,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PlacedPane:
    """A pane with its contacts placed on the screen."""

    pane: Pane
    room: QRectF
    px: Doubles  # float64 [n_shown, 2]
    radius_px: float
    px_per_unit: float


def place_panes(panes: list[Pane], rooms: QRectF, letter: float) -> list[PlacedPane]:
    """Panes fitted to a room, side by side or in a column, on one scale."""
    edged = any(pane.edges for pane in panes)
    pad = np.array([2 * letter + 2 * PAD_PX, (3.2 if edged else 1.6) * letter + 2 * PAD_PX])
    low = np.array([_low(pane) for pane in panes])
    extent = np.array([pane.places.max(axis=0) for pane in panes]) - low
    extent = np.maximum(extent, _MIN_EXTENT)
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
        fitted.append(PlacedPane(pane, box, px, radius, scale))
        start = start.copy()
        start[axis] += size[axis]
    return fitted


def _low(pane: Pane) -> Doubles:
    low = pane.places.min(axis=0)
    if pane.left_of:
        low[0] = 0.0  # the names of the first column
    return np.asarray(low)


def _scale(extent: Doubles, room: Doubles, pad: Doubles) -> tuple[float, int]:
    """Pixels per unit, and whether the panes are side by side (0) or in a column (1)."""
    free = room - len(extent) * pad
    one = room - pad
    across = min(free[0] / extent[:, 0].sum(), one[1] / extent[:, 1].max())
    down = min(one[0] / extent[:, 0].max(), free[1] / extent[:, 1].sum())
    return max(across, down, _MIN_SCALE), 0 if across >= down else 1


def _pitch(pane: Pane) -> float:
    """Median distance from a contact to its nearest neighbour, depth included."""
    where = np.column_stack([pane.places, pane.depth])
    if len(where) < 2:
        return 1.0
    away = np.asarray(KDTree(where).query(where, k=2)[0])
    return float(np.median(away[:, 1]))
