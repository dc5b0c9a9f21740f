"""The thread and the queue of one output, which alone talks to it."""

import math
import queue
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

import pylsl

from rtbrain.errors import OutputError
from rtbrain.outlet.trigger_log import TriggerRow
from rtbrain.types import Detection

_BEAT_S, _AGAIN_S = 0.1, 1.0
_END_S = 1.0
_MAX_WAITING = 64
# What waited longer than that for its output is late, and no longer sent.
_MAX_WAIT_S = 0.25


@dataclass(frozen=True, slots=True)
class Sent:
    """A trigger that left, as an output knows of it."""

    t_sent: float
    """When it had been written, s on the LSL clock."""
    acknowledged: bool | None = None
    """Whether the receiver said that it has it; None where that cannot be known."""
    error: OutputError | None = None
    """What failed after it had left."""


class UnsureError(OutputError):
    """What was written may have left, or may still leave."""


class TriggerOutput(Protocol):
    """Something that acts on the world; one thread of its own calls all but `close`."""

    name: str
    labels: Collection[str] | None
    """Labels that it takes; None: all."""
    t_free: float
    """When it can take the next trigger, s of `time.monotonic`."""

    def arm(self) -> None:
        """Be ready, and low; raises an OutputError where it cannot."""
        ...

    def send(self, item: Detection, number: int, cut: Event) -> Sent:
        """Send a trigger once, no longer than until `cut`; an OutputError where nothing left."""
        ...

    def beat(self) -> None:
        """Give a sign of life, ten times a second while armed; an OutputError where it is lost."""
        ...

    def rest(self) -> None:
        """Be low at once, and disarmed; an OutputError where that is not certain."""
        ...

    def close(self) -> None:
        """Be low, and release the device; safe to call twice."""
        ...


@dataclass(slots=True)
class Order:
    """A request to arm, and its answer."""

    done: Event = field(default_factory=Event)
    error: OutputError | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A trigger to send."""

    detection: Detection
    number: int
    turn: int  # of the arming under which it was decided
    t_put: float


class Gate(Protocol):
    """What a worker needs of the gate."""

    reason: str

    @property
    def turn(self) -> int:
        """Number of the arming; 0 while disarmed."""
        ...

    def check(self) -> None:
        """Disarm where that is due."""
        ...

    def disarm(self, reason: str) -> None:
        """Send nothing more, at once."""
        ...

    def enter(self, row: TriggerRow) -> None:
        """Count and log what came of a job."""
        ...

    def report(self, event: str, **fields: object) -> None:
        """Report a status event."""
        ...


class Worker:
    """The thread of one output, which alone talks to it."""

    def __init__(self, output: TriggerOutput, gate: Gate) -> None:
        self.output, self._gate = output, gate
        self._jobs: queue.Queue[Job | Order | None] = queue.Queue(_MAX_WAITING)
        self._cut, self._ending = Event(), Event()
        self._up = False  # armed, so that it must be brought to rest
        self._stuck = False  # it could not be brought to rest
        self._t_next = 0.0  # when the next sign of life is due, or it is tried to go low again
        self._reported = False
        self._thread = threading.Thread(
            target=self._run, name=f"rtbrain-{output.name}", daemon=True
        )
        self._thread.start()

    def put(self, job: Job) -> str:
        """Queue a job: why it is not, else nothing."""
        if self.output.labels is not None and job.detection.label not in self.output.labels:
            return f"no code for {job.detection.label}"
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return f"dropped: {_MAX_WAITING} triggers wait for this output"
        return ""

    def order(self) -> Order:
        """Ask it to arm."""
        order = Order()
        self._cut.clear()
        try:
            self._jobs.put_nowait(order)
        except queue.Full:
            order.error = OutputError(f"{self.output.name} is busy")
            order.done.set()
        return order

    def wake(self) -> None:
        """Have it look whether it is still armed, whatever it is doing."""
        self._cut.set()
        with suppress(queue.Full):  # it is awake, then
            self._jobs.put_nowait(None)

    def end(self) -> None:
        """Bring the output to rest and release it."""
        self._ending.set()
        self.wake()
        self._thread.join(_END_S)
        self.output.close()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            if self._up or self._stuck:
                self._rest()
            if not self._ending.is_set():
                self._gate.disarm(f"{self.output.name}: its thread has ended")

    def _work(self) -> None:
        while not self._ending.is_set():
            try:
                item = self._jobs.get(timeout=_BEAT_S)
            except queue.Empty:
                item = None
                self._gate.check()
            if self._up and self._cut.is_set():
                self._rest()
            if isinstance(item, Order):
                self._arm(item)
            elif isinstance(item, Job):
                self._send(item)
            # Also between triggers, which must not keep it from a sign of life.
            if self._up and time.monotonic() >= self._t_next:
                self._beat()
            elif self._stuck and time.monotonic() >= self._t_next:
                self._rest()

    def _arm(self, order: Order) -> None:
        try:
            self._up, self._stuck, self._t_next = True, False, 0.0
            self.output.arm()
        except OutputError as error:
            order.error = error
        order.done.set()

    def _send(self, job: Job) -> None:
        name, why = self.output.name, ""
        waited_s = max(time.monotonic(), self.output.t_free) - job.t_put
        if job.turn == self._gate.turn and waited_s <= _MAX_WAIT_S:
            self._await_turn()
        if job.turn != self._gate.turn:
            why = f"disarmed before it left: {self._gate.reason}"
        elif waited_s > _MAX_WAIT_S:
            why = f"late: it would leave {waited_s:.2f} s after its decision"
        if why:
            self._gate.enter(TriggerRow(job.number, job.detection, name, why))
            return
        try:
            sent = self.output.send(job.detection, job.number, self._cut)
        except UnsureError as error:
            sent = Sent(float(pylsl.local_clock()), None, error)
        except OutputError as error:
            self._gate.enter(TriggerRow(job.number, job.detection, name, f"failed: {error}"))
            self._gate.disarm(str(error))
            return
        known, t_done = sent.acknowledged, float(pylsl.local_clock())
        t_known = t_done if known else math.nan
        row = TriggerRow(job.number, job.detection, name, "", sent.t_sent, known, t_known)
        self._gate.enter(row)
        if sent.error is not None:
            self._gate.disarm(str(sent.error))
        if known is not False:
            self._reported = False
        elif not self._reported:
            self._reported = True
            self._gate.report("output_failed", output=name, reason="nobody received the trigger")

    def _await_turn(self) -> None:
        """Wait until the output can take the next trigger, with the signs of life that are due."""
        while (wait_s := self.output.t_free - time.monotonic()) > 0:
            due_s = self._t_next - time.monotonic()
            if due_s <= 0:
                self._beat()
            elif self._cut.wait(min(wait_s, due_s)):
                return

    def _rest(self) -> None:
        """Bring it to rest; where that fails, it is tried again, and reported once."""
        self._up, self._t_next = False, time.monotonic() + _AGAIN_S
        was_stuck, self._stuck = self._stuck, False
        try:
            self.output.rest()
        except OutputError as error:
            self._stuck = True
            if not was_stuck:
                self._gate.report("output_failed", output=self.output.name, reason=str(error))

    def _beat(self) -> None:
        self._t_next = time.monotonic() + _BEAT_S
        try:
            self.output.beat()
        except OutputError as error:
            if self._gate.turn:  # else it is being armed, and will say so once more
                self._gate.disarm(str(error))
