"""The window's ends of LSL streams: opened by the finder's thread, read by the session's poll."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from rtbrain.errors import StreamLostError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.lsl.decodes import ReceivedDecode, decode_header, received_decodes
from rtbrain.stream.lsl.inlet import LslSource
from rtbrain.stream.lsl.resolve import (
    ANSWER_S,
    fetch_full_info,
    liblsl_errors,
    make_inlet,
    measure_clock,
    open_inlet,
    pull_texts,
)
from rtbrain.types import Chunk

_BUFFER_S = 30
# After a pause 4 s of signal a poll: the window catches up without standing still meanwhile.
_MAX_CHUNKS = 16
_RATE_OVER_S = 10.0
_TIMES_KEPT = 256
_MARKER_BUFFER = 360  # hundreds of markers, as liblsl counts irregular streams
_MAX_ITEMS = 256


class ViewInlet:
    """One open stream: what every feed needs of it."""

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        self._found = found
        self.uid: str = found.uid()
        self.name: str = found.name()
        self.origin = ""
        self.nominal_hz = float(found.nominal_srate())
        self.lost = False
        self.received = 0
        self.t_arrived = clock()
        self.t_last = math.nan
        self.clock_offset_s = self.clock_uncertainty_s = math.nan
        self._clock = clock
        self._times: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._timed: Any = None

    @property
    def effective_hz(self) -> float:
        """Samples a second over the last 10 s; NaN where too few came."""
        recent = [t for t in self._times if t > self._times[-1] - _RATE_OVER_S]
        spanned_s = recent[-1] - recent[0] if recent else 0.0
        return (len(recent) - 1) / spanned_s if spanned_s > 0 else math.nan

    @property
    def n_received(self) -> int:
        """Samples that came, over all connections that `n_lost` is of."""
        return self.received

    @property
    def n_lost(self) -> int:
        """Samples that are known to be lost."""
        return 0

    def measure_clock(self) -> None:
        """Ask liblsl for the offset of the sender's clock; returns at once."""
        if self._timed is None:
            return
        measured = measure_clock(self._timed)
        if measured is not None:
            self.clock_offset_s, self.clock_uncertainty_s = measured

    def close(self) -> None:
        """Let go of the stream."""
        self._timed = None

    def _came(self, n_samples: int, t_last: float) -> None:
        self.received += n_samples
        self.t_arrived = self._clock()
        self.t_last = t_last


class SignalInlet(ViewInlet):
    """The signal, its samples numbered by a counter."""

    def __init__(
        self, found: Any, clock: Callable[[], float], counter: SampleCounter | None
    ) -> None:
        super().__init__(found, clock)
        if counter is not None and counter.sfreq_hz != self.nominal_hz:
            counter = None
        self._source = LslSource(
            found=found, timeout_s=ANSWER_S, max_buffer_s=_BUFFER_S, counter=counter
        )
        self.montage = self._source.montage
        self.origin = self._source.session.get("origin", "")
        self.notes = self._source.notes
        # Never opened for data: it only measures the clock.
        self._timed = make_inlet(found, 1)
        first = self._source.pull(0.0)  # opens the connection, which takes a second
        self._waiting = [] if first is None or not first.n_samples else [first]
        self._report = self.counter.report
        self._report_at = self.t_arrived = clock()

    @property
    def counter(self) -> SampleCounter:
        """What became of the samples."""
        return self._source.counter

    @property
    def effective_hz(self) -> float:
        """True rate by the counter's line; NaN before 1 s of samples."""
        return self._report.effective_rate_hz

    @property
    def n_received(self) -> int:
        """Samples that came since the stream was first found."""
        return self._report.received

    @property
    def n_lost(self) -> int:
        """Samples lost since the stream was first found."""
        return self._report.lost

    def pull(self) -> list[Chunk]:
        """Chunks that are here; never waits."""
        chunks, self._waiting = self._waiting, []
        try:
            while len(chunks) < _MAX_CHUNKS:
                chunk = self._source.pull(0.0)
                if chunk is None or not chunk.n_samples:
                    break
                chunks.append(chunk)
        except StreamLostError:
            self.lost = True
        if chunks:
            self._came(sum(chunk.n_samples for chunk in chunks), float(chunks[-1].timestamps[-1]))
        if self._clock() >= self._report_at + 1:
            self._report = self.counter.report
            self._report_at = self._clock()
        return chunks

    def close(self) -> None:
        """Let go of the stream."""
        super().close()
        self._source.close()


class DecodeInlet(ViewInlet):
    """The decodes."""

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        super().__init__(found, clock)
        self._inlet: Any = make_inlet(
            found, _BUFFER_S if found.nominal_srate() > 0 else _MARKER_BUFFER
        )
        header = fetch_full_info(self._inlet, found, ANSWER_S)
        self.info = decode_header(header)
        self.origin = header.desc().child("rtbrain").child_value("origin")
        open_inlet(self._inlet, found, ANSWER_S)
        self._timed = self._inlet

    def pull(self) -> list[ReceivedDecode]:
        """Decodes that are here; never waits."""
        try:
            with liblsl_errors(self._found, "answer"):
                values, stamps = self._inlet.pull_chunk(max_samples=_MAX_ITEMS, as_numpy=True)
        except StreamLostError:
            self.lost = True
            return []
        now = self._clock()
        rows = received_decodes(values, stamps, len(self.info.labels), now)
        if rows:
            self._times.extend(stamps.tolist())
            self._came(len(rows), rows[-1].t_stop)
        return rows

    def close(self) -> None:
        """Let go of the stream."""
        super().close()
        self._inlet = None


class TextInlet(ViewInlet):
    """Markers or status: one string a sample."""

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
        super().__init__(found, clock)
        self._inlet: Any = make_inlet(found, _MARKER_BUFFER)
        open_inlet(self._inlet, found, ANSWER_S)
        self._timed = self._inlet

    def pull(self) -> list[tuple[float, str]]:
        """Strings that are here, with their time stamps in s; never waits."""
        try:
            texts = pull_texts(self._inlet, self._found)
        except StreamLostError:
            self.lost = True
            return []
        if texts:
            self._times.extend(stamp for stamp, _ in texts)
            self._came(len(texts), texts[-1][0])
        return texts

    def close(self) -> None:
        """Let go of the stream."""
        super().close()
        self._inlet = None
