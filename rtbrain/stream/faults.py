"""Faults on purpose: a source whose samples and stamps go wrong as `fault_grammar` says."""

import itertools
from collections import deque
from collections.abc import Sequence

import numpy as np

from rtbrain.stage import Source
from rtbrain.stream.fault_grammar import OUTLET_KINDS, Fault
from rtbrain.stream.fault_steps import Block, FaultStep, fault_step
from rtbrain.types import Chunk, Montage

__all__ = ["FaultInjection", "FaultySource"]


class FaultInjection:
    """Does faults to chunks, in the order that the faults are given.

    What it does hangs on the samples' place in the signal and not on where chunks end. It
    numbers what leaves as a source would that sees no fault but losses: what was dropped is
    declared as a gap; a sample that is sent twice is two samples.

    Parameters
    ----------
    montage : Montage
        Channels and rate of the chunks.
    faults : sequence of Fault
        What goes wrong; faults of the stream itself are left to its sender.
    mains_hz : float
        Frequency of mains, Hz.
    pace_hz : float, optional
        Samples that the stamps count a second, where that is not the rate, Hz.

    Raises
    ------
    MontageError
        A fault is about a channel that there is not.
    """

    def __init__(
        self,
        montage: Montage,
        faults: Sequence[Fault],
        *,
        mains_hz: float = 60.0,
        pace_hz: float | None = None,
    ) -> None:
        pace_hz = montage.sfreq_hz if pace_hz is None else pace_hz
        self._steps: list[FaultStep] = [
            fault_step(fault, montage, mains_hz=mains_hz, pace_hz=pace_hz)
            for fault in faults
            if fault.kind not in OUTLET_KINDS
        ]
        self._first: int | None = None
        self._lost = 0
        self._next_sample = 0

    def __call__(self, chunk: Chunk) -> list[Chunk]:
        """Chunks that leave: none, one, or more where samples are lost between them."""
        if self._first is None:
            self._first = self._next_sample = chunk.first_sample
        self._lost += chunk.gap
        if not chunk.n_samples:
            return []
        numbers = np.arange(chunk.n_samples) + (chunk.first_sample - self._first)
        lost = np.zeros(chunk.n_samples, np.int64)
        lost[0], self._lost = self._lost, 0
        return self._through(Block(chunk.data, chunk.timestamps, numbers, lost), 0)

    def flush(self) -> list[Chunk]:
        """Chunks that were held back, at the end of the signal."""
        chunks = []
        for number, step in enumerate(self._steps, 1):
            held = step.flush()
            if held is not None:
                chunks += self._through(held, number)
        return chunks

    def _through(self, block: Block, first_step: int) -> list[Chunk]:
        for step in self._steps[first_step:]:
            block = step(block)
        if not block.numbers.size:
            return []
        edges = np.flatnonzero(block.lost[1:]) + 1
        pairs = itertools.pairwise([0, *edges.tolist(), block.numbers.size])
        return [self._chunk(block, start, stop) for start, stop in pairs]

    def _chunk(self, block: Block, start: int, stop: int) -> Chunk:
        gap = int(block.lost[start])
        first_sample = self._next_sample + gap
        self._next_sample = first_sample + stop - start
        data = np.ascontiguousarray(block.data[:, start:stop])
        return Chunk(data, block.stamps[start:stop], first_sample, gap)


class FaultySource:
    """A source with faults; what befalls the stream itself does not happen here.

    Parameters
    ----------
    source : Source
        Where the samples come from.
    faults : sequence of Fault
        What goes wrong with them, in this order.
    mains_hz : float
        Frequency of mains, Hz.

    Raises
    ------
    MontageError
        A fault is about a channel that there is not.
    """

    def __init__(self, source: Source, faults: Sequence[Fault], *, mains_hz: float = 60.0) -> None:
        self._source = source
        self._injection = FaultInjection(source.montage, faults, mains_hz=mains_hz)
        self._ready: deque[Chunk] = deque()
        self._ended = False
        self._next_sample = 0

    @property
    def montage(self) -> Montage:
        """Channels and rate of the chunks."""
        return self._source.montage

    def pull(self, timeout_s: float) -> Chunk | None:
        """Next chunk; an empty one where nothing came or samples are held back; None at the end."""
        if not self._ready and not self._ended:
            chunk = self._source.pull(timeout_s)
            self._ended = chunk is None
            self._ready.extend(self._injection.flush() if chunk is None else self._injection(chunk))
        if self._ready:
            chunk = self._ready.popleft()
            self._next_sample = chunk.first_sample + chunk.n_samples
            return chunk
        if self._ended:
            return None
        n_channels = self.montage.n_channels
        return Chunk(np.empty((n_channels, 0), np.float32), np.empty(0), self._next_sample)

    def close(self) -> None:
        """Let go of the source and of what is held back."""
        self._source.close()
        self._ready.clear()
        self._ended = True
