"""How old the decodes are, and of what that age is made."""

import math
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from rtbrain.stream.lsl.decodes import ReceivedDecode

KEPT_S = 60.0
_MAX_ROWS = 4096
_LOAD_EVERY_S = 2.0
_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class LatencyParts:
    """Age of a decode and its parts, s; NaN where unknown."""

    total: float
    algorithm: float
    transport: float
    compute: float


class LatencyHistory:
    """Ages of the decodes of the last minute.

    A decode tells its age and its compute part. What remains is of algorithm and transport. The
    algorithm's part is the same for all decodes of a decoder, and what it leaves of
    ``t_arrived - t_stop``, compute aside, is transport and the way to this window: the smallest
    that way can be is 0. So the algorithm's part is the largest of
    ``age - (t_arrived - t_stop)`` in the last minute, too small by the fastest delivery in it,
    which is milliseconds on one machine and is counted as transport. Decodes that are not valid
    have no part in that: one that is taken back when samples stop is stamped with that moment.
    """

    def __init__(self) -> None:
        # Time of arrival, age, compute, and age less what passed since the window's end.
        self._rows: deque[tuple[float, float, float, float]] = deque(maxlen=_MAX_ROWS)

    def push(self, row: ReceivedDecode) -> None:
        """Take a decode; one without an age tells nothing."""
        if not math.isfinite(row.age_s):
            return
        bound = row.age_s - (row.t_arrived - row.t_stop) if row.valid else math.nan
        self._rows.append((row.t_arrived, row.age_s, row.compute_s, bound))
        while self._rows[0][0] < row.t_arrived - KEPT_S:
            self._rows.popleft()

    def clear(self) -> None:
        """Forget all, as for another decoder."""
        self._rows.clear()

    @property
    def newest(self) -> LatencyParts:
        """Age of the newest decode."""
        if not self._rows:
            return LatencyParts(math.nan, math.nan, math.nan, math.nan)
        _, total, compute, bound = self._rows[-1]
        if not math.isfinite(bound):
            return LatencyParts(total, math.nan, math.nan, compute)
        known = compute if math.isfinite(compute) else 0.0
        algorithm = min(max(0.0, self._largest_bound), max(0.0, total - known))
        return LatencyParts(total, algorithm, total - known - algorithm, compute)

    @property
    def delivery_delay_s(self) -> float:
        """From the newest decode being ready to its arrival here, s; NaN before the first.

        As `LatencyParts`, less the fastest delivery of the last minute.
        """
        if not self._rows:
            return math.nan
        *_, bound = self._rows[-1]
        return self._largest_bound - bound

    @property
    def _largest_bound(self) -> float:
        bounds = [bound for *_, bound in self._rows if math.isfinite(bound)]
        return max(bounds, default=math.nan)

    def line(self, now: float) -> list[tuple[float, float]]:
        """Ages of the last minute: seconds before `now`, and age in s."""
        return [(t - now, age) for t, age, *_ in self._rows if t > now - KEPT_S]


class ProcessorLoad:
    """Share of their time for which all processors of this machine are busy.

    By ``/proc/stat`` over the last 2 s; where there is none, by the load of the last minute.
    """

    def __init__(self) -> None:
        self._at = -math.inf
        self._before = self._counts()
        self._share = math.nan

    def look(self, now: float) -> float:
        """Share, 0 to 1, looked up anew every 2 s; NaN where the system does not tell."""
        if now < self._at + _LOAD_EVERY_S:
            return self._share
        self._at = now
        counts = self._counts()
        if counts is None or self._before is None:
            self._share = _load_average()
            return self._share
        busy, total = counts[0] - self._before[0], counts[1] - self._before[1]
        if total > 0:
            self._share, self._before = min(1.0, max(0.0, busy / total)), counts
        return self._share

    def _counts(self) -> tuple[int, int] | None:
        """Ticks busy, and in all."""
        try:
            ticks = [int(word) for word in _STAT.read_text("ascii").split("\n")[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        if len(ticks) < 5:
            return None
        # user nice system idle iowait irq softirq steal
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _load_average() -> float:
    if not hasattr(os, "getloadavg"):
        return math.nan
    return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
