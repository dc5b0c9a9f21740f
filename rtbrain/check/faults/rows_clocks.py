"""Rows of the matrix about senders' clocks, and about how soon decodes are valid after a gap."""

import time
from collections.abc import Callable

import numpy as np

from rtbrain.check.faults.rig import FaultCase, Finding, Rig, joined
from rtbrain.check.faults.simulated import simulated_world
from rtbrain.stream.clock.sender_clock import MarkerClock
from rtbrain.types import Chunk, Times

_LISTENED_S = 6.0
_RIGHT_WITHIN_S = 0.05
# The virtual clock of the world, s, when its senders begin.
_BEGIN_S = 100.0


def _clocks() -> dict[str, tuple[Callable[[Times], Times], str]]:
    """What senders' clocks show at true times, and words of the report that names each."""
    unix_s = time.time() - _BEGIN_S
    return {
        "LSL": (lambda t: t, ""),
        "from 0": (lambda t: t - _BEGIN_S, "count from another start"),
        "Unix": (lambda t: t + unix_s, "are Unix time"),
        "Unix in ms": (lambda t: 1000 * (t + unix_s), "show no time"),
        "constant": (lambda t: np.full_like(t, _BEGIN_S), "stand still"),
        "NaN": (lambda t: np.full_like(t, np.nan), "are not numbers"),
        "future": (lambda t: t + 30, "ahead of the LSL clock"),
        "59 near 0": (_first_near_zero(), "count from another start"),
        "steps of -20, +40 s": (lambda t: t - 20 * (t > 108) + 40 * (t > 110), ""),
    }


def foreign_clocks(rig: Rig) -> Finding:
    """Stamp the signal by other clocks, and compare each latency with that of an LSL sender."""
    latency_s: dict[str, float] = {}
    findings = []
    for name, (stamp, words) in _clocks().items():
        with simulated_world(rig, stamp=stamp) as world:
            received = world.listener
            received.during(_LISTENED_S)
            valid = [one for one in received.decodes if one.valid]
            reported = [one for one in received.events if one.event == "sender_clock"]
        if not valid:
            return f"{name}: no valid decode", False
        late_s = [one.t_arrived - one.t_stop for one in valid]
        latency_s[name] = float(np.median(late_s))
        off_s = latency_s[name] - latency_s["LSL"]
        reasons = [str(one.fields["reason"]) for one in reported]
        named = len(reasons) == bool(words) and all(words in reason for reason in reasons)
        right = abs(off_s) < _RIGHT_WITHIN_S and max(late_s) < 1.0 and min(late_s) >= 0
        said = f"'{words}'" if reasons else "nothing said"
        findings.append(
            (f"{name}: {len(valid)} valid, {1000 * off_s:+.0f} ms, {said}", named and right)
        )
    return joined(findings)


def _first_near_zero() -> Callable[[Times], Times]:
    n_sent = 0

    def stamp(times: Times) -> Times:
        nonlocal n_sent
        numbers = n_sent + np.arange(times.size)
        n_sent += times.size
        return np.where(numbers < 59, numbers / 2048, times)

    return stamp


def foreign_markers(rig: Rig) -> Finding:
    """Stamp 20 markers by Unix time and from 0; they come 5 to 40 ms after their moment."""
    rng = np.random.default_rng(33)
    true = _BEGIN_S + np.sort(rng.uniform(1, 60, 20))
    arrived = true + rng.uniform(0.005, 0.04, true.size)
    findings = []
    for name in ("Unix", "from 0"):
        stamp, words = _clocks()[name]
        clock = MarkerClock(None, _BEGIN_S + (200 if name == "from 0" else 0))
        times = np.array([clock(s, a) for s, a in zip(stamp(true), arrived, strict=True)])
        off_s = float(np.abs(times - true).max())
        findings.append(
            (
                f"markers, {name}: at most {1000 * off_s:.0f} ms off",
                off_s < _RIGHT_WITHIN_S and words in clock.reason,
            )
        )
    return joined(findings)


_DOWN_S, _UP_S, _TURNS = 1.0, 3.0, 8
_LEAST_SHARE = 0.6


def valid_share(rig: Rig) -> Finding:
    """Lose 1 s of signal every 4 s, once it was there for 10 s; the time with a valid decode."""
    decoder = rig.decoder("linear")
    _, used_s, hop_s = decoder.waits_s
    sfreq_hz = rig.montage.sfreq_hz
    data = rig.signal(10 + _TURNS * (_DOWN_S + _UP_S))
    ups = [(0.0, 10.0)] + [
        (10 + turn * (_DOWN_S + _UP_S) + _DOWN_S, 10 + (turn + 1) * (_DOWN_S + _UP_S))
        for turn in range(_TURNS)
    ]
    n_valid = last = 0
    for number, (start_s, stop_s) in enumerate(ups):
        start, stop = round(start_s * sfreq_hz), round(stop_s * sfreq_hz)
        chunk = Chunk(
            np.ascontiguousarray(data[:, start:stop]),
            np.arange(start, stop) / sfreq_hz,
            start,
            start - last,
        )
        last = stop
        decoded = [one for one in decoder.features.cut(chunk) if one.quality.valid]
        if number:  # the first run is long
            n_valid += len(decoded)
    share = n_valid * hop_s / (_TURNS * (_DOWN_S + _UP_S))
    return (
        f"in memory: valid {used_s:.2f} s after each gap, {100 * share:.0f} % of the time",
        share > _LEAST_SHARE and used_s <= 0.6,
    )


CLOCK_CASES = (
    FaultCase(27, valid_share),
    FaultCase(33, foreign_clocks),
    FaultCase(33, foreign_markers),
)
