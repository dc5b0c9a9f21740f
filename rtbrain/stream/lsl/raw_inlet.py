"""Every sample of the LSL streams to record, as its sender made it.

Stamps stay those of the sender; the offsets of its clock are recorded beside them, for a
reader maps the clocks onto one another by all measurements of the session.
"""

import ctypes
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pylsl
from pylsl.lib import lib
from pylsl.util import LostError

from rtbrain.errors import MontageError, StreamError, StreamLostError, quote
from rtbrain.stream.lsl.header import StreamHeader, read_header
from rtbrain.stream.lsl.inlet import (
    ANSWER_S,
    Heartbeat,
    fetch_full_info,
    liblsl_errors,
    lost_stream_error,
    make_inlet,
)
from rtbrain.stream.lsl.resolve import StreamSummary, resolve_again, stream_summary
from rtbrain.types import CONTACT_KINDS, Times

_BUFFER_S = 360
# liblsl makes room for all of them at once, 16 bytes each.
_BUFFER_SAMPLES = 4_000_000
_PULL_S = 0.05
_PULL_BYTES = 4 * 1024**2
_PULL_SAMPLES = 8192
_OFFSET_EVERY_S = 5.0
_LOOK_EVERY_S = 1.0
# What waits for a recorder that does nothing; liblsl's own queue then holds what comes.
_MAX_EVENTS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class RawHeader:
    """The stream is connected; its samples follow."""

    xml: bytes
    signal: StreamHeader | None = None  # None of a stream that is no signal


@dataclass(frozen=True, slots=True, eq=False)
class RawSamples:
    """Samples as they came: [n_samples, n_channels], bytes objects where they are strings."""

    values: npt.NDArray[Any]
    stamps: Times  # float64 [n_samples], s, clock of the sender


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """What to add to the sender's stamps, s, as measured at a time on our LSL clock, s."""

    time_s: float
    offset_s: float


@dataclass(frozen=True, slots=True)
class RawInletLost:
    """The stream has gone, or did not answer; it is connected to again when it is back."""

    reason: str


@dataclass(frozen=True, slots=True)
class RawInletRefused:
    """The stream cannot be recorded."""

    reason: str


RawInletEvent = RawHeader | RawSamples | ClockOffset | RawInletLost | RawInletRefused
# Samples that came, if any, and whether the stream has gone.
_Pull = Callable[[Any], tuple[RawSamples | None, bool]]


class RawInlet:
    """One run of one sender, read in a thread of its own until it ends.

    All that may block in liblsl blocks this thread alone. It waits inside liblsl's pull, for an
    inlet that has lost its stream drops all that it still holds: so at most the chunk
    that a sender pushed in the last half millisecond of its life is missed (measured; polled
    every 0.1 s, all since the last poll would be).

    In `events` come a `RawHeader`, then `RawSamples` and each 5 s a `ClockOffset`, at last
    `RawInletLost`; or `RawInletLost` or `RawInletRefused` alone. One on `standby` leaves its
    samples to liblsl until `read` is called, and `waits_s` is when the first of them was there;
    of an irregular stream, when its sender answered.
    """

    def __init__(self, found: Any, *, standby: bool = False) -> None:
        self.row: StreamSummary = stream_summary(found)
        self.events: queue.Queue[RawInletEvent] = queue.Queue(_MAX_EVENTS)
        self._regular = self.row.sfreq_hz > 0
        # When samples came last; of an irregular stream, when they or an answer did.
        self.last_s = time.monotonic() if self._regular else math.inf
        self.waits_s: float | None = None
        self._reading = threading.Event()
        if not standby:
            self._reading.set()
        self._found = found
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rtbrain-inlet", daemon=True)
        self._thread.start()

    def read(self) -> None:
        """Read from now on what has waited, and what follows."""
        self._reading.set()

    def end(self) -> None:
        """Ask the thread to end; it does within a pull, 0.05 s, or an answer of the sender."""
        self._stop.set()

    @property
    def ended(self) -> bool:
        """Whether `end` was called and the thread has ended."""
        return self._stop.is_set() and not self._thread.is_alive()

    def join(self, within_s: float) -> None:
        """Wait for the thread's end, but no longer than that."""
        self._thread.join(within_s)

    def _work(self) -> None:
        if self.row.n_channels < 1:
            reason = f"stream {quote(self.row.name)} has 0 channels: nothing to record"
            self._report(RawInletRefused(reason))
            return
        if not self._reading.is_set():  # the address may be another by now
            self._found = resolve_again(self._found) or self._found
        try:
            with liblsl_errors(self._found, "open its data connection", ANSWER_S):
                inlet = make_inlet(
                    self._found, _buffer_length(self.row), pylsl.proc_none, as_numpy=True
                )
                info = fetch_full_info(inlet, self._found, ANSWER_S)
                inlet.open_stream(ANSWER_S)
                self._report(RawHeader(lib.lsl_get_xml(info.obj), _signal_header(info)))
                self._read(inlet)
        except StreamLostError as error:
            self._report(RawInletLost(str(error)))
        except StreamError as error:
            self._report(RawInletRefused(str(error)))

    def _read(self, inlet: Any) -> None:
        pull: _Pull = _pull_strings if inlet.np_dtype is None else _NumericPull(inlet)
        heart = Heartbeat()
        while not self._stop.is_set() and not self._reading.wait(_PULL_S):
            if self.waits_s is None and (
                inlet.samples_available() if self._regular else heart.look(inlet)
            ):
                self.waits_s = time.monotonic()
        due = look_at = time.monotonic()
        came_s = -math.inf
        while True:
            samples, gone = pull(inlet)
            if samples is not None:
                self.last_s = came_s = time.monotonic()
                self._report(samples)
            if gone:
                raise lost_stream_error(self.row.name, self.row.source_id)
            if self._stop.is_set():
                return
            if (now := time.monotonic()) < look_at:
                continue
            measured = heart.look(inlet)
            look_at = now if measured is None else now + _LOOK_EVERY_S
            if not self._regular:
                self.last_s = max(came_s, heart.last_s)
            # A first measurement takes liblsl 1 s.
            if now >= due and measured is not None:
                self._report(ClockOffset(pylsl.local_clock(), measured[0]))
                due = now + _OFFSET_EVERY_S

    def _report(self, event: RawInletEvent) -> None:
        while not self._stop.is_set():
            try:
                self.events.put(event, timeout=_PULL_S)
            except queue.Full:
                continue
            return
        # The last samples are still wanted, if there is room for them.
        if not self.events.full():
            self.events.put(event)


def _signal_header(info: Any) -> StreamHeader | None:
    """Header of a stream that has contacts; None of any other."""
    try:
        header = read_header(info)
    except (StreamError, MontageError):
        return None
    return header if CONTACT_KINDS & set(header.montage.kinds) else None


class _NumericPull:
    """Pulls numbers; keeps those that a pull had in hand when the stream was lost.

    pylsl's own call drops them with the exception.
    """

    def __init__(self, inlet: Any) -> None:
        per_sample = inlet.channel_count * np.dtype(inlet.np_dtype).itemsize
        n_samples = min(max(1, _PULL_BYTES // per_sample), _PULL_SAMPLES)
        self._values = np.empty((n_samples, inlet.channel_count), inlet.np_dtype)
        self._stamps = np.empty(n_samples)

    def __call__(self, inlet: Any) -> tuple[RawSamples | None, bool]:
        # No sample has the stamp 0 in liblsl, so other stamps show what it wrote.
        self._stamps[:] = 0.0
        code = ctypes.c_int()
        inlet.do_pull_chunk(
            inlet.obj,
            ctypes.c_void_p(self._values.ctypes.data),
            ctypes.c_void_p(self._stamps.ctypes.data),
            ctypes.c_size_t(self._values.size),
            ctypes.c_size_t(self._stamps.size),
            ctypes.c_double(_PULL_S),
            ctypes.byref(code),
        )
        n_samples = int(np.count_nonzero(self._stamps))
        gone = code.value != 0
        if not n_samples:
            return None, gone
        return RawSamples(self._values[:n_samples].copy(), self._stamps[:n_samples].copy()), gone


def _pull_strings(inlet: Any) -> tuple[RawSamples | None, bool]:
    rows: list[npt.NDArray[Any]] = []
    stamps: list[float] = []
    gone = False
    try:
        # One by one: a chunk of strings is dropped whole where the stream is lost meanwhile.
        row, stamp = inlet.pull_sample(timeout=_PULL_S)
        while stamp:
            rows.append(row)
            stamps.append(stamp)
            if len(rows) == _PULL_SAMPLES:
                break
            row, stamp = inlet.pull_sample(timeout=0.0)
    except LostError:
        gone = True
    return (RawSamples(np.stack(rows), np.array(stamps)) if rows else None), gone


def _buffer_length(row: StreamSummary) -> int:
    """In s, or hundreds of samples of an irregular stream."""
    if row.sfreq_hz <= 0:
        return _BUFFER_S
    return max(1, min(_BUFFER_S, int(_BUFFER_SAMPLES / row.sfreq_hz)))
