"""The doctor on real streams: everything at once, judged anew as soon as something is changed."""

import json
import time
import uuid
from dataclasses import replace

import pytest
from rtbrain.apps.main import app
from typer.testing import CliRunner

from rtbrain.check.doctor import doctor as module
from rtbrain.check.doctor.checks import Expected
from rtbrain.check.doctor.doctor import Doctor
from rtbrain.check.doctor.network import FoundStream
from rtbrain.check.doctor.reach import (
    LslConfig,
    LslHere,
    blocks_all,
    check_clocks,
    check_names,
    check_ports,
    check_reach,
)
from tests.check.doctor.sending import outlet_of, sending
from tests.conftest import wait_until

STREAM = FoundStream(
    *("u1", "amp", "EEG", "id", "here", 8, 512.0, False, False, True, "", (), "microvolts", 8, 1),
    *((), "", 16572, True, 1e-5, 8e-5, 0.0, {}, "", 0),
)
CONFIG = LslConfig("machine", 16572, 32, "")


@pytest.fixture
def sender():
    with sending(60) as token:
        yield token


def states(checks):
    return {one.key: one.state for one in checks}


@pytest.mark.lsl
def test_everything_is_checked_and_judged_anew_at_once(sender, tmp_path):
    twin = outlet_of(f"amp-{sender}", "EEG", 2, 100.0, "float32", f"b-{sender}")
    expected = Expected(
        stream=f"amp-{sender}", source_id=f"a-{sender}", markers=f"task-{sender}", mains_hz=50
    )
    doctor = Doctor(replace(expected, folder=tmp_path))
    try:
        wanted = {"signal": "fine", "unit": "fine", "mains": "fix", "rate": "fine"}
        wanted |= {"contacts": "look", "markers": "fine", "names": "look", "delay": "fine"}
        wait_until(lambda: "checking" not in states(doctor.checks()).values())
        found = states(doctor.checks())
        delay = found.pop("delay"), wanted.pop("delay")  # of a busy machine it may be anything
        assert delay[0] != "unchecked"
        assert {key: found[key] for key in wanted} == wanted, doctor.checks()
        assert {"disk", "clocks", "reach", "computer", "ports", "time", "versions", "lsl"} < {
            *found
        }
        texts = {one.key: one.finding for one in doctor.checks()}
        assert texts["contacts"] == "1 bad of 6: A2 flat"
        assert texts["markers"].startswith(f"task-{sender}: 1, 2")
        begun = time.perf_counter()
        doctor.expected = replace(doctor.expected, mains_hz=60, unit="volts", source_id=None)
        found = states(doctor.checks())
        assert time.perf_counter() - begun < 0.2
        assert (found["names"], found["signal"]) == ("fix", "fix")
        doctor.expected = replace(doctor.expected, source_id=f"a-{sender}")
        found = states(doctor.checks())
        assert (found["mains"], found["unit"]) == ("fine", "fix")
        (signal,) = doctor.signals
        assert (signal.n_contacts, signal.triggers, signal.unit) == (6, ("TRIG",), "microvolts")
        doctor.expected = replace(doctor.expected, unit=None, markers=None, trigger="TRIG")
        wait_until(lambda: states(doctor.checks())["markers"] == "fine")
        assert doctor.reading.codes["TRIG"].keys() == {"4"}
        doctor.expected = replace(doctor.expected, trigger="DIN")
        wait_until(lambda: states(doctor.checks())["markers"] == "fix")
    finally:
        doctor.close()
    del twin


@pytest.mark.lsl
def test_a_stream_that_goes_must_be_fixed(tmp_path):
    token = uuid.uuid4().hex[:8]
    codes = outlet_of(f"task-{token}", "Markers", 1, 0.0, "string", f"t-{token}")
    doctor = Doctor(Expected(stream=f"none-{token}", markers=f"task-{token}", folder=tmp_path))
    try:
        wait_until(lambda: states(doctor.checks())["markers"] == "look")
        wait_until(lambda: states(doctor.checks())["signal"] == "fix")
        wait_until(lambda: doctor.markers.answered)
        codes.push_sample(["go\x1b[2J"])
        wait_until(lambda: states(doctor.checks())["markers"] == "fine")
        assert doctor.markers.codes == {"go?[2J": 1}
        del codes
        wait_until(lambda: states(doctor.checks())["markers"] == "fix")
    finally:
        doctor.close()


@pytest.mark.lsl
def test_the_command_fails_where_something_must_be_fixed(monkeypatch):
    name = f"none-{uuid.uuid4().hex[:8]}"
    run = CliRunner().invoke
    done = run(app, ["doctor", "--stream", name, "--within", "5"], obj=_Flags())
    assert done.exit_code == 1
    assert f"there is no stream {name}" in done.stdout
    assert "1 to fix" in done.stdout
    assert "measuring" not in done.stdout
    fine = module.judge("disk", "fine", "free", free="3 GB")
    monkeypatch.setattr("rtbrain.apps.doctor.examine", lambda expected, within_s: (fine,))
    done = run(app, ["doctor", "--json"], obj=_Flags())
    assert done.exit_code == 0
    assert json.loads(done.stdout)[0]["finding"] == "3 GB free"


class _Flags:
    debug = True


def test_two_streams_of_a_name_are_told_by_their_source():
    twin = replace(STREAM, uid="u2", source_id="other")
    assert check_names([STREAM], Expected(stream="amp")).state == "fine"
    assert check_names([STREAM, twin], Expected(stream="amp")).state == "fix"
    assert check_names([STREAM, twin], Expected(stream="amp", source_id="id")).state == "look"
    same = replace(twin, source_id="id")
    assert check_names([STREAM, same], Expected(stream="amp", source_id="id")).state == "fix"
    assert check_names([STREAM, twin], Expected(stream="another")).state == "look"


def test_a_clock_that_is_silent_or_unsure_is_told():
    assert check_clocks([STREAM]).finding == "here 0.01 ± 0.08 ms"
    apart = replace(STREAM, offset_s=-81234.5)
    assert check_clocks([apart]).finding == "here ± 0.08 ms"
    assert check_clocks([replace(STREAM, uncertainty_s=0.004)]).state == "look"
    assert check_clocks([STREAM, replace(STREAM, clock_silent_s=9.0)]).state == "fix"
    assert check_clocks([replace(STREAM, uncertainty_s=float("nan"))]).state == "checking"


def test_ports_that_are_used_up_must_be_fixed():
    def state(n_taken):
        ports = {16572 + number: "0.0.0.0" for number in range(n_taken)}
        return check_ports([STREAM], LslHere(CONFIG, ports, {}, None)).state

    assert [state(0), state(28), state(32)] == ["fine", "look", "fix"]
    beyond = check_ports([replace(STREAM, port=40123)], LslHere(CONFIG, {}, {}, None))
    assert (beyond.state, "amp" in beyond.finding) == ("look", True)


def test_who_can_read_the_signal_is_said_and_what_is_not_known_too():
    here = LslHere(CONFIG, {16572: "0.0.0.0"}, {"eth0": "10.0.0.5"}, False)
    check = check_reach(STREAM, here)
    assert (check.state, "10.0.0.5 (eth0)" in check.advice) == ("look", True)
    assert check_reach(STREAM, replace(here, outside={})).state == "fine"
    assert check_reach(STREAM, replace(here, ports={16572: "127.0.0.1"})).state == "fine"
    assert check_reach(STREAM, replace(here, firewall=True)).state == "fine"
    assert "may read" in check_reach(STREAM, replace(here, firewall=None)).finding
    far = replace(STREAM, is_local=False, host="amp-pc")
    assert "amp-pc" in check_reach(far, replace(here, outside={}, firewall=True)).finding


@pytest.mark.parametrize(
    ("rules", "blocks"),
    [
        ("policy drop;\nct state established,related accept\ntcp dport 22 accept", True),
        ("policy accept;\nct state invalid drop", False),
        ('policy accept;\niif "lo" accept\ncounter packets 3 bytes 9 drop', True),
        ("policy drop;\ntcp dport 16571-16604 accept", False),
        ("policy drop;\nip saddr 10.0.0.0/8 accept", False),
        ("policy drop;\njump allowed", False),
    ],
)
def test_a_firewall_counts_only_if_it_drops_whatever_could_read_a_stream(rules, blocks):
    chain = f"table inet f {{\nchain input {{\ntype filter hook input priority 0; {rules}\n}}\n}}"
    assert blocks_all(chain) is blocks
