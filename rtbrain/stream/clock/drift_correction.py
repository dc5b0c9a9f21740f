"""Resample a stream to the rate in its header where its true rate is slightly off."""

from collections.abc import Callable, Iterator

import numpy as np

from rtbrain.polyphase import InputHistory, taps_between
from rtbrain.stream.clock.rate import ClockFit, ClockLine
from rtbrain.stream_names import RATE_TOLERANCE, RATE_UNCHANGED
from rtbrain.types import Chunk, Doubles, Ints, Montage, empty_chunk

_STANDARD_ERRORS = 4.0
_KNOWN_AFTER_S = 5.0
_JUDGED_EVERY_S = 1.0
_HALF = 16  # inputs on either side of an output
_N_HELD = 2 * _HALF
_KAISER_BETA = 8.0
_PHASES = 512


class DriftCorrection:
    """Resamples a stream whose true rate is off by 0.02 % to 0.5 % to its nominal rate.

    The true rate is that of a line through the time stamps of the last 60 s, read once a second
    from 5 s on. While it is within 0.02 % of the nominal rate, or not known to be outside it,
    chunks go through unchanged, to the bit. Once it is known to be off, each output is
    interpolated between the samples around its own moment (a sinc of 32 taps under a Kaiser window,
    flat to 0.8 of half the rate) and stamped with that moment; it comes out 16 samples later.
    Beyond 0.5 % nothing is corrected: `effective_rate_verdict` refuses the stream.

    Numbers of samples are those of the nominal rate. A gap is as long as the outputs that it
    swallowed. `pace` is inputs per output; `on_event` is called with ``rate``, once, when the
    correction begins.

    References
    ----------
    Laakso et al. 1996, Splitting the unit delay, https://doi.org/10.1109/79.482137
    """

    def __init__(self, montage: Montage, on_event: Callable[..., None] | None = None) -> None:
        self.montage = montage
        self._on_event = on_event
        self._taps = _phases()
        self._inputs = InputHistory(montage.n_channels)
        self._judged_every = max(1, round(_JUDGED_EVERY_S * montage.sfreq_hz))
        self.reset()

    def reset(self) -> None:
        """Forget the samples, the counters and the rate."""
        self.pace = 1.0
        self._fit = ClockFit(self.montage.sfreq_hz)
        self._n_taken = 0
        self._correcting = False
        self._next = 0  # number of the next output
        self._expected = 0  # the number after the last output
        # Output `_anchor` lies at input `_at + _part`: positions are counted from here, so that
        # they are the same however the chunks are cut.
        self._anchor = 0
        self._at = 0
        self._part = 0.0
        self._forget(0)

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk at the nominal rate, maybe of no sample."""
        if chunk.gap:
            self._forget(chunk.first_sample)
        made = [self._piece(piece) for piece in self._pieces(chunk)]
        if len(made) == 1:
            return made[0]
        pieces = [each for each in made if each.n_samples]
        if not pieces:
            return made[0]
        data = np.concatenate([each.data for each in pieces], axis=1)
        stamps = np.concatenate([each.timestamps for each in pieces])
        return Chunk(data, stamps, pieces[0].first_sample, pieces[0].gap)

    def _pieces(self, chunk: Chunk) -> Iterator[Chunk]:
        """The chunk, cut where the rate is judged."""
        start = 0
        while True:
            left = self._judged_every - self._n_taken % self._judged_every
            stop = min(start + left, chunk.n_samples)
            if start == 0 and stop == chunk.n_samples:
                yield chunk
                return
            yield Chunk(
                chunk.data[:, start:stop],
                chunk.timestamps[start:stop],
                chunk.first_sample + start,
                chunk.gap if start == 0 else 0,
            )
            start = stop
            if start == chunk.n_samples:
                return

    def _piece(self, chunk: Chunk) -> Chunk:
        if chunk.n_samples:
            self._hold(chunk)
            self._fit.add(chunk.first_sample, chunk.timestamps)
        made = self._corrected() if self._correcting else chunk
        self._n_taken += chunk.n_samples
        if chunk.n_samples and self._n_taken % self._judged_every == 0:
            self._judge()
        return made

    def _hold(self, chunk: Chunk) -> None:
        """Keep the inputs that outputs will need; few, while there are none."""
        if self._correcting or chunk.n_samples < _N_HELD:
            # Before its first sample, a stretch is taken to have had that value for ever.
            self._inputs.add(chunk, _HALF - 1)
        else:  # before it, nothing is needed
            n = chunk.n_samples - _N_HELD
            flags = None if chunk.flags is None else chunk.flags[n:]
            self._inputs.clear(0)
            newest = chunk.data[:, n:], chunk.timestamps[n:], chunk.first_sample + n
            self._inputs.add(Chunk(*newest, flags=flags), 0)
        if not self._correcting:
            self._inputs.drop(self._inputs.stop - _N_HELD)

    def _judge(self) -> None:
        nominal_hz = self.montage.sfreq_hz
        line = self._fit.line()
        if line is None or self._n_taken < _KNOWN_AFTER_S * nominal_hz:
            return
        off = abs(line.rate_hz / nominal_hz - 1)
        if self._correcting:
            self._go_at(line)
        elif off <= RATE_TOLERANCE and off > (
            RATE_UNCHANGED + _STANDARD_ERRORS * line.rate_error_hz / nominal_hz
        ):
            self._begin(line)

    def _begin(self, line: ClockLine) -> None:
        self._correcting = True
        self._anchor = self._next = self._expected = self._at = self._inputs.stop
        self._part = 0.0
        self.pace = line.rate_hz / self.montage.sfreq_hz
        if self._on_event is not None:
            self._on_event(
                "rate",
                effective_rate_hz=line.rate_hz,
                nominal_rate_hz=self.montage.sfreq_hz,
                reason="resampled to the nominal rate",
            )

    def _go_at(self, line: ClockLine) -> None:
        """Keep the next output where it is, and space those after it by the new rate."""
        at, part = self._positions(np.array([self._next]))
        self._anchor, self._at, self._part = self._next, int(at[0]), float(part[0])
        pace = line.rate_hz / self.montage.sfreq_hz
        self.pace = min(max(pace, 1 - RATE_TOLERANCE), 1 + RATE_TOLERANCE)

    def _forget(self, first_sample: int) -> None:
        """Restart at a sample; outputs before it are never made."""
        self._inputs.clear(first_sample)
        if not self._correcting:
            return
        # The first output at or after the sample, then certain to the rounding of a division.
        ahead = (first_sample - self._at - self._part) / self.pace
        number = max(self._next, self._anchor + int(np.ceil(ahead)))
        at, _ = self._positions(np.array([number]))
        self._next = number if at[0] >= first_sample else number + 1

    def _corrected(self) -> Chunk:
        stop = self._complete()
        if stop <= self._next:
            return empty_chunk(self.montage.n_channels, self._expected)
        numbers = np.arange(self._next, stop, dtype=np.int64)
        at, part = self._positions(numbers)
        stamps = self._inputs.times(at, part)
        values = self._inputs.filter(at - _HALF + 1, taps_between(self._taps, part))
        made = Chunk(values, stamps, self._next, self._next - self._expected)
        self._next = self._expected = stop
        after, _ = self._positions(np.array([stop]))
        self._inputs.drop(int(after[0]) - _HALF + 1)
        return made

    def _complete(self) -> int:
        """Number of the first output that still waits for input."""
        newest = self._inputs.stop - 1
        room = newest - _HALF - self._at - self._part
        number = self._anchor + max(0, int(room / self.pace) - 1)
        while self._positions(np.array([number]))[0][0] + _HALF <= newest:
            number += 1
        return number

    def _positions(self, numbers: Ints) -> tuple[Ints, Doubles]:
        """Input before each output, and how far beyond it the output lies: 0 up to 1."""
        beyond = self._part + (numbers - self._anchor) * self.pace
        whole = np.floor(beyond)
        return self._at + whole.astype(np.int64), beyond - whole


def _phases() -> Doubles:
    """Taps of outputs 0, 1/512 ... 1 beyond a sample, oldest input first: [513, 32]."""
    beyond = np.arange(_PHASES + 1)[:, None] / _PHASES
    apart = np.arange(-_HALF + 1, _HALF + 1)[None, :] - beyond
    # The window reaches one input further than the taps do, so that it is not cut off.
    inside = np.sqrt(np.clip(1 - (apart / _HALF) ** 2, 0, None))
    taps: Doubles = np.sinc(apart) * np.i0(_KAISER_BETA * inside)
    # A constant comes out as it went in.
    taps /= taps.sum(axis=1, keepdims=True)
    return taps
