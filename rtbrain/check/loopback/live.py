"""`rtbrain loopback --live`: from the newest sample of a decode to the receiver of its trigger."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pylsl
from rich.console import Console

from rtbrain.check.loopback.receivers import (
    PULSE_S,
    LoopbackPath,
    LoopbackRow,
    Receiver,
    datagrams,
    lsl_field,
    named,
    receiving,
    report,
)
from rtbrain.check.trigger_device import TriggerDevice
from rtbrain.config import Recipe, load_settings
from rtbrain.errors import RtbrainError, StreamError
from rtbrain.files import parse_json, require_writable_file, strict_json
from rtbrain.learn.fit.quick_fit import quick_fit
from rtbrain.processes import (
    private_lsl_session,
    require_running,
    running_command,
    scratch_folder,
)
from rtbrain.stream.lsl.inlet import make_inlet, open_inlet
from rtbrain.stream.lsl.resolve import resolve_one
from rtbrain.stream_names import events_name
from rtbrain.synthetic.patient import Patient

_CALIBRATION_S, _START_S, _LOOK_S = 30.0, 120.0, 0.2
_N_CHANNELS, _SFREQ_HZ = 32, 2048.0
_CLASSES = ("rest", "speech")
# Each crossing of even odds is a detection, of a patient whose decodes often cross them.
_DIFFICULTY, _DETECT = "hard", {"up": 0.5, "refractory_s": 0, "max_per_min": 10_000}
Rows = Sequence[Mapping[str, Any]]


def run_live_loopback(
    paths: Sequence[LoopbackPath] = tuple(LoopbackPath),
    *,
    seconds: float,
    out: Path | None = None,
    console: Console | None = None,
) -> tuple[LoopbackRow, ...]:
    """Decode a synthetic patient in a live session so long, and print when its triggers arrived.

    The patient, the decoder and the receivers are processes of their own. Latencies count from
    `t_stop`, when the newest sample of the window was taken; the first row, ``decided``, is how
    much of them passed before the decision. The serial device is the simulated one.

    Raises
    ------
    RtbrainError
        A process ends early, nothing is detected, or `out` cannot be written.
    """
    console = console or Console()
    if out is not None:
        require_writable_file(out, "--json")
    with scratch_folder("rtbrain-loopback-") as folder, private_lsl_session(folder):
        patient = Patient(
            0, n_channels=_N_CHANNELS, sfreq_hz=_SFREQ_HZ, difficulty=_DIFFICULTY, classes=_CLASSES
        )
        with console.status(f"fitting a decoder on {_CALIBRATION_S:g} simulated seconds"):
            quick_fit(load_settings("linear", Recipe), patient, _CALIBRATION_S, folder / "bundle")
        with console.status(f"{seconds:g} s of a live session"):
            receivers, t_listening = _receive(paths, seconds, folder)
        lines = (folder / "triggers.jsonl").read_text().splitlines()
    decided = [row for row in map(parse_json, lines) if row.get("number") is not None]
    rows = (_decided(decided), *_rows(receivers, decided, t_listening))
    title = f"{seconds:g} s live: ms from the newest sample of a decode to the receiver"
    report(rows, title, {"live_s": seconds}, out, console)
    return rows


def _receive(
    paths: Sequence[LoopbackPath], seconds: float, folder: Path
) -> tuple[dict[LoopbackPath, Receiver], float]:
    """What came of a session, by output, and the LSL time from which LSL's events were received."""
    name = f"rtbrain-loopback-{os.getpid()}"
    receivers = {path: Receiver() for path in paths}
    outputs: dict[str, object] = {"log": str(folder / "triggers.jsonl")}
    with ExitStack() as stack:
        for path in (LoopbackPath.OSC, LoopbackPath.UDP):
            if path in receivers:
                to, read = stack.enter_context(datagrams(path))
                stack.enter_context(receiving(read, receivers[path]))
                outputs[path.value] = {"to": to}
        if serial := receivers.get(LoopbackPath.SERIAL):
            device = stack.enter_context(TriggerDevice())
            device.on_edge = lambda at, code: serial(device.fired[-1]) if code else None
            outputs["serial"] = {"port": device.port, "pulse_s": PULSE_S}
        settings = {
            "stream": {"name": name, "timeout_s": _START_S},
            "outlet": {"name": name},
            "detect": dict.fromkeys(_CLASSES, _DETECT),
            "outputs": outputs,
        }
        (folder / "live.yaml").write_text(strict_json(settings))
        simulate = ["simulate", "--name", name, "--channels", str(_N_CHANNELS)]
        simulate += ["--sfreq", f"{_SFREQ_HZ:g}", "--difficulty", _DIFFICULTY]
        simulate += ["--start", f"{_CALIBRATION_S:g}"]
        decode = ["decode", "--config", str(folder / "live.yaml")]
        decode += ["--bundle", str(folder / "bundle"), "--arm", "--allow-late"]
        with ExitStack() as running:
            processes = {
                log: running.enter_context(running_command(command, log))
                for command in (simulate, decode)
                for log in [folder / f"{command[0]}.log"]
            }
            found = _events_of(name, processes)
            inlet = make_inlet(found, 10)
            open_inlet(inlet, found, _START_S)
            stack.callback(inlet.close_stream)
            t_listening = float(pylsl.local_clock())
            heard = receivers.get(LoopbackPath.LSL, Receiver())
            read_events = partial(lsl_field, inlet, found, "t_ready")
            stack.enter_context(receiving(read_events, heard))
            _wait(lambda: bool(heard.received), _START_S, processes, "nothing was detected")
            end = time.monotonic() + seconds
            _wait(lambda: time.monotonic() >= end, seconds + 1, processes, "")
        time.sleep(_LOOK_S)  # for what is under way
    return receivers, t_listening


def _events_of(name: str, processes: Mapping[Path, subprocess.Popen[bytes]]) -> Any:
    end = time.monotonic() + _START_S
    while True:
        require_running(processes)
        try:
            return resolve_one({"name": events_name(name)}, 2.0)
        except StreamError:
            if time.monotonic() > end:
                raise


def _wait(
    until: Callable[[], bool],
    within_s: float,
    processes: Mapping[Path, subprocess.Popen[bytes]],
    failure: str,
) -> None:
    end = time.monotonic() + within_s
    while not until():
        require_running(processes)
        if time.monotonic() > end:
            raise RtbrainError(f"loopback --live: {failure} within {within_s:g} s")
        time.sleep(_LOOK_S)


def _decided(decided: Rows) -> LoopbackRow:
    first = {row["number"]: 1e3 * (row["t_ready"] - row["t_stop"]) for row in decided}
    values = list(first.values()) or [np.nan]
    p50, p99, most = np.percentile(values, (50, 99, 100)).tolist()
    return LoopbackRow("decided", len(first), len(first), 0, 0, 0, p50, p99, most)


def _rows(
    receivers: Mapping[LoopbackPath, Receiver], decided: Rows, t_listening: float
) -> list[LoopbackRow]:
    """Figures of each output, of the triggers that the log of the session holds."""
    rows = []
    for path, receiver in receivers.items():
        if path == LoopbackPath.LSL:
            since = {row["t_ready"]: row["t_stop"] for row in decided}
            since = {ready: stop for ready, stop in since.items() if ready > t_listening}
            # Events are sent armed or not, and also before the first trigger.
            receiver.received = [one for one in receiver.received if one[0] in since]
        else:
            ours = [row for row in decided if row["output"].startswith(path.value)]
            since = {float(row["number"]): row["t_stop"] for row in ours}
            receiver.n_dropped = sum(bool(row["suppressed"]) for row in ours)
        rows.append(receiver.row(named(path, None, "device"), since))
    return rows
