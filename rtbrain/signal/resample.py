"""Change of rate within the signal chain, exact in its counters over days."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
from scipy.signal import firwin

from rtbrain.errors import SettingsError
from rtbrain.types import Chunk, Doubles, Floats, Ints, Montage, Times

_LARGEST = 5000  # of either integer of the ratio: the filter has 20 times as many taps


_KAISER_BETA = 5.0  # with 10 zero crossings a side: scipy.signal.resample_poly's default


_CROSSINGS = 10


_BLOCK = 4096  # inputs a channel that are laid out at a time: some megabytes at 128 channels


class Resample:
    """Changes the rate with a polyphase, linear-phase FIR filter.

    Output sample ``m`` describes the moment of input sample ``m * down / up``, both counted from
    the start of the stream, and is stamped with that moment. It comes out `delay_s` later, when
    the last input that it depends on has arrived: the delay shows as age. Away from the start the
    values are those of ``scipy.signal.resample_poly`` [1]_; before the start, and before the
    first sample after a gap, the first sample is taken to have lasted forever, so that an offset
    leaves no transient. An output within reach of a NaN is NaN.

    A gap of the output is the difference of its counters, so that rounding never adds up. It
    includes the outputs that were still waiting for input when the gap came.

    Parameters
    ----------
    montage : Montage
        Channels and rate of the chunks that come in.
    sfreq_hz : float
        Rate wished for, Hz.

    Attributes
    ----------
    delay_s : float
        Seconds of input beyond an output's own moment that it waits for.

    Raises
    ------
    SettingsError
        The two rates are not in a ratio of integers up to 5000.

    References
    ----------
    .. [1] Crochiere and Rabiner, "Multirate Digital Signal Processing", Prentice-Hall 1983.
    """

    def __init__(self, montage: Montage, sfreq_hz: float) -> None:
        ratio = _ratio(montage.sfreq_hz, sfreq_hz)
        self.montage = replace(montage, sfreq_hz=sfreq_hz)
        self._n_channels = montage.n_channels
        self._up, self._down = ratio.numerator, ratio.denominator
        self._half = 0 if ratio == 1 else _CROSSINGS * max(self._up, self._down)
        self._phases = _phases(self._up, self._down, self._half)  # [up, n_taps]
        self.delay_s = self._half / self._up / montage.sfreq_hz
        self._expected: int | None = None  # number of the output after the last one given
        self._kept: Doubles  # [n_channels, n_kept] inputs that later outputs need
        self._stamps: Times  # theirs
        self._forget()

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk of the outputs that this input makes complete, maybe none."""
        if self._half == 0:
            return chunk
        if chunk.gap > 0:
            self._forget()
        if self._expected is None and (chunk.gap or chunk.n_samples):
            self._expected = self._output_from(chunk.first_sample - chunk.gap)
        if chunk.n_samples:
            self._take(chunk)
        if self._expected is None:
            return self._nothing(self._output_from(chunk.first_sample))
        return self._give(self._expected)

    def reset(self) -> None:
        """Forget the samples and the counters."""
        self._expected = None
        self._forget()

    def _forget(self) -> None:
        self._started = False
        self._first = 0  # number of the oldest input kept
        self._next = 0  # number of the next output
        self._kept = np.empty((self._n_channels, 0))
        self._stamps = np.empty(0)

    def _output_from(self, sample: int) -> int:
        """Number of the first output at or after an input sample."""
        return -((sample * self._up) // -self._down)

    def _nothing(self, first_sample: int) -> Chunk:
        return Chunk(np.empty((self._n_channels, 0), np.float32), np.empty(0), first_sample)

    def _take(self, chunk: Chunk) -> None:
        data = chunk.data.astype(np.float64)
        if self._started:
            self._kept = np.concatenate([self._kept, data], axis=1)
            self._stamps = np.concatenate([self._stamps, chunk.timestamps])
            return
        n_before = self._phases.shape[1]
        self._started = True
        self._first = chunk.first_sample - n_before
        self._next = self._output_from(chunk.first_sample)
        self._kept = np.concatenate([np.repeat(data[:, :1], n_before, axis=1), data], axis=1)
        # No output lies before the first sample, so its stamps are never read there.
        self._stamps = np.concatenate([np.full(n_before, np.nan), chunk.timestamps])

    def _give(self, expected: int) -> Chunk:
        stop = self._complete()
        if stop <= self._next:
            return self._nothing(expected)  # a gap is told with the first output after it
        numbers = np.arange(self._next, stop, dtype=np.int64)
        made = Chunk(
            self._filtered(numbers), self._stamped(numbers), self._next, self._next - expected
        )
        self._next = self._expected = stop
        self._drop()
        return made

    def _complete(self) -> int:
        """Number of the first output that still waits for input."""
        if not self._started:
            return self._next
        last = self._first + self._kept.shape[1] - 1
        # Output m needs inputs up to floor((m * down + half) / up).
        return int((last * self._up + self._up - 1 - self._half) // self._down + 1)

    def _filtered(self, numbers: Ints) -> Floats:
        newest, phase = np.divmod(numbers * self._down + self._half, self._up)
        n_taps = self._phases.shape[1]
        spans = np.lib.stride_tricks.sliding_window_view(self._kept, n_taps, axis=1)
        oldest = newest - self._first - n_taps + 1
        made = np.empty((self._n_channels, numbers.size), np.float32)
        # In blocks, since the inputs of each output are laid side by side to be summed.
        n_block = max(1, _BLOCK // n_taps)
        for at in range(0, numbers.size, n_block):
            block = slice(at, at + n_block)
            inputs = spans[:, oldest[block]]  # [C, M, n_taps]
            made[:, block] = np.einsum("cmk,mk->cm", inputs, self._phases[phase[block]])
        return made

    def _stamped(self, numbers: Ints) -> Times:
        before, part = np.divmod(numbers * self._down, self._up)
        at = before - self._first
        start = self._stamps[at]
        stamps: Times = start + part / self._up * (self._stamps[at + 1] - start)
        return stamps

    def _drop(self) -> None:
        oldest = (self._next * self._down + self._half) // self._up - self._phases.shape[1] + 1
        n_old = min(oldest - self._first, self._kept.shape[1])
        self._kept = self._kept[:, n_old:]
        self._stamps = self._stamps[n_old:]
        self._first += n_old


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
