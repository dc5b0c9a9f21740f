"""Change of rate within the signal chain, exact in its counters over days."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from scipy.signal import firwin

from rtbrain.errors import SettingsError
from rtbrain.polyphase import InputHistory
from rtbrain.types import Chunk, Doubles, Montage, empty_chunk

_LARGEST = 5000  # of either integer of the ratio: the filter has 20 times as many taps
_KAISER_BETA = 5.0  # with 10 zero crossings a side: scipy.signal.resample_poly's default
_CROSSINGS = 10


class Resample:
    """Changes the rate with a polyphase, linear-phase FIR filter.

    Output sample ``m`` describes the moment of input sample ``m * down / up``, both counted from
    the start of the stream, and is stamped with that moment. It comes out `delay_s` later, when
    the last input that it depends on has arrived. Away from the start the values are those of
    ``scipy.signal.resample_poly`` (Crochiere and Rabiner, "Multirate Digital Signal Processing",
    1983); before the start, and before the first sample after a gap, the first sample counts as
    having lasted forever, so that an offset leaves no transient. An output within reach of a NaN is
    NaN.

    A gap of the output is the difference of its counters, so that rounding never adds up. It
    includes the outputs that were still waiting for input when the gap came. SettingsError if the
    two rates are not in a ratio of integers up to 5000.
    """

    def __init__(self, montage: Montage, sfreq_hz: float) -> None:
        ratio = _ratio(montage.sfreq_hz, sfreq_hz)
        self.montage = replace(montage, sfreq_hz=sfreq_hz)
        self._n_channels = montage.n_channels
        self._up, self._down = ratio.numerator, ratio.denominator
        self._half = 0 if ratio == 1 else _CROSSINGS * max(self._up, self._down)
        self._phases = _phases(self._up, self._down, self._half)  # [up, n_taps]
        self.delay_s = self._half / self._up / montage.sfreq_hz
        self._inputs = InputHistory(montage.n_channels)
        self.reset()

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the outputs that this input makes complete, maybe none."""
        if self._half == 0:
            return chunk
        if chunk.gap > 0:
            self._forget()
        if self._expected is None and (chunk.gap or chunk.n_samples):
            self._expected = self._output_from(chunk.first_sample - chunk.gap)
        if chunk.n_samples:
            if not self._started:
                self._started = True
                self._next = self._output_from(chunk.first_sample)
            self._inputs.add(chunk, self._phases.shape[1])
        if self._expected is None:
            return empty_chunk(self._n_channels, self._output_from(chunk.first_sample))
        return self._give(self._expected)

    def reset(self) -> None:
        """Forget the samples and the counters."""
        self._expected: int | None = None  # number of the output after the last
        self._forget()

    def _forget(self) -> None:
        self._started = False
        self._next = 0  # number of the next output
        self._inputs.clear(0)

    def _output_from(self, sample: int) -> int:
        """Number of the first output at or after an input sample."""
        return -((sample * self._up) // -self._down)

    def _give(self, expected: int) -> Chunk:
        stop = self._complete()
        if stop <= self._next:
            return empty_chunk(
                self._n_channels, expected
            )  # a gap is reported with the first output after it
        numbers = np.arange(self._next, stop, dtype=np.int64)
        newest, phase = np.divmod(numbers * self._down + self._half, self._up)
        values = self._inputs.filter(newest - self._phases.shape[1] + 1, self._phases[phase])
        before, part = np.divmod(numbers * self._down, self._up)
        stamps = self._inputs.times(before, part / self._up)
        made = Chunk(values, stamps, self._next, self._next - expected)
        self._next = self._expected = stop
        newest_needed = (stop * self._down + self._half) // self._up
        self._inputs.drop(newest_needed - self._phases.shape[1] + 1)
        return made

    def _complete(self) -> int:
        """Number of the first output that still waits for input."""
        if not self._started:
            return self._next
        last = self._inputs.stop - 1
        # Output m needs inputs up to floor((m * down + half) / up).
        return int((last * self._up + self._up - 1 - self._half) // self._down + 1)


def _ratio(from_hz: float, to_hz: float) -> Fraction:
    if not (np.isfinite(to_hz) and to_hz > 0):
        raise SettingsError(f"resample: sfreq_hz must be above 0, got {to_hz}")
    exact = Fraction(to_hz) / Fraction(from_hz)
    ratio = exact.limit_denominator(_LARGEST)
    # A thousand-millionth is 7 thousandths of a sample an hour at 2 kHz: below any amplifier.
    if not 0 < ratio.numerator <= _LARGEST or abs(ratio / exact - 1) > 1e-9:
        raise SettingsError(
            f"resample: {from_hz} Hz to {to_hz} Hz is a ratio of {float(exact):.9g}, not of two "
            f"integers up to {_LARGEST}: choose a rate in a simpler ratio"
        )
    return ratio


def _phases(up: int, down: int, half: int) -> Doubles:
    """Taps of each phase, oldest input first: float64 [up, n_taps]."""
    if half == 0:
        return np.ones((1, 1))
    taps = up * firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", _KAISER_BETA))
    n_taps = -(-taps.size // up)
    padded = np.pad(taps, (0, n_taps * up - taps.size))
    return np.ascontiguousarray(padded.reshape(n_taps, up)[::-1].T)
