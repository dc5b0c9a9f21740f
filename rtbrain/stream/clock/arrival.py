"""Time stamps for senders that send none: from the counter, and from when samples arrived."""

import math
from collections import deque

import numpy as np

from rtbrain.types import Times

PAUSE_S = 1.0
# The least delay of this long is what counts: longer, and it lags behind a sender whose true
# rate is not the nominal one; shorter, and the jitter of a busy network shows.
_MEMORY_S = 10.0
# How fast stamps may be moved later, s a second: follows 2040 Hz sold as 2048.
_SLEW = 0.005
# After a pause the sender may make up for it in a burst: what is missing then was lost.
_SETTLE_S = 0.25
_LEAST_STEP_S = 1e-9


class ArrivalClock:
    """Maps sample numbers to the LSL clock by the samples' arrival.

    No sample is later than its arrival. Of all arrivals in the last 10 s the one with the least
    delay against the nominal rate places the samples, so stamps are late by the shortest delay
    between electrode and computer, which is unknown. Stamps rise, run at the nominal rate
    but for slow corrections, and are never in the future.

    Where no sample came for 1 s and none of the next 0.25 s makes up for it, samples were lost;
    their number is what that time holds at the nominal rate.

    References
    ----------
    Cristian 1989, Probabilistic clock synchronization (the least delay bounds the offset),
    https://doi.org/10.1007/BF01784024
    """

    def __init__(self, sfreq_hz: float) -> None:
        self._sfreq_hz = sfreq_hz
        # Time of sample 0 by each arrival, rising; the first is the least of the last 10 s.
        self._origins: deque[tuple[float, float]] = deque()
        self._origin = math.nan
        self._moved_s = 0.0
        self._n_newest = 0
        self._newest_s = 0.0
        self._broken = False
        self._held_until: float | None = None
        self._least_late_s = math.inf
        self._next = 0
        self._last_stamp = -math.inf

    @property
    def newest_s(self) -> float:
        """When the newest sample was first seen to be here, s."""
        return self._newest_s

    def arrived(self, n_samples: int, now_s: float) -> None:
        """Note that all samples with numbers below `n_samples` are here."""
        if math.isnan(self._origin):
            self._n_newest, self._newest_s = n_samples, now_s
        elif n_samples > self._n_newest:
            silent = (
                now_s - self._newest_s >= PAUSE_S and self._late_s(n_samples, now_s) > _SETTLE_S
            )
            if self._held_until is None and (silent or self._broken):
                self._held_until = now_s + _SETTLE_S
            self._n_newest, self._newest_s = n_samples, now_s
        if self._held_until is not None:
            self._least_late_s = min(self._least_late_s, self._late_s(n_samples, now_s))
        elif not self._broken:
            self._place(now_s - (n_samples - 1) / self._sfreq_hz, now_s)

    def break_off(self) -> None:
        """Note that the next samples do not follow on the ones before: some were lost."""
        self._broken = not math.isnan(self._origin)

    def resume(self, now_s: float) -> int | None:
        """Samples lost in a pause, to add to the numbers that follow; None while it lasts."""
        if self._held_until is None:
            return 0
        if now_s < self._held_until:
            return None
        lost = max(0, round(self._least_late_s * self._sfreq_hz))
        if self._broken:
            lost = max(1, lost)
        elif self._least_late_s <= _SETTLE_S:
            lost = 0
        self._held_until, self._broken, self._least_late_s = None, False, math.inf
        self._n_newest += lost
        return lost

    def stamps(self, first_sample: int, n_samples: int) -> Times:
        """Time stamps of samples that have arrived, which follow on those stamped before."""
        if not n_samples:
            return np.zeros(0)
        last = self._origin + (first_sample + n_samples - 1) / self._sfreq_hz
        start = self._last_stamp
        if first_sample != self._next or math.isinf(start):
            start = max(start, last - n_samples / self._sfreq_hz)
        step_s = max((last - start) / n_samples, _LEAST_STEP_S)
        stamps: Times = start + step_s * np.arange(1, n_samples + 1, dtype=np.float64)
        self._next, self._last_stamp = first_sample + n_samples, float(stamps[-1])
        return stamps

    def _late_s(self, n_samples: int, now_s: float) -> float:
        return now_s - (self._origin + (n_samples - 1) / self._sfreq_hz)

    def _place(self, origin: float, now_s: float) -> None:
        while self._origins and self._origins[-1][1] >= origin:
            self._origins.pop()
        self._origins.append((now_s, origin))
        while self._origins[0][0] < now_s - _MEMORY_S:
            self._origins.popleft()
        least = self._origins[0][1]
        if math.isnan(self._origin) or least < self._origin:
            self._origin = least
        else:
            self._origin += min(least - self._origin, _SLEW * (now_s - self._moved_s))
        self._moved_s = now_s
