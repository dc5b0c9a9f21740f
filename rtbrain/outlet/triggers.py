"""Triggers: the gate between detections and what acts on the world, closed until it is armed."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Protocol

import pylsl

from rtbrain.config import OscSettings, OutputSettings, SerialSettings, UdpSettings
from rtbrain.errors import OutputError, RtbrainError, SettingsError, list_words, quote
from rtbrain.outlet.datagrams import open_osc, open_udp
from rtbrain.outlet.serial_port import open_serial
from rtbrain.outlet.trigger_log import TriggerLog, TriggerRow
from rtbrain.outlet.trigger_worker import Job, TriggerOutput, Worker
from rtbrain.stage import Sink
from rtbrain.types import Detection, Quality

_ARM_S = 6.0
# A session that gives no sign of life for so long hangs, or its process stood still.
_MAX_SILENCE_S = 2.0
# Stamps may lie in the future by the error of a sender's clock; beyond it, time has stepped back.
_MAX_AHEAD_S = 1.0


class DecisionLog(Sink[TriggerRow], Protocol):
    """Where every decision is written down."""

    def note(self, about: Mapping[str, object], /) -> None:
        """Write down what is no decision, as a change of a threshold."""
        ...

    def move(self, path: Path, /) -> None:
        """Write what comes from now on into another file."""
        ...


class Triggers:
    """Sink of detections that sends those that fire while it is armed, and logs every one.

    It is armed by `arm` only. It disarms itself where an output fails, where decodes were invalid
    for longer than `disarm_after_s`, and where the session gives no sign of life; while decodes
    are invalid nothing is sent. With `at_events` decodes come with events, and the silence between
    two of them is no invalid time. Each output has its own thread and queue: a receiver that is
    slow or absent delays no decode, and no other output.

    Attributes
    ----------
    armed : bool
        Whether triggers are sent.
    reason : str
        Why it is disarmed; empty where it is armed.
    n_sent, n_suppressed : int
        Triggers that left, and decisions of which nothing left, counted per output.
    """

    def __init__(
        self,
        outputs: Sequence[TriggerOutput],
        log: DecisionLog | None,
        report: Callable[..., None],
        *,
        disarm_after_s: float = 5.0,
        at_events: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self.report, self._clock = log, report, clock
        self._disarm_after_s, self._at_events = disarm_after_s, at_events
        self._lock, self._arming, self._reporting = Lock(), Lock(), Lock()
        self._changes: deque[tuple[str, dict[str, object]]] = deque()  # to be reported
        self._turn = self._n_armed = self._n_disarmed = 0
        self._number = 0
        self._t_last: dict[str, float] = {}  # t_stop of the last trigger of each label
        self._invalid = "no decode yet"
        self._t_invalid = self._t_decode = self._t_alive = clock()
        self._arm_at_valid = ""
        self.reason = "not armed yet"
        self.n_sent = self.n_suppressed = 0
        self._workers = [Worker(output, self) for output in outputs]

    @property
    def armed(self) -> bool:
        """Whether triggers are sent."""
        return self._turn > 0

    @property
    def turn(self) -> int:
        """Number of the arming; 0 while disarmed."""
        return self._turn

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(worker.output.name for worker in self._workers)

    def status(self) -> dict[str, object]:
        """Answer to those who ask, for JSON."""
        return {
            "armed": self.armed,
            "reason": self.reason,
            "outputs": list(self.outputs),
            "sent": self.n_sent,
            "suppressed": self.n_suppressed,
        }

    def arm(self, by: str, since: int | None = None) -> None:
        """Send triggers from now on; returns once every output is ready.

        A `disarm` that comes meanwhile wins. Raises an OutputError, and stays disarmed, where there
        is no output, no valid decode, or an output that is not ready; `since` is the number of
        disarmings at which it was asked for.
        """
        since = self._n_disarmed if since is None else since
        if not self._workers:
            raise OutputError("not armed: no output is set: see outputs in the settings")
        if self._invalid:
            raise OutputError(f"not armed: no valid decode: {self._invalid}")
        with self._arming:
            with self._lock:
                if self._turn:
                    return
            why = self._ready()
            with self._lock:
                why = why or self._invalid
                if since != self._n_disarmed:
                    why = "it was disarmed meanwhile"
                if not why:
                    self._n_armed += 1
                    self._turn, self.reason = self._n_armed, ""
                    armed: dict[str, object] = {"by": by, "outputs": list(self.outputs)}
                    self._changes.append(("armed", armed))
            if why:
                self._wake()
                raise OutputError(f"not armed: {why}")
        self._report_changes()

    def arm_soon(self, by: str) -> None:
        """Arm in a thread of its own, and report it if that fails."""
        since = self._n_disarmed
        threading.Thread(target=self._arm_or_report, args=(by, since), daemon=True).start()

    def arm_when_valid(self, by: str) -> None:
        """Arm at the first valid decode, unless it is disarmed before."""
        self._arm_at_valid = by

    def disarm(self, reason: str) -> None:
        """Send nothing more, at once: what waits is dropped, a pulse is cut short."""
        with self._lock:
            was, self._turn = self._turn, 0
            self._n_disarmed += 1  # an arming under way fails
            pending, self._arm_at_valid = self._arm_at_valid, ""
            if was or pending:
                self.reason = reason
                self._changes.append(("disarmed", {"reason": reason}))
        self._wake()
        self._report_changes()

    def observe(self, quality: Quality) -> None:
        """Take the quality of the newest decode, which is seen before its detections."""
        self._t_decode = self._clock()
        if quality.valid:
            self._invalid = ""
            if self._arm_at_valid:
                by, self._arm_at_valid = self._arm_at_valid, ""
                self.arm_soon(by)
            return
        if not self._invalid:
            self._t_invalid = self._t_decode
        self._invalid = quality.reason or "a decode is invalid"
        self.check()

    def alive(self) -> None:
        """Take a sign of life of the session; due at least every 2 s."""
        self.check()  # whoever stood still longer than that is disarmed before all else
        self._t_alive = self._clock()

    def check(self) -> None:
        """Disarm where that is due."""
        if not self._turn:
            return
        now = self._clock()
        known = self._t_decode if self._at_events else now
        if self._invalid and known - self._t_invalid >= self._disarm_after_s:
            self.disarm(f"no valid decode for {self._disarm_after_s:g} s: {self._invalid}")
        elif now - self._t_alive > _MAX_SILENCE_S:
            self.disarm(f"the decoder stood still for more than {_MAX_SILENCE_S:g} s")

    def push(self, item: Detection) -> None:
        """Send a detection to every output, or log why not; returns at once."""
        self.check()
        turn, t_last = self._turn, self._t_last.get(item.label, -math.inf)
        why = item.suppressed
        if t_last > float(pylsl.local_clock()) + _MAX_AHEAD_S:
            t_last = -math.inf  # time has stepped back
        if not why:
            self._t_last[item.label] = max(item.t_stop, t_last)
            if not self._workers:
                why = "no output is set"
            elif item.t_stop <= t_last:
                why = "a trigger of this moment was decided before"
            elif self._invalid:
                why = f"no valid decode: {self._invalid}"
            elif not turn:
                why = f"disarmed: {self.reason}"
        if why:
            self.enter(TriggerRow(None, item, suppressed=why))
            return
        self._number += 1
        for worker in self._workers:
            job = Job(item, self._number, turn, time.monotonic())
            if why := worker.put(job):
                self.enter(TriggerRow(self._number, item, worker.output.name, why))

    def close(self) -> None:
        """Disarm, bring every output to rest and release it, close the log; safe to call twice."""
        self.disarm("the session ended")
        for worker in self._workers:
            worker.end()
        if self._log is not None:
            self._log.close()

    def _ready(self) -> str:
        """Arm each output: why one is not, else nothing."""
        for order in [worker.order() for worker in self._workers]:
            if not order.done.wait(_ARM_S):
                return "an output does not answer"
            if order.error is not None:
                return str(order.error)
        return ""

    def enter(self, row: TriggerRow) -> None:
        """Count and log what came of a decision."""
        with self._lock:
            if math.isfinite(row.t_sent):
                self.n_sent += 1
            else:
                self.n_suppressed += 1
        if self._log is not None:
            self._log.push(row)

    def note(self, about: Mapping[str, object]) -> None:
        """Log what is no decision, as a change of a threshold."""
        if self._log is not None:
            self._log.note(about)

    def move_log(self, path: Path) -> None:
        """Log into another file from now on, where the recording goes on in another."""
        if self._log is not None:
            self._log.move(path)

    def _report_changes(self) -> None:
        """Report what has changed, in that order; a thread that is at it reports it for others."""
        while self._changes and self._reporting.acquire(blocking=False):
            try:
                while self._changes:
                    event, fields = self._changes.popleft()
                    self.report(event, **fields)
            finally:
                self._reporting.release()

    def _wake(self) -> None:
        for worker in self._workers:
            worker.wake()

    def _arm_or_report(self, by: str, since: int) -> None:
        try:
            self.arm(by, since)
        except RtbrainError as error:
            self._changes.append(("disarmed", {"reason": str(error)}))
            self._report_changes()


def _open(settings: OscSettings | UdpSettings | SerialSettings) -> TriggerOutput:
    if isinstance(settings, OscSettings):
        return open_osc(settings)
    return open_udp(settings) if isinstance(settings, UdpSettings) else open_serial(settings)


def open_triggers(
    settings: OutputSettings,
    name: str,
    labels: Sequence[str],
    report: Callable[..., None],
    *,
    log: Path | None = None,
    bundle_id: str = "",
    at_events: bool = False,
) -> Triggers:
    """Open the outputs of a session, disarmed, and its log.

    Raises an RtbrainError, with nothing left open, where an output or the log cannot be opened, or
    a code is that of an unknown label.
    """
    codes = settings.serial.codes if settings.serial is not None else {}
    if unknown := [quote(label) for label in codes if label not in labels]:
        raise SettingsError(
            f"outputs.serial.codes: {list_words(unknown)}: expected labels of the decoder, which "
            f"are {list_words([quote(label) for label in labels])}"
        )
    with ExitStack() as opened:
        outputs: list[TriggerOutput] = []
        for wanted in (settings.osc, settings.udp, settings.serial):
            if wanted is not None:
                outputs.append(_open(wanted))
                opened.callback(outputs[-1].close)
        rows = TriggerLog(name, log, report, bundle_id=bundle_id)
        opened.pop_all()
    return Triggers(
        outputs, rows, report, disarm_after_s=settings.disarm_after_s, at_events=at_events
    )
