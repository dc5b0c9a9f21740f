"""A simulated trigger device on a pseudo-terminal: the reference of the serial protocol."""

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Self

import pylsl

from rtbrain.errors import SettingsError
from rtbrain.outlet.serial_port import Lines, frame

_READ_BYTES = 4096


class TriggerDevice:
    """A device as in docs/outputs.md, at the port `port` while the block runs.

    Attributes
    ----------
    port : str
        Path of the serial port.
    edges : list of (float, int)
        LSL time and new code of each change of the line; 0 is low, the safe state.
    fired : list of int
        Numbers of the triggers that made a pulse.
    n_refused : int
        Triggers of which none was made: not armed, a number that is not new, a pulse not over.
    armed : bool
        Whether it takes triggers.
    answering : bool
        Whether it answers at all; a test may set it.
    """

    def __init__(self) -> None:
        if not hasattr(os, "openpty"):
            raise SettingsError("this system has no pseudo-terminals: name a port, with --port")
        # Its own side of the port stays open, so that it learns of no end but by its watchdog.
        self._master, self._slave = os.openpty()
        self.port = os.ttyname(self._slave)
        self.edges: list[tuple[float, int]] = []
        self.fired: list[int] = []
        self.n_refused = 0
        self.armed, self.answering = False, True
        self.on_edge: Callable[[float, int], None] = lambda at, code: None
        self._code, self._last = 0, 0
        self._t_low = self._t_safe = float("inf")  # when the pulse ends; when the watchdog bites
        self._watchdog_s = 0.0
        self._lines = Lines()
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="rtbrain-device", daemon=True)

    @property
    def code(self) -> int:
        """Code at its output now; 0 is low."""
        return self._code

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._wake, b"x")
        self._thread.join()
        for number in (self._master, self._slave, self._woken, self._wake):
            os.close(number)

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            wait_s = max(0.0, min(self._t_low, self._t_safe, now + 60) - now)
            ready, _, _ = select.select([self._master, self._woken], [], [], wait_s)
            if self._woken in ready:
                return
            now = time.monotonic()
            if now >= self._t_low:
                self._set(0, float("inf"))
            if now >= self._t_safe:
                self._disarm()
            if self._master in ready:
                for text in self._lines(os.read(self._master, _READ_BYTES)):
                    self._obey(text.split())

    def _obey(self, words: list[str]) -> None:
        if self.armed:
            self._t_safe = time.monotonic() + self._watchdog_s
        match words:
            case ["D"]:
                self._disarm()
                self._answer("D")
            case ["H"]:
                self._answer(f"H {int(self.armed)}")
            case ["A", ms] if ms.isdecimal():
                self._watchdog_s, self._last, self.armed = int(ms) / 1000, 0, True
                self._t_safe = time.monotonic() + self._watchdog_s
                self._answer("A 1")
            case ["T", number, code, us] if all(map(str.isdecimal, (number, code, us))):
                new = self.armed and int(number) > self._last and 0 < int(code) < 256
                new &= not self._code  # two pulses would look like one
                if new:
                    self._last = int(number)
                    self.fired.append(int(number))
                    self._set(int(code), time.monotonic() + int(us) / 1e6)
                self.n_refused += not new
                self._answer(f"T {number} {int(new)}")

    def _disarm(self) -> None:
        self.armed, self._t_safe = False, float("inf")
        self._set(0, float("inf"))

    def _set(self, code: int, t_low: float) -> None:
        self._t_low = t_low
        if code != self._code:
            self._code = code
            at = float(pylsl.local_clock())
            self.edges.append((at, code))
            self.on_edge(at, code)

    def _answer(self, text: str) -> None:
        if self.answering:
            os.write(self._master, frame(text))
