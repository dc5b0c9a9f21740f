import json
import math
import re
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pylsl
import pytest

from rtbrain.errors import MontageError, SettingsError, StreamError
from rtbrain.outlet import DecodeOutlet, DetectionOutlet, MarkerOutlet, SignalOutlet, StatusOutlet
from rtbrain.types import Chunk, Decode, Detection, Montage, Quality
from tests.conftest import brain_like, cut, montage_of, wait_until

pytestmark = pytest.mark.lsl

SFREQ_HZ = 2048.0
DEADLINE_S = 20.0


@pytest.fixture
def source_id():
    return uuid.uuid4().hex


@pytest.fixture
def listen(source_id):
    """Inlet of the stream under test, without any processing of stamps."""
    inlets = []

    def connect(**kwargs):
        (info,) = pylsl.resolve_byprop("source_id", source_id, 1, DEADLINE_S)
        inlet = pylsl.StreamInlet(info, recover=False, **kwargs)
        inlet.open_stream(DEADLINE_S)
        inlets.append(inlet)
        return inlet

    yield connect
    inlets.clear()


def receive(inlet, n_samples):
    values, stamps, end = [], [], time.monotonic() + DEADLINE_S
    while len(stamps) < n_samples:
        assert time.monotonic() < end, f"{len(stamps)} of {n_samples} samples"
        more_values, more_stamps = inlet.pull_chunk(timeout=0.2, max_samples=4096, min_samples=1)
        values += more_values
        stamps += more_stamps
    return values, np.array(stamps)


def signal_outlet(source_id, n_channels=3):
    montage = montage_of(n_channels, SFREQ_HZ)
    return SignalOutlet("sig", montage, source_id=source_id, origin="synthetic")


def test_every_sample_keeps_its_own_stamp_and_value(source_id, listen):
    outlet = signal_outlet(source_id)
    inlet = listen()
    assert outlet.wait_for_listeners(DEADLINE_S)
    assert outlet.has_listeners
    data = brain_like(3, 1000, SFREQ_HZ)
    start = pylsl.local_clock()
    chunks = cut(data, [1, 0, 17, 400], SFREQ_HZ, start)
    jittered = start + np.sort(np.random.default_rng(0).uniform(0, 0.5, 1000))
    before = data.copy()
    for chunk in chunks:
        first = chunk.first_sample
        outlet.push(Chunk(chunk.data, jittered[first : first + chunk.n_samples], first))
    values, stamps = receive(inlet, 1000)
    np.testing.assert_array_equal(stamps, jittered)
    np.testing.assert_array_equal(np.array(values, np.float32).T, data)
    np.testing.assert_array_equal(data, before)


def test_a_signal_header_says_labels_kinds_places_and_nothing_private(source_id, listen):
    positions = np.array([[1, 2, 3.5], [np.nan] * 3], np.float32)
    montage = Montage(("A'1", "<B&2>"), ("seeg", "ecog"), SFREQ_HZ, positions, "LIP voxels")
    outlet = SignalOutlet("sig", montage, source_id=source_id, origin="replay")
    info = listen().info(DEADLINE_S)
    assert (info.name(), info.type(), info.nominal_srate()) == ("sig", "EEG", SFREQ_HZ)
    assert info.channel_format() == pylsl.cf_float32
    assert info.get_channel_labels() == ["A'1", "<B&2>"]
    assert info.get_channel_types() == ["SEEG", "ECOG"]
    assert info.get_channel_units() == ["microvolts"] * 2
    first = info.desc().child("channels").child("channel")
    assert [float(first.child("location").child_value(axis)) for axis in "XYZ"] == [1, 2, 3.5]
    assert first.next_sibling().child("location").empty()
    assert info.desc().child("montage").child_value("space") == "LIP voxels"
    ours = info.desc().child("rtbrain")
    assert ours.child_value("origin") == "replay"
    assert ours.child_value("version")
    written, node = [], info.desc().first_child()
    while not node.empty():
        written.append(node.name())
        node = node.next_sibling()
    assert written == ["channels", "montage", "rtbrain"]
    outlet.close()


def test_nobody_has_to_listen_and_memory_and_time_stay_bounded(source_id):
    outlet = signal_outlet(source_id, 64)
    assert not outlet.has_listeners
    assert not outlet.wait_for_listeners(0.0)
    chunk = Chunk(brain_like(64, 2048, SFREQ_HZ), pylsl.local_clock() + np.arange(2048) / SFREQ_HZ)
    assert _grown_mib(outlet, chunk, 60) < 30  # 60 s are 30 MiB, if they were kept


FROZEN_LISTENER = """
    import os, signal, sys, pylsl
    (info,) = pylsl.resolve_byprop("source_id", sys.argv[1], 1, 20)
    inlet = pylsl.StreamInlet(info, max_buflen=360)
    inlet.open_stream(20)
    print("open", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_listener_that_stopped_reading_costs_bounded_memory_and_no_time(source_id):
    outlet = signal_outlet(source_id, 64)
    listener = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FROZEN_LISTENER), source_id],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert listener.stdout.readline() == "open\n"
        assert outlet.wait_for_listeners(DEADLINE_S)
        data = brain_like(64, 2048, SFREQ_HZ)
        chunk = Chunk(data, pylsl.local_clock() + np.arange(2048) / SFREQ_HZ)
        _grown_mib(outlet, chunk, 20)  # fills the queue
        assert outlet.has_listeners
        assert _grown_mib(outlet, chunk, 120) < 20  # 120 s are 60 MiB, if they were kept
        handle = outlet._stream.outlet
        started = time.monotonic()
        outlet.close()
        assert time.monotonic() - started < DEADLINE_S / 2
        assert not handle.have_consumers()
    finally:
        listener.kill()
        listener.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can keep listeners out")
def test_an_outlet_that_ends_hangs_up_and_lets_nobody_in(source_id):
    outlet = signal_outlet(source_id, 4)
    handle = outlet._stream.outlet
    inlet = pylsl.StreamInlet(pylsl.resolve_byprop("source_id", source_id, 1, 20)[0])
    inlet.open_stream(20)
    assert outlet.wait_for_listeners(DEADLINE_S)
    port = int(re.search(r"<v4data_port>(\d+)<", handle.get_info().as_xml())[1])
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as early:
        outlet.close()  # its handle is held here: it listens on
        assert not early.recv(1)
        assert not handle.have_consumers()
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection(("127.0.0.1", port), 0.3)
    inlet.close_stream()


def _grown_mib(outlet, chunk, n_pushes):
    before = _resident_mib()
    for _ in range(n_pushes):
        outlet.push(chunk)
    return _resident_mib() - before


def _resident_mib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20


def test_decodes_leave_with_their_worth_stamped_with_the_end_of_the_window(source_id, listen):
    montage = montage_of(4, SFREQ_HZ)
    outlet = DecodeOutlet(
        "bed",
        ("rest", "speech"),
        hop_s=0.25,
        montage=montage,
        bundle_id="bundle-7",
        source_id=source_id,
    )
    assert not outlet.has_listeners
    inlet = listen()
    info = inlet.info(DEADLINE_S)
    assert (info.name(), info.type(), info.nominal_srate()) == ("bed-decode", "Decode", 4.0)
    assert info.channel_format() == pylsl.cf_float32
    assert info.get_channel_labels() == [
        "rest",
        "speech",
        "valid",
        "coverage",
        "age_s",
        "compute_s",
        "drift",
    ]
    assert info.get_channel_units() == [
        "probability",
        "probability",
        "bool",
        "fraction",
        "seconds",
        "seconds",
        "ratio",
    ]
    assert info.desc().child("rtbrain").child_value("bundle_id") == "bundle-7"
    described = info.desc().child("montage")
    assert described.child_value("space") == "LIP voxels"
    contact = described.child("contacts").child("contact")
    assert contact.child_value("label") == "A1"
    assert float(contact.child("location").child_value("Z")) == montage.positions[0, 2]
    good = Quality(np.array([True, True, True, False]))
    bad = Quality(np.zeros(4, bool), valid=False, reason="gap")
    outlet.push(Decode(np.array([0.25, 0.75], np.float32), 997.5, 1000.0, good, 1000.25, 1000.5))
    outlet.push(Decode(np.full(2, np.nan, np.float32), 997.75, 1000.25, bad))
    values, stamps = receive(inlet, 2)
    np.testing.assert_array_equal(stamps, [1000.0, 1000.25])
    np.testing.assert_array_equal(values[0], [0.25, 0.75, 1, 0.75, 3.0, 0.25, np.nan])
    np.testing.assert_array_equal(values[1], [np.nan, np.nan, 0, 0, np.nan, np.nan, np.nan])


def test_status_is_strict_json_a_line_stamped_now(source_id, listen):
    outlet = StatusOutlet("bed", source_id=source_id)
    inlet = listen()
    info = inlet.info(DEADLINE_S)
    assert (info.name(), info.type(), info.nominal_srate()) == ("bed-status", "Status", 0.0)
    before = pylsl.local_clock()
    outlet.emit("gap", lost=np.int64(512), late_s=float("nan"), channels=("A1", "Ω\n2"))
    outlet.push({"event": "late", "of": {"p99_s": np.float32(0.5)}, "all": np.arange(2)})
    values, stamps = receive(inlet, 2)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = [json.loads(line, parse_constant=refuse) for (line,) in values]
    assert lines[0] == {"event": "gap", "lost": 512, "late_s": None, "channels": ["A1", "Ω\n2"]}
    assert lines[1] == {"event": "late", "of": {"p99_s": 0.5}, "all": [0, 1]}
    assert all("\n" not in line for (line,) in values)
    assert before <= stamps[0] <= stamps[1] <= pylsl.local_clock()


def test_a_burst_of_markers_before_anybody_reads_is_whole(source_id, listen):
    outlet = MarkerOutlet("task", source_id=source_id)
    assert not outlet.wait_for_listeners(0.0)
    inlet = listen()
    assert outlet.wait_for_listeners(DEADLINE_S)
    for number in range(5000):
        outlet.push(str(number), 100.0 + number)
    values, stamps = receive(inlet, 5000)
    assert [text for (text,) in values] == [str(number) for number in range(5000)]
    np.testing.assert_array_equal(stamps, 100.0 + np.arange(5000))


def test_an_event_is_a_marker_of_the_moment_that_it_describes(source_id, listen):
    outlet = DetectionOutlet("bed", source_id=source_id, bundle_id="b")
    inlet = listen()
    info = inlet.info(DEADLINE_S)
    assert (info.name(), info.type()) == ("bed-events", "Markers")
    assert info.desc().child("rtbrain").child_value("bundle_id") == "b"
    wait_until(lambda: outlet._stream.has_listeners)
    sent = Detection("speech", 0.5, 9.75, 10.0, 10.25, 1.0, math.nan)
    outlet.push(replace(sent, t_neural=5.0, suppressed="within 1 s after the last one"))
    outlet.push(sent)
    outlet.push(replace(sent, t_ready=math.nan, calibrated=True))
    values, stamps = receive(inlet, 2)
    assert [json.loads(text) for (text,) in values] == [
        {"label": "speech", "value": 0.5, "t_ready": 10.25, "calibrated": False, "n": 1},
        {"label": "speech", "value": 0.5, "t_ready": None, "calibrated": True, "n": 2},
    ]
    np.testing.assert_array_equal(stamps, 9.75)


def test_what_was_pushed_just_before_the_close_still_arrives(source_id, listen):
    outlet = StatusOutlet("bed", source_id=source_id)
    inlet = listen()
    wait_until(lambda: outlet._stream.has_listeners)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(inlet.pull_sample, DEADLINE_S)
        outlet.emit("stopped")
        outlet.close()
        values, _ = waiting.result(DEADLINE_S)
    assert json.loads(values[0]) == {"event": "stopped"}


def test_a_closed_outlet_refuses_and_closes_twice(source_id):
    montage = montage_of(1, SFREQ_HZ)
    signal = signal_outlet(source_id, 1)
    markers = MarkerOutlet("m", source_id=source_id)
    decodes = DecodeOutlet(
        "d", ("x",), hop_s=0.5, montage=montage, bundle_id="b", source_id=source_id
    )
    decode = Decode(np.zeros(1, np.float32), 0.0, 0.0, Quality(np.ones(1, bool)))
    chunk = Chunk(np.zeros((1, 1), np.float32), np.zeros(1))
    for outlet, push in (
        (signal, lambda: signal.push(chunk)),
        (markers, lambda: markers.push("x", 1.0)),
        (decodes, lambda: decodes.push(decode)),
    ):
        outlet.close()
        outlet.close()
        with pytest.raises(StreamError, match="is closed: make a new one"):
            push()
    assert not signal.has_listeners
    assert not decodes.has_listeners


def test_what_does_not_fit_the_outlet_is_refused(source_id):
    signal = signal_outlet(source_id, 3)
    with pytest.raises(MontageError, match="'sig' has 3 channels, the chunk has 2"):
        signal.push(Chunk(np.zeros((2, 5), np.float32), np.zeros(5)))
    decodes = DecodeOutlet(
        "d", ("x",), hop_s=0.5, montage=montage_of(1, 9.0), bundle_id="b", source_id=source_id
    )
    decode = Decode(np.zeros(2, np.float32), 0.0, 0.0, Quality(np.ones(1, bool)))
    with pytest.raises(StreamError, match="'d-decode' has 1 outputs, the decode has 2"):
        decodes.push(decode)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": ("valid",)}, MontageError, "labels repeat: valid"),
        ({"hop_s": 0.0}, SettingsError, "hop_s: expected a finite time above 0 s, got 0.0"),
        ({"hop_s": float("nan")}, SettingsError, "hop_s: expected"),
        ({"bundle_id": "/home/someone/bundle"}, SettingsError, "bundle_id .* looks like a path"),
        ({"source_id": " "}, SettingsError, "expected a source_id"),
        ({"name": "C:\\patients\\x"}, SettingsError, "looks like a path"),
    ],
)
def test_a_decode_stream_that_cannot_be_published_is_refused(change, error, message):
    asked = {
        "name": "d",
        "labels": ("x",),
        "hop_s": 0.5,
        "montage": montage_of(1, 9.0),
        "bundle_id": "b",
        "source_id": "s",
    }
    asked |= change
    with pytest.raises(error, match=message):
        DecodeOutlet(asked.pop("name"), asked.pop("labels"), **asked)
