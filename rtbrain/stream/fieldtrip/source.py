"""A FieldTrip buffer as a Source: Micromed, Neuralynx, BCI2000 and others stream to one."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rtbrain.errors import MontageError, StreamError, quote
from rtbrain.stream.clock.rate import PAUSE_S, ArrivalClock
from rtbrain.stream.fieldtrip.connection import BufferConnection, connect, read_buffer_header
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.types import Chunk, Floats, Montage, empty_chunk
from rtbrain.units import require_voltage, to_microvolts

_CHUNK_S = 0.25
# Longest request to the server: how soon another thread's close is heeded.
_SLICE_S = 0.1
_ATTEMPT_S = 0.5
_BACK_OFF_S = (0.1, 1.0)
# A buffer found again is the same one where it still holds this many of the last samples read.
_SAME_SAMPLES = 16


class FieldTripSource:
    """A FieldTrip buffer of numbers at a regular rate.

    The buffer counts the samples put into it, and that count numbers them here. Samples that
    were overwritten in its ring before they were read are the next chunk's `gap`, exactly. The
    buffer has no clock: `ArrivalClock` stamps samples when they can be read here, late by the
    unknown delay of their way. Where the count restarts or its sender pauses for 1 s, the
    samples lost are estimated from that clock; samples put before the buffer was found again are
    among them.

    Only the protocol code of `mne_realtime.FieldTripClient` is used, its
    ``externals.FieldTrip.Client``. The client itself (version 0.3.0) waits without limit for
    whole blocks, spins for ever when the server hangs up, takes all channels for MEG ones, fails
    on labels that do not end in a number, and has no sample numbers.

    The source supervises itself: while the buffer is away or silent, `pull`
    gives empty chunks, and the events are ``lost`` (`reason`), ``recovered`` (`lost`: samples)
    and ``refused`` (`reason`: what came back has another rate or lacks a channel). Channels that
    came back in another order are bound by label.

    References
    ----------
    https://www.fieldtriptoolbox.org/development/realtime/buffer_protocol
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        on_event: Callable[..., None],
        names: Sequence[str] | None = None,
        unit: str = "microvolts",
        timeout_s: float = 10.0,
    ) -> None:
        self._unit_uv = require_voltage(unit)
        self._host, self._port = host, port
        self._where = f"FieldTrip buffer {quote(f'{host}:{port}')}"
        self._on_event = on_event
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._link: BufferConnection | None
        self._link, raw_header = connect(host, port, timeout_s)
        try:
            header = read_buffer_header(raw_header, self._where, names)
        except (StreamError, MontageError):
            self._link.close()
            raise
        self.montage: Montage = header.montage
        self.notes = header.notes
        self._rows: list[int] | None = None
        self._factors = header.factors * self._unit_uv
        self._clock = ArrivalClock(self.montage.sfreq_hz)
        self._started = False
        self._read = 0  # samples of this buffer that were read or skipped
        self._base = 0  # our number of the buffer's sample 0
        self._gap = 0
        self._last_read: Any = None
        self._lost_reason = ""
        self._refused_reason = ""
        self._retry_s, self._back_off_s = 0.0, _BACK_OFF_S[0]

    def pull(self, timeout_s: float) -> Chunk | None:
        """Next samples, as soon as there is one; at most 0.25 s of them.

        No sample is older than the first call. Where the buffer is away, a call may take 0.5 s
        longer than `timeout_s`. Empty if nothing came in time; None once closed.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while not self._closed.is_set():
                left_s = max(0.0, min(_SLICE_S, deadline - time.monotonic()))
                chunk = None
                if self._link is None:
                    self._away(left_s)
                else:
                    chunk = self._try(self._link, left_s)
                if chunk is not None:
                    return chunk
                if time.monotonic() >= deadline:
                    return empty_chunk(self.montage.n_channels, self._base + self._read)
        return None

    def close(self) -> None:
        """Hang up, after a pull under way in another thread; safe to call twice."""
        self._closed.set()
        with self._lock:
            if self._link is not None:
                self._link.close()
                self._link = None

    def _try(self, link: BufferConnection, timeout_s: float) -> Chunk | None:
        """Samples of a buffer that is there; None if there are none now."""
        try:
            if not self._started:
                self._read, self._started = link.wait(0, 0.0), True
                self._base = -self._read
            n_there = link.wait(self._read, timeout_s)
            if n_there < self._read:
                raise ConnectionError("its count restarted")
            return self._next(link, n_there, timeout_s)
        except OSError as error:
            self._drop(str(error))
            return None

    def _next(self, link: BufferConnection, n_there: int, timeout_s: float) -> Chunk | None:
        now_s = lsl_clock()
        self._clock.arrived(n_there + self._base, now_s)
        lost = self._clock.resume(now_s)
        if lost is None:
            self._closed.wait(min(timeout_s, _SLICE_S))
            return None
        self._base += lost
        self._gap += lost
        if n_there == self._read:
            if now_s - self._clock.newest_s >= PAUSE_S:
                self._report_lost(f"no new sample for {PAUSE_S:g} s")
            return None
        n_most = max(1, round(_CHUNK_S * self.montage.sfreq_hz))
        found = link.unread(self._read, n_there, n_most)
        if found is None:
            return None
        start, raw = found
        if raw.shape[1] != self._factors.size:
            raise ConnectionError(f"it has {raw.shape[1]} channels now")
        self._last_read = raw[-_SAME_SAMPLES:]
        gap = self._gap + start - self._read
        first_sample = self._base + start
        self._gap, self._read = 0, start + raw.shape[0]
        if self._lost_reason:
            self._on_event("recovered", lost=gap)
            self._lost_reason = self._refused_reason = ""
        stamps = self._clock.stamps(first_sample, raw.shape[0])
        return Chunk(self._microvolts(raw), stamps, first_sample, gap)

    def _microvolts(self, raw: Any) -> Floats:
        data = to_microvolts(raw.T, self._factors)
        return data if self._rows is None else np.ascontiguousarray(data[self._rows])  # [C, T]

    def _drop(self, reason: str) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None
        self._report_lost(reason)
        self._retry_s, self._back_off_s = 0.0, _BACK_OFF_S[0]

    def _away(self, timeout_s: float) -> None:
        """Look for the buffer, no more often than the back-off allows."""
        wait_s = self._retry_s - time.monotonic()
        if wait_s > 0:
            self._closed.wait(min(wait_s, timeout_s))
            return
        try:
            self._link = self._returned(BufferConnection(self._host, self._port, _ATTEMPT_S))
        except OSError:
            # Still away, as was reported.
            self._link = None
        except (StreamError, MontageError) as error:
            self._refuse(str(error))
        self._retry_s = time.monotonic() + self._back_off_s
        self._back_off_s = min(2 * self._back_off_s, _BACK_OFF_S[1])

    def _returned(self, link: BufferConnection) -> BufferConnection | None:
        """The link, if what it leads to may be read on; else it is closed."""
        kept = None
        try:
            header = link.header()
            if header is not None:
                self._bind(header)
                self._resume(link, int(header.nSamples))
                kept = link
        finally:
            if kept is None:
                link.close()
        return kept

    def _bind(self, raw_header: Any) -> None:
        """Find our channels in a header, or raise."""
        ours = self.montage
        names = ours.names if raw_header.nChannels == ours.n_channels else None
        header = read_buffer_header(raw_header, self._where, names)
        if abs(header.montage.sfreq_hz - ours.sfreq_hz) > 1e-6 * ours.sfreq_hz:
            raise StreamError(
                f"{self._where} came back with {header.montage.sfreq_hz:g} Hz, before it had "
                f"{ours.sfreq_hz:g}: set the amplifier to that rate, or restart the decoder"
            )
        self._rows = header.montage.rows(ours.names)
        self._factors = header.factors * self._unit_uv

    def _resume(self, link: BufferConnection, n_there: int) -> None:
        known = self._last_read
        if not self._started:
            return
        if known is not None and n_there >= self._read:
            again = link.data(self._read - known.shape[0], self._read)
            # Only the connection was lost: the count runs on, nothing need be missing.
            if again is not None and again.tobytes() == known.tobytes():  # NaN is equal too
                return
        self._base += self._read - n_there
        self._read = n_there
        self._last_read = None
        self._clock.break_off()

    def _refuse(self, reason: str) -> None:
        self._link = None
        if reason != self._refused_reason:
            self._refused_reason = reason
            self._on_event("refused", reason=reason)

    def _report_lost(self, reason: str) -> None:
        if not self._lost_reason:
            self._lost_reason = reason
            self._on_event("lost", reason=reason)


def open_source(
    address: str,
    unit: str,
    names: Sequence[str] | None,
    timeout_s: float,
    on_event: Callable[..., None],
) -> FieldTripSource:
    """Connect to the FieldTrip buffer at host:port, and supervise it."""
    host, port = address.rsplit(":", 1)
    return FieldTripSource(
        host, int(port), on_event=on_event, names=names, unit=unit, timeout_s=timeout_s
    )
