"""Independent random draws of the synthetic patient, each found again from its seeds alone."""

from enum import IntEnum

import numpy as np

__all__ = ["Draw", "generator"]


class Draw(IntEnum):
    """What is drawn: each has its own stream of random numbers."""

    FOCI = 1
    IMPLANT = 2
    HARDWARE = 3
    BACKGROUND = 4
    ALPHA = 5
    TASK = 6
    BURSTS = 7
    BLINKS = 8
    MOVEMENTS = 9


def generator(draw: Draw, *seeds: int) -> np.random.Generator:
    """Random numbers that depend on what is drawn and on these seeds, and on nothing before."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((int(draw), *seeds))))
