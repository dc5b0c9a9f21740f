"""Play chunks at the pace of an amplifier: each is pushed when its last sample is due."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from rtbrain.errors import SettingsError
from rtbrain.types import Chunk

__all__ = ["play"]

_LONGEST_WAIT_S = 0.1
# Below this a wait is rounding, and a virtual clock could not be advanced by it.
_DUE_S = 1e-9


def play(
    chunks: Iterable[Chunk],
    push: Callable[[Chunk], None],
    *,
    clock: Callable[[], float],
    wait: Callable[[float], object],
    stop: Callable[[], bool],
    speed: float = 1.0,
) -> int:
    """Push chunks in real time, stamped and numbered anew.

    A sample that the chunks stamp ``t`` after the first one is due, and stamped, ``t / speed``
    after the start: irregular stamps stay irregular, and the pace cannot drift, for nothing is
    summed up; after a late push the next ones follow at once until the pace is met. Numbers run
    on from 0 whatever the chunks say of themselves, those that a chunk announces as lost
    included. A gap before the first chunk came before the start and counts for nothing.

    Parameters
    ----------
    chunks : iterable of Chunk
        Taken one at a time, each when the one before it is out.
    push : callable
        Takes each chunk when its last sample is due.
    clock : callable
        The LSL clock, s.
    wait : callable
        Waits a number of seconds, or less.
    stop : callable
        Whether to end; asked at least every 0.1 s.
    speed : float
        How many times faster than life.

    Returns
    -------
    int
        Samples pushed.

    Raises
    ------
    SettingsError
        Speed is not a finite number above 0.
    """
    if not (math.isfinite(speed) and speed > 0):
        raise SettingsError(f"speed: expected a finite number above 0, got {speed}")
    start = origin = None
    counter = n_pushed = 0
    for chunk in chunks:
        if not chunk.n_samples:
            if stop():
                return n_pushed
            continue
        gap = chunk.gap
        if start is None or origin is None:
            start, origin, gap = clock(), float(chunk.timestamps[0]), 0
        counter += gap
        stamps = start + (chunk.timestamps - origin) / speed
        if not _reached(float(stamps[-1]), clock, wait, stop):
            return n_pushed
        push(replace(chunk, timestamps=stamps, first_sample=counter, gap=gap))
        counter += chunk.n_samples
        n_pushed += chunk.n_samples
    return n_pushed


def _reached(
    due: float,
    clock: Callable[[], float],
    wait: Callable[[float], object],
    stop: Callable[[], bool],
) -> bool:
    """Wait until `due`; False if told to stop before."""
    while not stop():
        left = due - clock()
        if left <= _DUE_S:
            return True
        wait(min(left, _LONGEST_WAIT_S))
    return False
