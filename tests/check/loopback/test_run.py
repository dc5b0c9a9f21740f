"""`rtbrain loopback`: each output and back, with what is lost and doubled."""

import json
import os
import threading

import pytest
from rich.console import Console

from rtbrain.check.loopback import run
from rtbrain.check.loopback.receivers import LoopbackPath
from rtbrain.check.loopback.run import run_loopback
from rtbrain.errors import OutputError, SettingsError
from tests.apps.program import refused

QUIET = Console(quiet=True)


@pytest.mark.lsl
def test_every_output_brings_each_trigger_back_once(tmp_path):
    out = tmp_path / "loopback.json"
    rows = run_loopback(n_triggers=20, rate_hz=40.0, out=out, console=QUIET)
    assert [row.path.split(",")[0] for row in rows] == ["lsl", "osc", "udp", "serial"]
    for row in rows:
        counts = (row.sent, row.received, row.dropped, row.lost, row.doubled)
        assert counts == (20, 20, 0, 0, 0)
        assert 0 < row.p50_ms <= row.p99_ms <= row.max_ms < 5000
    stored = json.loads(out.read_text())
    assert stored["triggers"] == 20
    assert [one["path"] for one in stored["rows"]] == [row.path for row in rows]


@pytest.fixture
def wired():
    """A port whose output is wired to its input, and what the wire does to a byte."""
    master, slave = os.openpty()
    wire = {"carry": lambda byte: byte}

    def carry():
        while (data := os.read(master, 1)) != b"\xff":
            os.write(master, wire["carry"](data))

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    yield os.ttyname(slave), wire
    os.write(slave, b"\xff\n")
    thread.join(5.0)
    os.close(master)
    os.close(slave)


def test_a_port_that_is_wired_to_itself_is_measured_and_what_is_lost_or_doubled_counted(wired):
    port, wire = wired
    options = {"n_triggers": 5, "rate_hz": 50.0, "port": port, "console": QUIET}
    (row,) = run_loopback([LoopbackPath.SERIAL], drives="byte", **options)
    assert (row.received, row.lost, row.doubled) == (5, 0, 0)
    too_fast = options | {"rate_hz": 1000.0, "n_triggers": 200}
    (row,) = run_loopback([LoopbackPath.SERIAL], drives="byte", **too_fast)
    assert row.dropped > 0
    assert (row.received + row.dropped, row.lost) == (200, 0)
    wire["carry"] = lambda byte: byte + byte
    (row,) = run_loopback([LoopbackPath.SERIAL], drives="byte", **options)
    assert row.doubled == 5
    wire["carry"] = lambda byte: b""
    (row,) = run_loopback([LoopbackPath.SERIAL], drives="byte", **options)
    assert (row.received, row.lost) == (0, 5)


def test_a_device_that_falls_silent_ends_it_in_one_line(monkeypatch):
    made = []

    class Mute(run.TriggerDevice):
        def __enter__(self):
            made.append(self)
            return super().__enter__()

        def _set(self, code, t_low):
            super()._set(code, t_low)
            self.answering = not self.fired

    monkeypatch.setattr(run, "TriggerDevice", Mute)
    with pytest.raises(OutputError, match="did not acknowledge trigger 1"):
        run_loopback([LoopbackPath.SERIAL], n_triggers=100, rate_hz=50.0, console=QUIET)
    assert made[0].code == 0


def test_bytes_need_a_port_that_is_wired_to_itself():
    with pytest.raises(SettingsError, match="--drives byte without --port"):
        run_loopback([LoopbackPath.SERIAL], drives="byte", console=QUIET)


def test_what_a_live_session_leaves_no_choice_of_is_refused_in_one_line():
    said = refused("loopback", "--live", "60", "--rate", "5", "--drives", "byte")
    assert "--live and --rate, --drives: a live session sends what it detects" in said


def test_a_port_that_is_absent_is_refused_in_one_line():
    said = refused("loopback", "serial", "--port", "/dev/ttyNONE")
    assert "outputs.serial.port '/dev/ttyNONE' cannot be opened" in said


def test_what_was_measured_before_an_output_failed_is_kept(tmp_path):
    out = tmp_path / "loopback.json"
    outputs = [LoopbackPath.UDP, LoopbackPath.SERIAL]
    options = {"n_triggers": 3, "rate_hz": 50.0, "port": "/dev/ttyNONE", "out": out}
    with pytest.raises(OutputError, match="/dev/ttyNONE"):
        run_loopback(outputs, **options, console=QUIET)
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["path"], row["received"]) == ("udp", 3)
