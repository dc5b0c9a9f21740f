"""Triggers as OSC messages and as JSON, read by python-osc and by json."""

import json
import socket
import sys
import threading

import pylsl
import pytest
from pythonosc.osc_message import OscMessage

from rtbrain.config import DecodeSettings, OscSettings, UdpSettings, parse_settings
from rtbrain.errors import OutputError, RtbrainError, SettingsError
from rtbrain.outlet.datagrams import open_osc, open_udp
from tests.outlet.test_triggers import Bench, detection

CUT = threading.Event()


@pytest.fixture(params=["127.0.0.1", "::1"])
def receiver(request):
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as ours:
        ours.settimeout(5.0)
        try:
            ours.bind((request.param, 0))
        except OSError:
            pytest.skip(f"this machine has no address {request.param}")
        host = f"[{request.param}]" if ":" in request.param else request.param
        yield ours, f"{host}:{ours.getsockname()[1]}"


def test_an_osc_message_holds_label_value_number_and_how_old_the_moment_is(receiver):
    ours, to = receiver
    output = open_osc(OscSettings(to=to, address="/patient/speech"))
    now = pylsl.local_clock()
    assert output.send(detection(now, "spræch"), 41, CUT).acknowledged is None
    message = OscMessage(ours.recv(1024))
    label, value, number, age_s = message.params
    assert message.address == "/patient/speech"
    assert (label, number) == ("spræch", 41)
    assert value == pytest.approx(0.9)
    assert 0.2 <= age_s < 1.0
    output.close()


def test_a_datagram_of_json_holds_what_is_known_of_a_decision(receiver):
    ours, to = receiver
    output = open_udp(UdpSettings(to=to))
    assert output.send(detection(7.0), 41, CUT).acknowledged is None
    told = json.loads(ours.recv(4096))
    assert told == {
        "number": 41,
        "label": "speech",
        "value": 0.9,
        "t_neural": 6.8,
        "t_stop": 7.0,
        "t_ready": 7.01,
        "coverage": 1.0,
        "drift": 0.1,
        "calibrated": False,
    }
    output.close()


def test_a_receiver_that_is_absent_is_reported_once_and_gets_the_next_when_it_is_back():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        place = ours.getsockname()
    it = Bench(open_udp(UdpSettings(to=f"127.0.0.1:{place[1]}")))
    it.gate.arm("a test")
    for number in range(3):
        it.gate.push(detection(1.0 + number))
        while len(it.rows) <= number:
            pass
    assert [row.acknowledged for row in it.rows] == [False] * 3
    assert [event for event, _ in it.events] == ["armed", "output_failed"]
    assert it.gate.armed
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(place)
        ours.settimeout(5.0)
        it.gate.push(detection(9.0))
        assert json.loads(ours.recv(4096))["number"] == 4
        ours.settimeout(0.05)
        with pytest.raises(TimeoutError):
            ours.recv(4096)
    it.gate.close()


@pytest.mark.parametrize(
    "to", ["", "9000", "host", "host:", ":9000", "host:0", "host:65536", "host:x", "a b:1", "::1:9"]
)
def test_an_address_that_does_not_parse_is_refused_in_one_line(to):
    values = {"stream": {"name": "x"}, "outputs": {"osc": {"to": to}}}
    with pytest.raises(SettingsError, match=r"outputs\.osc\.to.*expected HOST:PORT") as refused:
        parse_settings(values, DecodeSettings, where="live.yaml")
    assert str(refused.value).count("got") == 1


@pytest.mark.parametrize("address", ["", "speech", "/", "//a", "/a b", "/a*", "/a[1]", "/é", "/a/"])
def test_an_osc_address_that_cannot_be_sent_is_refused_in_one_line(address):
    values = {"stream": {"name": "x"}, "outputs": {"osc": {"address": address}}}
    with pytest.raises(SettingsError, match=r"outputs\.osc\.address.*expected an OSC address"):
        parse_settings(values, DecodeSettings, where="live.yaml")


@pytest.mark.parametrize("to", ["no.such.host.invalid:9000", "255.255.255.255:9000"])
def test_a_receiver_that_cannot_be_reached_is_refused_before_anything_is_armed(to):
    with pytest.raises(OutputError, match=r"outputs.udp.to .*cannot be sent to"):
        open_udp(UdpSettings(to=to))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonosc", None)
    monkeypatch.delitem(sys.modules, "pythonosc.osc_message_builder", raising=False)
    with pytest.raises(RtbrainError, match=r"outputs.osc needs pythonosc: pip install 'rtbrain\["):
        open_osc(OscSettings())
