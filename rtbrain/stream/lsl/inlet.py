"""Inlets of LSL streams, connected to with time limits, and a live signal as a Source.

Markers are stamped on this machine's LSL clock by liblsl (`clocksync`); a signal's stamps are
mapped by its `SampleCounter`, since liblsl's offsets are as bad as the link. liblsl's dejitter
stays off: after an overflow it dates samples up to seconds wrong. Its silent recovery
stays off too: it accepts a stream of another rate with other labels. A lost stream is an error
here, and the supervised source looks for it again.
"""

import ctypes
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import psutil
import pylsl
from pylsl.lib import lib
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeoutError

from rtbrain.errors import SettingsError, StreamLostError, quote
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.header import (
    channel_texts,
    code_factors,
    read_header,
    require_plausible_stream,
)
from rtbrain.stream.triggers import is_one_hot, marker_texts, parse_trigger
from rtbrain.stream_names import same_rate
from rtbrain.types import Chunk, Floats, Montage, Times, empty_chunk
from rtbrain.units import keep_codes, to_microvolts

ANSWER_S = 3.0
# After this, two of liblsl's questions were not answered, see `Heartbeat`.
UNANSWERED_S = 5.0
_CHUNK_S = 0.25
_BUFFER_S = 30
_MEASURE_EVERY_S = 1.0  # liblsl itself does so every 2 s
_MAX_TEXT_BYTES = 65536
_MAX_TEXTS = 1024


def lsl_clock() -> float:
    """Seconds on this machine's LSL clock, the one of every time stamp."""
    return float(pylsl.local_clock())


@contextmanager
def liblsl_errors(found: Any, what: str, timeout_s: float = 0.0) -> Iterator[None]:
    """Turn whatever pylsl raises about a stream into a StreamLostError."""
    try:
        yield
    except LostError as error:
        raise lost_stream_error(found.name(), found.source_id()) from error
    except LslTimeoutError as error:
        raise StreamLostError(
            f"stream {quote(found.name())} did not {what} within {timeout_s:g} s: "
            "is a firewall between this machine and the sender?"
        ) from error
    except RuntimeError as error:  # liblsl has no room, no socket, or a fault of its own
        raise StreamLostError(
            f"stream {quote(found.name())} cannot be received now: {error}"
        ) from error


def make_inlet(
    found: Any,
    max_buffer: int,
    flags: int = pylsl.proc_clocksync,
    *,
    as_numpy: bool = False,
    recover: bool = False,
) -> Any:
    """Inlet that raises when the stream is lost; by default its stamps are on this machine's clock.

    One that is to recover looks for its stream instead, where that has a source_id.
    `max_buffer` limits what waits unread: seconds, or hundreds of samples of an irregular stream. A
    StreamError where the stream claims what no sender sends.
    """
    require_plausible_stream(found)
    with liblsl_errors(found, "answer"):
        return pylsl.StreamInlet(
            found, max_buflen=max_buffer, recover=recover, processing_flags=flags, as_numpy=as_numpy
        )


def fetch_full_info(inlet: Any, found: Any, timeout_s: float) -> Any:
    """Header with its desc, as a `pylsl.StreamInfo`; a StreamLostError if it does not come."""
    with liblsl_errors(found, "send its header", timeout_s):
        return inlet.info(timeout_s)


def open_inlet(inlet: Any, found: Any, timeout_s: float, *, clock_known: bool = False) -> None:
    """Connect, and learn the sender's clock, unless known, now rather than in the first pull."""
    with liblsl_errors(found, "open its data connection", timeout_s):
        # The clock first, for it takes a second: samples queue from the moment of opening on.
        if not clock_known:
            inlet.time_correction(timeout_s)
        inlet.open_stream(timeout_s)
        # The first pull asks for the header too, without a limit: for ever, if its sender hangs.
        inlet.info(timeout_s)


def measure_clock(inlet: Any) -> tuple[float, float] | None:
    """Offset of the sender's clock and its uncertainty, s; None where liblsl has none yet."""
    remote_s, uncertainty_s, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
    # pylsl's own call leaves the uncertainty out.
    measure = lib.lsl_time_correction_ex
    measure.restype = ctypes.c_double
    offset_s = measure(
        inlet.obj,
        ctypes.byref(remote_s),
        ctypes.byref(uncertainty_s),
        ctypes.c_double(0.0),
        ctypes.byref(code),
    )
    return (float(offset_s), uncertainty_s.value) if code.value == 0 else None


def signal_inlet(found: Any, max_buffer_s: int = _BUFFER_S) -> Any:
    """Inlet of a signal, as `LslSource` makes it."""
    return make_inlet(found, max_buffer_s, pylsl.proc_none)


class Heartbeat:
    """Whether the sender of an inlet still answers at the address that the inlet knows.

    liblsl asks it for its clock there every 2 s. `last_s` is when it answered last, by
    `time.monotonic`, while this machine had all IPv4 addresses that it had at first: a connection
    ends with its address. It is infinite before the first answer, for a firewall may keep them all.
    """

    def __init__(self) -> None:
        self.last_s = math.inf
        self._measured: tuple[float, float] | None = None
        self._addresses = _own_addresses()

    def look(self, inlet: Any) -> tuple[float, float] | None:
        """Note a new answer; the last one, as `measure_clock`."""
        measured, self._measured = self._measured, measure_clock(inlet)
        answered = self._measured is not None and self._measured != measured
        if answered and self._addresses <= _own_addresses():
            self.last_s = time.monotonic()
        return self._measured


def _own_addresses() -> set[str]:
    interfaces = psutil.net_if_addrs().values()
    return {one.address for each in interfaces for one in each if one.family == socket.AF_INET}


def pull_texts(
    inlet: Any, found: Any, timeout_s: float = 0.0, labels: Sequence[str] = ()
) -> list[tuple[float, str]]:
    """Texts of a marker stream, after their time stamps, s; waits for the first.

    Of several channels the first counts. A string is cut at 64 KiB, bytes that are not UTF-8 become
    backslash escapes; numbers become texts as by `marker_texts`.
    """
    with liblsl_errors(found, "answer"):
        texts, stamps = inlet.pull_chunk(
            timeout=timeout_s,
            max_samples=_MAX_TEXTS,
            min_samples=1,
            as_numpy=True,
        )
    if not len(stamps):
        return []
    if found.channel_format() != pylsl.cf_string:
        return list(zip(stamps.tolist(), marker_texts(texts, found.type(), labels), strict=True))
    return [
        (float(stamp), text[:_MAX_TEXT_BYTES].decode("utf-8", errors="backslashreplace"))
        for stamp, text in zip(stamps, texts[:, 0], strict=True)
    ]


def marker_labels(inlet: Any, found: Any) -> tuple[str, ...]:
    """Labels of the channels of a marker stream where these are its texts; else none."""
    if not is_one_hot(found.type()):
        return ()
    return channel_texts(fetch_full_info(inlet, found, ANSWER_S), "label")


def is_marker_stream(found: Any) -> bool:
    """Whether a stream can be one of markers: strings, or numbers without a regular rate."""
    return bool(found.channel_format() == pylsl.cf_string or found.nominal_srate() == 0)


def lost_stream_error(name: str, source_id: str) -> StreamLostError:
    """Error for a stream that was there and is gone."""
    return StreamLostError(
        f"stream {quote(name)} (source_id {quote(source_id)}) was there and is gone: "
        "restart its sender"
    )


class LslSource:
    """A live LSL stream of numbers at a regular rate.

    Making one reads the whole header; no data flows before the first pull.

    A `SampleCounter` numbers the samples by their time stamps and their arrival: it counts those
    that are lost, by the network or by liblsl's queue when nobody pulled for long, drops those
    that come twice or late, and lets time go on where the sender's clock steps.

    Parameters
    ----------
    found : pylsl.StreamInfo
        The stream, as `resolve_one` gives it.
    inlet : pylsl.StreamInlet, optional
        From `signal_inlet`; by default a new one.
    max_buffer_s : int
        Longest signal that waits in a new one unread, s; older samples are then dropped.
    scale : float
        Factor on top of the header's units, for senders whose header is silent or wrong.
    triggers : sequence of str
        Channels whose numbers are codes, as `parse_trigger` reads them.
    counter : SampleCounter, optional
        That of the inlets before, so that losses between them are counted; by default a new one.

    Attributes
    ----------
    origin : str
        Where the signal comes from, such as ``synthetic``, if rtbrain's outlet said so.
    notes : tuple of str
        What had to be assumed about the header, one sentence each.

    Raises
    ------
    StreamError, MontageError
        The stream went away, or its header cannot be used.
    SettingsError
        The counter has another rate.
    """

    def __init__(
        self,
        found: Any,
        *,
        inlet: Any = None,
        max_buffer_s: int = _BUFFER_S,
        scale: float = 1.0,
        triggers: Sequence[str] = (),
        counter: SampleCounter | None = None,
    ) -> None:
        self._inlet: Any = signal_inlet(found, max_buffer_s) if inlet is None else inlet
        header = read_header(fetch_full_info(self._inlet, found, ANSWER_S))
        self._found = found
        self.montage: Montage = header.montage
        self.origin = header.origin
        self.notes = header.notes
        self._factors = self.factors = keep_codes(self.montage.kinds, header.factors * scale)
        for trigger in triggers:
            with suppress(SettingsError):  # the requirements refuse it
                chosen = parse_trigger(trigger, self.montage.names)
                rows, factors = code_factors(chosen, self.montage, header.factors)
                self._factors[rows] = factors
        n_rows = max(1, round(_CHUNK_S * self.montage.sfreq_hz))
        self._buffer = np.empty((n_rows, self.montage.n_channels), self._inlet.np_dtype)
        self._as_sent = self._buffer.dtype == np.float32 and bool(np.all(self._factors == 1))
        self._open = False
        self._measured_s = 0.0
        # When it was opened, and its clock's offset and round trip by then; until samples come.
        self._at_open: tuple[float, tuple[float, float] | None] | None = None
        self.counter = _counter_for(counter, self.montage.sfreq_hz)
        self._waiting: deque[Chunk] = deque()
        # An inlet destroyed while another thread pulls from it brings the process down.
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open the data connection: no sample is older than that; safe to call twice."""
        with self._lock:
            if self._inlet is not None and not self._open:
                known = self.counter.clock.sender == self._found.uid()
                open_inlet(self._inlet, self._found, ANSWER_S, clock_known=known)
                self._measured_s, self._open = lsl_clock(), True
                self._at_open = self._measured_s, measure_clock(self._inlet)

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next samples, as soon as there are so many; at most 0.25 s of them.

        The first call opens the data connection, if `open` has not. What came, if anything, where
        that was not enough in time; None once closed; a StreamLostError where the stream is gone.
        """
        self.open()
        with self._lock:
            if self._inlet is None:
                return None
            if not self._waiting:
                values, stamps = self._receive(timeout_s, at_least)
                self._follow_clock(stamps)
                self._waiting.extend(self.counter.take(values, stamps, lsl_clock()))
            return (
                self._waiting.popleft()
                if self._waiting
                else empty_chunk(self.montage.n_channels, self.counter.next_sample)
            )

    def close(self) -> None:
        """Let go of the stream, after a pull under way in another thread; safe to call twice."""
        with self._lock:
            self._inlet = None

    def _receive(self, timeout_s: float, at_least: int) -> tuple[Floats, Times]:
        with liblsl_errors(self._found, "answer"):
            values, stamps = self._inlet.pull_chunk(
                timeout=timeout_s,
                max_samples=self._buffer.shape[0],
                dest_obj=self._buffer,
                min_samples=min(at_least, self._buffer.shape[0]),
                as_numpy=True,
            )
        return self._microvolts(values), stamps

    def _follow_clock(self, stamps: Times) -> None:
        """Tell the counter what is known of the sender's clock."""
        if self._at_open is not None and stamps.size:
            self.counter.connected(*self._at_open, sender=self._found.uid())
            self._at_open = None
        elif lsl_clock() - self._measured_s > _MEASURE_EVERY_S:
            self._measured_s = lsl_clock()
            self.counter.clock.measured(measure_clock(self._inlet), self._measured_s)

    def _microvolts(self, values: Any) -> Floats:
        if self._as_sent:
            return np.array(values.T, order="C")  # [C, T]
        return to_microvolts(values.T, self._factors)  # [C, T]


def _counter_for(counter: SampleCounter | None, sfreq_hz: float) -> SampleCounter:
    if counter is None:
        return SampleCounter(sfreq_hz)
    if not same_rate(sfreq_hz, counter.sfreq_hz):
        raise SettingsError(
            f"counter: expected one of about the stream's rate, {sfreq_hz:g} Hz, got one of "
            f"{counter.sfreq_hz:g} Hz: begin a new one for another stream"
        )
    return counter
