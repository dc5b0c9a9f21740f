"""Where each contact is drawn: in three projections, or shaft by shaft where nothing is known."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbrain.types import Floats, Montage
from rtbrain.view.trace_lanes import Lanes

__all__ = ["NAME_PITCH", "Pane", "arrange"]

Doubles = npt.NDArray[np.float64]

_LINE_CONTACTS = 16
_UNPLACED_SHARE = 0.3
# From line to line, in contacts; and what the name of a shaft takes.
_LINE_PITCH = 1.3
NAME_PITCH = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Pane:
    """A drawing of some contacts.

    Attributes
    ----------
    title : str
        What it shows.
    rows : ndarray, int64 [n_shown]
        Rows of the montage.
    places : ndarray, float64 [n_shown, 2]
        Right and down, in any unit: the pane is fitted to its room, both axes alike.
    depth : ndarray, float64 [n_shown]
        Nearer to the viewer is larger.
    edges : tuple of str
        What is left, right, above and below; empty where it is not known.
    shafts : tuple of (str, int)
        Names of shafts, and the place in `rows` of the contact that each stands beside.
    left_of : bool
        Whether the names of shafts stand left of their contact, rather than above it; places
        then leave `NAME_PITCH` for them, from 0.
    """

    title: str
    rows: npt.NDArray[np.int64]
    places: Doubles
    depth: Doubles
    edges: tuple[str, str, str, str]
    shafts: tuple[tuple[str, int], ...]
    left_of: bool = False


def arrange(montage: Montage, width_px: float, height_px: float) -> tuple[list[Pane], list[Pane]]:
    """Panes of a montage.

    Parameters
    ----------
    montage : Montage
        The contacts.
    width_px, height_px : float
        Room, for how the schematic is folded.

    Returns
    -------
    projections : list of Pane
        Axial, coronal and sagittal, of the contacts whose position is known; or none.
    schematic : list of Pane
        One of all others by shaft, or none.
    """
    placed = np.zeros(montage.n_channels, np.bool_)
    projections: list[Pane] = []
    if montage.positions is not None:
        placed[:] = np.isfinite(montage.positions).all(axis=1)
        if placed.any():
            projections = _projections(montage, montage.positions, np.flatnonzero(placed))
    others = np.flatnonzero(~placed)
    if not others.size:
        return projections, []
    if projections:
        height_px *= _UNPLACED_SHARE
    title = "without position, by shaft" if projections else "by shaft (no positions)"
    return projections, [_schematic(montage, others, width_px / max(height_px, 1.0), title)]


def _projections(montage: Montage, positions: Floats, rows: npt.NDArray[np.int64]) -> list[Pane]:
    known = positions[rows].astype(np.float64)
    space = (montage.space or "").split()
    lip = bool(space) and space[0] == "LIP"
    # LIP counts to the left, down and back; all others to the right, forward and up.
    right, front, up = -known[:, [0, 2, 1]].T if lip else known.T
    named = lip or (bool(space) and space[0] in {"MNI", "RAS", "head"})
    shafts = _first_contacts(montage, rows)

    def pane(title: str, across: Doubles, down: Doubles, depth: Doubles, edges: str) -> Pane:
        marks = tuple(edges) if named else ("", "", "", "")
        return Pane(
            title,
            rows,
            np.stack([across, down], axis=1),
            depth,
            (marks[0], marks[1], marks[2], marks[3]),
            shafts,
        )

    # Seen from above, from behind and from the right: left is left.
    return [
        pane("axial", right, -front, up, "LRAP"),
        pane("coronal", right, -up, -front, "LRSI"),
        pane("sagittal", front, -up, right, "PASI"),
    ]


def _first_contacts(montage: Montage, rows: npt.NDArray[np.int64]) -> tuple[tuple[str, int], ...]:
    lanes = Lanes.of(montage)
    place_of = {int(row): place for place, row in enumerate(rows)}
    first: dict[int, tuple[str, int]] = {}
    for row, shaft, number in zip(lanes.rows, lanes.shafts, lanes.colours, strict=True):
        if row in place_of:
            first.setdefault(number, (shaft, place_of[row]))
    return tuple(first.values())


def _schematic(montage: Montage, rows: npt.NDArray[np.int64], aspect: float, title: str) -> Pane:
    """Lines of up to 16 contacts, a shaft a line or more, folded into columns."""
    lanes = Lanes.of(montage)
    wanted = set(rows.tolist())
    by_shaft: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for row, shaft, number in zip(lanes.rows, lanes.shafts, lanes.colours, strict=True):
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
        ("", "", "", ""),
        tuple(shafts),
        left_of=True,
    )
