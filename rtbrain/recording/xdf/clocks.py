"""Whether the stamps in a file show time, and whether those of two streams show the same."""

import numpy as np

from rtbrain.types import Times

_RATE_TOLERANCE = 0.01
_RATE_SAMPLES = 2**20
_STILL_S = 1.0
# Events that all lie further than this from the signal were stamped by another clock.
_FURTHEST_S = 600.0
_UNIX_S = (9e8, 4e9)


def same_clock(file: str, events: str, times: Times, stamps: Times, notes: list[str]) -> bool:
    """Whether events of a stream, at these times, can be placed on the signal; else add a note."""
    away_s = np.maximum(stamps[0] - times, times - stamps[-1])
    if away_s.min() < _FURTHEST_S:
        return True
    notes.append(
        f"{file}: the {times.size} events of {events} are left out: the signal's stamps "
        f"{_clock(stamps[0])}, theirs {_clock(times[0])}, and nothing says how far apart the two "
        "clocks are"
    )
    return False


def _clock(stamp: float) -> str:
    unix = _UNIX_S[0] < stamp < _UNIX_S[1]
    return "are Unix time" if unix else f"begin at {stamp:.6g} s"


def check_stamps(file: str, stamps: Times, sfreq_hz: float, notes: list[str]) -> None:
    """Note stamps of another rate than the header's; replace those that show no time, in place."""
    if stamps.size < 2:
        return
    nominal_s = (stamps.size - 1) / sfreq_hz
    if nominal_s >= _STILL_S and not stamps[-1] - stamps[0] > nominal_s / 10:
        stamps[:] = stamps[0] + np.arange(stamps.size) / sfreq_hz
        notes.append(
            f"{file}: the stamps of the signal stand still or go back: they show no time; its "
            "samples follow one another at the header's rate, and what was lost is not known"
        )
        return
    # The median: gaps do not change it.
    period_s = float(np.median(np.diff(stamps[:_RATE_SAMPLES])))
    if period_s > 0 and abs(period_s * sfreq_hz - 1) > _RATE_TOLERANCE:
        notes.append(
            f"samples were stamped at about {1 / period_s:.4g} Hz, the header says "
            f"{sfreq_hz:.4g} Hz: they are played at the header's rate"
        )
