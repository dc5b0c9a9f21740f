"""Where a synthetic patient's contacts are: depth electrodes, or grids on the cortex."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, count, product
from string import ascii_uppercase

import numpy as np
import numpy.typing as npt

from rtbrain.synthetic.noise import RandomStream, random_generator
from rtbrain.types import Doubles, Floats, Ints

SPACES = ("MNI mm", "LIP voxels")
N_CONTACTS = (6, 1024)
# Clinical depth electrodes: a contact every 3.5 mm, 6 to 14 on a shaft, from near the lateral
# surface of the brain inwards.
_PITCH_MM = 3.5
_SHAFT_CONTACTS = (6, 14)
_USUAL_CONTACTS = 8.5
_ENTRY_X_MM = (60.0, 65.0)
_MISS_MM = 2.5
_ELSEWHERE_EVERY = 4
# High-density grids: 8 x 8 contacts, one every 4 mm, each flat within its tile of the surface.
_ROW = 8
_GRID_PITCH_MM = 4.0
_GRID_X_MM = (48.0, 52.0)
_TILES_Y_MM = (-52.0, -20.0, 12.0, 44.0)
_TILES_Z_MM = (-14.0, 18.0, 50.0)


@dataclass(frozen=True, slots=True, eq=False)
class Implant:
    """The contacts of a patient; `shafts` counts grids too."""

    kind: str
    names: tuple[str, ...]
    shafts: Ints  # int64 [n_channels]
    positions_mm: Floats  # float32 [n_channels, 3]


def draw_shafts(seed: int, foci_mm: Floats, n_channels: int) -> Implant:
    """Depth electrodes of one patient, towards foci at these places and elsewhere."""
    rng = random_generator(RandomStream.IMPLANT, seed)
    counts = _contacts_of_shafts(rng, n_channels)
    order = rng.permutation(len(foci_mm))
    stems, positions = [], []
    letters = {"L": _letters(), "R": _letters()}
    for shaft, n_contacts in enumerate(counts):
        target = foci_mm[order[shaft % len(foci_mm)]]
        side = "L" if target[0] < 0 else "R"
        stems.append(side + next(letters[side]))
        if shaft % _ELSEWHERE_EVERY == _ELSEWHERE_EVERY - 1:
            target = target * (1, 0, 0) + (0, rng.uniform(-55, 45), rng.uniform(-25, 55))
        positions.append(_shaft(rng, target, n_contacts))
    return _implant("seeg", stems, positions)


def draw_grids(seed: int, foci_mm: Floats, n_channels: int) -> Implant:
    """Grids of one patient on the lateral surface, first over foci at these places.

    Grids are of 64 contacts at most, alike in size, numbered row by row.
    """
    rng = random_generator(RandomStream.IMPLANT, seed)
    tiles = np.array(list(product((-1.0, 1.0), _TILES_Y_MM, _TILES_Z_MM)))
    tiles[:, 1:] += rng.uniform(-_MISS_MM, _MISS_MM, 2)
    tiles[:, 0] *= rng.uniform(*_GRID_X_MM, len(tiles))
    near = [int(np.linalg.norm(tiles - at, axis=1).argmin()) for at in rng.permutation(foci_mm)]
    order = list(dict.fromkeys([*near, *rng.permutation(len(tiles)).tolist()]))
    most = _ROW**2
    numbers = np.array_split(np.arange(n_channels), -(-n_channels // most))
    positions = []
    for tile, grid in zip(tiles[order], numbers, strict=False):
        row, column = np.divmod(np.arange(len(grid)), _ROW)
        within = np.stack([np.zeros(len(grid)), column - 3.5, 3.5 - row], axis=1)
        positions.append(tile + _GRID_PITCH_MM * within)
    letters = _letters() if len(numbers) > 1 else iter([""])
    return _implant("ecog", ["G" + next(letters) for _ in numbers], positions)


DRAW: dict[str, Callable[[int, Floats, int], Implant]] = {
    "shafts": draw_shafts,
    "grids": draw_grids,
}


def in_space(positions_mm: Floats, space: str) -> Floats:
    """MNI millimetres expressed in one of `SPACES`: float32 [n_channels, 3].

    Voxels are 1 mm and whole: L = 128 - x, I = 128 - z, P = 128 - y, the axes of a
    conformed FreeSurfer volume of 256 voxels.
    """
    if space == "MNI mm":
        return positions_mm
    return np.asarray(np.rint(128.0 - positions_mm[:, [0, 2, 1]]), np.float32)


def _implant(kind: str, stems: list[str], positions: list[Doubles]) -> Implant:
    counts = [len(each) for each in positions]
    return Implant(
        kind,
        tuple(f"{stem}{i + 1}" for stem, n in zip(stems, counts, strict=True) for i in range(n)),
        np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        np.concatenate(positions).astype(np.float32),
    )


def _letters() -> Iterator[str]:
    """A to Z, AA, AB and so on."""
    lengths = (product(ascii_uppercase, repeat=length) for length in count(1))
    return map("".join, chain.from_iterable(lengths))


def _contacts_of_shafts(rng: np.random.Generator, n_channels: int) -> list[int]:
    fewest, most = _SHAFT_CONTACTS
    counts = [fewest] * max(1, round(n_channels / _USUAL_CONTACTS))
    for _ in range(n_channels - sum(counts)):
        open_shafts = [shaft for shaft, count in enumerate(counts) if count < most]
        counts[rng.choice(open_shafts)] += 1
    return counts


def _shaft(rng: np.random.Generator, target: npt.NDArray[np.floating], n_contacts: int) -> Doubles:
    side = float(np.sign(target[0]))
    aim = target + rng.normal(0.0, _MISS_MM, 3)
    inwards = np.array([-side, *rng.uniform(-0.25, 0.25, 2)])
    inwards /= np.linalg.norm(inwards)
    entry = aim + inwards * (side * rng.uniform(*_ENTRY_X_MM) - aim[0]) / inwards[0]
    depth_mm = _PITCH_MM * np.arange(n_contacts)[::-1, np.newaxis]
    return np.asarray(entry + inwards * depth_mm)
