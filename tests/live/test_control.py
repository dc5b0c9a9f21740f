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

import platformdirs
import pytest

from rtbrain.errors import OutputError, SettingsError, StreamError
from rtbrain.live import control
from rtbrain.live.control import command_decoder, control_channel, keys
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

    def end(self):
        self.ended.set()


@pytest.fixture
def session():
    session, events = Session(), []
    with control_channel(NAME, session, lambda event, **fields: events.append((event, fields))):
        yield session
    session.triggers.close()
    assert not events


def test_another_program_arms_disarms_asks_and_stops(session):
    with pytest.raises(OutputError, match="no valid decode"):
        command_decoder(NAME, "arm")
    session.triggers.observe(VALID)
    assert command_decoder(NAME, "status") == {
        "state": "live",
        "armed": False,
        "reason": "not armed yet",
        "outputs": ["fake"],
        "sent": 0,
        "suppressed": 0,
    }
    assert command_decoder(NAME, "arm")["armed"]
    assert session.bench.events[-1][1]["by"] == "another program"
    assert command_decoder(NAME, "disarm")["reason"] == "by another program"
    command_decoder(NAME, "arm")
    assert not command_decoder(NAME, "stop")["armed"]
    assert session.ended.is_set()


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
    assert command_decoder(NAME, "status")["state"] == "live"
    for link in links:
        link.close()


def test_a_decoder_that_is_absent_or_was_killed_is_named(folder, session):
    with pytest.raises(StreamError, match="no decoder 'none' of yours answers"):
        command_decoder("none", "status")
    with pytest.raises(SettingsError, match="expected one of arm"):
        command_decoder(NAME, "fire")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(control._place("killed")))
    with pytest.raises(StreamError, match="no decoder 'killed'"):
        command_decoder("killed", "status")
    with control_channel("killed", session, lambda *_, **__: None):
        assert command_decoder("killed", "status")["state"] == "live"


def test_a_second_decoder_of_a_name_takes_no_commands_and_reports_why(session):
    events = []
    with control_channel(NAME, Session(), lambda event, **fields: events.append((event, fields))):
        assert events == [
            ("control_failed", {"reason": "another decoder of this name takes commands"})
        ]
    assert command_decoder(NAME, "status")["state"] == "live"


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
        assert command_decoder(NAME, "status")["state"] == "live"
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
