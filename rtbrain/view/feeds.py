"""The window's ends of LSL streams: opened by the finder's thread, read by the session's poll."""

import ctypes
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from pylsl import lib

from rtbrain.errors import StreamLostError
from rtbrain.stream.ledger import Ledger
from rtbrain.stream.lsl import LslSource
from rtbrain.stream.lsl_connect import new_inlet
from rtbrain.types import Chunk

__all__ = ["Link", "SignalLink"]

_ANSWER_S = 3.0
_BUFFER_S = 30
# After a pause 4 s of signal a poll: the window catches up without standing still meanwhile.
_CHUNKS_A_PULL = 16
_RATE_OVER_S = 10.0
_TIMES_KEPT = 256


class Link:
    """One open stream: what every feed needs of it.

    Attributes
    ----------
    uid, name, origin : str
        Of this run of the sender; `origin` as rtbrain's outlets write it, or empty.
    nominal_hz : float
        0 for an irregular stream.
    lost : bool
        Whether the stream has gone.
    received : int
        Samples that came over this connection.
    t_arrived : float
        When something last came, s; the moment of opening before that.
    t_last : float
        Newest time stamp, s; NaN before the first sample.
    clock_offset_s, clock_uncertainty_s : float
        What is added to the sender's clock, and how sure that is, s; NaN before it is known.
    """

    def __init__(self, found: Any, clock: Callable[[], float]) -> None:
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
        remote, uncertainty, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
        # pylsl's own call leaves the uncertainty out.
        ask = lib.lib.lsl_time_correction_ex
        ask.restype = ctypes.c_double
        offset_s = ask(
            self._timed.obj,
            ctypes.byref(remote),
            ctypes.byref(uncertainty),
            ctypes.c_double(0.0),
            ctypes.byref(code),
        )
        if code.value == 0:
            self.clock_offset_s, self.clock_uncertainty_s = float(offset_s), uncertainty.value

    def close(self) -> None:
        """Let go of the stream."""
        self._timed = None

    def _came(self, n_samples: int, t_last: float) -> None:
        self.received += n_samples
        self.t_arrived = self._clock()
        self.t_last = t_last


class SignalLink(Link):
    """The signal, its samples numbered by a ledger.

    Parameters
    ----------
    found : pylsl.StreamInfo
        The stream.
    clock : callable
        LSL clock, s.
    ledger : Ledger or None
        Of the connection before, so that what is lost between them is a gap.

    Raises
    ------
    StreamError
        It does not answer, or its header cannot be used.
    MontageError
        Its labels repeat.
    """

    def __init__(self, found: Any, clock: Callable[[], float], ledger: Ledger | None) -> None:
        super().__init__(found, clock)
        if ledger is not None and ledger.sfreq_hz != self.nominal_hz:
            ledger = None
        self._source = LslSource(
            found=found, timeout_s=_ANSWER_S, max_buffer_s=_BUFFER_S, ledger=ledger
        )
        self.montage = self._source.montage
        self.origin = self._source.session.get("origin", "")
        self.notes = self._source.notes
        # Never opened for data: it only measures the clock.
        self._timed = new_inlet(found, 1)
        first = self._source.pull(0.0)  # opens the connection, which takes a second
        self._waiting = [] if first is None or not first.n_samples else [first]
        self._report = self.ledger.report
        self._report_at = self.t_arrived = clock()

    @property
    def ledger(self) -> Ledger:
        """What became of the samples."""
        return self._source.ledger

    @property
    def effective_hz(self) -> float:
        """True rate by the ledger's line; NaN before 1 s of samples."""
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
            while len(chunks) < _CHUNKS_A_PULL:
                chunk = self._source.pull(0.0)
                if chunk is None or not chunk.n_samples:
                    break
                chunks.append(chunk)
        except StreamLostError:
            self.lost = True
        if chunks:
            self._came(sum(chunk.n_samples for chunk in chunks), float(chunks[-1].timestamps[-1]))
        if self._clock() >= self._report_at + 1:
            self._report = self.ledger.report
            self._report_at = self._clock()
        return chunks

    def close(self) -> None:
        """Let go of the stream."""
        super().close()
        self._source.close()
