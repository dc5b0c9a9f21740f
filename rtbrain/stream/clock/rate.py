"""From sample numbers to time: a line through the stamps and its rate, or the arrivals alone."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from rtbrain.stream_names import RATE_TOLERANCE
from rtbrain.types import Doubles, Times

_BLOCK_S = 0.25
MEMORY_S = 60.0
_LEAST_BLOCKS = 4
# Blocks further off than this many robust standard deviations are left out of the line.
_OUTLYING = 5.0
_SIGMA_OF_MAD = 1.4826
# Below this share of a sample nothing is outlying: rounding must not decide.
_EXACT_SAMPLES = 0.1
_VERDICT_AFTER_S = 10.0
_STANDARD_ERRORS = 3.0
# Without stamps: a longer silence is a pause.
PAUSE_S = 1.0
# The least delay of this long is what counts: longer, and it lags behind a sender whose true
# rate is not the nominal one; shorter, and the jitter of a busy network shows.
_ARRIVALS_S = 10.0
# How fast stamps may be moved later, s a second: follows 2040 Hz sold as 2048.
_SLEW = 0.005
# After a pause the sender may make up for it in a burst: what is missing then was lost.
_SETTLE_S = 0.25
_LEAST_STEP_S = 1e-9


@dataclass(frozen=True, slots=True)
class ClockLine:
    """Time of each sample: ``t_origin + (number - origin) / rate_hz``."""

    origin: float
    t_origin: float
    rate_hz: float
    rate_error_hz: float
    uncertainty_s: float

    def at(self, number: float) -> float:
        """Time of a sample, s."""
        return self.t_origin + (number - self.origin) / self.rate_hz


class ClockFit:
    """Fits time against the counter by least squares, over the last 60 s, in bounded memory.

    Samples are averaged in blocks of 0.25 s, so that gaps, which the counter runs on over, need
    no care. Blocks that are more than five robust standard deviations off a first line are left
    out of the second: a stamp or a stall that is late bends nothing.

    References
    ----------
    Rousseeuw & Croux 1993, Alternatives to the median absolute deviation,
    https://doi.org/10.1080/01621459.1993.10476408
    """

    def __init__(self, sfreq_hz: float) -> None:
        self._sfreq_hz = sfreq_hz
        self._block_samples = max(1, round(_BLOCK_S * sfreq_hz))
        n_blocks = round(MEMORY_S / _BLOCK_S)
        # Means of number and time, counted from the first sample to keep the digits.
        self._blocks: deque[tuple[float, float]] = deque(maxlen=n_blocks)
        self._first_number = 0
        self._t_first = math.nan
        self._count = 0
        self._sum_numbers = 0.0
        self._sum_times = 0.0
        self._line: ClockLine | None = None
        self._stale = False

    def add(self, first_number: int, times: Times) -> None:
        """Take consecutive samples."""
        if math.isnan(self._t_first):
            self._first_number, self._t_first = first_number, float(times[0])
        number = first_number - self._first_number
        start = 0
        while start < times.size:
            length = min(self._block_samples - self._count, times.size - start)
            self._sum_numbers += length * (number + start + (length - 1) / 2)
            self._sum_times += float((times[start : start + length] - self._t_first).sum())
            self._count += length
            start += length
            if self._count == self._block_samples:
                self._blocks.append(
                    (self._sum_numbers / self._count, self._sum_times / self._count)
                )
                self._count, self._sum_numbers, self._sum_times = 0, 0.0, 0.0
                self._stale = True

    def line(self) -> ClockLine | None:
        """The line through the last 60 s; None before there is 1 s."""
        if self._stale and len(self._blocks) >= _LEAST_BLOCKS:
            self._line, self._stale = self._fitted(), False
        return self._line

    def _fitted(self) -> ClockLine | None:
        points = np.array(self._blocks)
        numbers, times = points[:, 0], points[:, 1]
        off = np.abs(_residuals(numbers, times))
        limit = _OUTLYING * _SIGMA_OF_MAD * float(np.median(off))
        kept = off <= max(limit, _EXACT_SAMPLES / self._sfreq_hz)
        # A level that moved makes all blocks outlying; then all count.
        if kept.sum() >= max(_LEAST_BLOCKS, 0.5 * kept.size):
            numbers, times = numbers[kept], times[kept]
        centre, t_centre, slope = _least_squares(numbers, times)
        if not slope > 0:  # the stamps stand still, or go back
            return None
        residuals = times - t_centre - slope * (numbers - centre)
        spread = float(((numbers - centre) ** 2).sum())
        sigma = float(np.sqrt((residuals**2).sum() / max(1, numbers.size - 2)))
        slope_error = sigma / np.sqrt(spread)
        lever = float(points[-1, 0]) - centre
        return ClockLine(
            origin=self._first_number + centre,
            t_origin=self._t_first + t_centre,
            rate_hz=1 / slope,
            rate_error_hz=float(slope_error / slope**2),
            uncertainty_s=float(np.hypot(sigma / np.sqrt(numbers.size), lever * slope_error)),
        )


def _least_squares(numbers: Doubles, times: Doubles) -> tuple[float, float, float]:
    centre, t_centre = float(numbers.mean()), float(times.mean())
    x = numbers - centre
    return centre, t_centre, float(x @ (times - t_centre) / (x @ x))


def _residuals(numbers: Doubles, times: Doubles) -> Doubles:
    centre, t_centre, slope = _least_squares(numbers, times)
    residuals: Doubles = times - t_centre - slope * (numbers - centre)
    return residuals


@dataclass(frozen=True, slots=True)
class SampleCounterReport:
    """Counts of the samples so far, and the line from their numbers to time.

    Each sample received is delivered, duplicated or reordered, one of the three; the numbers in
    use are those of the samples delivered and lost.
    """

    received: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int
    clock_steps: int
    effective_rate_hz: float
    drift_ppm: float
    offset_s: float
    uncertainty_s: float
    nominal_rate_hz: float


def effective_rate_verdict(report: SampleCounterReport) -> str:
    """Why a stream cannot be decoded at its true rate; empty where it can.

    Up to the tolerance the stream is resampled (`DriftCorrection`). An amplifier that is further
    off than 0.5 %, a hundred times what a poor crystal is, does not send what its header says.
    The uncertainty that jittery stamps leave, three standard errors, is allowed on top.
    Less than 10 s of samples are not judged.
    """
    nominal_hz, effective_hz = report.nominal_rate_hz, report.effective_rate_hz
    if report.delivered < _VERDICT_AFTER_S * nominal_hz or math.isnan(effective_hz):
        return ""
    fitted_s = min(report.delivered / nominal_hz, MEMORY_S)
    # A line's error at its end is that of its slope times its length, over the root of 3.
    unsure = _STANDARD_ERRORS * math.sqrt(3) * report.uncertainty_s / fitted_s
    if abs(effective_hz / nominal_hz - 1) <= RATE_TOLERANCE + unsure:
        return ""
    return (
        f"true rate is {effective_hz:.2f} Hz, expected {nominal_hz:g} Hz: "
        f"more than {100 * RATE_TOLERANCE:g} % off"
    )


class SlowMinimum:
    """Least value of the last 10 s: followed at once downwards, by `slew` a second upwards."""

    def __init__(self, slew: float) -> None:
        self._slew = slew
        # Rising, each with its time; the first is the least.
        self._held: deque[tuple[float, float]] = deque()
        self._value = math.nan
        self._moved_s = 0.0

    def __call__(self, value: float, now_s: float) -> float:
        """Take a value; where the minimum stands."""
        while self._held and self._held[-1][1] >= value:
            self._held.pop()
        self._held.append((now_s, value))
        while self._held[0][0] < now_s - _ARRIVALS_S:
            self._held.popleft()
        least = self._held[0][1]
        if math.isnan(self._value) or least < self._value:
            self._value = least
        else:
            self._value += min(least - self._value, self._slew * (now_s - self._moved_s))
        self._moved_s = now_s
        return self._value


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
        self._least_origin = SlowMinimum(_SLEW)
        self._origin = math.nan  # time of sample 0
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
            self._origin = self._least_origin(now_s - (n_samples - 1) / self._sfreq_hz, now_s)

    def break_off(self, next_number: int | None = None) -> None:
        """Note that the next samples do not follow on the ones before.

        Some were lost, and those from `next_number` on too, though they had arrived.
        """
        self._broken = not math.isnan(self._origin)
        self._n_newest = self._n_newest if next_number is None else next_number

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
