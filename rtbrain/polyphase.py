"""Resampling arithmetic that the signal chain and the correction of drifting clocks share."""

import numpy as np

from rtbrain.types import Chunk, Doubles, Flags, Floats, Ints, Times

_BLOCK = 4096  # inputs per channel that are laid out at a time: some megabytes at 128 channels


class InputHistory:
    """Inputs that the outputs of an FIR filter still need, by their numbers in the stream."""

    def __init__(self, n_channels: int) -> None:
        self._n_channels = n_channels
        self.clear(0)

    def clear(self, first: int) -> None:
        """Hold nothing; the next input is number `first`."""
        self.first = first  # number of the oldest input held
        self._values: Doubles = np.empty((self._n_channels, 0))
        self._stamps: Times = np.empty(0)
        self._flags: Flags = np.empty(0, np.uint8)

    @property
    def stop(self) -> int:
        """Number of the input after the newest."""
        return self.first + self._stamps.size

    def add(self, chunk: Chunk, n_before: int) -> None:
        """Append samples; the first of all also stands for `n_before` samples ahead of it."""
        values, stamps = chunk.data.astype(np.float64), chunk.timestamps
        flags = np.zeros(stamps.size, np.uint8) if chunk.flags is None else chunk.flags
        if self._stamps.size:
            self._values = np.concatenate([self._values, values], axis=1)
            self._stamps = np.concatenate([self._stamps, stamps])
            self._flags = np.concatenate([self._flags, flags])
        elif chunk.n_samples:
            self.first = chunk.first_sample - n_before
            before = np.repeat(values[:, :1], n_before, axis=1)
            self._values = np.concatenate([before, values], axis=1)
            # No output lies before the first sample, so these stamps are never read.
            self._stamps = np.concatenate([np.full(n_before, np.nan), stamps])
            self._flags = np.concatenate([np.zeros(n_before, np.uint8), flags])

    def drop(self, before: int) -> None:
        """Forget the inputs before a number."""
        n_old = min(max(before - self.first, 0), self._stamps.size)
        self._values, self._stamps = self._values[:, n_old:], self._stamps[n_old:]
        self._flags = self._flags[n_old:]
        self.first += n_old

    def times(self, at: Ints, part: Doubles) -> Times:
        """Time stamps of moments `part`, 0 up to 1, of the way from input `at` to the next."""
        at = at - self.first
        start = self._stamps[at]
        stamps: Times = start + part * (self._stamps[at + 1] - start)
        return stamps

    def flags(self, at: Ints, reach: int) -> Flags | None:
        """Highest flag from `reach` inputs before each of these to the one after; None: all 0."""
        if not self._flags.any():
            return None
        held = np.concatenate([np.zeros(reach, np.uint8), self._flags, np.zeros(2, np.uint8)])
        spans = np.lib.stride_tricks.sliding_window_view(held, reach + 2)
        flags: Flags = spans[at - self.first].max(axis=1)
        return flags

    def filter(self, oldest: Ints, taps: Doubles) -> Floats:
        """Outputs of taps [M, n_taps], each from its oldest input on: float32 [C, M].

        A NaN spoils the outputs within its reach, in its own channel alone.
        """
        n_outputs, n_taps = taps.shape
        spans = np.lib.stride_tricks.sliding_window_view(self._values, n_taps, axis=1)
        out = np.empty((self._n_channels, n_outputs), np.float32)
        # In blocks, since the inputs of each output are laid side by side to be summed.
        n_block = max(1, _BLOCK // n_taps)
        for start in range(0, n_outputs, n_block):
            block = slice(start, start + n_block)
            inputs = spans[:, oldest[block] - self.first]  # [C, M, n_taps]
            out[:, block] = np.einsum("cmk,mk->cm", inputs, taps[block])
        return out


def taps_between(phases: Doubles, part: Doubles) -> Doubles:
    """Taps of outputs that lie `part`, 0 up to 1, of the way from one input to the next.

    `phases` [n + 1, n_taps] holds those of 0, 1/n ... 1; between them, taps are interpolated.
    """
    phase = part * (len(phases) - 1)
    below = phase.astype(np.int64)
    share = (phase - below)[:, None]
    taps: Doubles = (1 - share) * phases[below] + share * phases[below + 1]
    return taps
