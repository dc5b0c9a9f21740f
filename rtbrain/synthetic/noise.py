"""Random processes of the synthetic patient, in blocks that can be drawn in any order.

Every block has its own seed and every process a memory of at most one block, so that a block does
not depend on what was drawn before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from rtbrain.types import Doubles, Floats

Complexes = npt.NDArray[np.complexfloating]


class RandomStream(IntEnum):
    """Processes, each with its own stream of random numbers."""

    FOCI = 1
    IMPLANT = 2
    HARDWARE = 3
    BACKGROUND = 4
    ALPHA = 5
    TASK = 6
    BURSTS = 7
    BLINKS = 8
    MOVEMENTS = 9
    TASK_BURSTS = 10
    COMMON = 11
    VALUE = 12
    GAIN = 13
    IMPEDANCE = 14
    STIMULATOR = 15


def random_generator(draw: RandomStream, *seeds: int) -> np.random.Generator:
    """Random numbers that depend only on the process and these seeds."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((int(draw), *seeds))))


class FilteredNoise:
    """White noise, mixed over rows and filtered by finite kernels (overlap-save)."""

    def __init__(
        self, draw: RandomStream, seed: int, mixing: Floats, responses: Sequence[Complexes]
    ) -> None:
        self._draw = draw
        self._seed = seed
        self._mixing = mixing
        self._responses = tuple(responses)
        self._n_samples = responses[0].shape[1] - 1
        self._latest: tuple[int, Floats] | None = None

    def block(self, number: int) -> list[Floats]:
        """The noise after each kernel: list of float32 [n_rows, n_samples]."""
        before = self._white(number - 1)
        here = self._white(number)
        self._latest = (number, here)
        spectrum = np.fft.rfft(np.concatenate([before, here], axis=1))
        length = 2 * self._n_samples
        return [
            np.fft.irfft(spectrum * response, length)[:, self._n_samples :].astype(np.float32)
            for response in self._responses
        ]

    def _white(self, number: int) -> Floats:
        if self._latest is not None and self._latest[0] == number:
            return self._latest[1]
        rng = random_generator(self._draw, self._seed, number + 1)
        white = rng.standard_normal((self._mixing.shape[0], self._n_samples), np.float32)
        return self._mixing @ white


@dataclass(frozen=True, slots=True)
class RandomBumps:
    """Hann-shaped bumps at random moments: the envelope of bursts, blinks and movements."""

    draw: RandomStream
    seed: int
    rate_hz: float
    length_s: tuple[float, float]
    n_rows: int
    block_samples: int
    sfreq_hz: float

    def block(self, number: int) -> Floats:
        """Sum of the bumps in this block, heights 0.5 to 1: float32 [n_rows, n_samples]."""
        two = np.zeros((self.n_rows, 2 * self.block_samples), np.float32)
        for half in (0, 1):
            if number - 1 + half >= 0:
                self._add(two, number - 1 + half, half * self.block_samples)
        return two[:, self.block_samples :]

    def _add(self, out: Floats, number: int, offset: int) -> None:
        rng = random_generator(self.draw, self.seed, number)
        for _ in range(rng.poisson(self.rate_hz * self.block_samples / self.sfreq_hz)):
            row = rng.integers(self.n_rows)
            start = offset + int(rng.integers(self.block_samples))
            shortest, longest = (round(length_s * self.sfreq_hz) for length_s in self.length_s)
            length = int(rng.integers(shortest, longest, endpoint=True))
            bump = rng.uniform(0.5, 1.0) * np.hanning(length)
            out[row, start : start + length] += bump[: out.shape[1] - start]


@dataclass(frozen=True, slots=True)
class Wander:
    """Sums of sines of these periods and random phases: values of mean 0 and deviation 1."""

    draw: RandomStream
    seed: int
    n_rows: int
    periods_s: Doubles  # float64 [n_periods]

    def at(self, times_s: Doubles) -> Doubles:
        """Values at these times: float64 [n_rows, n_times]."""
        rng = random_generator(self.draw, self.seed)
        turns = 2 * np.pi * times_s / self.periods_s[:, np.newaxis]
        weights = rng.normal(0.0, self.periods_s.size**-0.5, (2, self.n_rows, len(turns)))
        return np.asarray(weights[0] @ np.cos(turns) + weights[1] @ np.sin(turns))


def power_law_amplitude(
    exponents: Doubles, rms_uv: Doubles, floor_uv: float, n_samples: int, sfreq_hz: float
) -> Doubles:
    """Amplitudes that turn white noise into a 1/f background over an amplifier's noise floor."""
    freqs_hz = np.fft.rfftfreq(2 * n_samples, 1 / sfreq_hz)
    power = np.maximum(freqs_hz, 1.0) ** -exponents[:, np.newaxis]
    power *= (rms_uv**2 / (power.sum(axis=1) * freqs_hz[1]))[:, np.newaxis]
    # White noise of unit variance has a one-sided density of 2 / sfreq.
    return np.asarray(np.sqrt((power + floor_uv**2) * sfreq_hz / 2))


def band_amplitude(band_hz: tuple[float, float], n_samples: int, sfreq_hz: float) -> Doubles:
    """Amplitudes that keep one band: float64 [n_samples + 1], 1 within and 0 outside."""
    freqs_hz = np.fft.rfftfreq(2 * n_samples, 1 / sfreq_hz)
    return ((freqs_hz >= band_hz[0]) & (freqs_hz <= band_hz[1])).astype(np.float64)


def kernel_response(amplitude: Doubles) -> Complexes:
    """Response of a kernel with these amplitudes that fits one block.

    The kernel is symmetric about half a block, so that the outputs of two kernels stay aligned,
    and tapered by a Hann window, which smooths the amplitudes by 1 to 2 Hz.
    """
    n_samples = amplitude.shape[1] - 1
    kernel = np.roll(np.fft.irfft(amplitude), n_samples // 2, axis=1)
    kernel[:, :n_samples] *= np.hanning(n_samples + 1)[:-1]
    kernel[:, n_samples:] = 0.0
    return np.fft.rfft(kernel).astype(np.complex64)
