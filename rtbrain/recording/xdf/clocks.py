"""Whether the stamps in a file show time, and whether those of two streams show the same."""

from collections.abc import Callable

import numpy as np

from rtbrain.types import Times

_RATE_TOLERANCE = 0.01
_SLOW = 1.4  # times: slower ones would each show a gap behind each sample
_RATE_SAMPLES = 2**20
_STILL_S = 1.0
# Samples this long whose stamps hardly differ were stamped together, when they were sent.
_TOGETHER_S = 0.1
# A clock that goes back by more was set; by less, it trembles.
_BACK_S = 0.25
_MOST_BACK = 1e-3  # of the samples
# Events that all lie further than this from the signal were stamped by another clock.
_FURTHEST_S = 600.0
_UNIX_S = (9e8, 4e9)
_UNITS = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
# Some senders begin to use their clock after that many samples, or seconds.
_LEAD_SAMPLES, _LEAD_S = 64, 0.5


EventClock = Callable[[Times], Times]


def place_events(
    file: str, events: str, times: Times, stamps: Times, along: EventClock, notes: list[str]
) -> Times:
    """Times of a stream's events by the signal's stamps; none, and a note, for another clock's."""
    placed = along(times)
    if np.maximum(stamps[0] - placed, placed - stamps[-1]).min() < _FURTHEST_S:
        return placed
    notes.append(
        f"{file}: the {times.size} events of {events} are left out: the signal's stamps "
        f"{_clock(stamps[0])}, theirs {_clock(times[0])}, and nothing says how far apart the two "
        "clocks are"
    )
    return placed[:0]


def _clock(stamp: float) -> str:
    if _UNIX_S[0] < stamp < _UNIX_S[1]:
        return "are Unix time"
    if _UNIX_S[0] < stamp / 1000 < _UNIX_S[1]:
        return "are Unix time in milliseconds"
    if abs(stamp) < 1:
        return "count from 0"
    return f"are LSL's clock, or another that begins at {stamp:.6g} s"


def repair_stamps(file: str, stamps: Times, sfreq_hz: float, notes: list[str]) -> EventClock:
    """Put right, in place, stamps that show no time, or another than the header's rate says.

    What is changed is noted. Gives what brings the times of events along.
    """
    if stamps.size < 2:
        return np.copy
    _repair_lead(file, stamps, sfreq_hz, notes)
    nominal_s = (stamps.size - 1) / sfreq_hz
    n_back = int((np.diff(stamps) < -_BACK_S).sum())
    ends_early = nominal_s >= _STILL_S and not stamps[-1] - stamps[0] > nominal_s / 10
    if n_back > 10 + _MOST_BACK * stamps.size or (ends_early and not n_back):
        stamps[:] = stamps[0] + np.arange(stamps.size) / sfreq_hz
        notes.append(
            f"{file}: the stamps of the signal stand still or go back: they show no time; its "
            "samples follow one another at the header's rate, and what was lost is not known"
        )
        return np.copy
    _spread(file, stamps, sfreq_hz, notes)
    ratio = _rescale(file, stamps, sfreq_hz, notes)
    origin_s = float(stamps[0])
    steps = _undo_steps(file, stamps, sfreq_hz, notes) if n_back else []

    def along(times: Times) -> Times:
        moved = origin_s + (times - origin_s) / ratio
        for latest_s, step_s in steps:
            # Times that the clock showed twice are taken to be those before it was set.
            moved = np.where(moved > latest_s, moved + step_s, moved)
        return moved

    return along


def _repair_lead(file: str, stamps: Times, sfreq_hz: float, notes: list[str]) -> None:
    """Count back from the first sample of the clock where the first few only count from 0."""
    most = max(_LEAD_SAMPLES, round(_LEAD_S * sfreq_hz))
    steps = np.flatnonzero(np.diff(stamps[: most + 1]) > _FURTHEST_S)
    if not steps.size:
        return
    after = int(steps[-1]) + 1
    lead = stamps[:after]
    if lead.min() < -1 or lead.max() > 2 * most / sfreq_hz + 1:
        return
    stamps[:after] = stamps[after] - np.arange(after, 0, -1) / sfreq_hz
    notes.append(
        f"{file}: the stamps of the first {after} samples count from 0, those after them "
        f"{_clock(stamps[after])}: the first are placed right before the others"
    )


def _spread(file: str, stamps: Times, sfreq_hz: float, notes: list[str]) -> None:
    """Count back from the last of many samples that were stamped together."""
    apart = np.flatnonzero(np.diff(stamps) > 0.1 / sfreq_hz)
    starts, ends = np.append(0, apart + 1), np.append(apart, stamps.size - 1)
    long = np.flatnonzero(ends - starts >= max(2, _TOGETHER_S * sfreq_hz))
    # A last run that goes back somewhere is none.
    for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True):
        if stamps[end] - stamps[start] > -1 / sfreq_hz:
            stamps[start:end] = stamps[end] - np.arange(end - start, 0, -1) / sfreq_hz
    if long.size:
        notes.append(
            f"{file}: {int((ends - starts + 1)[long].sum())} samples were stamped together in "
            f"{long.size} pieces, as they were sent: each piece is spread at the header's rate"
        )


def _rescale(file: str, stamps: Times, sfreq_hz: float, notes: list[str]) -> float:
    """Make stamps agree with the header's rate; how many times faster they counted."""
    # The median: gaps do not change it. Over one sample losses do not, over a second bursts do not.
    n_block = max(1, round(_STILL_S * sfreq_hz))
    if stamps.size <= n_block:
        return 1.0
    one = float(np.median(np.diff(stamps[:_RATE_SAMPLES]))) * sfreq_hz
    block = float(np.median(np.diff(stamps[::n_block]))) * sfreq_hz / n_block
    if min(one, block) <= 0 or min(abs(one - 1), abs(block - 1)) <= _RATE_TOLERANCE:
        return 1.0
    ratio = one if abs(one / block - 1) < 0.1 else block
    unit = next((u for u in _UNITS if abs(ratio / u - 1) < _RATE_TOLERANCE), None)
    if unit is not None:
        ratio = unit
        notes.append(f"{file}: the stamps of the signal are {_UNITS[unit]}, not seconds")
    else:
        notes.append(
            f"samples were stamped at about {sfreq_hz / ratio:.4g} Hz, the header says "
            f"{sfreq_hz:.4g} Hz: they are played at the header's rate"
        )
        if ratio < _SLOW:
            return 1.0
    origin_s = float(stamps[0])
    stamps -= origin_s
    stamps /= ratio
    stamps += origin_s
    return ratio


def _undo_steps(
    file: str, stamps: Times, sfreq_hz: float, notes: list[str]
) -> list[tuple[float, float]]:
    """Let time go on where a clock was set back: the latest stamp before, and the step, s."""
    steps = []
    for at in (np.flatnonzero(np.diff(stamps) < -_BACK_S) + 1).tolist():
        latest_s = float(stamps[:at].max())
        step_s = float(stamps[at - 1] + 1 / sfreq_hz - stamps[at])
        stamps[at:] += step_s
        steps.append((latest_s, step_s))
    listed = ", ".join(f"{step_s:.3g} s" for _, step_s in steps)
    notes.append(
        f"{file}: the signal's clock was set back {len(steps)} times, by {listed}: samples follow "
        "one another there, and events after it may be as much too early or too late"
    )
    return steps
