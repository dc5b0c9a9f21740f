"""The faults of samples and stamps: each a step on blocks of samples that carry their place.

So neither the length of chunks nor the faults before it change what a fault hits.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from rtbrain.check.faults.inject.grammar import OUTLET_FAULT_KINDS, Fault
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
    return SampleBlock(
        np.concatenate([block.data for block in blocks], axis=1),
        np.concatenate([block.stamps for block in blocks]),
        np.concatenate([block.numbers for block in blocks]),
        np.concatenate([block.lost for block in blocks]),
    )


class FaultStep(Protocol):
    """One fault at work."""

    def __call__(self, block: SampleBlock) -> SampleBlock:
        """Samples that leave now; `block` and its arrays are left unchanged."""
        ...

    def flush(self) -> SampleBlock | None:
        """Samples that were held, at the end of the signal."""
        ...


def make_fault_step(
    fault: Fault, montage: Montage, *, mains_hz: float, pace_hz: float
) -> FaultStep:
    """Step of a fault of samples or stamps."""
    sfreq_hz = montage.sfreq_hz
    # What is written in seconds begins at the nearest sample, at rates like 2046.3 Hz too.
    start = round(fault.start_s * sfreq_hz)
    stop = round(fault.stop_s * sfreq_hz) if np.isfinite(fault.stop_s) else _NEVER
    names = montage.names if fault.channels in ((), ("*",)) else fault.channels
    rows = montage.rows(names)
    amount = fault.amount
    for_s = round(amount * sfreq_hz) if fault.kind in ("drop", "stall", "burst") else 0
    match fault.kind:
        case "drop":
            return _Drop(start, start + for_s)
        case "stall":
            return _Held(start, start + for_s, lambda block: block)
        case "burst":
            return _Burst(start, stop, max(1, for_s))
        case "dup":
            return _Held(start, start + round(amount), _twice)
        case "reorder":
            return _Held(start, start + 2 * round(amount), _halves_swapped)
        case "clockstep" | "drift":
            return _Clock(fault, start, pace_hz)
    if fault.kind in ("flat", "saturate"):
        return _FromFirst(fault.kind, start, stop, rows)
    return _Values(start, stop, rows, _changed_by(fault, sfreq_hz, mains_hz))


class _Drop:
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

    def flush(self) -> SampleBlock | None:
        return None


class _Held:
    """Holds the samples of a span until it is over, then hands them on changed."""

    def __init__(self, start: int, stop: int, change: Callable[[SampleBlock], SampleBlock]) -> None:
        self._start, self._stop = start, stop
        self._change = change
        self._held: list[SampleBlock] = []
        self._over = False

    def __call__(self, block: SampleBlock) -> SampleBlock:
        if self._over:
            return block
        # Everything from the first sample of the span to the first after it waits, in order.
        begun = bool(self._held)
        reached = np.flatnonzero(block.numbers >= self._start)
        first = 0 if begun else int(reached[0]) if reached.size else block.numbers.size
        ended = np.flatnonzero(block.numbers >= self._stop - 1)
        last = int(ended[0]) if ended.size else block.numbers.size
        if last < block.numbers.size and block.numbers[last] == self._stop - 1:
            last += 1
        index = np.arange(block.numbers.size)
        if last > first:
            self._held.append(block.take(index[first:last]))
        if not ended.size:
            return block.take(index[:first])
        self._over = True
        released = self.flush()
        parts = [block.take(index[:first])]
        parts += [released] if released is not None else []
        return concatenate_blocks([*parts, block.take(index[max(first, last) :])])

    def flush(self) -> SampleBlock | None:
        if not self._held:
            return None
        block, self._held = concatenate_blocks(self._held), []
        return self._change(block)


class _Burst:
    """Holds one burst after the other."""

    def __init__(self, start: int, stop: int, length: int) -> None:
        self._start, self._stop, self._length = start, stop, length
        self._held: list[SampleBlock] = []

    def __call__(self, block: SampleBlock) -> SampleBlock:
        if not block.numbers.size:
            return block
        inside = (block.numbers >= self._start) & (block.numbers < self._stop)
        burst = (block.numbers - self._start) // self._length
        # Where the newest sample neither ends a burst nor lies outside the span, its burst waits.
        n_sent = block.numbers.size
        if inside[-1]:
            number = block.numbers[-1]
            last = min(self._start + (burst[-1] + 1) * self._length, self._stop) - 1
            if number != last:
                others = np.flatnonzero(~inside | (burst != burst[-1]))
                n_sent = int(others[-1]) + 1 if others.size else 0
        index = np.arange(block.numbers.size)
        sent, waits = block.take(index[:n_sent]), block.take(index[n_sent:])
        if not sent.numbers.size and self._held and self._same_burst(waits):
            self._held.append(waits)
            return sent
        parts = [*self._held, sent]
        self._held = [waits] if waits.numbers.size else []
        return concatenate_blocks(parts)

    def _same_burst(self, waits: SampleBlock) -> bool:
        if not waits.numbers.size:
            return True
        held = (self._held[-1].numbers[-1] - self._start) // self._length
        return bool(held == (waits.numbers[0] - self._start) // self._length)

    def flush(self) -> SampleBlock | None:
        held, self._held = self._held, []
        return concatenate_blocks(held) if held else None


class _Clock:
    def __init__(self, fault: Fault, start: int, pace_hz: float) -> None:
        self._fault, self._start, self._pace_hz = fault, start, pace_hz

    def __call__(self, block: SampleBlock) -> SampleBlock:
        since = block.numbers - self._start
        if self._fault.kind == "clockstep":
            moved_s = np.where(since >= 0, self._fault.amount, 0.0)
        else:
            moved_s = 1e-6 * self._fault.amount * np.maximum(since, 0) / self._pace_hz
        return replace(block, stamps=block.stamps + moved_s)

    def flush(self) -> SampleBlock | None:
        return None


class _Values:
    """Changes the values of channels in a span, each by itself: numbers [n], values [rows, n]."""

    def __init__(
        self,
        start: int,
        stop: int,
        rows: list[int],
        change: Callable[[Ints, Floats], Floats],
    ) -> None:
        self._start, self._stop, self._rows, self._change = start, stop, rows, change

    def __call__(self, block: SampleBlock) -> SampleBlock:
        at = np.flatnonzero((block.numbers >= self._start) & (block.numbers < self._stop))
        if not at.size:
            return block
        data = block.data.copy()
        where = np.ix_(np.asarray(self._rows), at)
        # Infinities of a fault before this one stay what they are, or become NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            data[where] = self._change(block.numbers[at], data[where])
        return replace(block, data=data)

    def flush(self) -> SampleBlock | None:
        return None


class _FromFirst:
    """Changes the values of channels in a span by the first one there."""

    def __init__(self, kind: str, start: int, stop: int, rows: list[int]) -> None:
        self._kind = kind
        self._first: Floats | None = None
        self._step = _Values(start, stop, rows, self._by_first)

    def __call__(self, block: SampleBlock) -> SampleBlock:
        return self._step(block)

    def flush(self) -> SampleBlock | None:
        return None

    def _by_first(self, numbers: Ints, values: Floats) -> Floats:
        if self._first is None:
            self._first = values[:, :1].copy()
        if self._kind == "flat":
            return np.broadcast_to(self._first, values.shape)
        driven = _OVERDRIVE * (values - self._first)
        rails: Floats = np.clip(driven, -_RAIL_UV, _RAIL_UV)
        return rails


def _changed_by(fault: Fault, sfreq_hz: float, mains_hz: float) -> Callable[[Ints, Floats], Floats]:
    def changed(numbers: Ints, values: Floats) -> Floats:
        match fault.kind:
            case "nan":
                return np.full_like(values, np.nan)
            case "inf":
                return np.full_like(values, np.inf)
            case "scale":
                return (values.astype(np.float64) * fault.amount).astype(np.float32)
        wave_uv = _MAINS_UV * np.sin(2 * np.pi * mains_hz * numbers / sfreq_hz)
        added: Floats = values + wave_uv.astype(np.float32)
        return added

    return changed


def _twice(block: SampleBlock) -> SampleBlock:
    again = replace(block, lost=np.zeros_like(block.lost))
    return concatenate_blocks([block, again])


def _halves_swapped(block: SampleBlock) -> SampleBlock:
    index = np.arange(block.numbers.size)
    half = block.numbers.size // 2
    return block.take(np.concatenate([index[half:], index[:half]]))


class FaultInjection:
    """Applies faults to chunks, one after another.

    What it does depends on the samples' place in the signal, not on where chunks end. It numbers
    what leaves as a source would that notices only losses: what was dropped is declared as a gap;
    a sample that is sent twice is two samples.
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
            held = step.flush()
            if held is not None:
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
