"""Rows of the matrix over real LSL: streams that vanish, return changed, or are two."""

import math
import socket
from dataclasses import replace

import numpy as np

from rtbrain.check.faults.live import (
    FaultSession,
    LiveSender,
    ReceivedDecode,
    decode_command,
    fault_session,
    new_stream_name,
)
from rtbrain.check.faults.matrix import FaultCase, Finding, Rig
from rtbrain.processes import last_line, running_command
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Montage

_GONE_S = 3.0


_LOST_WITHIN_S = 1.5


_BACK_WITHIN_S = 30.0


_WITHIN = 1e-4


def vanished(rig: Rig) -> Finding:
    """End the stream for 3 s, its connections broken; then let it fall silent for 3 s."""
    said, passed = [], True
    with fault_session(rig) as live:
        for silent in (False, True):
            observed, fine = _vanish(live, rig.montage.sfreq_hz, silent)
            said.append(f"{'silent' if silent else 'broken'}: {observed}")
            passed &= fine
            if not fine:
                break
    return "; ".join(said), passed


def _vanish(live: FaultSession, sfreq_hz: float, silent: bool) -> Finding:
    sender, ears = live.sender, live.ears
    if silent:
        gone = lsl_clock()
        sender.set_silent(True)
    else:
        gone = sender.end()
    ears.during(_GONE_S)
    last = sender.last_stamp
    late = [one for one in ears.decodes if one.valid and one.t_arrived > gone + 0.5]
    if silent:
        sender.set_silent(False)
    else:
        sender.begin()
    back = lsl_clock()
    ears.until(lambda: len(ears.valid_after(back)) > 2, _BACK_WITHIN_S)
    lost, recovered = ears.event("lost", gone), ears.event("recovered", gone)
    if lost is None or recovered is None or not ears.valid_after(back):
        events = [one.event for one in ears.events if one.t > gone]
        return f"never lost, recovered and valid again, but told {', '.join(events)}", False
    # The first window after a gap begins with the first sample after it.
    again = ears.valid_after(back)[0].t_stop
    first_s = again - live.window_s + 1 / sfreq_hz
    expected = round((first_s - last) * sfreq_hz) - 1
    told = recovered.fields["gap"]
    lost_s = lost.t - gone
    passed = lost_s <= _LOST_WITHIN_S and not late and abs(told - expected) <= 1
    passed &= first_s > back - 0.1
    return (
        f"lost told after {lost_s:.2f} s, {len(late)} valid decodes meanwhile, gap {told} of "
        f"{expected} samples, valid again {again - back:.1f} s after the return",
        passed,
    )


def another_rate(rig: Rig) -> Finding:
    """Let the stream return with 1000 Hz, then with the right rate."""
    with fault_session(rig) as live:
        gone = live.sender.end()
        live.sender.begin(replace(rig.montage, sfreq_hz=1000.0))
        live.ears.until(lambda: live.ears.event("refused", gone) is not None, _BACK_WITHIN_S)
        live.ears.during(2 * _GONE_S)
        n_wrong = len(live.ears.valid_after(gone + 0.1))
        live.sender.end()
        live.sender.begin()
        back = lsl_clock()
        live.ears.until(lambda: len(live.ears.valid_after(back)) > 2, _BACK_WITHIN_S)
        refused, n_after = live.ears.event("refused", gone), len(live.ears.valid_after(back))
    why = "nothing" if refused is None else str(refused.fields.get("reason"))
    passed = all(rate in why for rate in ("1000 Hz", "2048 Hz")) and not n_wrong and n_after > 0
    return f"refused: {why[:110]}; {n_wrong} decodes of it, {n_after} after the right one", passed


def another_order(rig: Rig) -> Finding:
    """Let the stream return with its channels turned round and two more; compare with offline."""
    names = (*rig.montage.names[::-1], "ECG", "Z1")
    montage = Montage(names, ("seeg",) * len(names), rig.montage.sfreq_hz)
    with fault_session(rig) as live:
        first = live.ears.valid_after(0.0)[0]
        live.sender.end()
        last_s = live.sender.last_stamp
        live.ears.during(1.0)
        live.sender.begin(montage)
        back = lsl_clock()
        live.ears.until(lambda: len(live.ears.valid_after(back)) > 8, _BACK_WITHIN_S)
        after = live.ears.valid_after(back)
    if not after:
        return "no valid decode after the return", False
    expected = _offline(rig, live, first, last_s, after)
    differences = [
        max(abs(a - b) for a, b in zip(one.values, expected[round(one.t_stop * 100)], strict=True))
        for one in after
        if round(one.t_stop * 100) in expected
    ]
    worst = max(differences, default=float("nan"))
    passed = len(differences) == len(after) and worst <= _WITHIN
    return (
        f"{len(differences)} of {len(after)} decodes found offline, largest difference {worst:.1e}",
        passed,
    )


def _offline(
    rig: Rig, live: FaultSession, first: ReceivedDecode, last_s: float, after: list[ReceivedDecode]
) -> dict[int, list[float]]:
    """Decodes of the same samples in the original order, by the hundredth of a second."""
    sfreq_hz, start_s = rig.montage.sfreq_hz, live.sender.start_s
    ends = [(first.t_stop, last_s), (after[0].t_stop, after[-1].t_stop)]
    decoder, stop = rig.decoder("linear", rig.montage), 0
    chunks: list[Chunk] = []
    for first_stop_s, to_s in ends:
        # The first valid window began with the first sample that was received.
        begin = round((first_stop_s - live.window_s - start_s) * sfreq_hz) + 1
        numbers = np.arange(begin, round((to_s - start_s) * sfreq_hz) + 1)
        gap = begin - stop if chunks else 0
        data = live.sender.samples(rig.montage, numbers)
        chunks.append(Chunk(data, start_s + numbers / sfreq_hz, begin, gap))
        stop = int(numbers[-1]) + 1
    return {
        round(one.t_stop * 100): one.values.tolist()
        for one in decoder.decode(chunks)
        if one.quality.valid
    }


def missing_channels(rig: Rig) -> Finding:
    """Let the stream return without 3 of 12 channels, then without 10, to the edge decoder."""
    with fault_session(rig, "edge") as live:
        before = live.ears.valid_after(0.0)[-1].coverage
        live.sender.end()
        live.sender.begin(rig.montage.pick(rig.montage.names[3:]))
        back = lsl_clock()
        live.ears.until(lambda: len(live.ears.valid_after(back)) > 3, _BACK_WITHIN_S)
        valid = live.ears.valid_after(back)
        gone = live.sender.end()
        live.sender.begin(rig.montage.pick(rig.montage.names[10:]))
        live.ears.until(lambda: live.ears.event("refused", gone) is not None, _BACK_WITHIN_S)
        live.ears.during(live.window_s + 1)
        n_below = len(live.ears.valid_after(gone + 0.1))
        refused = live.ears.event("refused", gone)
    coverage = valid[-1].coverage if valid else float("nan")
    finite = all(math.isfinite(value) for one in valid for value in one.values)
    passed = len(valid) > 0 and finite and before == 1 and coverage < 0.9
    passed &= n_below == 0 and refused is not None
    return (
        f"3 missing: {len(valid)} valid decodes, coverage {before:.2f} to {coverage:.2f}; "
        f"10 missing: {n_below} valid decodes, "
        f"{'nothing told' if refused is None else str(refused[1].get('reason'))[:90]}",
        passed,
    )


def two_streams(rig: Rig) -> Finding:
    """Announce two streams of one name, then start a decoder."""
    name = new_stream_name()
    senders = [LiveSender(rig, name), LiveSender(rig, name)]
    arguments, log = decode_command(rig, name)
    try:
        for number, sender in enumerate(senders):
            sender.begin(source_id=f"{name}-{number}")
        with running_command(arguments, log) as process:
            code = process.wait(60)
    finally:
        for sender in senders:
            sender.end()
    said = last_line(log)
    words = (f"{name}-0", f"{name}-1", socket.gethostname())
    return f"exit code {code}: {said[:200]}", code == 2 and all(word in said for word in words)


LSL_CASES = (
    FaultCase(1, vanished, lsl=True),
    FaultCase(2, another_rate, lsl=True),
    FaultCase(3, another_order, lsl=True),
    FaultCase(4, missing_channels, lsl=True),
    FaultCase(5, two_streams, lsl=True),
)
