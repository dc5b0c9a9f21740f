"""Rows of the matrix about processes over real LSL: stopped ones, deaf ones, ones told to end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtbrain.check.faults.live import (
    LiveSender,
    StatusListener,
    decode_command,
    fault_session,
    new_stream_name,
)
from rtbrain.check.faults.matrix import FaultCase, Finding, Rig
from rtbrain.check.faults.rows_running import push_many
from rtbrain.errors import StreamError
from rtbrain.outlet import DecodeOutlet
from rtbrain.processes import running_command
from rtbrain.stream.lsl.inlet import lsl_clock

_STALL_S = 10.0


_FRESH_S = 1.0


_LEVEL_KIB = 4096


_END_S = 2.0


_READY_S = 60.0


# Opens a stream and never reads it.
_DEAF = """
import sys, time, pylsl
inlet = pylsl.StreamInlet(pylsl.resolve_byprop("source_id", sys.argv[1], 1, 30)[0])
inlet.open_stream(30)
print("open", flush=True)
time.sleep(600)
"""


def stalled_decoder_process(rig: Rig) -> Finding:
    """Stop the decoder's process for 10 s by SIGSTOP, then let it go on for 10 s."""
    with fault_session(rig) as live:
        process, ears = live.process, live.ears
        ears.during(1.0)
        before_kib, last = _resident_kib(process.pid), ears.valid_after(0.0)[-1]
        process.send_signal(signal.SIGSTOP)
        ears.during(_STALL_S)
        process.send_signal(signal.SIGCONT)
        awake = lsl_clock()
        ears.during(10.0)
        after = [one for one in ears.decodes if one.t_arrived > awake and one.valid]
        fresh = [one for one in after if one.t_stop > last.t_stop]
        told = [one for one in ears.events if one.t > awake]
        grown_kib = _resident_kib(process.pid) - before_kib
    if not fresh:
        return f"no valid decode after the stall; told {[one.event for one in told]}", False
    # What was on its way when the process was stopped may still come out.
    old = [one for one in fresh[1:] if one.t_arrived - one.t_stop > _FRESH_S]
    n_skipped = sum(one.fields["windows"] for one in told if one.event == "skipped")
    n_lost = sum(one.fields["lost"] for one in told if one.event == "gap")
    n_windows = round((fresh[-1].t_stop - last.t_stop) / live.hop_s)
    accounted = n_lost > 0 or abs(n_windows - len(fresh) - n_skipped) <= 1
    passed = not old and accounted and grown_kib < _LEVEL_KIB
    oldest_s = max(one.t_arrived - one.t_stop for one in fresh)
    return (
        f"{len(old)} decodes of data older than {_FRESH_S:g} s (oldest {oldest_s:.2f} s), "
        f"{len(fresh)} decoded + {n_skipped} told as skipped of {n_windows} windows, {n_lost} "
        f"samples told as lost, memory {grown_kib / 1024:+.1f} MiB",
        passed,
    )


def _resident_kib(pid: int) -> float:
    """Resident memory of a process, KiB; 0 where the system does not tell."""
    statm = Path(f"/proc/{pid}/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def listener_that_stops_reading(rig: Rig) -> Finding:
    """Connect a listener that never reads, stop its process, and push 100000 decodes."""
    name = new_stream_name()
    outlet = DecodeOutlet(
        name,
        ("rest", "speech"),
        hop_s=0.25,
        montage=rig.montage,
        bundle_id="none",
        source_id=name,
    )
    try:
        with _deaf(name) as process:
            if not outlet.has_listeners:
                return "the listener did not connect", False
            process.send_signal(signal.SIGSTOP)
            return push_many(outlet, rig)
    finally:
        outlet.close()


@contextmanager
def _deaf(source_id: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _DEAF, source_id], stdout=subprocess.PIPE, text=True
    )
    try:
        if process.stdout is not None:
            process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def signals(rig: Rig) -> Finding:
    """Send SIGINT and SIGTERM to a decoder that waits, connects, warms up, decodes."""
    said, passed = [], True
    for state in ("waiting", "connecting", "warming", "decoding"):
        for number in (signal.SIGINT, signal.SIGTERM):
            took_s, code, orphans = _ended(rig, state, number)
            passed &= took_s < _END_S and code in (0, 130, 143) and not orphans
            said.append(
                f"{state} {number.name} {took_s:.2f} s code {code}"
                f"{f', orphans {orphans}' if orphans else ''}"
            )
    return "; ".join(said), passed


def _ended(rig: Rig, state: str, number: signal.Signals) -> tuple[float, int, list[int]]:
    """Bring a decoder into a state, tell it to end: how long that takes, code, orphans."""
    name = new_stream_name()
    sender, ears = LiveSender(rig, name), StatusListener(name)
    arguments, log = decode_command(rig, name)
    if state not in ("waiting", "connecting"):
        sender.begin()
    try:
        with running_command(arguments, log) as process:
            if state == "connecting":
                _wait_for(ears, "waiting")
                sender.begin()
                _wait_for(ears, "connecting")
            elif state == "decoding":
                _wait_until(ears, lambda: bool(ears.valid_after(0.0)), state)
            elif state == "warming":
                _wait_until(ears, lambda: bool(ears.decodes), state)
            else:
                _wait_for(ears, "waiting")
            children = _children(process.pid)
            start_s = time.monotonic()
            process.send_signal(number)
            try:
                code = process.wait(10)
            except subprocess.TimeoutExpired:
                code = -1
            took_s = time.monotonic() - start_s
            return took_s, code, [pid for pid in children if Path(f"/proc/{pid}").exists()]
    finally:
        sender.end()


def _wait_for(ears: StatusListener, event: str) -> None:
    _wait_until(ears, lambda: ears.event(event) is not None or _past(ears, event), event)


def _past(ears: StatusListener, event: str) -> bool:
    """Whether an event was missed, for it was told before anybody listened."""
    return event == "waiting" and bool(ears.has_status_inlet)


def _wait_until(ears: StatusListener, condition: Any, what: str) -> None:
    if not ears.until(condition, _READY_S):
        raise StreamError(f"the decoder was not {what} within {_READY_S:g} s")


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


PROCESS_CASES = (
    FaultCase(6, stalled_decoder_process, lsl=True),
    FaultCase(15, listener_that_stops_reading, lsl=True),
    FaultCase(20, signals, lsl=True),
)
