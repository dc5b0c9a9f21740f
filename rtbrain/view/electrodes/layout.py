"""Where each contact is drawn: from above by its position, or shaft by shaft."""

from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from scipy.spatial import KDTree

from rtbrain.types import Doubles, Floats, Ints, Montage
from rtbrain.view.traces.scene import Lanes

_FOLD = 16  # contacts in a line
PITCH_PX, _LINE_PITCH, _ROOMY_PITCH = 24.0, 1.1, 1.85
_RADIUS_SHARE = 0.42
_DOTS_PX = (2.0, 5.0)
_UNPLACED_SHARE = 0.35
# Half a head, mm: to the side, to the front, to the back.
_HEAD_MM = (80.0, 100.0, 115.0)
_LIP_CENTRE = 128.0  # voxels of 1 mm
_MIN_SCALE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Contacts placed on the screen, px."""

    rows: Ints  # int64 [n_shown], of the montage
    px: Doubles  # float64 [n_shown, 2]
    radius_px: float
    # Name and where it ends (by shaft) or its middle (from above).
    shafts: tuple[tuple[str, QPointF], ...]
    room_px: float = 0.0  # below a contact, for its label
    numbered: bool = False
    head: QRectF | None = None  # outline, where the space says how the head lies
    name_px: float = 0.0  # width of the names of shafts


def draw_contacts(
    montage: Montage,
    room: QRectF,
    name_px: float,
    *,
    from_above: bool,
    max_pitch_px: float = PITCH_PX,
) -> list[Drawing]:
    """Every contact once: from above those with a position, all others by shaft."""
    placed = montage.placed if from_above else np.zeros(montage.n_channels, np.bool_)
    drawings, lower = [], QRectF(room)
    if placed.any() and montage.positions is not None:
        upper = QRectF(room)
        if not placed.all():
            upper.setHeight(room.height() * (1 - _UNPLACED_SHARE))
            lower.setTop(upper.bottom())
        rows = np.flatnonzero(placed)
        drawings.append(_from_above(montage, montage.positions[rows], rows, upper))
    others = np.flatnonzero(~placed)
    if others.size:
        drawings.append(_by_shaft(montage, others, lower, name_px, max_pitch_px))
    return drawings


def _shafts(montage: Montage, rows: Ints) -> dict[int, tuple[str, list[int]]]:
    """Name and rows of each shaft, in the order of the traces."""
    lanes, wanted = Lanes.of(montage), set(rows.tolist())
    found: dict[int, tuple[str, list[int]]] = {}
    for row, shaft, number in zip(lanes.rows, lanes.shafts, lanes.shaft_numbers, strict=True):
        if row in wanted:
            found.setdefault(number, (shaft, []))[1].append(row)
    return found


def _by_shaft(
    montage: Montage, rows: Ints, room: QRectF, name_px: float, max_pitch_px: float
) -> Drawing:
    """Shafts as lines of up to 16 contacts, in as many columns as make them largest."""
    lines: list[tuple[str, list[int]]] = []
    for shaft, members in _shafts(montage, rows).values():
        for start in range(0, len(members), _FOLD):
            lines.append(("" if start else shaft, members[start : start + _FOLD]))
    longest = max(len(members) for _, members in lines)

    def pitch_px(n_columns: int) -> float:
        across = (room.width() / n_columns - name_px) / longest
        down = room.height() / -(-len(lines) // n_columns) / _LINE_PITCH
        return min(across, down, max_pitch_px)

    n_columns = max(range(1, len(lines) + 1), key=lambda n: (pitch_px(n), -n))
    pitch = max(pitch_px(n_columns), _MIN_SCALE)
    n_lines = -(-len(lines) // n_columns)
    line_px = min(room.height() / n_lines, _ROOMY_PITCH * pitch)
    radius = _RADIUS_SHARE * pitch
    order: list[int] = []
    px: list[tuple[float, float]] = []
    shafts = []
    for place, (name, members) in enumerate(lines):
        column, line = divmod(place, n_lines)
        left = room.left() + column * room.width() / n_columns + name_px
        y = room.top() + line * line_px + radius + 1  # what is left is below, for labels
        if name:
            shafts.append((name, QPointF(left - 6, y)))
        for step, row in enumerate(members):
            order.append(row)
            px.append((left + (step + 0.5) * pitch, y))
    return Drawing(
        np.asarray(order, np.int64),
        np.asarray(px, np.float64).reshape(-1, 2),
        radius,
        tuple(shafts),
        line_px - 2 * radius - 1,
        True,
        None,
        name_px - 6,
    )


def _from_above(montage: Montage, positions: Floats, rows: Ints, room: QRectF) -> Drawing:
    known = positions.astype(np.float64)
    space = (montage.space or "").split()
    kind = space[0] if space else ""
    # LIP axes point left, down and back; all others right, forward and up.
    plane = (_LIP_CENTRE - known[:, [0, 2]]) if kind == "LIP" else known[:, :2]
    plane = plane * (1, -1)  # the front is up
    low, high = plane.min(axis=0), plane.max(axis=0)
    named = kind in {"LIP", "MNI", "RAS", "head"}
    if named:
        # An outline, as large as any contact outside it asks for.
        side, front, back = np.array(_HEAD_MM) * (0.001 if space[-1] == "m" else 1.0)
        low, high = np.minimum(low, (-side, -front)), np.maximum(high, (side, back))
    extent = np.maximum(high - low, 1e-6)
    pad = 14.0
    size = np.maximum([room.width() - 2 * pad, room.height() - 2 * pad], 1.0)
    scale_px = max(float((size / extent).min()), _MIN_SCALE)
    middle = np.array([room.center().x(), room.center().y()])
    px = (plane - (low + high) / 2) * scale_px + middle
    radius = float(np.clip(_RADIUS_SHARE * _pitch(known) * scale_px, *_DOTS_PX))
    corner, across = middle - extent * scale_px / 2, extent * scale_px
    head = QRectF(*corner.tolist(), *across.tolist()) if named else None
    place_of = {int(row): place for place, row in enumerate(rows)}
    shafts = []
    for shaft, members in _shafts(montage, rows).values():
        places = px[[place_of[row] for row in members]]
        out = places[np.argmax(np.abs(places[:, 0] - middle[0]))]
        side_px = (radius + 12) * (1 if out[0] >= middle[0] else -1)
        shafts.append((shaft, QPointF(float(out[0]) + side_px, float(out[1]))))
    return Drawing(rows, px, radius, tuple(shafts), head=head)


def _pitch(where: Doubles) -> float:
    """Median distance from a contact to its nearest neighbour, in space."""
    if len(where) < 2:
        return 1.0
    away = np.asarray(KDTree(where).query(where, k=2)[0])
    return float(np.median(away[:, 1]))
