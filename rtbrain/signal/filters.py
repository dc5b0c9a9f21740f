"""Causal filters: the mains comb, the high-pass, and the change of rate.

All run sample by sample with their state carried in float64, so that a recording filtered in chunks
equals the recording filtered whole.
"""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import scipy

from rtbrain.errors import SettingsError
from rtbrain.polyphase import InputHistory, taps_between
from rtbrain.types import Chunk, Doubles, Floats, Ints, Mask, Montage, empty_chunk

_LARGEST = 5000  # ratio, and either integer of one whose phases are all tabulated
_EXACT = 10**9  # largest denominator of any other ratio: right to a part in 10^18
_PHASES = 512  # tabulated then, for taps of the input's own width
_KAISER_BETA = 5.0  # with 10 zero crossings a side: scipy.signal.resample_poly's default
_CROSSINGS = 10


class NotchComb:
    """Removes mains hum and its harmonics, up to `up_to_hz` and below the Nyquist rate.

    Notches of ``scipy.signal.iirnotch`` follow one another from zero state, as in the published
    front end of BrainBERT (Wang et al., ICLR 2023, arXiv:2302.14367); a constant offset rings for
    about a second. A non-finite sample comes out as NaN while the filter continues from the
    channel's last finite value, so that one lost sample does not silence a channel for good.

    `frequencies_hz` are the centres of the notches, `sos` their sections, float64 [n_notches, 6].
    At rates below twice the mains there is none, and chunks pass as they are. SettingsError if the
    mains lies above `up_to_hz`, or `mains_hz` or `q` is not above 0.
    """

    def __init__(
        self, montage: Montage, mains_hz: float, *, q: float = 30.0, up_to_hz: float = 360.0
    ) -> None:
        if not (mains_hz > 0 and q > 0):
            raise SettingsError(
                f"notch: mains_hz and q must be above 0, got mains_hz {mains_hz} and q {q}"
            )
        self.montage = montage
        harmonics_hz = (mains_hz * k for k in range(1, int(up_to_hz // mains_hz) + 1))
        self.frequencies_hz = tuple(hz for hz in harmonics_hz if hz < montage.sfreq_hz / 2)
        if mains_hz > up_to_hz:
            raise SettingsError(
                f"notch: no harmonic of {mains_hz} Hz lies below up_to_hz {up_to_hz} Hz: raise it, "
                "or leave the notch out"
            )
        # One row (b0 b1 b2 a0 a1 a2) per notch: the biquads themselves, with no roots to find.
        notches = [
            np.r_[scipy.signal.iirnotch(f, q, montage.sfreq_hz)] for f in self.frequencies_hz
        ]
        self.sos = np.reshape(notches, (-1, 6))
        self._cascade = _Cascade(self.sos, np.empty((0, 6)), montage.n_channels)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk without mains hum."""
        return self._cascade(chunk)

    def reset(self) -> None:
        """Start again from zero state."""
        self._cascade.reset()


class HighPass:
    """Removes drift and offset with a causal Butterworth high-pass.

    It starts in the steady state of each channel's first finite sample, so that an amplifier's
    offset leaves no transient. Non-finite samples are treated as by `NotchComb`. A `notch` before
    it runs in the same pass, at hardly more than its own cost. SettingsError if the cutoff is not
    between 0 and the Nyquist rate, or the order is below 1.
    """

    def __init__(
        self, montage: Montage, cutoff_hz: float, *, order: int = 2, notch: NotchComb | None = None
    ) -> None:
        nyquist_hz = montage.sfreq_hz / 2
        if not 0 < cutoff_hz < nyquist_hz:
            raise SettingsError(
                f"high-pass: cutoff_hz must lie between 0 and the Nyquist rate {nyquist_hz} Hz, "
                f"got {cutoff_hz}"
            )
        if order < 1:
            raise SettingsError(f"high-pass: order must be 1 or more, got {order}")
        self.montage = montage
        sos = scipy.signal.butter(order, cutoff_hz, "highpass", fs=montage.sfreq_hz, output="sos")
        notches = np.empty((0, 6)) if notch is None else notch.sos
        self._cascade = _Cascade(notches, np.asarray(sos), montage.n_channels)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk without drift."""
        return self._cascade(chunk)

    def reset(self) -> None:
        """Start again from the steady state of the next sample."""
        self._cascade.reset()


class _Cascade:
    """Second-order sections with carried state; restarts by itself after a gap.

    Those of `from_zero` come first and start from zero state, the others in the steady state of
    what the first finite sample gives there.
    """

    def __init__(self, from_zero: Doubles, from_steady: Doubles, n_channels: int) -> None:
        self._sos = np.concatenate((from_zero, from_steady))  # [n_sections, 6]
        self._n_channels = n_channels
        self._first_state = np.zeros((len(self._sos), 2))  # of a first sample of 1
        if len(from_steady):
            steady = np.prod(from_zero[:, 0]) * scipy.signal.sosfilt_zi(from_steady)
            self._first_state[len(from_zero) :] = steady
        self.reset()

    def reset(self) -> None:
        self._state = np.zeros((len(self._sos), self._n_channels, 2))
        self._held = np.full(self._n_channels, np.nan)  # last finite value; NaN until there is one

    def __call__(self, chunk: Chunk) -> Chunk:
        if chunk.gap > 0:
            self.reset()
        if chunk.n_samples == 0 or not len(self._sos):
            return chunk
        signal = chunk.data.astype(np.float64)
        finite = np.isfinite(signal)
        whole = bool(finite.all())
        rows = np.flatnonzero(np.isnan(self._held) & finite.any(axis=1))  # that begin
        at = finite[rows].argmax(axis=1)
        states = signal[rows, at][:, None] * self._first_state[:, None]
        self._state[:, rows] = states
        if not whole:
            self._bridge(signal, finite)
        filtered, self._state = scipy.signal.sosfilt(self._sos, signal, axis=1, zi=self._state)
        for number in np.flatnonzero(at):  # later than the chunk
            row, rest = rows[number], signal[rows[number], at[number] :]
            filtered[row, at[number] :], self._state[:, row] = scipy.signal.sosfilt(
                self._sos, rest, zi=states[:, number]
            )
        begun = finite.any(axis=1) | ~np.isnan(self._held)
        self._held = np.where(begun, signal[:, -1], np.nan)
        data: Floats = filtered.astype(np.float32)
        if not whole:
            data[~finite] = np.nan
        return replace(chunk, data=data)

    def _bridge(self, signal: Doubles, finite: Mask) -> None:
        """Replace each non-finite sample by the last finite value, or by 0 where there is none."""
        held = np.nan_to_num(self._held)
        for row in np.flatnonzero(~finite.all(axis=1)):
            latest = np.maximum.accumulate(np.where(finite[row], np.arange(len(finite[row])), -1))
            signal[row] = np.where(latest >= 0, signal[row, latest], held[row])


class Resample:
    """Changes the rate, by any ratio, with a linear-phase FIR filter.

    Output sample ``m`` describes the moment of input sample ``m * down / up``, both counted from
    the start of the stream, and is stamped with that moment. It comes out `delay_s` later, when
    the last input that it depends on has arrived. Away from the start the values are those of
    ``scipy.signal.resample_poly``; before the start, and after a gap, the first sample counts as
    having lasted forever, so that an offset leaves no transient. An output within reach of a NaN is
    NaN. A gap of the output is the difference of its counters, so that rounding never adds up; it
    includes the outputs that were still waiting for input when the gap came.

    In a ratio of integers up to 5000 the filter is polyphase. In any other, as of 999.4121 Hz, the
    same filter is tabulated at 512 phases, and its taps are interpolated between them: values are
    right to 2e-6 of the amplitude, positions are counted in integers. SettingsError if the rates
    differ by more than 5000 times.
    """

    def __init__(self, montage: Montage, sfreq_hz: float) -> None:
        self._up, self._down, tabulated = _ratio(montage.sfreq_hz, sfreq_hz)
        self.montage = replace(montage, sfreq_hz=sfreq_hz)
        self._n_channels = montage.n_channels
        factor = max(1.0, self._down / self._up)  # how much wider the filter is than the input
        self._tabulated = tabulated
        if self._up == self._down:
            self._half, self._phases = 0, np.ones((1, 1))
        elif tabulated:
            self._half = _CROSSINGS * max(self._up, self._down)
            self._phases = _phases(self._up, self._half, max(self._up, self._down))
        else:
            n_inputs, n_phases = math.ceil(_CROSSINGS * factor), math.ceil(_PHASES / factor)
            self._half = n_inputs * self._up
            phases = _phases(n_phases, n_inputs * n_phases, n_phases * factor)
            # One input on, the first phase again.
            last = np.concatenate([[0.0], phases[0, :-1]])
            self._phases = np.concatenate([phases, last[None]])
        self.delay_s = self._half / self._up / montage.sfreq_hz
        self._inputs = InputHistory(montage.n_channels)
        self.reset()

    def reset(self) -> None:
        """Forget the samples and the counters."""
        self._expected: int | None = None  # number of the output after the last
        self._forget()

    def _forget(self) -> None:
        self._started = False
        self._next = 0  # number of the next output
        self._inputs.clear(0)

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

    def _output_from(self, sample: int) -> int:
        """Number of the first output at or after an input sample."""
        return -((sample * self._up) // -self._down)

    def _give(self, expected: int) -> Chunk:
        stop = self._complete()
        if stop <= self._next:
            return empty_chunk(
                self._n_channels, expected
            )  # a gap is reported with the first output after it
        newest, phase = self._positions(stop, self._half)
        taps = (
            self._phases[phase] if self._tabulated else taps_between(self._phases, phase / self._up)
        )
        values = self._inputs.filter(newest - self._phases.shape[1] + 1, taps)
        before, part = self._positions(stop, 0)
        stamps = self._inputs.times(before, part / self._up)
        flags = self._inputs.flags(before, self._down // self._up)
        made = Chunk(values, stamps, self._next, self._next - expected, flags)
        self._next = self._expected = stop
        newest_needed = (stop * self._down + self._half) // self._up
        self._inputs.drop(newest_needed - self._phases.shape[1] + 1)
        return made

    def _positions(self, stop: int, ahead: int) -> tuple[Ints, Ints]:
        """Input at or before the next outputs, `ahead` on, and how many up-ths beyond it each lies.

        The first is placed in integers of any size, so that numbers never overflow.
        """
        at, beyond = divmod(self._next * self._down + ahead, self._up)
        steps = np.arange(stop - self._next, dtype=np.int64) * self._down
        whole, part = np.divmod(steps + beyond, self._up)
        return whole + at, part

    def _complete(self) -> int:
        """Number of the first output that still waits for input."""
        if not self._started:
            return self._next
        last = self._inputs.stop - 1
        # Output m needs inputs up to floor((m * down + half) / up).
        return int((last * self._up + self._up - 1 - self._half) // self._down + 1)


def _ratio(from_hz: float, to_hz: float) -> tuple[int, int, bool]:
    """Outputs and inputs of a ratio of rates, and whether they are small enough to tabulate."""
    if not (np.isfinite(to_hz) and to_hz > 0):
        raise SettingsError(f"resample: sfreq_hz must be above 0, got {to_hz}")
    exact = Fraction(to_hz) / Fraction(from_hz)
    if not Fraction(1, _LARGEST) <= exact <= _LARGEST:
        raise SettingsError(
            f"resample: {from_hz} Hz to {to_hz} Hz is a ratio of {float(exact):.9g}: choose a rate "
            f"at most {_LARGEST} times higher or lower"
        )
    ratio = exact.limit_denominator(_LARGEST)
    # A thousand-millionth is 7 thousandths of a sample an hour at 2 kHz: below any amplifier.
    if ratio.numerator <= _LARGEST and abs(ratio / exact - 1) <= 1e-9:
        return ratio.numerator, ratio.denominator, True
    ratio = exact.limit_denominator(_EXACT)
    return ratio.numerator, ratio.denominator, False


def _phases(n_phases: int, half: int, width: float) -> Doubles:
    """Taps of each phase, oldest input first: float64 [n_phases, n_taps]."""
    taps = n_phases * scipy.signal.firwin(2 * half + 1, 1 / width, window=("kaiser", _KAISER_BETA))
    n_taps = -(-taps.size // n_phases)
    padded = np.pad(taps, (0, n_taps * n_phases - taps.size))
    return np.ascontiguousarray(padded.reshape(n_taps, n_phases)[::-1].T)
