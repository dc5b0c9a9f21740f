"""Triggers at a serial port, against the reference device and against plain ports."""

import os
import select
import signal
import subprocess
import sys
import threading
import time

import pylsl
import pytest

from rtbrain.check.trigger_device import TriggerDevice
from rtbrain.config import SerialSettings
from rtbrain.errors import OutputError, RtbrainError
from rtbrain.outlet import serial_port
from rtbrain.outlet.serial_port import Lines, frame, open_serial, unframe
from tests.conftest import wait_until
from tests.outlet.test_triggers import Bench, detection

CUT = threading.Event()


@pytest.fixture
def device():
    with TriggerDevice() as device:
        yield device


@pytest.fixture
def plain():
    """A port without a device: its name, and what a wire at its other end carries."""
    master, slave = os.openpty()

    def carried(n_bytes, within_s=5.0):
        data, end = b"", time.monotonic() + within_s
        while len(data) < n_bytes and time.monotonic() < end:
            if select.select([master], [], [], 0.05)[0]:
                data += os.read(master, 64)
        return data

    yield os.ttyname(slave), carried
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("text", "check"), [("D", "44"), ("H 1", "59"), ("T 123456 255 10000", "70")]
)
def test_a_line_carries_its_check_and_a_damaged_one_is_left_out(text, check):
    line = frame(text)
    assert line == f"{text}*{check}\n".encode()
    assert unframe(line) == text
    for place in range(len(line) - 1):
        damaged = bytearray(line)
        damaged[place] ^= 0x01
        assert unframe(bytes(damaged)) is None
    lines = Lines()
    pieces = b"noise\xff" + b"\n" + line + line
    assert [one for byte in pieces for one in lines(bytes([byte]))] == [text, text]


def test_a_device_makes_each_pulse_and_acknowledges_it(device):
    settings = SerialSettings(port=device.port, codes={"speech": 7, "rest": 255}, pulse_s=0.05)
    it = Bench(open_serial(settings))
    it.gate.arm("a test")
    for number, label in enumerate(("speech", "rest", "other"), 1):
        it.gate.push(detection(float(number), label))
    wait_until(lambda: len(it.rows) == 3 and not device.code)
    assert [code for _, code in device.edges] == [7, 0, 255, 0]
    rows = {row.number: row for row in it.rows}
    assert rows[1].acknowledged
    assert rows[2].acknowledged
    assert device.edges[0][0] <= rows[1].t_acknowledged
    assert rows[2].t_sent - rows[1].t_sent > 0.09  # after the wait for its turn
    assert rows[2].t_sent <= rows[2].t_acknowledged
    assert 0.04 < device.edges[1][0] - device.edges[0][0] < 0.5
    assert rows[3].suppressed == "no code for other"
    it.gate.close()
    assert not device.armed


def test_to_disarm_takes_a_device_low_within_a_tenth_of_a_second(device):
    it = Bench(open_serial(SerialSettings(port=device.port, pulse_s=10.0)))
    it.gate.arm("a test")
    it.gate.push(detection(1.0))
    wait_until(lambda: device.code)
    began = time.monotonic()
    it.gate.disarm("Esc")
    wait_until(lambda: not device.code)
    assert time.monotonic() - began < 0.1
    wait_until(lambda: not device.armed)
    it.gate.close()


def test_a_device_refuses_what_it_has_had_what_is_damaged_and_all_while_disarmed(device):
    port = serial_port.SerialPort(SerialSettings(port=device.port))

    def tell(*texts):
        for text in texts:
            port.write(text if isinstance(text, bytes) else frame(text))

    tell("T 1 5 1000", "A 60000", "T 2 5 1000", b"T 3 5 1000*00\n", "T 0 5 1000", "T 4 256 1000")
    wait_until(lambda: device.n_refused == 3)
    wait_until(lambda: not device.code)
    tell("T 2 5 1000", "T 5 5 9000000", "T 6 5 1000")
    wait_until(lambda: device.n_refused == 5)
    assert device.fired == [2, 5]
    tell("D")
    wait_until(lambda: not device.code)
    port.close()


def test_a_device_that_falls_silent_disarms_the_session(device, monkeypatch):
    monkeypatch.setattr(serial_port, "_HELLO_S", 0.3)
    it = Bench(open_serial(SerialSettings(port=device.port)))
    it.gate.arm("a test")
    device.answering = False
    it.gate.push(detection(1.0))
    wait_until(lambda: not it.gate.armed)
    assert "did not acknowledge trigger 1" in it.gate.reason
    (row,) = it.rows
    assert row.acknowledged is False
    assert row.values()["sent"] is True
    with pytest.raises(OutputError, match="no device with rtbrain's trigger protocol"):
        it.gate.arm("a test")
    device.answering = True
    it.gate.arm("a test")
    it.gate.close()


def test_an_answer_that_came_while_this_process_stood_still_counts(device, monkeypatch):
    output = open_serial(SerialSettings(port=device.port))
    output.arm()
    write = output._port.write

    def write_and_stand_still(data):
        write(data)
        wait_until(lambda: output._port._port.in_waiting >= len(frame("T 1 1")))

    monkeypatch.setattr(output._port, "write", write_and_stand_still)
    monkeypatch.setattr(serial_port, "_ANSWER_S", -1.0)
    assert output.send(detection(1.0), 1, CUT).acknowledged
    monkeypatch.undo()
    output.close()


def test_a_trigger_that_the_device_refuses_is_not_logged_as_sent(device):
    it = Bench(open_serial(SerialSettings(port=device.port)))
    it.gate.arm("a test")
    device._last = 5  # as if it had had this number
    it.gate.push(detection(1.0))
    wait_until(lambda: not it.gate.armed)
    assert "the device refused trigger 1" in it.gate.reason
    assert it.rows.whys() == [f"failed: {it.gate.reason}"]
    it.gate.close()


def test_a_long_pulse_lasts_while_triggers_that_are_late_keep_coming(device):
    it = Bench(open_serial(SerialSettings(port=device.port, pulse_s=1.0)))
    it.gate.arm("a test")
    pushed = 0
    while len(device.edges) < 2:
        pushed += 1
        it.gate.push(detection(float(pushed)))
        wait_until(lambda pushed=pushed: len(it.rows) == pushed)
    assert it.gate.armed
    assert device.edges[1][0] - device.edges[0][0] > 0.95
    assert {why.split(":")[0] for why in it.rows.whys()} == {"", "late"}
    it.gate.close()


def test_a_port_that_fails_after_the_trigger_went_out_leaves_it_logged_as_sent(device, monkeypatch):
    output = open_serial(SerialSettings(port=device.port))
    it = Bench(output)
    it.gate.arm("a test")
    read = output._port.read

    def fail():
        if device.fired:
            raise OutputError("the port is gone")
        return read()

    monkeypatch.setattr(output._port, "read", fail)
    it.gate.push(detection(1.0))
    wait_until(lambda: not it.gate.armed)
    assert it.gate.reason == "the port is gone"
    assert [(row.suppressed, row.acknowledged) for row in it.rows] == [("", None)]
    it.gate.close()


def test_a_device_whose_watchdog_has_bitten_disarms_the_session(device):
    it = Bench(open_serial(SerialSettings(port=device.port)))
    it.gate.arm("a test")
    device.armed = False
    wait_until(lambda: not it.gate.armed)
    assert "the device disarmed itself" in it.gate.reason
    it.gate.close()


KILLED = """
import sys, time
import numpy as np
from rtbrain.config import SerialSettings
from rtbrain.outlet.serial_port import open_serial
from rtbrain.outlet.triggers import Triggers
from rtbrain.types import Detection, Quality
output = open_serial(SerialSettings(port=sys.argv[1], pulse_s=10.0))
gate = Triggers([output], None, lambda event, **fields: None)
gate.observe(Quality(np.ones(1, np.bool_)))
gate.arm("a test")
gate.push(Detection("speech", 0.9, 1.0, 1.0, 1.0, 1.0, 0.0))
while True:
    gate.alive()
    time.sleep(0.05)
"""


def test_a_process_that_is_killed_leaves_the_line_low(device):
    process = subprocess.Popen([sys.executable, "-c", KILLED, device.port])
    try:
        wait_until(lambda: device.code)
        up = device.edges[0][0]
        wait_until(lambda: pylsl.local_clock() - up > 1.0)  # signs of life keep it up
        assert device.code
        began = time.monotonic()
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: not device.code)
        assert time.monotonic() - began < 0.75
        assert not device.armed
    finally:
        process.kill()
        process.wait()


def test_a_plain_byte_is_followed_by_0_and_the_port_ends_low(plain):
    port, carried = plain
    it = Bench(open_serial(SerialSettings(port=port, drives="byte", codes={"speech": 65})))
    it.gate.arm("a test")
    it.gate.push(detection(1.0))
    wait_until(lambda: it.rows)
    it.gate.close()
    data = carried(6, 0.5)
    assert data.strip(b"\0") == b"A"
    assert data.startswith(b"\0")
    assert data.endswith(b"A\0\0\0")  # after the pulse, and twice at the end


def test_a_port_that_is_absent_busy_or_without_lines_is_refused_in_one_line(plain, tmp_path):
    port, _ = plain
    with pytest.raises(OutputError, match=r"outputs.serial.port '/dev/ttyNONE' .*plug the device"):
        open_serial(SerialSettings(port="/dev/ttyNONE"))
    (tmp_path / "file").write_text("no port")
    with pytest.raises(OutputError, match="cannot be opened"):
        open_serial(SerialSettings(port=str(tmp_path / "file"), drives="byte"))
    with pytest.raises(OutputError, match=r"cannot be opened: .*too large"):
        open_serial(SerialSettings(port=port, drives="byte", baud=10**30))
    with pytest.raises(OutputError, match=f"serial {port}: "):
        open_serial(SerialSettings(port=port, drives="rts"))
    first = open_serial(SerialSettings(port=port, drives="byte"))
    with pytest.raises(OutputError, match="another program uses it"):
        open_serial(SerialSettings(port=port, drives="byte"))
    first.close()
    open_serial(SerialSettings(port=port, drives="byte")).close()


def test_a_port_where_nothing_speaks_the_protocol_is_refused_and_released(plain, monkeypatch):
    port, _ = plain
    monkeypatch.setattr(serial_port, "_HELLO_S", 0.3)
    with pytest.raises(OutputError, match="no device with rtbrain's trigger protocol answers"):
        open_serial(SerialSettings(port=port))
    open_serial(SerialSettings(port=port, drives="byte")).close()


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(RtbrainError, match=r"outputs.serial needs serial: pip install 'rtbrain\["):
        open_serial(SerialSettings(port="x"))
