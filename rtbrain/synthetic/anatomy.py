"""Anatomy of the synthetic patient: foci, and depth electrodes.

Positions are MNI millimetres (x right, y anterior, z superior). The foci belong to a family of
patients; the electrodes of one patient are aimed at them as a clinic aims at a network: each
misses its target by some millimetres, and every fourth goes elsewhere.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rtbrain.synthetic.noise import RandomStream, random_generator
from rtbrain.types import Doubles, Floats, Ints

SPACES = ("MNI mm", "LIP voxels")
_N_FOCI = 6
_N_BURST_FOCI = 3
_FOCUS_RADIUS_MM = 7.0
_FOCUS_APART_MM = 22.0
_MAX_DELAY_S = 0.150
# Clinical depth electrodes: a contact every 3.5 mm, 6 to 14 on a shaft, from near the lateral
# surface of the brain inwards.
_PITCH_MM = 3.5
_SHAFT_CONTACTS = (6, 14)
_USUAL_CONTACTS = 8.5
_ENTRY_X_MM = (60.0, 65.0)
_MISS_MM = 2.5
_ELSEWHERE_EVERY = 4


@dataclass(frozen=True, slots=True, eq=False)
class Focus:
    """A patch of cortex with its own activity."""

    position_mm: Floats  # float32 [3]
    radius_mm: float
    delay_s: float

    def effect(self, positions_mm: Floats) -> Floats:
        """Share of the focus's effect at each contact, 0 to 1: float32 [n_channels]."""
        distance = np.linalg.norm(positions_mm - self.position_mm, axis=1)
        return np.asarray(np.exp(-0.5 * (distance / self.radius_mm) ** 2), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Implant:
    """The contacts of a patient."""

    names: tuple[str, ...]
    shafts: Ints  # int64 [n_channels]
    positions_mm: Floats  # float32 [n_channels, 3]


def draw_foci(family: int) -> tuple[tuple[Focus, ...], tuple[Focus, ...]]:
    """Foci that follow the task, and foci of unrelated bursts, of one family of patients."""
    rng = random_generator(RandomStream.FOCI, family)
    placed: list[Doubles] = []
    foci: list[Focus] = []
    while len(foci) < _N_FOCI + _N_BURST_FOCI:
        side = -1.0 if len(foci) % 2 == 0 else 1.0
        at = rng.uniform((46.0, -50.0, -15.0), (54.0, 40.0, 50.0)) * (side, 1.0, 1.0)
        delay_s = float(rng.uniform(0.0, _MAX_DELAY_S))
        if all(np.linalg.norm(at - other) >= _FOCUS_APART_MM for other in placed):
            placed.append(at)
            foci.append(Focus(at.astype(np.float32), _FOCUS_RADIUS_MM, delay_s))
    return tuple(foci[:_N_FOCI]), tuple(foci[_N_FOCI:])


def draw_implant(seed: int, foci: tuple[Focus, ...], n_channels: int) -> Implant:
    """Depth electrodes of one patient."""
    rng = random_generator(RandomStream.IMPLANT, seed)
    counts = _contacts_of_shafts(rng, n_channels)
    order = rng.permutation(len(foci))
    names: list[str] = []
    positions = []
    letters = {"L": iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "R": iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
    for shaft, n_contacts in enumerate(counts):
        target = foci[order[shaft % len(foci)]].position_mm
        side = "L" if target[0] < 0 else "R"
        label = side + next(letters[side])
        names += [f"{label}{number + 1}" for number in range(n_contacts)]
        if shaft % _ELSEWHERE_EVERY == _ELSEWHERE_EVERY - 1:
            target = target * (1, 0, 0) + (0, rng.uniform(-55, 45), rng.uniform(-25, 55))
        positions.append(_shaft(rng, target, n_contacts))
    return Implant(
        names=tuple(names),
        shafts=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        positions_mm=np.concatenate(positions).astype(np.float32),
    )


def in_space(positions_mm: Floats, space: str) -> Floats:
    """MNI millimetres expressed in one of `SPACES`: float32 [n_channels, 3].

    Voxels are 1 mm and whole: L = 128 - x, I = 128 - z, P = 128 - y, the axes of a
    conformed FreeSurfer volume of 256 voxels.
    """
    if space == "MNI mm":
        return positions_mm
    return np.asarray(np.rint(128.0 - positions_mm[:, [0, 2, 1]]), np.float32)


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
