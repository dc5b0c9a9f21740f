"""Rows of the matrix about FieldTrip buffers, and about marker senders that go away."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import numpy as np

from rtbrain.build import build_feature_pipeline
from rtbrain.bundling import bundle_parts
from rtbrain.check.faults.fieldtrip_buffer import DelayedLink, FieldTripServer
from rtbrain.check.faults.live import (
    START_S,
    decode_command,
    listen_to,
    new_stream_name,
    patient_sender,
    sending,
)
from rtbrain.check.faults.rig import (
    SIGNAL_S,
    FaultCase,
    Finding,
    Rig,
    StatusListener,
    joined,
    patient_samples,
    with_channels,
)
from rtbrain.config import Recipe, parse_settings
from rtbrain.decoder import LinearReadout, write_bundle
from rtbrain.processes import running_command
from rtbrain.stream.lsl.inlet import lsl_clock

_N_CHANNELS = 64
_ROUND_TRIPS_S = (0.0, 0.04)
_RUN_S, _AWAY_S, _BACK_WITHIN_S = 10.0, 2.0, 15.0
_BLOCK_S, _RECORDED_S = 0.008, 20.0
_END_WITHIN_S = 2.0
_CUE_EVERY_S = 0.5
_EVENT_RECIPE = {
    "mode": "linear",
    "window": {"mode": "event", "length_s": 1.0, "offset_s": -1.0},
    "spectrogram": {"form": "published"},
}
# A sender of markers that can be stopped without a word.
_SENDER = """
import sys, time
from rtbrain.outlet import MarkerOutlet
from rtbrain.stream.lsl.inlet import lsl_clock
sender = MarkerOutlet(sys.argv[1], source_id=sys.argv[1])
while True:
    time.sleep(float(sys.argv[2]))
    sender.push("cue", lsl_clock())
"""


def slow_buffer(rig: Rig) -> Finding:
    """Decode from a buffer as slow as the C reference server, over links of several lengths."""
    return joined(_decoded(rig, round_trip_s) for round_trip_s in _ROUND_TRIPS_S)


@contextmanager
def _filled(rig: Rig, port: int = 0) -> Iterator[FieldTripServer]:
    """A buffer that the patient's signal goes into, of more channels than the decoder reads."""
    n_extra = _N_CHANNELS - rig.montage.n_channels
    montage = with_channels(rig.montage, tuple(f"X{number}" for number in range(n_extra)))
    server = FieldTripServer(port=port)
    server.put_header(montage.n_channels, montage.sfreq_hz, names=montage.names)
    data = patient_samples(rig, montage, np.arange(round(_RECORDED_S * montage.sfreq_hz)))
    done = threading.Event()
    start_s = lsl_clock()

    def put() -> None:
        n_put = 0
        while not done.wait(_BLOCK_S):
            n_due = int((lsl_clock() - start_s) * montage.sfreq_hz)
            server.put(data.take(np.arange(n_put, n_due), axis=1, mode="wrap"))
            n_put = n_due

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        done.set()
        thread.join()
        server.stop()


def _decoded(rig: Rig, round_trip_s: float) -> Finding:
    rig.signal(SIGNAL_S)
    name = new_stream_name()
    received, _ = listen_to(name)
    with ExitStack() as stack:
        buffer = ExitStack()
        stack.enter_context(buffer)
        server = buffer.enter_context(_filled(rig))
        link = stack.enter_context(closing(DelayedLink(server.port, round_trip_s)))
        arguments = ["decode", "--bundle", str(rig.bundle("linear")), "--name", name]
        arguments += ["--set", f"stream.fieldtrip=127.0.0.1:{link.port}"]
        log = rig.folder / f"{name}.log"
        process = stack.enter_context(running_command(arguments, log))
        received.require(lambda: len(received.valid_after(0.0)) > 3, START_S, "not decoded", log)
        begin_s = lsl_clock()
        received.during(_RUN_S)
        n_valid, n_skipped = len(received.valid_after(begin_s)), _n_skipped(received, begin_s)
        buffer.close()
        received.during(_AWAY_S)
        buffer.enter_context(_filled(rig, server.port))
        back_s = lsl_clock()
        received.until(lambda: len(received.valid_after(back_s)) > 3, _BACK_WITHIN_S)
        n_after = len(received.valid_after(back_s))
        process.send_signal(signal.SIGTERM)
        code, took_s = _ended(process)
    return (
        f"round trip {1e3 * round_trip_s:g} ms: {n_valid} decodes in {_RUN_S:g} s, {n_skipped} "
        f"skipped, {n_after} after a restart, SIGTERM {took_s:.2f} s code {code}",
        n_valid > 0 and not n_skipped and n_after > 3 and took_s < _END_WITHIN_S and code == 0,
    )


def _n_skipped(received: StatusListener, after_s: float) -> int:
    events = [one for one in received.events if one.event == "skipped" and one.t > after_s]
    return sum(int(one.fields["windows"]) for one in events)


def _ended(process: "subprocess.Popen[bytes]") -> tuple[int, float]:
    start_s = lsl_clock()
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        code = -1
    return code, lsl_clock() - start_s


def markers_away(rig: Rig) -> Finding:
    """Decode at markers whose sender ends, then stops without a word, and is started each time."""
    rig.signal(SIGNAL_S)
    name = new_stream_name()
    sender, (received, _) = patient_sender(rig, name), listen_to(name)
    bundle = rig.folder / "bundle"
    recipe = parse_settings(_EVENT_RECIPE, Recipe, where="row 32")
    features = build_feature_pipeline(recipe, rig.montage)
    weights = np.zeros((2, features.n_features), np.float32)
    readout = LinearReadout(weights, np.zeros(2, np.float32), "classification")
    parts = bundle_parts(recipe, None, features, readout, ("no", "yes"), rig.montage, "nothing")
    write_bundle(bundle, parts[0], rig.montage, parts[1], {})
    arguments, log = decode_command(rig, name)
    arguments[arguments.index("--bundle") + 1] = str(bundle)
    findings: list[Finding] = []
    with ExitStack() as stack:
        stack.enter_context(sending(sender))
        cues = stack.enter_context(_cues(name))
        process = stack.enter_context(
            running_command([*arguments, "--markers", f"{name}-cues"], log)
        )
        received.require(lambda: len(received.valid_after(0.0)) > 1, START_S, "not decoded", log)
        for what, number in (("ended", signal.SIGKILL), ("silent", signal.SIGSTOP)):
            cues.send_signal(number)
            received.during(_AWAY_S)
            cues = stack.enter_context(_cues(name))
            back_s = lsl_clock()
            n_after = _decodes_after(received, back_s)
            took_s = lsl_clock() - back_s
            findings.append((f"{what}: {n_after} decodes {took_s:.1f} s after", n_after > 2))
        process.send_signal(signal.SIGTERM)
        code, took_s = _ended(process)
    findings.append((f"exit code {code} in {took_s:.2f} s", code == 0))
    return joined(findings)


def _decodes_after(received: StatusListener, back_s: float) -> int:
    received.until(lambda: len(received.valid_after(back_s)) > 2, START_S)
    return len(received.valid_after(back_s))


@contextmanager
def _cues(name: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _SENDER, f"{name}-cues", str(_CUE_EVERY_S)]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


SOURCE_CASES = (FaultCase(31, slow_buffer, lsl=True), FaultCase(32, markers_away, lsl=True))
