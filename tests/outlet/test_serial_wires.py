"""Wires at a serial port: lines that this process itself raises and lowers, and plain bytes."""

import errno
import threading

import pytest

from rtbrain.config import SerialSettings
from rtbrain.errors import OutputError
from rtbrain.outlet.serial_port import open_serial
from tests.conftest import wait_until
from tests.outlet.test_triggers import Bench, detection

CUT = threading.Event()


class StandIn:
    """Serial port with lines, which a pseudo-terminal has not."""

    def __init__(self, **_):
        self.said = []

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in ("dtr", "rts"):
            self.said.append((name, value))

    def open(self):
        self.said.append("open")
        StandIn.last = self

    def close(self):
        self.said.append("close")


@pytest.mark.parametrize(("line", "other"), [("rts", "dtr"), ("dtr", "rts")])
def test_a_wire_at_a_line_begins_low_and_is_up_for_a_pulse(monkeypatch, line, other):
    import serial

    monkeypatch.setattr(serial, "Serial", StandIn)
    output = open_serial(SerialSettings(port="COM3", drives=line, pulse_s=0.001))
    said = StandIn.last.said
    assert said == [("dtr", False), ("rts", False), "open", (line, False)]
    output.send(detection(1.0), 1, CUT)
    output.close()
    assert said[4:] == [(line, True), (line, False), (line, False), "close"]
    assert (other, True) not in said


def test_a_wire_whose_port_was_lost_is_not_opened_again_for_that_raises_its_lines(monkeypatch):
    import serial

    monkeypatch.setattr(serial, "Serial", StandIn)
    output = open_serial(SerialSettings(port="COM3", drives="rts"))
    output.port.close()
    StandIn.last.said.clear()
    with pytest.raises(OutputError, match="disconnect the stimulator, then start the session"):
        output.arm()
    assert not StandIn.last.said


@pytest.mark.parametrize("fails_at", [3, 4])  # at the byte, which is then taken late; at the 0
def test_a_byte_that_was_sent_counts_and_0_follows_by_a_port_that_is_opened_again(
    monkeypatch, fails_at
):
    import serial

    late = serial.SerialTimeoutException("Write timeout")
    error = late if fails_at == 3 else OSError(errno.EIO, "Input/output error")
    written = []

    class Broken(StandIn):
        def write(self, data):
            written.append(data)
            if len(written) == fails_at:
                raise error

    monkeypatch.setattr(serial, "Serial", Broken)
    it = Bench(open_serial(SerialSettings(port="COM3", drives="byte", pulse_s=0.001)))
    it.gate.arm("a test")
    it.gate.push(detection(1.0))
    wait_until(lambda: not it.gate.armed)
    assert [row.values()["sent"] for row in it.rows] == [True]
    wait_until(lambda: len(written) > fails_at)
    it.gate.close()
    assert written[2] == b"\1"
    assert set(written[fails_at:]) == {b"\0"}


def test_a_port_that_takes_nothing_more_is_an_error_and_not_a_wait_without_end(monkeypatch):
    import serial

    class Stuck(StandIn):
        def write(self, data):
            raise serial.SerialTimeoutException("Write timeout")

    monkeypatch.setattr(serial, "Serial", Stuck)
    with pytest.raises(OutputError, match=r"serial COM3: it took nothing for 0\.25 s"):
        open_serial(SerialSettings(port="COM3", drives="byte"))
    assert StandIn.last.said[-1] == "close"
