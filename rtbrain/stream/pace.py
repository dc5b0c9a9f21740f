"""Play chunks at the pace of an amplifier: each is pushed when its last sample is due."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

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
    sfreq_hz: float,
    clock: Callable[[], float],
    wait: Callable[[float], object],
    stop: Callable[[], bool],
    speed: float = 1.0,
) -> int:
    """Push chunks in real time, stamped and numbered anew.

    Sample number ``n`` is due ``n / (sfreq_hz * speed)`` after the start. The due time comes
    from the counter and is never summed up, so the pace cannot drift: after a late push the next
    ones follow at once until the pace is met. Numbers run on from 0 whatever the chunks say of
    themselves, so a recording may start anywhere and be looped; the samples that a chunk
    announces as lost are counted, and the stamps jump over them. A gap before the first chunk
    came before the start and counts for nothing.

    Parameters
    ----------
    chunks : iterable of Chunk
        Taken one at a time, each when the one before it is out.
    push : callable
        Takes each chunk when its last sample is due.
    sfreq_hz : float
        Sampling rate of the chunks, Hz.
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
        Rate or speed is not a finite number above 0.
    """
    for name, value in (("sfreq_hz", sfreq_hz), ("speed", speed)):
        if not (math.isfinite(value) and value > 0):
            raise SettingsError(f"{name}: expected a finite number above 0, got {value}")
    pace_hz = sfreq_hz * speed
    start = None
    counter = n_pushed = 0
    for chunk in chunks:
        if start is None:
            start = clock()
            gap = 0
        else:
            gap = chunk.gap
        counter += gap
        stamps = start + np.arange(counter, counter + chunk.n_samples) / pace_hz
        due = float(stamps[-1]) if chunk.n_samples else start + counter / pace_hz
        if not _reached(due, clock, wait, stop):
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
