"""Commands to a running decoder: over a socket of this user alone, and by keys."""

import contextlib
import json
import os
import pty
import socket
import stat
import sys
import termios
import threading
import time
from types import SimpleNamespace

import numpy as np
import platformdirs
import pytest

from rtbrain.config import DetectSettings
from rtbrain.detect import Detector
from rtbrain.errors import OutputError, StreamError
from rtbrain.live import control
from rtbrain.live.control import control_channel, describe_status, keys, send_command
from rtbrain.live.detections import DetectionSink, no_detections
from rtbrain.types import Decode, Detection
from tests.conftest import wait_until
from tests.outlet.test_triggers import VALID, Bench, Fake

NAME = "ward A/β"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_runtime_path", lambda *_, **__: tmp_path / "run")
    return tmp_path / "run"


class Session:
    def __init__(self):
        self.state, self.ended = "live", threading.Event()
        self.bench = Bench(Fake(), valid=False)
        self.triggers = self.bench.gate
        self.detections = no_detections(lambda *_, **__: None)

    def end(self):
        self.ended.set()


@pytest.fixture
def session():
    session, events = Session(), []
    with control_channel(NAME, session, lambda event, **fields: events.append((event, fields))):
        yield session
    session.triggers.close()
    assert not events


def test_a_program_that_is_not_there_yet_is_waited_for():
    with pytest.raises(StreamError, match="is running"):
        send_command(NAME, "status")
    answers = []
    asks = threading.Thread(
        target=lambda: answers.append(send_command(NAME, "status", wait_s=60)["state"])
    )
    asks.start()
    session = Session()
    with control_channel(NAME, session, lambda event, **fields: None):
        asks.join()
    session.triggers.close()
    assert answers == ["live"]


def test_another_program_arms_disarms_asks_and_stops(session):
    with pytest.raises(OutputError, match="no valid decode"):
        send_command(NAME, "arm")
    session.triggers.observe(VALID)
    assert send_command(NAME, "status") == {
        "state": "live",
        "detections": {"sending": False, "sent": 0, "thresholds": {}},
        "armed": False,
        "reason": "not armed yet",
        "outputs": ["fake"],
        "sent": 0,
        "suppressed": 0,
    }
    assert send_command(NAME, "arm")["armed"]
    assert session.bench.events[-1][1]["by"] == "another program"
    assert send_command(NAME, "disarm")["reason"] == "by another program"
    send_command(NAME, "arm")
    assert not send_command(NAME, "stop")["armed"]
    assert session.ended.is_set()


def test_an_output_whose_name_is_a_number_can_be_given_a_threshold():
    labels = ("1", "0.3", "a b")
    settings = {label: DetectSettings(up=0.7, down=0.5) for label in labels}
    sink = DetectionSink(Detector(settings, labels, 0.1), None, lambda *_, **__: None)

    def moved(words, label):
        sink.move(words.split(), "")
        one = sink.status()["thresholds"][label]
        return one["up"], one["down"]

    assert moved("0.8 0.6 1", "1") == (0.8, 0.6)
    assert moved("0.7 1", "1") == (0.7, pytest.approx(0.467, abs=1e-3))
    assert moved("0.5 0.3", "0.3") == (0.5, pytest.approx(0.3, abs=1e-4))
    assert moved("0.8 0.3 0.3", "0.3") == (0.8, 0.3)
    assert moved("0.9 0.2 a b", "a b") == (0.9, 0.2)


def test_detections_are_switched_on_and_a_threshold_moves_with_its_lower_one(session):
    events, marks, lines = [], [], []
    presets = {"speech": {"few_alarms": DetectSettings(up=0.9, down=0.8, hold_s=0.2)}}
    labels, settings = ("rest", "speech"), {"speech": DetectSettings(up=0.7, down=0.5)}
    session.detections = DetectionSink(
        Detector(settings, labels, 0.1, presets=presets),
        SimpleNamespace(push=events.append, close=lambda: None),
        lambda event, **about: events.append((event, about)),
        SimpleNamespace(observe=lambda _: None, push=lambda _: None, note=lines.append),
        SimpleNamespace(push=lambda text, at_s: marks.append(text)),
        sending=False,
    )

    def found(value, t_s):
        session.detections.push(Decode(np.array([1 - value, value], np.float32), t_s, t_s, VALID))
        return [one.value for one in events if isinstance(one, Detection)]

    assert not found(0.72, 0.0)
    assert session.detections.n_sent == 0
    assert send_command(NAME, "detections on")["detections"]["sending"]
    send_command(NAME, "threshold 0.75")
    found(0.1, 0.1)
    assert not found(0.72, 0.2)
    assert found(0.8, 5.0) == pytest.approx([0.8])
    now = send_command(NAME, "status")["detections"]["thresholds"]["speech"]
    # As far below, in logits: ln(0.7 / 0.3) = ln(0.75 / 0.25) - ln(d / (1 - d)).
    assert now["down"] == pytest.approx(1 / (1 + np.exp(-(np.log(3) - np.log(7 / 3)))), abs=1e-4)
    assert not now["calibrated"]
    send_command(NAME, "threshold 0.8 0.6 speech")
    assert send_command(NAME, "threshold few_alarms")["detections"]["thresholds"] == {
        "speech": presets["speech"]["few_alarms"].model_dump() | {"calibrated": True}
    }
    assert marks == ["threshold 0.7 0.75", "threshold 0.75 0.8", "threshold 0.8 0.9"]
    reported = [one[1] for one in events if isinstance(one, tuple) and one[0] == "threshold"]
    assert [one["threshold"] for one in lines] == reported
    assert (reported[1]["was"], reported[1]["up"], reported[1]["down"]) == (0.75, 0.8, 0.6)
    assert not send_command(NAME, "detections off")["detections"]["sending"]
    for words, why in (
        ("0.8 0.9", "expected down at or below up, got down 0.9, up 0.8"),
        ("1.5", "expected thresholds above 0 and at most 1"),
        ("nan", "a preset of this decoder: few_alarms"),
        ("", r"expected UP \[DOWN\] \[LABEL\] or PRESET"),
        ("0.5 music", "of which output: expected one of speech"),
    ):
        with pytest.raises(OutputError, match=why):
            send_command(NAME, f"threshold {words}")
    assert len(marks) == 3
    assert "detections thresholds speech up: 0.9" in describe_status(send_command(NAME, "status"))


def test_nobody_else_can_reach_the_channel_and_it_goes_with_the_session(folder, session):
    (place,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(place.stat().st_mode)
    with contextlib.ExitStack() as other:
        other.enter_context(control_channel("other", session, lambda *_, **__: None))
        assert len(list(folder.iterdir())) == 2
    assert list(folder.iterdir()) == [place]


def test_text_that_is_no_command_is_answered_and_a_caller_that_hangs_holds_nobody_up(
    folder, session
):
    (place,) = folder.iterdir()
    links = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for link in links:
        link.connect(str(place))
    links[1].sendall(b"\xff\x1b[2Jarm\n")
    assert "expected one of arm, disarm, stop, status" in json.loads(links[1].recv(1024))["error"]
    links[2].sendall(b"status")
    links[2].close()
    assert send_command(NAME, "status")["state"] == "live"
    for link in links:
        link.close()


def test_a_decoder_that_is_absent_or_was_killed_is_named(folder, session):
    with pytest.raises(StreamError, match="no decoder 'none' that you started"):
        send_command("none", "status")
    with pytest.raises(OutputError, match=r"expected one of arm.*, got 'fire'"):
        send_command(NAME, "fire")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(control._place("killed")))
    with pytest.raises(StreamError, match="no decoder 'killed'"):
        send_command("killed", "status")
    with control_channel("killed", session, lambda *_, **__: None):
        assert send_command("killed", "status")["state"] == "live"


def test_a_second_decoder_of_a_name_takes_no_commands_and_reports_why(session):
    events = []
    with control_channel(NAME, Session(), lambda event, **fields: events.append((event, fields))):
        assert events == [
            ("control_failed", {"reason": "another decoder of this name takes commands"})
        ]
    assert send_command(NAME, "status")["state"] == "live"


def test_a_folder_that_others_can_write_to_is_not_used(folder):
    folder.mkdir(mode=0o755)
    events = []
    with control_channel("open", Session(), lambda event, **fields: events.append(fields)):
        assert "is not yours alone" in events[0]["reason"]
    assert not list(folder.iterdir())


def test_without_such_sockets_a_word_in_a_file_of_the_user_lets_one_in(folder, monkeypatch):
    monkeypatch.setattr(control, "_UNIX", False)
    session = Session()
    with control_channel(NAME, session, lambda *_, **__: None):
        assert send_command(NAME, "status")["state"] == "live"
        (place,) = folder.iterdir()
        port, token = place.read_text().split()
        with socket.create_connection(("127.0.0.1", int(port))) as link:
            link.sendall(b"wrong\nstop\n")
            with contextlib.suppress(ConnectionResetError):
                assert link.recv(100) == b""
        assert not session.ended.is_set()
        assert len(token) == 32
    assert not list(folder.iterdir())


@pytest.fixture
def terminal(monkeypatch):
    """Master of a terminal that is this process's input."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r", buffering=1, closefd=False) as ours:
        monkeypatch.setattr(sys, "stdin", ours)
        yield master
    os.close(master)
    os.close(slave)


def press_until(terminal, key, done):
    """Press a key until it counts: right after Esc, A does not."""
    wait_until(lambda: done() or (os.write(terminal, key) and False))


def test_only_an_a_by_itself_arms_and_none_that_comes_with_or_after_escape(monkeypatch):
    pieces = ["arm", "aa", "[A", "\x1b", "a", "\x1b[", "A", "b"]
    armed, disarmed, over = [], [], threading.Event()

    def pressed():
        if not pieces:
            over.wait(0.01)
            over.set()
            return ""
        return pieces.pop(0)

    triggers = SimpleNamespace(arm_soon=armed.append, disarm=disarmed.append)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(control, "_unbuffered", contextlib.nullcontext)
    monkeypatch.setattr(control, "_pressed", pressed)
    monkeypatch.setattr(control, "_AFTER_ESCAPE_S", 60.0)
    with keys(lambda: triggers):
        assert over.wait(10.0)
    assert (armed, len(disarmed)) == ([], 2)
    pieces.append("A")
    over.clear()
    with keys(lambda: triggers):
        assert over.wait(10.0)
    assert armed == ["key"]


def test_a_key_arms_and_esc_disarms_within_a_tenth_of_a_second(terminal):
    session = Session()
    session.triggers.observe(VALID)
    before = termios.tcgetattr(sys.stdin)
    with keys(lambda: session.triggers):
        for key in (b"\x1b", b"\x1b[A", b"x\x1b"):
            press_until(terminal, b"a", lambda: session.triggers.armed)
            began = time.monotonic()
            os.write(terminal, key)
            wait_until(lambda: not session.triggers.armed)
            assert time.monotonic() - began < 0.1
        assert session.triggers.reason == "by key"
    assert termios.tcgetattr(sys.stdin) == before
    session.triggers.close()


def test_a_terminal_that_goes_away_ends_the_keys_and_nothing_else(monkeypatch):
    master, slave = pty.openpty()
    before = threading.active_count()
    with os.fdopen(slave, "r", closefd=False) as ours:
        monkeypatch.setattr(sys, "stdin", ours)
        with keys(lambda: pytest.fail("no key")):
            os.close(master)
            wait_until(lambda: threading.active_count() == before)
    os.close(slave)


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with keys(lambda: pytest.fail("no key was pressed")):
        pass
