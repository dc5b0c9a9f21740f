"""Units of voltage and positions, as files and headers write them."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbrain.errors import SettingsError
from rtbrain.types import CONTACT_KINDS, TRIGGER_KIND, Chunk, Doubles, Floats, Montage

MICROVOLTS_PER_VOLT = 1e6
# The sign of micro is lost where a file is read in another encoding than it was written in.
_MICROVOLTS = {
    **dict.fromkeys(("p", "pico"), 1e-6),
    **dict.fromkeys(("n", "nano"), 1e-3),
    **dict.fromkeys(("u", "\u03bc", "\u00e2\u03bc", "mu", "micro", "\ufffd", "?"), 1.0),
    **dict.fromkeys(("m", "milli"), 1e3),
    "": MICROVOLTS_PER_VOLT,
}
# MNE-LSL writes the unit of volts as its power of ten.
_BY_POWER = {"-12": 1e-6, "-9": 1e-3, "-6": 1.0, "-3": 1e3, "0": MICROVOLTS_PER_VOLT}
_NAMES = {"1e+06": "volts", "1e+03": "millivolts", "1e+00": "microvolts", "1e-03": "nanovolts"}
MILLIMETRES_PER = {"m": 1e3, "cm": 10.0, "mm": 1.0}
_SMALLEST_UV = 0.1
_LARGEST_UV = 20_000.0
_TYPICAL_UV = 50.0
# Standard deviation of a normal distribution, in its median absolute deviations.
_STD_IN_MAD = 1.4826
_MEASURED_S, _MOST_VALUES = 2.0, 2**17


def microvolts_per(unit: str) -> float | None:
    """Microvolts per `unit`; None where it is no unit of voltage."""
    # The micro sign, U+00B5, becomes the Greek letter mu, U+03BC: both are in use.
    plain = unicodedata.normalize("NFKC", unit).strip().lower()
    volts = re.fullmatch(r"(.*?)[ -]?v(?:olts?)?", plain)
    return _MICROVOLTS.get(volts[1]) if volts else _BY_POWER.get(plain)


def require_voltage(unit: str) -> float:
    """Microvolts per `unit`, which settings name; a SettingsError where it is none of voltage."""
    factor = microvolts_per(unit)
    if factor is None:
        raise SettingsError(f"unit: expected a unit of voltage such as microvolts, got {unit!r}")
    return factor


def keep_codes(kinds: Sequence[str], factors: Doubles | float) -> Doubles:
    """Factors, float64 [n_channels], but 1 for trigger channels: their numbers are codes."""
    is_code = np.array([kind == TRIGGER_KIND for kind in kinds], np.bool_)
    return np.where(is_code, 1.0, factors)


def to_microvolts(values: npt.NDArray[Any], factors: Doubles | float) -> Floats:
    """Values [n_channels, n_samples] times their factors (per channel, or one), in float32."""
    # A sender of float64 may hold what float32 cannot: inf then, which is masked as bad.
    with np.errstate(over="ignore"):
        scaled = np.multiply(values, np.reshape(factors, (-1, 1)), dtype=np.float64)
        microvolts: Floats = scaled.astype(np.float32, order="C")
    return microvolts


def parse_position(texts: Sequence[str]) -> Floats:
    """Position of three texts, float32 [3]; NaN unless all three are finite numbers.

    A decimal comma is as good as a point.
    """
    try:
        position = np.array([float(str(text).replace(",", ".")) for text in texts], np.float32)
    except ValueError:
        return np.full(3, np.nan, np.float32)
    # Part of a position is no position.
    return position if np.isfinite(position).all() else np.full(3, np.nan, np.float32)


def place_channels(names: Sequence[str], positions: Mapping[str, npt.ArrayLike]) -> Floats | None:
    """Positions of these channels, float32 [n_channels, 3], NaN if unknown; None if all are."""
    placed = np.full((len(names), 3), np.nan, np.float32)
    for row, name in enumerate(names):
        if name in positions:
            placed[row] = positions[name]
    return None if np.isnan(placed).all() else placed


def amplitude_uv(data: Floats) -> float:
    """Median over channels of their robust standard deviation, 1.4826 MAD, µV.

    Offsets, artefacts and dead channels hardly change it. A sample of `data`, float32 [n_channels,
    n_samples] in µV, that is not finite on a channel with finite ones is left out on all. NaN where
    fewer than 2 samples are left.
    """
    finite = np.isfinite(data)
    alive = finite.any(axis=1)
    kept = data[alive][:, finite[alive].all(axis=0)].astype(np.float64)
    if kept.shape[0] == 0 or kept.shape[1] < 2:
        return float("nan")
    middle = np.median(kept, axis=1, keepdims=True)
    return float(np.median(_STD_IN_MAD * np.median(np.abs(kept - middle), axis=1)))


def find_wrong_unit(size_uv: float) -> tuple[str, float] | None:
    """Message about an amplitude (`amplitude_uv`) that no brain makes, and the factor to mend it.

    None for a plausible amplitude, an unknown one (NaN), and a flat signal.
    """
    if np.isnan(size_uv) or size_uv == 0 or _SMALLEST_UV <= size_uv <= _LARGEST_UV:
        return None
    # Volts, millivolts and microvolts are mistaken for each other.
    factor = 1000.0 ** round(np.log10(_TYPICAL_UV / size_uv) / 3)
    return (
        f"the signal's standard deviation is {size_uv:.3g} µV, a brain's is {_SMALLEST_UV:g} to "
        f"{_LARGEST_UV:g} µV: its unit is probably wrong"
    ), factor


@dataclass(frozen=True, slots=True)
class WrongUnit:
    """A unit in which a signal is no brain's."""

    times: float  # how much too large the signal is
    unit: str  # the right one, empty if it has no name


def wrong_unit(factors: Doubles, factor: float) -> WrongUnit:
    """What is wrong with a unit, by its factors to µV and the one that mends it."""
    name = _NAMES.get(f"{float(np.median(factors)) * factor:.0e}", "")
    return WrongUnit(1 / factor, name)


class AmplitudeCheck:
    """Measures the amplitude of the first 2 s of a stream, once, on channels that are contacts."""

    def __init__(self, montage: Montage) -> None:
        rows = [row for row, kind in enumerate(montage.kinds) if kind in CONTACT_KINDS]
        self._rows = rows or list(range(montage.n_channels))
        self._n_samples = max(2, round(_MEASURED_S * montage.sfreq_hz))
        # Every so many samples: medians of all of 1,024 contacts would stall a decoder for 0.2 s.
        self._every = max(1, len(self._rows) * self._n_samples // _MOST_VALUES)
        n_kept = -(-self._n_samples // self._every)
        self._kept = np.empty((len(self._rows), n_kept), np.float32)
        self._n_seen = 0

    def __call__(self, chunk: Chunk) -> tuple[str, float] | None:
        """Add samples; once 2 s are there, the finding of `find_wrong_unit`."""
        n_taken = min(chunk.n_samples, self._n_samples - self._n_seen)
        if n_taken == 0:
            return None
        taken = chunk.data[self._rows, -self._n_seen % self._every : n_taken : self._every]
        first = -(-self._n_seen // self._every)
        self._kept[:, first : first + taken.shape[1]] = taken
        self._n_seen += n_taken
        return find_wrong_unit(amplitude_uv(self._kept)) if self.done else None

    @property
    def done(self) -> bool:
        """Whether 2 s were measured."""
        return self._n_seen == self._n_samples

    def reset(self) -> None:
        """Measure again, as after a reconnection."""
        self._n_seen = 0


def to_samples(duration_s: float, sfreq_hz: float, *, what: str = "duration") -> int:
    """Whole number of samples in a duration; `what` names it in the message.

    Raises a ValueError where it is more than a thousandth of a sample away from a whole number.
    """
    exact = duration_s * sfreq_hz
    if not abs(exact) < 2**53:  # what a float64 counts
        raise ValueError(f"{what} of {duration_s:g} s: expected fewer samples than {exact:g}")
    n_samples = round(exact)
    if abs(exact - n_samples) > 1e-3:
        raise ValueError(
            f"{what} of {duration_s} s is {exact:.3f} samples at {sfreq_hz} Hz, not a whole "
            f"number: the nearest that fits is {n_samples / sfreq_hz:.9g} s"
        )
    return n_samples
