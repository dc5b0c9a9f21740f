"""What the ledger says of a stream: counts, true rate, and whether that rate will do."""

import math
from dataclasses import dataclass

from rtbrain.stream.clock_fit import MEMORY_S

__all__ = ["RATE_TOLERANCE", "LedgerReport", "effective_rate_verdict"]

# Share of the nominal rate that the true one may be off.
RATE_TOLERANCE = 0.005

_VERDICT_AFTER_S = 10.0
_STANDARD_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What became of the samples so far, and the line from their numbers to time.

    Each sample received is given, duplicated or reordered, one of the three; the numbers in use
    are those of the samples given and lost.

    Attributes
    ----------
    received : int
        Samples that arrived.
    given : int
        Samples passed on.
    lost : int
        Numbers that were left out: samples that never came, or came too late.
    duplicated : int
        Samples that had been given before; dropped.
    reordered : int
        Samples that came after later ones; dropped, for their numbers were given up as lost.
    clock_steps : int
        Steps of the sender's clock.
    effective_rate_hz : float
        Samples a second of the sender's clock; NaN before there is 1 s of samples.
    drift_ppm : float
        How much that is above the nominal rate.
    offset_s : float
        Time of sample 0 by the line of the last 60 s: sample ``n`` is at
        ``offset_s + n / effective_rate_hz``.
    uncertainty_s : float
        Standard error of the newest sample's time by that line, s.
    nominal_rate_hz : float
        What the header says.
    """

    received: int
    given: int
    lost: int
    duplicated: int
    reordered: int
    clock_steps: int
    effective_rate_hz: float
    drift_ppm: float
    offset_s: float
    uncertainty_s: float
    nominal_rate_hz: float


def effective_rate_verdict(report: LedgerReport, tolerance: float = RATE_TOLERANCE) -> str:
    """Why the stream's true rate cannot be decoded at; empty where it can.

    Up to the tolerance the stream is resampled (`rtbrain.stream.drift`). An amplifier that is
    further off than 0.5 %, a hundred times what a poor crystal is, does not send what its header
    says. What jittery stamps leave unsure of the rate, three standard errors, is allowed on top.

    Parameters
    ----------
    report : LedgerReport
        Judged once it stands on 10 s of samples.
    tolerance : float
        Share of the nominal rate.
    """
    nominal_hz, effective_hz = report.nominal_rate_hz, report.effective_rate_hz
    if report.given < _VERDICT_AFTER_S * nominal_hz or math.isnan(effective_hz):
        return ""
    fitted_s = min(report.given / nominal_hz, MEMORY_S)
    # A line's error at its end is that of its slope times its length, over the root of 3.
    unsure = _STANDARD_ERRORS * math.sqrt(3) * report.uncertainty_s / fitted_s
    if abs(effective_hz / nominal_hz - 1) <= tolerance + unsure:
        return ""
    return (
        f"true rate is {effective_hz:.2f} Hz, the header says {nominal_hz:g} Hz: "
        f"more than {100 * tolerance:g} % off"
    )
