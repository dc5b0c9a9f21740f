"""A stimulator beside the synthetic patient: its pulses as the contacts pick them up."""

import math

import numpy as np

from rtbrain.synthetic.noise import RandomStream, random_generator
from rtbrain.types import Doubles, Floats

STIMULATION = "stimulation"  # marker of each pulse
_FIRST_S = 0.5
_BEFORE = 2  # samples by which the low-pass rings before
_TAIL_SHARE, _TAILS = 0.3, 12.0  # of the pulse; time constants that it is followed for
_FALL_MM = 15.0  # the amplitude falls to a quarter within it


class Stimulator:
    """Pulses at a steady rate between two neighbouring contacts.

    Each is biphasic, as short as the amplifier's low-pass lets it be, and leaves an exponential
    tail of another height in each contact. It falls with the square of the distance, and adds to
    the signal, which the amplifier clips at its rail.
    """

    def __init__(
        self,
        seed: int,
        positions_mm: Floats,
        sfreq_hz: float,
        *,
        rate_hz: float,
        amplitude_uv: float,
        tail_s: float,
        rail_uv: float,
    ) -> None:
        self._sfreq_hz, self._rate_hz, self._tail_s = sfreq_hz, rate_hz, tail_s
        self._rail_uv = np.float32(rail_uv)
        rng = random_generator(RandomStream.STIMULATOR, seed)
        at = positions_mm[int(rng.integers(len(positions_mm)))]
        distance_mm = np.linalg.norm(positions_mm - at, axis=1)
        fall = (
            amplitude_uv / (1 + distance_mm / _FALL_MM) ** 2 * rng.choice([-1, 1], distance_mm.size)
        )
        tail = _TAIL_SHARE * rng.lognormal(0, 0.3, distance_mm.size)
        self._weights: Floats = np.stack([fall, fall * tail], axis=1).astype(np.float32)

    def pulses(self, first_sample: int, stop_sample: int) -> Doubles:
        """Where pulses begin, in samples and parts of one: float64 [n_pulses]."""
        per_sample = self._rate_hz / self._sfreq_hz
        offset = _FIRST_S * self._rate_hz
        first = max(0, math.ceil(first_sample * per_sample - offset))
        stop = max(first, math.ceil(stop_sample * per_sample - offset))
        pulses: Doubles = (np.arange(first, stop, dtype=np.float64) + offset) / per_sample
        return pulses

    def add_to(self, signal: Floats, first_sample: int) -> None:
        """Add the pulses to a signal [n_contacts, n_samples] that begins there, and clip it."""
        stop_sample = first_sample + signal.shape[1]
        shapes = np.zeros((2, signal.shape[1]), np.float32)
        reach = math.ceil(_TAILS * self._tail_s * self._sfreq_hz) + _BEFORE
        for at in self.pulses(first_sample - reach, stop_sample + _BEFORE):
            start = math.floor(at) - _BEFORE
            numbers = np.arange(max(start, first_sample), min(start + reach, stop_sample))
            since = numbers - at  # samples
            pulse = _bump(since - 1) - 0.8 * _bump(since - 2)  # whose charge does not vanish
            after = np.maximum(since, 0)
            tail = (1 - np.exp(-((after / 2) ** 2))) * np.exp(
                -after / self._tail_s / self._sfreq_hz
            )
            shapes[:, numbers - first_sample] += np.stack([pulse, tail])
        signal += self._weights @ shapes
        np.clip(signal, -self._rail_uv, self._rail_uv, out=signal)


def _bump(samples: Doubles) -> Doubles:
    """A phase that is short beside a sample, behind the amplifier's low-pass."""
    return np.asarray(np.exp(-2 * samples**2))
