"""The window's open LSL streams: opened by the finder's threads, read by the session's poll."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from rtbrain.errors import StreamLostError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.decodes import ReceivedDecode, decode_header, received_decodes
from rtbrain.stream.lsl.inlet import (
    ANSWER_S,
    LslSource,
    fetch_full_info,
    liblsl_errors,
    make_inlet,
    measure_clock,
    open_inlet,
    pull_texts,
)
from rtbrain.types import Chunk

_BUFFER_S = 30
_MARKER_BUFFER = 360  # hundreds of samples, as liblsl counts irregular streams
# 4 s of signal per poll after a pause: the window catches up and still redraws.
_MAX_CHUNKS = 16
_MAX_DECODES = 256
_MAX_TIMES = 256
_RATE_OVER_S = 10.0


class ViewInlet:
    """One open stream, and the figures of its health."""

    def __init__(self, found: Any, clock: Callable[[], float], inlet: Any) -> None:
        self.uid: str = found.uid()
        self.name: str = found.name()
        self.origin = ""
        self.nominal_hz = float(found.nominal_srate())
        self.lost = False
        self.received = 0
        self.t_arrived = clock()
        self.t_last = math.nan
        self.clock_offset_s = self.clock_uncertainty_s = math.nan
        self._found, self._clock, self._inlet = found, clock, inlet
        self._times: deque[float] = deque(maxlen=_MAX_TIMES)

    @property
    def effective_hz(self) -> float:
        """Samples per second over the last 10 s; NaN if there are too few."""
        recent = [t for t in self._times if t > self._times[-1] - _RATE_OVER_S]
        spanned_s = recent[-1] - recent[0] if recent else 0.0
        return (len(recent) - 1) / spanned_s if spanned_s > 0 else math.nan

    @property
    def n_received(self) -> int:
        """Samples received, over the same connections as `n_lost`."""
        return self.received

    @property
    def n_lost(self) -> int:
        """Samples known to be lost."""
        return 0

    def measure_clock(self) -> None:
        """Update the offset of the sender's clock; returns at once."""
        measured = None if self._inlet is None else measure_clock(self._inlet)
        if measured is not None:
            self.clock_offset_s, self.clock_uncertainty_s = measured

    def close(self) -> None:
        """Close the stream; safe to call twice."""
        self._inlet = None

    def _count(self, n_samples: int, t_last: float) -> None:
        self.received += n_samples
        self.t_arrived = self._clock()
        self.t_last = t_last


class SignalInlet(ViewInlet):
    """The signal, its samples numbered by a counter that outlives the connection."""

    def __init__(
        self, found: Any, clock: Callable[[], float], counter: SampleCounter | None
    ) -> None:
        if counter is not None and counter.sfreq_hz != float(found.nominal_srate()):
            counter = None
        self._source = LslSource(found, max_buffer_s=_BUFFER_S, counter=counter)
        # This inlet is never opened for data: it only measures the clock.
        super().__init__(found, clock, make_inlet(found, 1))
        self.montage = self._source.montage
        self.origin = self._source.origin
        self.counter = self._source.counter
        first = self._source.pull(0.0)  # opens the connection, which takes a second
        self._pending = [] if first is None or not first.n_samples else [first]
        self._report = self.counter.report
        self._report_at = self.t_arrived = clock()

    @property
    def effective_hz(self) -> float:
        """Rate fitted by the counter; NaN before 1 s of samples."""
        return self._report.effective_rate_hz

    @property
    def n_received(self) -> int:
        """Samples received since the stream was first found."""
        return self._report.received

    @property
    def n_lost(self) -> int:
        """Samples lost since the stream was first found."""
        return self._report.lost

    def pull(self) -> list[Chunk]:
        """Chunks that have arrived; never waits."""
        chunks, self._pending = self._pending, []
        try:
            while len(chunks) < _MAX_CHUNKS:
                chunk = self._source.pull(0.0)
                if chunk is None or not chunk.n_samples:
                    break
                chunks.append(chunk)
        except StreamLostError:
            self.lost = True
        if chunks:
            self._count(sum(chunk.n_samples for chunk in chunks), float(chunks[-1].timestamps[-1]))
        if self._clock() >= self._report_at + 1:
            self._report = self.counter.report
            self._report_at = self._clock()
        return chunks

    def close(self) -> None:
        """Close the stream; safe to call twice."""
        super().close()
        self._source.close()


class DecodeInlet(ViewInlet):
    """The decodes."""

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        buffer = _BUFFER_S if found.nominal_srate() > 0 else _MARKER_BUFFER
        super().__init__(found, clock, make_inlet(found, buffer))
        info = fetch_full_info(self._inlet, found, ANSWER_S)
        self.header = decode_header(info)
        self.origin = info.desc().child("rtbrain").child_value("origin")
        open_inlet(self._inlet, found, ANSWER_S)

    def pull(self) -> list[ReceivedDecode]:
        """Decodes that have arrived; never waits."""
        try:
            with liblsl_errors(self._found, "answer"):
                values, stamps = self._inlet.pull_chunk(max_samples=_MAX_DECODES, as_numpy=True)
        except StreamLostError:
            self.lost = True
            return []
        decodes = received_decodes(values, stamps, len(self.header.labels), self._clock())
        if decodes:
            self._times.extend(stamps.tolist())
            self._count(len(decodes), decodes[-1].t_stop)
        return decodes


class TextInlet(ViewInlet):
    """Markers or status events: one string per sample."""

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        super().__init__(found, clock, make_inlet(found, _MARKER_BUFFER))
        open_inlet(self._inlet, found, ANSWER_S)

    def pull(self) -> list[tuple[float, str]]:
        """Time stamps, s, and texts that have arrived; never waits."""
        try:
            texts = pull_texts(self._inlet, self._found)
        except StreamLostError:
            self.lost = True
            return []
        if texts:
            self._times.extend(stamp for stamp, _ in texts)
            self._count(len(texts), texts[-1][0])
        return texts
