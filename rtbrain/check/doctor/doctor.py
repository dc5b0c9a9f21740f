"""All checks, all the time, in threads of their own: whoever asks for them never waits."""

import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import psutil

from rtbrain.check.doctor import machine, reach
from rtbrain.check.doctor.checks import Check, Expected, State, Words, in_order, judge
from rtbrain.check.doctor.delay import Delay, DelayJob, check_delay, read_delay, start_measuring
from rtbrain.check.doctor.network import FoundStream, Network
from rtbrain.check.doctor.signal import (
    SignalMeter,
    SignalReading,
    check_contacts,
    check_mains,
    check_rate,
    check_unit,
)
from rtbrain.errors import RtbrainError, list_words
from rtbrain.signal.reference import contact_rows
from rtbrain.stream.lsl.inlet import LslSource, lsl_clock
from rtbrain.view.texts import say

_LOOK_EVERY_S = 0.2
_READ_EVERY_S, _PULL_S, _PIECE_S = 1.0, 0.2, 0.1
_DISK_EVERY_S, _COMPUTER_EVERY_S, _NETWORK_EVERY_S, _SLOW_EVERY_S = 2.0, 5.0, 10.0, 60.0
_LOAD_OVER_S = 1.0
_SETTLED_S = 2.5  # until all streams have shown themselves
_SILENT_S, _LOST_OVER_S = 1.5, 60.0
_STAMP_BYTES, _VALUE_BYTES = 9, 4  # of a sample in a recording
_MAX_MEASUREMENTS = 3
_LONGEST_DELAY_S = 60.0
_END_S = 1.0  # what does not answer by then is left to its thread
_LISTED = 4
OF_SIGNAL = ("unit", "mains", "rate", "contacts", "delay")


class Doctor:
    """Looks at streams, signal and machine until it is closed.

    `expected` may be replaced at any time: what was measured is judged by it at once. `streams` are
    those that are there now, `reading` what was measured of the signal.
    """

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.streams: tuple[FoundStream, ...] = ()
        self.reading: SignalReading | None = None
        self.looked_s = self._began_s = time.monotonic()
        self._network = Network()
        self._problem = ""  # why the signal cannot be read
        self._disk: machine.Disk | None = None
        self._lsl: reach.LslHere | None = None
        self._of_machine: dict[str, Check] = {}  # by key
        self._delays: dict[DelayJob, list[Delay]] = {}
        self._stop, self._again = threading.Event(), threading.Event()
        works = (self._look, self._read, self._examine, self._time)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    @property
    def signals(self) -> list[FoundStream]:
        """Streams that may be the signal, by what is expected."""
        name, source_id = self.expected.stream, self.expected.source_id
        named = [one for one in self.streams if one.is_signal and name in (None, one.name)]
        return [one for one in named if source_id in (None, "", one.source_id)]

    @property
    def signal(self) -> FoundStream | None:
        """The signal, where it is clear which it is."""
        found = self.signals
        return found[0] if len(found) == 1 else None

    @property
    def markers(self) -> FoundStream | None:
        """The stream of markers."""
        name, source_id = self.expected.markers, self.expected.markers_id
        named = [one for one in self.streams if one.is_markers and one.name == name]
        return next((one for one in named if source_id in (None, "", one.source_id)), None)

    def look_again(self) -> None:
        """Check everything anew."""
        self._again.set()

    def close(self) -> None:
        """End the threads; safe to call twice."""
        self._stop.set()
        deadline = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._network.close()

    def checks(self) -> tuple[Check, ...]:
        """All checks as they stand, the most urgent first."""
        expected, streams, reading = self.expected, self.streams, self.reading
        made = [self._check_signal(), *self._of_signal(reading), self._check_markers(reading)]
        used = [one for one in (self.signal, self.markers) if one is not None]
        made += [reach.check_clocks(used), reach.check_names(streams, expected)]
        if self._disk is not None:
            made.append(machine.check_disk(self._disk, expected, self._bytes_per_s()))
        if self._lsl is not None:
            made += [
                reach.check_reach(self.signal, self._lsl),
                reach.check_ports(streams, self._lsl),
            ]
        return in_order([*made, *self._of_machine.values()])

    def _of_signal(self, reading: SignalReading | None) -> Iterator[Check]:
        signal = self.signal
        if reading is None or signal is None:
            waits = "checking" if signal is not None and not self._problem else "unchecked"
            for key in OF_SIGNAL:
                yield judge(key, "checking" if waits == "checking" else "unchecked", waits)
            return
        yield check_unit(reading, self.expected, signal.unit)
        yield check_mains(reading, self.expected)
        yield check_rate(reading)
        yield check_contacts(reading)
        measured = self._delays.get(_delay_job(reading, self.expected.mode), [])
        best = min(measured, key=lambda one: one.step_s, default=None)
        yield check_delay(best, self.expected.mode, reading.transport_s)

    def _check_signal(self) -> Check:
        found, signal, reading = self.signals, self.signal, self.reading
        named = self.expected.stream or ""
        if signal is None and time.monotonic() - self._began_s < _SETTLED_S:
            return judge("signal", "checking", "wait")
        if len(found) > 1:
            names = list_words(
                [f"{one.name} ({one.source_id}, on {one.host})" for one in found], _LISTED
            )
            return judge("signal", "fix", "several", names=names)
        if signal is None:
            case = "gone" if named else "none"
            hint = reach.search_hint(self._lsl.config if self._lsl else None)
            return judge("signal", "fix", case, name=named, hint=hint)
        if self._problem and reading is None:
            return judge("signal", "fix", "problem", name=signal.name, why=self._problem)
        if reading is None:
            return judge("signal", "checking", "wait")
        words: Words = {
            "name": signal.name,
            "contacts": reading.n_contacts,
            "rate": f"{signal.sfreq_hz:g}",
        }
        if reading.silent_s > _SILENT_S:
            return judge("signal", "fix", "silent", seconds=f"{reading.silent_s:.0f}", **words)
        if reading.clock_reason:
            return judge("signal", "look", "stamps", why=reading.clock_reason, **words)
        return judge("signal", "fine", "there", **words)

    def _check_markers(self, reading: SignalReading | None) -> Check:
        expected = self.expected
        if expected.trigger:
            codes = None if reading is None else (reading.codes or {}).get(expected.trigger)
            name = expected.trigger
            if codes is None:
                state = "checking" if reading is None and self.signal is not None else "fix"
                case = "wait" if state == "checking" else "no_channel"
                return judge("markers", "checking" if case == "wait" else "fix", case, name=name)
        elif expected.markers:
            stream, name = self.markers, expected.markers
            if stream is None or stream.problem:
                if time.monotonic() - self._began_s < _SETTLED_S:
                    return judge("markers", "checking", "wait", name=name)
                why = "" if stream is None else stream.problem
                return judge("markers", "fix", "unread" if why else "gone", name=name, why=why)
            codes = stream.codes
        else:
            return judge("markers", "unchecked", "none")
        if not codes:
            return judge("markers", "look", "unheard", name=name)
        return judge("markers", "fine", "received", name=name, codes=list_words(sorted(codes), 6))

    # What follows runs in threads.

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            self.streams = self._network.look()
            self.looked_s = time.monotonic()

    def _read(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            signal = self.signal
            info = None if signal is None else self._network.info(signal.uid)
            if signal is None or info is None:
                self.reading, self._problem = None, ""
                continue
            try:
                self._measure(signal.uid, info, self.expected.trigger)
            except RtbrainError as error:
                self.reading, self._problem = None, str(error)
                self._stop.wait(_READ_EVERY_S)

    def _measure(self, uid: str, info: object, trigger: str | None) -> None:
        """Read one signal until another is meant."""
        source = LslSource(info, triggers=[trigger] if trigger else ())
        meter = SignalMeter(source.montage, trigger)
        delays: deque[float] = deque(maxlen=100)
        lost: deque[int] = deque([0], maxlen=round(_LOST_OVER_S / _READ_EVERY_S) + 1)
        at_least = max(1, round(_PIECE_S * source.montage.sfreq_hz))
        came_s = time.monotonic()
        read_at = came_s + _READ_EVERY_S
        try:
            while not self._stop.is_set():
                chunk = source.pull(_PULL_S, at_least)
                now = time.monotonic()
                if chunk is not None and chunk.n_samples:
                    came_s = now
                    delays.append(lsl_clock() - float(chunk.timestamps[-1]))
                    meter.add(chunk)
                if now < read_at:
                    continue
                read_at = now + _READ_EVERY_S
                report = source.counter.report
                lost.append(report.lost)
                self.reading = replace(
                    meter.reading(),
                    report=report,
                    lost=lost[-1] - lost[0],
                    clock_reason=source.counter.clock.reason,
                    transport_s=float(np.median(delays)) if delays else float("nan"),
                    silent_s=now - came_s,
                )
                self._problem = ""
                meant = self.signal
                if meant is None or meant.uid != uid or self.expected.trigger != trigger:
                    return
        finally:
            source.close()

    def _examine(self) -> None:
        """Look at the machine, each thing in its own rhythm."""
        psutil.cpu_percent()
        due = {
            self._look_at_disk: (_DISK_EVERY_S, 0.0),
            self._look_at_network: (_NETWORK_EVERY_S, 0.0),
            self._look_at_rest: (_SLOW_EVERY_S, 0.0),
            self._look_at_computer: (_COMPUTER_EVERY_S, time.monotonic() + _LOAD_OVER_S),
        }
        while not self._stop.wait(_LOOK_EVERY_S):
            if self._again.is_set():
                self._again.clear()
                self._network.again()
                self._delays = {}
                due = {work: (every_s, 0.0) for work, (every_s, _) in due.items()}
            for work, (every_s, at_s) in due.items():
                if time.monotonic() >= at_s:
                    work()
                    due[work] = (every_s, time.monotonic() + every_s)

    def _look_at_disk(self) -> None:
        self._disk = machine.measure_disk(self.expected.folder)

    def _look_at_network(self) -> None:
        config = reach.lsl_config()
        ports, outside = reach.used_ports(config), reach.outside_addresses()
        self._lsl = reach.LslHere(config, ports, outside, reach.firewall_state())

    def _look_at_computer(self) -> None:
        self._note(machine.check_computer(psutil.cpu_percent()))

    def _look_at_rest(self) -> None:
        self._note(machine.check_time(), machine.check_versions(), machine.check_gpu())
        self._note(reach.check_lsl(reach.lsl_config()))

    def _note(self, *checks: Check) -> None:
        self._of_machine = {**self._of_machine, **{one.key: one for one in checks}}

    def _time(self) -> None:
        """Measure how long a decode takes, in a process of its own."""
        while not self._stop.wait(_LOOK_EVERY_S):
            reading = self.reading
            if reading is None or not contact_rows(reading.montage):
                continue
            job = _delay_job(reading, self.expected.mode)
            known = self._delays.get(job, [])
            late = (
                bool(known)
                and not known[-1].problem
                and check_delay(min(known, key=lambda one: one.step_s), job.mode, 0.0).state
                == "fix"
            )
            # Other work slows a measurement, and nothing makes one faster than the decoder is.
            if known and not (late and len(known) < _MAX_MEASUREMENTS):
                continue
            process, end = start_measuring(job), time.monotonic() + _LONGEST_DELAY_S
            printed: bytes | None = None
            while printed is None and time.monotonic() < end and not self._stop.is_set():
                with suppress(subprocess.TimeoutExpired):
                    printed, _ = process.communicate(timeout=_LOOK_EVERY_S)
            if printed is None:
                process.kill()
                process.communicate()
            unknown = Delay(problem=say("doctor.delay.too_long", seconds=f"{_LONGEST_DELAY_S:g}"))
            self._delays[job] = [*known, unknown if printed is None else read_delay(printed)]

    def _bytes_per_s(self) -> float:
        signal = self.signal
        if signal is None:
            return 0.0
        return signal.sfreq_hz * (_STAMP_BYTES + _VALUE_BYTES * signal.n_channels)


def _delay_job(reading: SignalReading, mode: str) -> DelayJob:
    rows = contact_rows(reading.montage)
    names, kinds = reading.montage.names, reading.montage.kinds
    return DelayJob(
        mode,
        tuple(names[row] for row in rows),
        tuple(kinds[row] for row in rows),
        reading.montage.sfreq_hz,
    )


def examine(expected: Expected, within_s: float) -> tuple[Check, ...]:
    """All checks once: as soon as none is under way, or after so many seconds."""
    doctor = Doctor(expected)
    try:
        end = time.monotonic() + within_s
        while True:
            checks = doctor.checks()
            waits = [one for one in checks if one.state == "checking"]
            known = {one.key for one in checks} >= {"disk", "ports", "time", "computer"}
            if known and not waits:
                return checks
            if time.monotonic() >= end:
                return in_order(_not_done(one, within_s) for one in checks)
            time.sleep(_LOOK_EVERY_S)
    finally:
        doctor.close()


def _not_done(check: Check, within_s: float) -> Check:
    if check.state != "checking":
        return check
    # A signal that did not answer in all that time must not pass for one that is fine.
    state: State = "fix" if check.key == "signal" else "unchecked"
    finding = say("doctor.no_time", seconds=f"{within_s:g}")
    return replace(check, state=state, finding=finding, advice=say("doctor.no_time_advice"))
