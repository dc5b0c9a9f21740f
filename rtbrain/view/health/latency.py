"""Latency of the decodes over the last minute, and its parts."""

import math
from collections import deque
from dataclasses import dataclass

from rtbrain.stream.lsl.decodes import ReceivedDecode

KEPT_S = 60.0
_MAX_ROWS = 4096


@dataclass(frozen=True, slots=True)
class LatencyParts:
    """Latency of a decode and its parts, s; NaN where unknown."""

    total: float
    algorithm: float
    transport: float
    compute: float


class LatencyHistory:
    """Latencies of the decodes of the last minute.

    A decode states its total latency (its age when ready) and its compute time; the rest is
    algorithmic latency and transport. The algorithmic part is constant for a decoder, and transport
    is at least 0, so that ``age - (t_arrived - t_stop)`` is at most the algorithmic part. Its
    maximum over the last minute estimates that part; the error is the fastest delivery in that
    minute, milliseconds on one machine, which is counted as transport. Invalid decodes are left
    out: one that is withdrawn when samples stop is stamped with that moment.
    """

    def __init__(self) -> None:
        # Time of arrival, total, compute, lower bound of the algorithmic part.
        self._rows: deque[tuple[float, float, float, float]] = deque(maxlen=_MAX_ROWS)

    def push(self, decode: ReceivedDecode) -> None:
        """Add a decode; one without an age is left out."""
        if not math.isfinite(decode.age_s):
            return
        delivery_s = decode.t_arrived - decode.t_stop
        bound_s = decode.age_s - delivery_s if decode.valid else math.nan
        self._rows.append((decode.t_arrived, decode.age_s, decode.compute_s, bound_s))
        while self._rows[0][0] < decode.t_arrived - KEPT_S:
            self._rows.popleft()

    @property
    def newest(self) -> LatencyParts:
        """Latency of the newest decode."""
        if not self._rows:
            return LatencyParts(math.nan, math.nan, math.nan, math.nan)
        _, total, compute, bound = self._rows[-1]
        if not math.isfinite(bound):
            return LatencyParts(total, math.nan, math.nan, compute)
        known = compute if math.isfinite(compute) else 0.0
        algorithm = min(max(0.0, self._max_bound_s), max(0.0, total - known))
        return LatencyParts(total, algorithm, total - known - algorithm, compute)

    @property
    def delivery_delay_s(self) -> float:
        """From the newest decode being ready to its arrival here, less the fastest delivery, s."""
        return self._max_bound_s - self._rows[-1][-1] if self._rows else math.nan

    @property
    def _max_bound_s(self) -> float:
        bounds = [bound for *_, bound in self._rows if math.isfinite(bound)]
        return max(bounds, default=math.nan)

    def line(self, now: float) -> list[tuple[float, float]]:
        """Seconds before `now`, and latency in s, of each decode of the last minute."""
        return [(t - now, total) for t, total, *_ in self._rows if t > now - KEPT_S]
