"""Triggers at a serial port: a device with a watchdog, plain bytes, or a wire at RTS or DTR.

The protocol of the device is in docs/outputs.md. Each line, either way, is ``TEXT*HH`` and a line
end, HH being the exclusive or of the text's bytes.
"""

import errno
import time
from collections import deque
from collections.abc import Collection
from functools import reduce
from threading import Event
from typing import Any

import pylsl

from rtbrain.config.outputs import SerialSettings
from rtbrain.errors import OutputError, one_line
from rtbrain.extras import load_extra
from rtbrain.outlet.trigger_worker import Sent, UnsureError
from rtbrain.types import Detection

WATCHDOG_MS = 500
_HELLO_S, _HELLO_EVERY_S = 4.0, 0.25  # a board that restarts when its port is opened takes 2 s
# pyserial calls a write late that it has done, where the process had to wait meanwhile.
_ANSWER_S, _SLICE_S, _WRITE_S = 0.2, 0.01, 0.25
_MAX_LINE = 80
_BUSY = "another program uses it: end that first"
_REASONS = {
    errno.ENOENT: "there is none of this name: plug the device in, or name its port",
    errno.EAGAIN: _BUSY,
    errno.EBUSY: _BUSY,
    errno.EACCES: "you may not: on Linux, have yourself put into the group dialout",
}


def frame(text: str) -> bytes:
    """A line of the protocol."""
    data = text.encode("ascii")
    return data + b"*%02X\n" % reduce(int.__xor__, data, 0)


def unframe(line: bytes) -> str | None:
    """Text of a line of the protocol; None where it is damaged, or none."""
    data, star, check = line.strip().rpartition(b"*")
    known = star and data.isascii() and check == b"%02X" % reduce(int.__xor__, data, 0)
    return data.decode("ascii") if known else None


class Lines:
    """Lines of the protocol in the bytes of a port; damaged ones are left out."""

    def __init__(self) -> None:
        self._rest = b""

    def __call__(self, data: bytes) -> list[str]:
        """Texts of the lines that these bytes complete."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_MAX_LINE:]
        return [text for line in lines if (text := unframe(line)) is not None]


class SerialPort:
    """A serial port that an output owns: nobody else may open it, and its lines begin low.

    Linux raises both lines for a moment at each open.
    """

    def __init__(self, settings: SerialSettings) -> None:
        self.settings = settings
        self.name = f"serial {settings.port}"
        self._library = load_extra("serial", "outputs", "outputs.serial")
        self._port: Any = None
        self.open()

    @property
    def is_open(self) -> bool:
        """Whether it is open: it closes where it fails."""
        return self._port is not None

    def open(self) -> None:
        """Open the port, unless it is; raises an OutputError where it is absent or busy."""
        if self._port is not None:
            return
        # Without a name it is not opened yet. Linux raises both lines at the open; pyserial, which
        # knows by then that they are to be low, lowers them right after it.
        port = self._library.Serial(
            baudrate=self.settings.baud, timeout=_SLICE_S, write_timeout=_WRITE_S, exclusive=True
        )
        port.port, port.dtr, port.rts = self.settings.port, False, False
        try:
            port.open()
        except (OSError, ValueError, OverflowError) as error:
            number = error.errno if isinstance(error, OSError) else None
            raise OutputError(
                f"outputs.serial.port {self.settings.port!r} cannot be opened: "
                f"{_REASONS.get(number or 0) or one_line(error)}"
            ) from error
        self._port = port

    def write(self, data: bytes) -> None:
        """Write some bytes; raises an OutputError, and closes the port, where that fails."""
        try:
            self._port.write(data)
        except self._library.SerialTimeoutException as error:
            late = TimeoutError(f"it took nothing for {_WRITE_S:g} s, or took it late")
            raise UnsureError(str(self._gone(late))) from error
        except (OSError, AttributeError) as error:
            raise self._gone(error) from error

    def read(self) -> bytes:
        """Bytes that have come, after a wait of 10 ms at most; an OutputError where it is gone."""
        try:
            return bytes(self._port.read(max(1, self._port.in_waiting)))
        except (OSError, AttributeError, TypeError) as error:
            raise self._gone(error) from error

    def set_line(self, line: str, up: bool) -> None:
        """Raise or lower the line ``rts`` or ``dtr``; an OutputError where there is none."""
        try:
            setattr(self._port, line, up)
        except (OSError, AttributeError) as error:
            raise self._gone(error) from error

    def close(self) -> None:
        """Close the port; safe to call twice."""
        port, self._port = self._port, None
        if port is not None:
            try:
                port.close()
            except OSError:
                return  # unplugged

    def _gone(self, error: Exception) -> OutputError:
        self.close()
        said = "the port is closed" if isinstance(error, AttributeError) else one_line(error)
        return OutputError(f"{self.name}: {said}")


class WireOutput:
    """A plain byte and 0 after it, or a pulse at RTS or DTR, which this process times.

    At its end the line is low. Where the process is killed, a byte stays as it was; lines RTS and
    DTR fall with the port that the system closes. Each opening of the port raises them for a
    moment, so that a port that was lost is not opened again.
    """

    def __init__(self, settings: SerialSettings) -> None:
        self._settings = settings
        self.port = SerialPort(settings)
        self.name = self.port.name
        self.labels: Collection[str] | None = settings.codes.keys() or None
        self.t_free = 0.0
        try:
            self.rest()
        except OutputError:
            self.port.close()
            raise

    def arm(self) -> None:
        """Begin low; an OutputError where the port was lost, and opening it would raise lines."""
        self.rest()

    def send(self, item: Detection, number: int, cut: Event) -> Sent:
        """Make a pulse, unless `cut` ends it, and leave it as long low; nobody acknowledges it."""
        if cut.is_set():
            raise OutputError(f"{self.name}: disarmed before the pulse")
        self._set(code_of(self._settings, item.label))
        t_sent = float(pylsl.local_clock())
        cut.wait(self._settings.pulse_s)
        try:
            self.rest()
        except OutputError as error:
            return Sent(t_sent, None, error)
        self.t_free = time.monotonic() + self._settings.pulse_s
        return Sent(t_sent)

    def beat(self) -> None:
        """Do nothing: nobody waits for a sign of life."""

    def rest(self) -> None:
        """Go low, a plain byte also by a port that has to be opened again."""
        if not self.port.is_open and self._settings.drives != "byte":
            raise OutputError(
                f"{self.name}: the port was lost, and to open it would raise both lines: "
                "disconnect the stimulator, then start the session again"
            )
        self.port.open()
        self._set(0)

    def close(self) -> None:
        """Go low and close the port; safe to call twice."""
        if not self.port.is_open:
            return
        try:
            self.rest()
        except OutputError:
            return  # it is gone
        finally:
            self.port.close()

    def _set(self, code: int) -> None:
        if self._settings.drives == "byte":
            self.port.write(bytes([code]))
        else:
            self.port.set_line(self._settings.drives, bool(code))


class DeviceOutput:
    """A device that makes the pulses, acknowledges them, and goes low where it hears nothing."""

    def __init__(self, settings: SerialSettings) -> None:
        self._settings = settings
        self._port = SerialPort(settings)
        self.name = self._port.name
        self.labels: Collection[str] | None = settings.codes.keys() or None
        self._lines = Lines()
        self._answers: deque[str] = deque(maxlen=64)
        self._lost = ""
        self._t_answer = self.t_free = 0.0
        try:
            self._greet()
        except OutputError:
            self._port.close()
            raise

    def arm(self) -> None:
        """Arm the device, whose watchdog runs from now on; an OutputError where it does not."""
        self._port.open()
        self._greet()
        self._port.write(frame(f"A {WATCHDOG_MS}"))
        if not self._wait(_ANSWER_S, "A 1"):
            raise OutputError(f"{self.name}: the device does not let itself be armed")
        self._lost = ""
        self._t_answer = time.monotonic()

    def send(self, item: Detection, number: int, cut: Event) -> Sent:
        """Have a pulse made; whether the device acknowledged it is unknown where `cut` came first.

        The next one follows it by as much time as a pulse takes. Raises an OutputError where the
        device refused it.
        """
        if self._lost:
            raise OutputError(f"{self.name}: {self._lost}")
        if cut.is_set():
            raise OutputError(f"{self.name}: disarmed before the pulse")
        code, pulse_us = code_of(self._settings, item.label), round(self._settings.pulse_s * 1e6)
        self._port.write(frame(f"T {number} {code} {pulse_us}"))
        t_sent, made, refused = float(pylsl.local_clock()), f"T {number} 1", f"T {number} 0"
        try:
            answer = self._wait(_ANSWER_S, made, refused, cut=cut)
        except OutputError as error:
            return Sent(t_sent, None, error)
        if answer == refused:
            raise OutputError(f"{self.name}: the device refused trigger {number}")
        self.t_free = time.monotonic() + 2 * self._settings.pulse_s
        if answer == made:
            return Sent(t_sent, True)
        if cut.is_set():
            return Sent(t_sent)
        self._lost = f"the device did not acknowledge trigger {number}"
        return Sent(t_sent, False)

    def beat(self) -> None:
        """Give a sign of life; an OutputError where the device gives none, or is not armed."""
        if self._lost:
            raise OutputError(f"{self.name}: {self._lost}")
        self._port.write(frame("H"))
        self._take()
        if "H 0" in self._answers:
            raise OutputError(f"{self.name}: the device disarmed itself")
        self._answers.clear()
        if time.monotonic() - self._t_answer > WATCHDOG_MS / 1000:
            raise OutputError(f"{self.name}: the device does not answer")

    def rest(self) -> None:
        """Disarm the device, which goes low at once."""
        self._answers.clear()
        self._port.write(frame("D"))
        if not self._wait(_ANSWER_S, "D"):
            raise OutputError(
                f"{self.name}: the device did not confirm that it is low; its watchdog sees to "
                f"that within {WATCHDOG_MS} ms"
            )

    def close(self) -> None:
        """Disarm the device and close the port; safe to call twice."""
        try:
            self.rest()
        except OutputError:
            return  # its watchdog does the same
        finally:
            self._port.close()

    def _greet(self) -> None:
        """Find out whether the device speaks the protocol, and leave it low."""
        end = time.monotonic() + _HELLO_S
        while time.monotonic() < end:
            self._port.write(frame("D"))
            if self._wait(_HELLO_EVERY_S, "D"):
                return
        raise OutputError(
            f"{self.name}: no device with rtbrain's trigger protocol answers at "
            f"{self._settings.baud} baud: see docs/outputs.md, or set outputs.serial.drives to "
            "byte, rts or dtr"
        )

    def _wait(self, within_s: float, *answers: str, cut: Event | None = None) -> str:
        """The answer of these that has come in time; else empty."""
        end, over = time.monotonic() + within_s, False
        while not (found := next((one for one in answers if one in self._answers), "")):
            if over:
                break
            # Before the port is looked at: what came while this process stood still is in time.
            over = time.monotonic() >= end or (cut is not None and cut.is_set())
            self._take()
        return found

    def _take(self) -> None:
        found = self._lines(self._port.read())
        self._answers.extend(found)
        if found:
            self._t_answer = time.monotonic()


def code_of(settings: SerialSettings, label: str) -> int:
    """Code of a label."""
    return settings.codes[label] if settings.codes else 1


def open_serial(settings: SerialSettings) -> WireOutput | DeviceOutput:
    """Output at a serial port, which begins low.

    Raises an OutputError where the port is absent or busy, or no such device is at it; an
    RtbrainError where pyserial is not installed.
    """
    return DeviceOutput(settings) if settings.drives == "device" else WireOutput(settings)
