"""A live session whose detections act on the world: armed, logged, recorded, exported."""

import contextlib
import csv
import json
import os
import socket
import sys
import threading
import uuid
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pylsl
import pytest
import pyxdf

import rtbrain
from rtbrain.check.trigger_device import TriggerDevice
from rtbrain.config import DecodeSettings, parse_settings
from rtbrain.decoder import read_bundle
from rtbrain.errors import OutputError, RtbrainError, SettingsError, StreamError
from rtbrain.live.control import send_command
from rtbrain.live.detections import (
    Gate,
    open_detections,
    session_detector,
    session_triggers,
    trigger_log_path,
)
from rtbrain.live.run import live_line
from rtbrain.live.session import LiveSession
from rtbrain.live.supervision.turn import Turn
from rtbrain.recording.export.run import BidsLabels, export_recording
from rtbrain.recording.trigger_log import TRIGGER_COLUMNS
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Decode
from tests.apps.program import rtbrain as program
from tests.conftest import wait_until
from tests.live.test_control import press_until
from tests.outlet.test_triggers import INVALID, VALID

pytestmark = pytest.mark.lsl


# The random readout crosses one half all the time.
DETECT = ("detect.speech.up=0.5", "detect.speech.refractory_s=0.05")


class Receiver:
    """Numbers of the triggers that come as datagrams of JSON."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.to = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def numbers(self):
        found = []
        while True:
            try:
                found.append(json.loads(self.socket.recv(4096))["number"])
            except BlockingIOError:
                return found


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.socket.close()


def test_what_is_detected_reaches_each_output_once_while_armed_and_all_is_logged(
    bundle, name, receiver, tmp_path
):
    out = tmp_path / "run.xdf"
    with TriggerDevice() as device:
        overrides = (
            *DETECT,
            f"outputs.udp.to={receiver.to}",
            f"outputs.serial.port={device.port}",
            "outputs.serial.codes.speech=7",
            "outputs.serial.pulse_s=0.001",
        )
        with rtbrain.run(bundle, name, name=name, overrides=overrides, record=out) as session:
            wait_until(lambda: session.triggers.n_suppressed >= 3)
            assert not receiver.numbers()
            assert not device.armed
            wait_until(lambda: out.exists() and b"-triggers<" in out.read_bytes())
            session.arm()
            assert "ARMED: " in live_line(session).plain
            wait_until(lambda: session.triggers.n_sent >= 8)
            moved = program("control", name, "threshold", 0.501)
            assert "detections thresholds speech up: 0.501" in moved.stdout, moved.stderr
            status = send_command(name, "disarm")
            assert not status["armed"]
            wait_until(lambda: not device.armed)
            n_sent, before = session.triggers.n_sent, session.triggers.n_suppressed
            wait_until(lambda: session.triggers.n_suppressed >= before + 2)
            assert session.triggers.n_sent == n_sent
            recorded = (tmp_path / "run.json").read_text()
            assert "disarmed: " in live_line(session).plain
        assert device.code == 0
        fired = device.fired
    about, *lines = map(json.loads, out.with_suffix(".jsonl").read_text().splitlines())
    assert about["session"]["bundle"] == read_bundle(bundle).id
    ((number, moved),) = [one for one in enumerate(lines) if "threshold" in one[1]]
    assert (moved["threshold"]["was"], moved["threshold"]["up"]) == (0.5, 0.501)
    del lines[number]
    sent = {
        kind: [one["number"] for one in lines if one["sent"] and one["output"].startswith(kind)]
        for kind in ("udp", "serial")
    }
    assert receiver.numbers() == sent["udp"] == sorted(set(sent["udp"]))
    assert fired == sent["serial"] == sorted(set(sent["serial"]))
    *answers, last = (one["acknowledged"] for one in lines if one["output"].startswith("serial"))
    assert all(answers)
    assert last is not False  # None where disarming came before its answer
    assert all(0 < one["latency_s"] < 5 for one in lines if one["sent"])
    assert {one["suppressed"] for one in lines} >= {"", "disarmed: not armed yet"}
    assert "run.jsonl" not in recorded

    recording = rtbrain.read(out, stream=name)
    of_file = [dict(one.about)["trigger_number"] for one in recording.triggers]
    lines = lines[-len(of_file) :]  # the recorder began later
    assert of_file == [str(one["number"] or "n/a") for one in lines]
    # Nothing that a decoder did is a label; that its threshold was moved is in the recording.
    assert [one.text for one in recording.events] == ["threshold 0.5 0.501"]
    root = tmp_path / "dataset"
    export_recording(recording, root, "bids", labels=BidsLabels(), mains_hz=60.0)
    recording.close()
    (table,) = root.rglob("*_events.tsv")
    rows = list(csv.DictReader(table.read_text().splitlines(), delimiter="\t"))
    assert {*rows[0]} == {"onset", "duration", "trial_type", *TRIGGER_COLUMNS}
    assert [row["trial_type"] for row in rows].count("threshold 0.5 0.501") == 1
    rows = [row for row in rows if row["trial_type"] == "trigger"]
    about = json.loads(table.with_suffix(".json").read_text())
    assert about.keys() == TRIGGER_COLUMNS.keys()
    assert [row["trigger_status"] for row in rows].count("sent") == n_sent
    assert {row["brain_state"] for row in rows} == {"speech"}
    streams = {one["info"]["name"][0]: one for one in pyxdf.load_xdf(out)[0]}
    assert streams[f"{name}-marks"]["time_series"] == [["threshold 0.5 0.501"]]
    status = [json.loads(line) for (line,) in streams[f"{name}-status"]["time_series"]]
    assert [one["up"] for one in status if one["event"] == "threshold"] == [0.501]
    origin_s = streams[name]["time_stamps"][0]
    at_s = [(one["t_sent"] if one["sent"] else one["t_ready"]) - origin_s for one in lines]
    onsets = sorted(one for one in at_s if one >= 0)  # the signal's first sample came after one
    found = sorted(float(row["onset"]) for row in rows)
    np.testing.assert_allclose(found, onsets, atol=0.01)


def test_detections_leave_once_they_are_switched_on_and_nothing_after_a_stop(bundle, name):
    overrides = (*DETECT, "outlet.detections=false")
    with rtbrain.run(bundle, name, name=name, overrides=overrides) as session:
        (info,) = pylsl.resolve_byprop("name", f"{name}-events", 1, 20)
        inlet = pylsl.StreamInlet(info, recover=False)
        inlet.open_stream(20.0)
        wait_until(lambda: session.triggers.n_suppressed >= 2)  # so many were detected
        assert inlet.pull_sample(timeout=0.0) == (None, None)
        assert not send_command(name, "status")["detections"]["sent"]
        send_command(name, "detections on")
        assert json.loads(inlet.pull_sample(timeout=20.0)[0][0])["label"] == "speech"
        send_command(name, "stop")
        stopped_s = lsl_clock()
        later = []
        with contextlib.suppress(pylsl.util.LostError):  # at the end of the session
            while (found := inlet.pull_sample(timeout=20.0)[0]) is not None:
                later.append(json.loads(found[0]))
        assert all(one["t_ready"] <= stopped_s for one in later)
        assert session.detections.n_sent == 1 + len(later)
        wait_until(lambda: session.state == "stopped")
        inlet.close_stream()
    sent = []
    gate = Gate(SimpleNamespace(push=sent.append, close=lambda: None), lambda: len(sent) == 2)
    for number in range(4):
        gate.push(number)
    assert sent == [0, 1]


def test_the_log_has_the_name_of_the_recording_also_of_one_that_goes_on_in_another_file(
    bundle, name, tmp_path
):
    values = {"stream": {"name": name}, "outlet": {"name": name}}
    values["detect"] = {"speech": {"up": 0.5, "refractory_s": 0.05}}
    settings = parse_settings(values, DecodeSettings, where="test")
    turn = Turn(supervised=True)
    logs = [tmp_path / f"{stem}.jsonl" for stem in ("run-2", "run-3")]
    opened = read_bundle(bundle)
    with LiveSession(settings, opened, record=tmp_path / "run-2.xdf", turn=turn) as session:
        wait_until(lambda: session.triggers.n_suppressed >= 3)
        assert not logs[1].exists()
        turn.words.put(b'{"event": "record_started", "file": "run-3.xdf"}\n')
        wait_until(lambda: logs[1].exists() and len(logs[1].read_text().splitlines()) > 3)
    heads = [log.read_text().splitlines()[0] for log in logs]
    assert heads[0] == heads[1]
    assert sum(len(log.read_text().splitlines()) - 1 for log in logs) == (
        session.triggers.n_suppressed
    )
    elsewhere = settings.model_copy(
        update={"outputs": settings.outputs.model_copy(update={"log": tmp_path / "log"})}
    )
    assert trigger_log_path(elsewhere, tmp_path / "run.xdf") == tmp_path / "log"


def test_keys_of_the_terminal_arm_and_disarm_what_was_armed_at_the_start(
    bundle, name, receiver, monkeypatch
):
    master, slave = os.openpty()
    seen = []

    def armed():
        try:
            return send_command(name, "status")["armed"]
        except StreamError:
            return False

    def person():
        wait_until(armed)
        for key, becomes in ((b"\x1b", False), (b"a", True), (b"\x1b", False)):
            press_until(master, key, lambda becomes=becomes: armed() is becomes)
            seen.append(send_command(name, "status")["reason"])
        send_command(name, "stop")

    with os.fdopen(slave, "r", closefd=False) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        thread = threading.Thread(target=person)
        thread.start()
        settings = [f"--set={pair}" for pair in (*DETECT, f"outputs.udp.to={receiver.to}")]
        of = ("--bundle", bundle, "--stream", name, "--name", name)
        done = program("decode", *of, "--arm", *settings)
        thread.join()
    os.close(master)
    os.close(slave)
    assert done.returncode == 0, done.stderr
    assert seen == ["by key", "", "by key"]
    assert "A arms the outputs, Esc disarms them at once" in done.stderr
    said = [line.split(":")[0] for line in done.stderr.splitlines()]
    order = ["ARMED by --arm", "DISARMED", "ARMED by key", "DISARMED"]
    assert [word for word in said if word in order] == order


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((*DETECT, "outputs.serial.port=/dev/ttyNONE"), "'/dev/ttyNONE' cannot be opened"),
        ((*DETECT, "outputs.udp.to=255.255.255.255:9"), "cannot be sent to"),
        (("outputs.udp.to=127.0.0.1:9",), "this decoder detects nothing"),
        (
            (*DETECT, "outputs.serial.port=x", "outputs.serial.codes.sleep=1"),
            "codes: 'sleep': expected labels of the decoder, which are 'rest', 'speech'",
        ),
        ((*DETECT, "outputs.log=/absent/log.jsonl"), "outputs.log .* cannot be made"),
    ],
)
def test_what_cannot_be_opened_ends_a_session_before_it_begins(bundle, overrides, message):
    name = uuid.uuid4().hex
    session = rtbrain.run(bundle, "absent", name=name, overrides=overrides)
    with pytest.raises(RtbrainError, match=message):
        session.wait(30.0)
    assert not session.triggers.armed


def test_without_detections_there_is_nothing_to_arm(bundle):
    opened = read_bundle(bundle)
    settings = parse_settings({"stream": {"name": "x"}}, DecodeSettings, where="test")
    detector = session_detector(settings, opened)
    with (
        session_triggers(detector, settings, opened, None, print, arm=False) as triggers,
        pytest.raises(OutputError, match="no output is set"),
    ):
        triggers.arm("a test")
    with (
        pytest.raises(SettingsError, match="--arm: there is nothing to arm"),
        session_triggers(detector, settings, opened, None, print, arm=True),
    ):
        pass


def test_of_a_decoder_at_events_the_silence_between_them_is_no_invalid_time(bundle, receiver):
    opened = read_bundle(bundle)
    window = opened.recipe.window.model_copy(update={"hop_s": None})
    opened = replace(opened, recipe=opened.recipe.model_copy(update={"window": window}))
    values = {
        "stream": {"name": "x"},
        "outlet": {"name": uuid.uuid4().hex},
        "detect": {"speech": {"up": 0.5}},
        "outputs": {"udp": {"to": receiver.to}, "disarm_after_s": 0.2},
    }
    settings = parse_settings(values, DecodeSettings, where="test")
    detector, ignore = session_detector(settings, opened), lambda *_, **__: None
    with session_triggers(detector, settings, opened, None, ignore, arm=False) as triggers:
        triggers.observe(VALID)
        triggers.arm("a test")
        triggers.observe(INVALID)
        end_s = lsl_clock() + 0.4
        wait_until(lambda: lsl_clock() > end_s)
        assert triggers.armed


def test_what_is_to_be_armed_at_the_start_is_armed_at_the_first_valid_decode(bundle, receiver):
    opened = read_bundle(bundle)
    values = {
        "stream": {"name": "x"},
        "outlet": {"name": uuid.uuid4().hex},
        "detect": {"speech": {"up": 0.5}},
        "outputs": {"udp": {"to": receiver.to}},
    }
    settings = parse_settings(values, DecodeSettings, where="test")
    detector = session_detector(settings, opened)
    events = []
    report = lambda event, **_: events.append(event)  # noqa: E731
    with session_triggers(detector, settings, opened, None, report, arm=True) as triggers:
        sink = open_detections(detector, settings, opened, report, triggers)
        low, high = np.float32([0.9, 0.1]), np.float32([0.1, 0.9])
        sink.push(Decode(high, 0.0, 0.2, INVALID))
        assert not triggers.armed
        sink.push(Decode(low, 1.0, 1.2, VALID))
        wait_until(lambda: triggers.armed)
        sink.push(Decode(high, 2.0, 2.2, VALID))
        wait_until(lambda: triggers.n_sent)
        sink.close()
    assert receiver.numbers() == [1]
    assert events == ["outputs", "detecting", "armed", "detected", "disarmed"]
