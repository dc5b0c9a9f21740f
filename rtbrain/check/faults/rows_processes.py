"""Rows of the matrix about outlets that nobody reads, and about decoders that are to end."""

import contextlib
import signal
import subprocess
import time

import numpy as np
import psutil

from rtbrain.check.faults.live import (
    START_S,
    decode_command,
    listen_to,
    new_stream_name,
    patient_sender,
    running_script,
)
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, joined
from rtbrain.outlet import DecodeOutlet
from rtbrain.processes import resident_kib, running_command
from rtbrain.types import Decode, Quality

_N_PUSHED = 100_000
# A push that took long would hold up the next decode: one in 100,000 may wait for its turn on a
# machine of twenty busy programs, but not one in a hundred.
_MAX_PUSH_S = 1.0
_MAX_PUSH_P99_S = 0.005
_MAX_GROWTH_KIB = 2048
# Opens a stream and never reads it.
_DEAF_LISTENER = """
import sys, time, pylsl
from rtbrain.processes import end_with_parent
end_with_parent()
inlet = pylsl.StreamInlet(pylsl.resolve_byprop("source_id", sys.argv[1], 1, 30)[0])
inlet.open_stream(30)
print("open", flush=True)
time.sleep(600)
"""


def unread_outlet(rig: Rig) -> Finding:
    """Push 100000 decodes that nobody listens to; over LSL, that a stopped listener never reads."""
    name = new_stream_name()
    labels = ("rest", "speech")
    with contextlib.closing(
        DecodeOutlet(
            name, labels, hop_s=0.25, montage=rig.montage, bundle_id="none", source_id=name
        )
    ) as outlet:
        if not rig.lsl:
            return _push_many(outlet, rig)
        with running_script(_DEAF_LISTENER, name) as process:
            if not outlet.has_listeners:
                return "the listener did not connect", False
            process.send_signal(signal.SIGSTOP)
            return _push_many(outlet, rig)


def _push_many(outlet: DecodeOutlet, rig: Rig) -> Finding:
    """Push decodes as fast as it goes; the time of the slowest push, and the growth of memory."""
    quality = Quality(np.ones(rig.montage.n_channels, np.bool_))
    decode = Decode(np.array([0.5, 0.5], np.float32), 1.0, 1.0, quality)
    took_s = np.empty(_N_PUSHED)
    settled_kib = 0.0
    for number in range(_N_PUSHED):
        start_s = time.perf_counter()
        outlet.push(decode)
        took_s[number] = time.perf_counter() - start_s
        if number == _N_PUSHED // 5:
            settled_kib = resident_kib()
    grown_kib = resident_kib() - settled_kib
    p99_s, max_s = float(np.percentile(took_s, 99)), float(took_s.max())
    return (
        f"{_N_PUSHED} pushes: p99 {1e6 * p99_s:.0f} µs, slowest {1e3 * max_s:.1f} ms; memory "
        f"{grown_kib / 1024:+.1f} MiB",
        max_s < _MAX_PUSH_S and p99_s < _MAX_PUSH_P99_S and grown_kib < _MAX_GROWTH_KIB,
    )


_END_WITHIN_S = 2.0


def signals(rig: Rig) -> Finding:
    """Send SIGINT and SIGTERM to a decoder that waits, connects, warms up, decodes."""
    return joined(
        _ended(rig, state, number)
        for state in ("waiting", "connecting", "warming", "decoding")
        for number in (signal.SIGINT, signal.SIGTERM)
    )


def _ended(rig: Rig, state: str, number: signal.Signals) -> Finding:
    """Bring a decoder into a state and signal it: how long it takes to end, code, orphans."""
    name = new_stream_name()
    sender, (received, inlets) = patient_sender(rig, name), listen_to(name)
    arguments, log = decode_command(rig, name)
    conditions = {
        # Events from before the status stream was found are missed.
        "waiting": lambda: received.event("waiting") is not None or inlets.receives_status,
        "connecting": lambda: received.event("connecting") is not None,
        "warming": lambda: bool(received.decodes),
        "decoding": lambda: bool(received.valid_after(0.0)),
    }
    if state not in ("waiting", "connecting"):
        sender.begin()
    try:
        with running_command(arguments, log) as process:
            if state == "connecting":
                received.require(conditions["waiting"], START_S, "not waiting", log)
                sender.begin()
            received.require(conditions[state], START_S, f"not {state}", log)
            children = psutil.Process(process.pid).children(recursive=True)
            start_s = time.monotonic()
            process.send_signal(number)
            try:
                code = process.wait(10)
            except subprocess.TimeoutExpired:
                code = -1
            took_s = time.monotonic() - start_s
            orphans = [child.pid for child in children if child.is_running()]
            return (
                f"{state} {number.name} {took_s:.2f} s code {code}"
                f"{f', orphans {orphans}' if orphans else ''}",
                took_s < _END_WITHIN_S and code in (0, 130, 143) and not orphans,
            )
    finally:
        sender.end()


PROCESS_CASES = (
    FaultCase(15, unread_outlet),
    FaultCase(15, unread_outlet, lsl=True),
    FaultCase(20, signals, lsl=True),
)
