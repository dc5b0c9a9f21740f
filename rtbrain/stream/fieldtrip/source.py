"""A FieldTrip buffer as a Source: Micromed, Neuralynx, BCI2000 and others stream to one."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rtbrain.config import StreamSettings
from rtbrain.errors import MontageError, SettingsError, StreamError, quote
from rtbrain.stream.clock.rate import PAUSE_S, ArrivalClock
from rtbrain.stream.fieldtrip.connection import (
    BufferConnection,
    BufferCounts,
    BufferEvents,
    BufferHeader,
    BufferSamples,
    connect,
)
from rtbrain.stream.fieldtrip.events import BufferMarkers
from rtbrain.stream.fieldtrip.header import BufferSignal, read_signal
from rtbrain.stream.lsl.header import code_factors
from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.triggers import CodeQueue, parse_trigger
from rtbrain.stream_names import rate_note, same_rate
from rtbrain.types import Chunk, Montage, empty_chunk
from rtbrain.units import keep_codes, require_voltage, to_microvolts

_CHUNK_S = 1.0  # most of one request
_WORTH_S = 0.01  # least that the server waits for: a sender may put sample by sample
_MOST_AWAY_S = 86_400.0  # a count that is further ahead is none
_SLICE_S = 0.1  # longest that the server waits
# Samples that are older than this when they come are followed by later ones, which wait.
_BEHIND_S = 0.25
_ATTEMPT_S = 0.5
_BACK_OFF_S = (0.1, 1.0)
# A buffer found again is the same one where it still holds this many of the last samples read.
_SAME_SAMPLES = 16


class FieldTripSource:
    """A FieldTrip buffer of numbers at a regular rate.

    The buffer counts the samples put into it, and that count numbers them here. Samples that
    were overwritten in its ring before they were read are in the next chunk's `gap`, and so may be
    up to as many more that were about to be. The buffer has no clock: `ArrivalClock` stamps
    samples when they can be read here, late by the unknown delay of their way. Where the count
    restarts or its sender pauses for 1 s, the samples lost are estimated from that clock; samples
    put before the buffer was found again are among them.

    With each request for samples goes the question for later ones, so that a round trip of the
    network passes while the samples are decoded.

    The source supervises itself: while the buffer is away or silent, `pull` gives empty chunks,
    and the events are ``live``, ``lost`` (`reason`), ``recovered`` (`lost`: samples) and
    ``refused`` (`reason`: what came back has another rate or lacks a channel). Channels that came
    back in another order are bound by label. `markers` gives the buffer's events, or the codes of
    the `trigger` channels.

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
        trigger: str | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._unit_uv = require_voltage(unit)
        self._host, self._port = host, port
        self._where = f"FieldTrip buffer {quote(f'{host}:{port}')}"
        self._on_event = on_event
        self._stop = stop
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._link: BufferConnection | None
        self._link, header = connect(host, port, timeout_s, stop)
        try:
            signal = read_signal(header, self._where, names)
            self._trigger = trigger and parse_trigger(trigger, signal.montage.names)
        except (StreamError, MontageError, SettingsError):
            self._link.close()
            raise
        self.montage: Montage = signal.montage
        self.notes = signal.notes
        self._names = names
        self._rows: list[int] | None = None
        self._use(header, signal)
        sfreq_hz = self.montage.sfreq_hz
        self._clock = ArrivalClock(sfreq_hz)
        self._markers = BufferMarkers(sfreq_hz, on_event)
        self._codes = CodeQueue(sfreq_hz, on_event)
        self._n_worth = max(1, round(_WORTH_S * sfreq_hz))
        self._n_most = max(1, round(_CHUNK_S * sfreq_hz))
        self._started = self._live = False
        self._read = 0  # samples of this buffer that were read or skipped
        self._newest: int | None = None  # after an overflow: how many of the newest to ask for
        self._n_there = 0  # samples that this buffer had at last
        self._base = 0  # our number of the buffer's sample 0
        self._gap = 0
        self._last_read: Any = None
        self._t_began, self._t_newest = 0.0, np.inf
        self._lost_reason = self._refused_reason = ""
        self._retry_s, self._back_off_s = 0.0, _BACK_OFF_S[0]

    def pull(self, timeout_s: float, at_least: int = 1) -> Chunk | None:
        """Next samples, as soon as there are some; at most 1 s of them.

        No sample is older than the first call. Where the buffer is away, a call may take 0.5 s
        longer than `timeout_s`. Empty if nothing came in time; None once closed.
        """
        with self._lock:
            now = time.monotonic()
            # What has been put since is worth a moment only where the last samples came late.
            behind = lsl_clock() - self._t_newest > _BEHIND_S
            deadline = now + max(timeout_s, _BEHIND_S if behind and self._link else 0.0)
            while not self._is_over():
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

    def markers(self, timeout_s: float) -> list[tuple[float, str]]:
        """Events or codes of the samples that were pulled, as (s on the LSL clock, text)."""
        return self._codes.pull() if self._trigger else self._markers.due(self._base + self._read)

    def close(self) -> None:
        """Hang up, after a pull under way in another thread; safe to call twice."""
        self._closed.set()
        with self._lock:
            if self._link is not None:
                self._link.close()
                self._link = None

    def _is_over(self) -> bool:
        return self._closed.is_set() or self._stop()

    def _try(self, link: BufferConnection, timeout_s: float) -> Chunk | None:
        """Samples of a buffer that is there; None if there are none now."""
        try:
            if not self._started:
                self._begin(link)
                return None
            if not link.n_asked:
                self._ask_counts(link, self._read)
            answer = link.answer(timeout_s)
            if isinstance(answer, BufferCounts):
                self._request(link, answer)
            elif isinstance(answer, BufferEvents):
                self._markers.take(answer, self._base, self._n_there)
            elif isinstance(answer, BufferSamples):
                return self._take(answer)
        except OSError as error:
            self._drop(str(error))
        return None

    def _begin(self, link: BufferConnection) -> None:
        """Where the first call finds the buffer, its samples and its events begin."""
        if not link.n_asked:
            link.ask_counts(0, 0, 0.0)
        counts: BufferCounts | None = link.wait_for(BufferCounts, self._is_over)
        if counts is not None:
            self._started, self._read = True, counts.n_samples
            self._base = -self._read
            self._markers.n_read = counts.n_events
            self._t_began = lsl_clock()

    def _ask_counts(self, link: BufferConnection, n_samples: int) -> None:
        link.ask_counts(n_samples + self._n_worth - 1, self._markers.n_read, _SLICE_S)

    def _request(self, link: BufferConnection, counts: BufferCounts) -> None:
        """Ask for what is there, and for what comes after it."""
        self._n_there = n_there = counts.n_samples
        if n_there < self._read:
            raise ConnectionError("its count restarted")
        if n_there - self._read > _MOST_AWAY_S * self.montage.sfreq_hz:
            raise ConnectionError(f"its count jumped to {n_there} samples")
        now_s = lsl_clock()
        if n_there + self._base > 0:  # before the first sample, none is late
            self._clock.arrived(n_there + self._base, now_s)
        lost = self._clock.resume(now_s)
        if lost is None:
            # It is not known yet how many samples a pause has cost.
            self._ask_counts(link, n_there)
            return
        self._base += lost
        self._gap += lost
        if now_s - max(self._t_began, self._clock.newest_s) >= PAUSE_S:
            self._report_lost(f"no new sample for {PAUSE_S:g} s")
        if (events := self._markers.unread(counts.n_events)) is not None:
            link.ask_events(*events)
        start = self._read
        if self._newest is not None:
            start = max(start, n_there - self._newest)
        stop = min(start + self._n_most, n_there)
        if stop > start:
            link.ask_samples(start, stop, self._sample_bytes)
        self._ask_counts(link, stop)

    def _take(self, samples: BufferSamples) -> Chunk | None:
        raw = samples.data
        if raw is None:
            # The ring moves on meanwhile: each time it wins, half as many are asked for.
            self._newest = max(1, (self._n_there - samples.start) // 2)
            return None
        if raw.shape[1] != self._factors.size:
            raise ConnectionError(f"it has {raw.shape[1]} channels now")
        self._last_read = raw[-_SAME_SAMPLES:]
        gap = self._gap + samples.start - self._read
        first_sample = self._base + samples.start
        self._gap, self._newest, self._read = 0, None, samples.stop
        if self._lost_reason:
            self._on_event("recovered", lost=gap)
        if self._lost_reason or not self._live:
            self._live = True
            self._on_event("live")
        self._lost_reason = self._refused_reason = ""
        stamps = self._clock.stamps(first_sample, raw.shape[0])
        self._t_newest = float(stamps[-1])
        self._markers.stamped(first_sample, stamps)
        data = to_microvolts(raw.T, self._factors)
        data = data if self._rows is None else np.ascontiguousarray(data[self._rows])  # [C, T]
        chunk = Chunk(data, stamps, first_sample, gap)
        if self._trigger:
            rows = self.montage.rows(self._trigger.names)
            self._codes.take(self._trigger, chunk.data[rows], chunk)
        return chunk

    def _use(self, header: BufferHeader, signal: BufferSignal) -> None:
        factors = signal.factors * self._unit_uv
        self._factors = keep_codes(signal.montage.kinds, factors)
        if self._trigger:
            rows, codes = code_factors(self._trigger, signal.montage, factors, self._unit_uv)
            self._factors[rows] = codes
        # The widest that a buffer's numbers are.
        self._sample_bytes = 8 * header.n_channels

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
            self._link = None  # still away, as was reported
        except (StreamError, MontageError) as error:
            self._link = None
            if (reason := str(error)) != self._refused_reason:
                self._refused_reason = reason
                self._on_event("refused", reason=reason)
        self._retry_s = time.monotonic() + self._back_off_s
        self._back_off_s = min(2 * self._back_off_s, _BACK_OFF_S[1])

    def _returned(self, link: BufferConnection) -> BufferConnection | None:
        """The link, if what it leads to may be read on; else it is closed."""
        kept = None
        try:
            link.ask_header()
            header = link.wait_for(BufferHeader, self._is_over)
            if header is not None:
                self._bind(header)
                self._resume(link, header)
                kept = link
        finally:
            if kept is None:
                link.close()
        return kept

    def _bind(self, header: BufferHeader) -> None:
        """Find our channels in a header, or raise."""
        ours = self.montage
        names = ours.names if header.n_channels == ours.n_channels else self._names
        signal = read_signal(header, self._where, names)
        sfreq_hz = signal.montage.sfreq_hz
        if not same_rate(sfreq_hz, ours.sfreq_hz):
            raise StreamError(
                f"{self._where} came back with {sfreq_hz:.10g} Hz, before it had "
                f"{ours.sfreq_hz:.10g}: set the amplifier to that rate, or restart the decoder"
            )
        self._rows = signal.montage.rows(ours.names)
        self._use(header, signal)
        if note := rate_note(sfreq_hz, ours.sfreq_hz):
            self._on_event("connected", stream=self._where, notes=[f"it has {note}"])

    def _resume(self, link: BufferConnection, header: BufferHeader) -> None:
        if not self._started:
            return
        n_there, known = header.n_samples, self._last_read
        if known is not None and n_there >= self._read:
            link.ask_samples(self._read - known.shape[0], self._read, self._sample_bytes)
            again: BufferSamples | None = link.wait_for(BufferSamples, self._is_over)
            # Only the connection was lost: the count runs on, nothing need be missing.
            if (
                again is not None
                and again.data is not None
                and again.data.tobytes() == known.tobytes()  # NaN is equal too
            ):
                return
        self._base += self._read - n_there
        self._read, self._newest = n_there, None
        self._last_read = None
        self._markers.n_read = header.n_events
        self._clock.break_off(self._base + self._read)

    def _report_lost(self, reason: str) -> None:
        if not self._lost_reason:
            self._lost_reason = reason
            self._on_event("lost", reason=reason)


def open_source(
    address: str, stream: StreamSettings, on_event: Callable[..., None], stop: Callable[[], bool]
) -> FieldTripSource:
    """Connect to the FieldTrip buffer at host:port, and supervise it."""
    host, port = address.rsplit(":", 1)
    return FieldTripSource(
        host,
        int(port),
        on_event=on_event,
        names=stream.names,
        unit=stream.unit,
        timeout_s=stream.timeout_s,
        trigger=stream.trigger,
        stop=stop,
    )
