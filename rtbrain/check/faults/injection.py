"""The faults of samples and stamps: each a step on blocks of samples that carry their place.

So neither the length of chunks nor the faults before it change what a fault hits.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtbrain.check.faults.grammar import OUTLET_FAULT_KINDS, Fault
from rtbrain.types import Chunk, Floats, Ints, Mask, Montage, Times

_NEVER = 1 << 62
_RAIL_UV = 5000.0
# The smallest signal is driven over the rails, but for where it crosses its first value.
_OVERDRIVE = 1000.0
_MAINS_UV = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Samples on their way."""

    data: Floats  # float32 [n_channels, n_samples]
    stamps: Times  # float64 [n_samples]
    numbers: Ints  # int64 [n_samples]
    lost: Ints  # int64 [n_samples]

    def take(self, which: Mask | Ints) -> "SampleBlock":
        """Some of the samples, by a mask or in an order."""
        return SampleBlock(
            self.data[:, which], self.stamps[which], self.numbers[which], self.lost[which]
        )


def concatenate_blocks(blocks: Sequence[SampleBlock]) -> SampleBlock:
    """Blocks one after the other."""
    parts = zip(*((b.data, b.stamps, b.numbers, b.lost) for b in blocks), strict=True)
    return SampleBlock(*(np.concatenate(part, axis=-1) for part in parts))


# Samples that leave now; the block and its arrays are left unchanged.
FaultStep = Callable[[SampleBlock], SampleBlock]


def make_fault_step(
    fault: Fault, montage: Montage, *, mains_hz: float, pace_hz: float
) -> FaultStep:
    """Step of a fault of samples or stamps."""
    sfreq_hz = montage.sfreq_hz
    # What is written in seconds begins at the nearest sample, at rates like 2046.3 Hz too.
    start = round(fault.start_s * sfreq_hz)
    stop = round(fault.stop_s * sfreq_hz) if np.isfinite(fault.stop_s) else _NEVER
    rows = montage.rows(montage.names if fault.channels in ((), ("*",)) else fault.channels)
    amount = fault.amount
    length = round(amount * sfreq_hz) if fault.kind in ("drop", "stall", "burst") else 0
    match fault.kind:
        case "drop":
            return _Drop(start, start + length)
        case "stall":
            return _Hold(start, start + length, length, lambda block: block)
        case "burst":
            return _Hold(start, stop, length, lambda block: block)
        case "dup":
            return _Hold(start, start + round(amount), round(amount), _twice)
        case "reorder":
            return _Hold(start, start + 2 * round(amount), 2 * round(amount), _halves_swapped)
        case "clockstep" | "drift":
            return _clock_step(fault, start, pace_hz)
    return _value_step(start, stop, rows, _change_of(fault, sfreq_hz, mains_hz))


class _Drop:
    """Drops the samples of a span."""

    def __init__(self, start: int, stop: int) -> None:
        self._start, self._stop = start, stop
        self._lost = 0

    def __call__(self, block: SampleBlock) -> SampleBlock:
        inside = (block.numbers >= self._start) & (block.numbers < self._stop)
        # Each sample that goes, and what was lost before it, is lost before the next that stays.
        so_far = np.cumsum(np.where(inside, block.lost + 1, 0)) + self._lost
        kept = np.flatnonzero(~inside)
        self._lost = int(so_far[-1]) if so_far.size else self._lost
        if not kept.size:
            return block.take(kept)
        before = np.diff(so_far[kept], prepend=0)
        self._lost -= int(so_far[kept[-1]])
        left = block.take(kept)
        return replace(left, lost=left.lost + before)


class _Hold:
    """Holds each group of `length` samples in a span until it is complete, then sends it changed.

    What it does follows from one sample after the other, whatever the blocks.
    """

    def __init__(
        self, start: int, stop: int, length: int, change: Callable[[SampleBlock], SampleBlock]
    ) -> None:
        self._start, self._stop, self._length = start, stop, max(1, length)
        self._change = change
        self._held: list[SampleBlock] = []
        self._group = -1

    def __call__(self, block: SampleBlock) -> SampleBlock:
        if not block.numbers.size:
            return block
        since = block.numbers - self._start
        inside = (since >= 0) & (block.numbers < self._stop)
        groups = np.where(inside, since // self._length, -1)
        last = inside & (
            (since % self._length == self._length - 1) | (block.numbers == self._stop - 1)
        )
        cuts = np.flatnonzero((np.diff(groups) != 0) | last[:-1]) + 1
        sent = [block.take(cuts[:0])]
        for first, end in itertools.pairwise([0, *cuts.tolist(), groups.size]):
            piece = block.take(np.arange(first, end))
            if groups[first] != self._group:
                sent += self.flush()
                self._group = int(groups[first])
            if self._group < 0:
                sent.append(piece)
                continue
            self._held.append(piece)
            if last[end - 1]:
                sent += self.flush()
        return concatenate_blocks(sent)

    def flush(self) -> list[SampleBlock]:
        """What is held, as one block, if anything."""
        held, self._held = self._held, []
        return [self._change(concatenate_blocks(held))] if held else []


def _twice(block: SampleBlock) -> SampleBlock:
    again = replace(block, lost=np.zeros_like(block.lost))
    return concatenate_blocks([block, again])


def _halves_swapped(block: SampleBlock) -> SampleBlock:
    index = np.arange(block.numbers.size)
    half = block.numbers.size // 2
    return block.take(np.concatenate([index[half:], index[:half]]))


def _clock_step(fault: Fault, start: int, pace_hz: float) -> FaultStep:
    """Step that sets the clock, or lets it drift."""

    def step(block: SampleBlock) -> SampleBlock:
        since = block.numbers - start
        if fault.kind == "clockstep":
            moved_s = np.where(since >= 0, fault.amount, 0.0)
        else:
            moved_s = 1e-6 * fault.amount * np.maximum(since, 0) / pace_hz
        return replace(block, stamps=block.stamps + moved_s)

    return step


# Values [n_rows, n] of samples of these numbers [n], as the fault leaves them.
_Change = Callable[[Ints, Floats], Floats]


def _value_step(start: int, stop: int, rows: list[int], change: _Change) -> FaultStep:
    """Step that changes the values of channels in a span."""

    def step(block: SampleBlock) -> SampleBlock:
        at = np.flatnonzero((block.numbers >= start) & (block.numbers < stop))
        if not at.size:
            return block
        data = block.data.copy()
        where = np.ix_(np.asarray(rows), at)
        # Infinities of a fault before this one stay what they are, or become NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            data[where] = change(block.numbers[at], data[where])
        return replace(block, data=data)

    return step


def _change_of(fault: Fault, sfreq_hz: float, mains_hz: float) -> _Change:
    first: list[Floats] = []  # value of each channel at the start of the span

    def changed(numbers: Ints, values: Floats) -> Floats:
        if not first:
            first.append(values[:, :1].copy())
        match fault.kind:
            case "nan":
                return np.full_like(values, np.nan)
            case "inf":
                return np.full_like(values, np.inf)
            case "flat":
                return np.broadcast_to(first[0], values.shape)
            case "saturate":
                driven = _OVERDRIVE * (values - first[0])
                rails: Floats = np.clip(driven, -_RAIL_UV, _RAIL_UV)
                return rails
            case "scale":
                return (values.astype(np.float64) * fault.amount).astype(np.float32)
        wave_uv = _MAINS_UV * np.sin(2 * np.pi * mains_hz * numbers / sfreq_hz)
        added: Floats = values + wave_uv.astype(np.float32)
        return added

    return changed


class FaultInjection:
    """Applies faults to chunks, one after another.

    What it does depends on the samples' place in the signal, not on where chunks end. It numbers
    what leaves as a source would that notices only losses: what was dropped is declared as a gap;
    a sample that is sent twice is two samples.
    """

    def __init__(
        self, montage: Montage, faults: Sequence[Fault], *, mains_hz: float, pace_hz: float
    ) -> None:
        self._steps: list[FaultStep] = [
            make_fault_step(fault, montage, mains_hz=mains_hz, pace_hz=pace_hz)
            for fault in faults
            if fault.kind not in OUTLET_FAULT_KINDS
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
        return self._through(SampleBlock(chunk.data, chunk.timestamps, numbers, lost), 0)

    def flush(self) -> list[Chunk]:
        """Chunks that were held back, at the end of the signal."""
        chunks = []
        for number, step in enumerate(self._steps, 1):
            for held in step.flush() if isinstance(step, _Hold) else ():
                chunks += self._through(held, number)
        return chunks

    def _through(self, block: SampleBlock, first_step: int) -> list[Chunk]:
        for step in self._steps[first_step:]:
            block = step(block)
        if not block.numbers.size:
            return []
        edges = np.flatnonzero(block.lost[1:]) + 1
        pairs = itertools.pairwise([0, *edges.tolist(), block.numbers.size])
        return [self._chunk(block, start, stop) for start, stop in pairs]

    def _chunk(self, block: SampleBlock, start: int, stop: int) -> Chunk:
        gap = int(block.lost[start])
        first_sample = self._next_sample + gap
        self._next_sample = first_sample + stop - start
        data = np.ascontiguousarray(block.data[:, start:stop])
        return Chunk(data, block.stamps[start:stop], first_sample, gap)
