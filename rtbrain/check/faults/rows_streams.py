"""Rows of the matrix about streams that vanish, return changed, are two, or run at another rate.

Each is written once, for the simulated world and for LSL.
"""

import itertools
import math
import re
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np

from rtbrain.check.faults.live import lsl_world
from rtbrain.check.faults.rig import (
    BACK_WITHIN_S,
    FaultCase,
    Finding,
    Rig,
    World,
    joined,
    offline_difference,
    with_channels,
)
from rtbrain.check.faults.simulated import simulated_world
from rtbrain.errors import StreamError

_GONE_S = 3.0


def open_world(rig: Rig, kind: str = "linear", **options: Any) -> AbstractContextManager[World]:
    """World that the case is for."""
    return (lsl_world if rig.lsl else simulated_world)(rig, kind, **options)


def _refusal(world: World, gone_s: float, words: Sequence[str] = ()) -> str:
    """Wait for a refusal after a time, whose reason has these words; that reason, or "none"."""

    def reasons() -> list[str]:
        refused = [
            one for one in world.listener.events if one.event == "refused" and one.t > gone_s
        ]
        reasons = [str(one.fields.get("reason", "")) for one in refused]
        return [why for why in reasons if all(word in why for word in words)]

    world.listener.until(lambda: bool(reasons()), BACK_WITHIN_S)
    return next(iter(reasons()), "none")


def vanished(rig: Rig) -> Finding:
    """End the stream for 3 s, its connections broken; then let it fall silent for 3 s."""
    findings = []
    with open_world(rig) as world:
        for silent in (False, True):
            observed, fine = _vanish(rig, world, silent)
            findings.append((f"{'silent' if silent else 'broken'}: {observed}", fine))
            if not fine:
                break
    return joined(findings)


def _vanish(rig: Rig, world: World, silent: bool) -> Finding:
    sfreq_hz, received = rig.montage.sfreq_hz, world.listener
    gone_s = world.sender.hang() if silent else world.sender.end()
    received.during(_GONE_S)
    last_s = world.sender.last_stamp
    late = [
        one for one in received.decodes if one.valid and one.t_arrived > gone_s + world.delivery_s
    ]
    back_s = world.begin_again()
    lost, recovered = received.event("lost", gone_s), received.event("recovered", gone_s)
    after = received.valid_after(back_s)
    if lost is None or recovered is None or not after:
        events = [one.event for one in received.events if one.t > gone_s]
        return f"never lost, recovered and valid again; events: {', '.join(events)}", False
    # The first window after a gap begins with the first sample after it.
    first_s = after[0].t_stop - world.used_s + 1 / sfreq_hz
    expected = round((first_s - last_s) * sfreq_hz) - 1
    gap, lost_s = recovered.fields["gap"], lost.t - gone_s
    difference = offline_difference(rig, world, after)
    passed = lost_s <= 1.5 and not late and abs(gap - expected) <= world.slack
    passed &= first_s > back_s - 0.1 and difference <= world.tolerance
    return (
        f"lost reported after {lost_s:.2f} s, {len(late)} valid decodes meanwhile, gap {gap} of "
        f"{expected} samples, valid again {after[0].t_stop - back_s:.2f} s after the return "
        f"(reads {world.used_s:.3g} s), difference from offline {difference:.0e}",
        passed,
    )


def another_rate(rig: Rig) -> Finding:
    """Let the stream return with 1000 Hz, then with the right rate."""
    with open_world(rig) as world:
        received = world.listener
        gone_s = world.sender.end()
        received.during(_GONE_S)
        world.sender.begin(replace(rig.montage, sfreq_hz=1000.0))
        why = _refusal(world, gone_s)
        received.during(2 * _GONE_S)
        n_wrong = len(received.valid_after(gone_s + 0.1))
        connected = received.event("connected", gone_s)
        world.sender.end()
        n_after = len(received.valid_after(world.begin_again()))
    passed = all(rate in why for rate in ("1000 Hz", "2048 Hz")) and connected is None
    return (
        f"refused: {why[:110]}; {n_wrong} decodes of it, {n_after} after the right one",
        passed and not n_wrong and n_after > 0,
    )


def another_order(rig: Rig) -> Finding:
    """Let the stream return with its channels reversed, then shuffled with two more."""
    names = rig.montage.names
    findings = []
    with open_world(rig) as world:
        for what, order, extra in (
            ("reversed", names[::-1], ()),
            ("two more", (*names[3:], *names[:3]), ("ECG", "Z1")),
        ):
            world.sender.end()
            world.listener.during(1.0)
            montage = with_channels(rig.montage.pick(order), extra)
            after = world.listener.valid_after(world.begin_again(montage, n_valid=9))
            if not after:
                return f"{what}: no valid decode after the return", False
            difference = offline_difference(rig, world, after)
            observed = (
                f"{what}: {len(after)} decodes, largest difference from the original order "
                f"{difference:.1e}"
            )
            findings.append((observed, difference <= world.tolerance))
    return joined(findings)


def missing_channels(rig: Rig) -> Finding:
    """Let the stream return without 3 of 12 channels, then without 10 of them."""
    return joined(_missing_channels(rig, kind) for kind in ("linear", "edge"))


def _missing_channels(rig: Rig, kind: str) -> Finding:
    names = rig.montage.names
    with open_world(rig, kind) as world:
        received = world.listener
        before = received.valid_after(0.0)[-1].coverage
        gone_s = world.sender.end()
        valid = received.valid_after(world.begin_again(rig.montage.pick(names[3:])))
        connected = received.event("connected", gone_s)
        gone_s = world.sender.end()
        world.sender.begin(rig.montage.pick(names[10:]))
        why = _refusal(world, gone_s)
        received.during(world.first_s + 1)
        n_below = len(received.valid_after(gone_s + 0.1))
    coverage = valid[-1].coverage if valid else math.nan
    missing = [] if connected is None else connected.fields["missing"]
    read = rig.decoder(kind).features.signal.montage.names
    expected = 1 - sum(name in read for name in names[:3]) / len(read)
    passed = before == 1 and coverage <= expected + 1e-6 and missing == list(names[:3])
    passed &= all(math.isfinite(value) for one in valid for value in one.values)
    return (
        f"{kind}, 3 missing: {len(valid)} valid decodes, coverage {before:.2f} to "
        f"{coverage:.2f}; 10 missing: {n_below} valid decodes, refusal: {why[:90]}",
        passed and n_below == 0 and why != "none",
    )


def two_streams(rig: Rig) -> Finding:
    """Have two senders answer at the start; in memory also after a loss."""
    source_ids = [f"amplifier-{uuid4().hex[:8]}" for _ in range(2)]
    words = (*source_ids, socket.gethostname())
    try:
        with open_world(rig, source_ids=source_ids):
            refusal = "DECODED"
    except StreamError as error:
        refusal = str(error)
    observed, passed = f"at connect: {refusal[:150]}", all(word in refusal for word in words)
    if rig.lsl:
        return observed, passed
    with open_world(rig, source_ids=source_ids[:1], accept_other_source=True) as world:
        gone_s = world.sender.end()
        world.listener.during(_GONE_S)
        for source_id in source_ids:
            world.sender.begin(source_id=source_id)
        refusal = _refusal(world, gone_s, words)
        world.listener.during(world.first_s + 1)
        n_valid = len(world.listener.valid_after(gone_s + 0.1))
    return (
        f"{observed}; after a loss {n_valid} decodes of either",
        passed and refusal != "none" and not n_valid,
    )


def paused(rig: Rig) -> Finding:
    """Let the sender leave out 2 s of samples, and go on over the same connections."""
    with open_world(rig) as world:
        paused_s = world.sender.hang()
        world.listener.during(2.0)
        world.sender.begin()
        after = world.listener.until(
            lambda: bool(world.listener.valid_after(paused_s + 2.0)), BACK_WITHIN_S
        )
        world.listener.during(1.0)
        gaps = [one for one in world.listener.events if one.event == "gap" and one.t > paused_s]
    counted, left_out = sum(one.fields["lost"] for one in gaps), world.sender.n_left_out
    return f"{counted} samples counted as lost of {left_out}", after and counted == left_out


def another_sender(rig: Rig) -> Finding:
    """Let another amplifier answer after a loss; then with the setting that accepts it."""
    return joined(_another_sender(rig, accept) for accept in (False, True))


def _another_sender(rig: Rig, accept: bool) -> Finding:
    first, other = (f"amplifier-{uuid4().hex[:8]}" for _ in range(2))
    with open_world(rig, source_ids=[first], accept_other_source=accept) as world:
        gone_s = world.sender.end()
        world.sender.begin(source_id=other)
        why = "accepted" if accept else _refusal(world, gone_s, (first, other))
        world.listener.until(lambda: bool(world.listener.valid_after(gone_s + 0.1)), 10.0)
        n_valid = len(world.listener.valid_after(gone_s + 0.1))
    return f"{why[:150]}: {n_valid} valid decodes", why != "none" and accept == (n_valid > 0)


def stalled_consumer(rig: Rig) -> Finding:
    """Stop the decoder for 10 s, which its inlet holds; in memory also for 40 s, which overflow."""
    findings = []
    for stall_s in (10.0,) if rig.lsl else (10.0, 40.0):
        with open_world(rig) as world:
            observed, fine = _stalled(rig, world, stall_s)
        findings.append((f"{stall_s:g} s: {observed}", fine))
    return joined(findings)


def _stalled(rig: Rig, world: World, stall_s: float) -> Finding:
    received = world.listener
    received.during(1.0)
    before_kib, last_s = world.resident_kib(), received.valid_after(0.0)[-1].t_stop
    world.stall(stall_s)
    awake_s = received.clock()
    received.during(10.0)
    grown_kib = world.resident_kib() - before_kib
    after = [one for one in received.valid_after(last_s) if one.t_arrived > awake_s]
    events = [one for one in received.events if one.t > awake_s]
    if len(after) < 2:
        return f"no valid decode after the stall; events: {[one.event for one in events]}", False
    late_s = [one.t_arrived - one.t_stop for one in after]
    age_s = max(late_s[world.slack :])  # what was on its way at the stop may still come out
    n_skipped = sum(one.fields["windows"] for one in events if one.event == "skipped")
    n_stale = sum(
        not one.valid and one.t_arrived > max(awake_s, one.t_stop + 0.5) for one in received.decodes
    )
    n_lost = sum(one.fields["lost"] for one in events if one.event == "gap")
    passed_s, slack = after[-1].t_stop - last_s, world.slack
    if n_lost:  # windows end on a new grid then, and the first one fills
        passed_s -= n_lost / rig.montage.sfreq_hz + world.used_s - world.hop_s
        slack = max(slack, 1)
    n_windows = round(passed_s / world.hop_s)
    passed = age_s < 2 * world.delivery_s and grown_kib < (4096 if rig.lsl else 2048)
    passed &= abs(n_windows - len(after) - n_skipped - n_stale) <= slack
    passed &= n_lost == world.n_dropped()
    return (
        f"oldest signal decoded {age_s:.2f} s, {len(after)} decoded + {n_skipped} skipped + "
        f"{n_stale} stale of {n_windows} windows, {n_lost} lost, {grown_kib / 1024:+.1f} MiB more",
        passed,
    )


# The last is further off than the tolerance of 0.5 %.
_TRUE_HZ = {2046.3: "resampled", 2040.0: "resampled", 2030.0: "refused"}
_JUDGED_AFTER_S = 12.0  # of samples: by then a rate is either corrected or refused
_LISTENED_S = 5.0
# How far the mean time between decodes may be off: a tenth of what 2046.3 Hz makes of it.
_HOP_TOLERANCE = 1e-4


def another_true_rate(rig: Rig) -> Finding:
    """Announce 2048 Hz and send 2046.3, 2040 and 2030 Hz to a live decoder."""
    return joined(_at_true_rate(rig, true_hz) for true_hz in _TRUE_HZ)


def _at_true_rate(rig: Rig, true_hz: float) -> Finding:
    """Decodes a whole hop of true time apart; or none, and both rates named."""
    with open_world(rig, true_hz=true_hz) as world:
        received = world.listener
        judged_s = received.valid_after(0.0)[0].t_stop - world.first_s + _JUDGED_AFTER_S
        received.until(lambda: received.decodes[-1].t_stop > judged_s + _LISTENED_S, BACK_WITHIN_S)
        times_s = [one.t_stop for one in received.valid_after(judged_s)]
        reasons = [one.fields["reason"] for one in received.events if one.event == "invalid"]
        why = next((reason for reason in reasons if reason.startswith("true rate")), "")
        rate = received.event("rate")
    if _TRUE_HZ[true_hz] == "refused":
        rates_hz = [float(number) for number in re.findall(r"([\d.]+) Hz", why)]
        return (
            f"{true_hz:g}: {len(times_s)} valid decodes, invalid: {why or 'never'}",
            not times_s
            and len(rates_hz) == 2
            and np.allclose(rates_hz, (true_hz, 2048.0), rtol=0, atol=0.1),
        )
    measured_hz = math.nan if rate is None else rate.fields["effective_rate_hz"]
    hop_s = _mean_hop_s(times_s, world.hop_s)
    return (
        f"{true_hz:g}: resampled from {measured_hz:.2f} Hz, {len(times_s)} valid decodes "
        f"{1000 * hop_s:.3f} ms apart (hop {1000 * world.hop_s:.3f} ms), invalid: {why or 'never'}",
        abs(hop_s / world.hop_s - 1) < _HOP_TOLERANCE
        and abs(measured_hz - true_hz) < 0.1
        and not why,
    )


def _mean_hop_s(times_s: Sequence[float], hop_s: float) -> float:
    """Mean time between decodes, s, where some may have been skipped."""
    if len(times_s) < 2:
        return math.nan
    n_hops = sum(round((b - a) / hop_s) for a, b in itertools.pairwise(times_s))
    return (times_s[-1] - times_s[0]) / n_hops


STREAM_CASES = (
    *(
        FaultCase(number, check, lsl)
        for number, check in (
            (1, vanished),
            (2, another_rate),
            (3, another_order),
            (4, missing_channels),
            (5, two_streams),
            (6, stalled_consumer),
            (14, another_true_rate),
            (34, another_sender),
        )
        for lsl in (False, True)
    ),
    FaultCase(30, paused, lsl=True),
)
