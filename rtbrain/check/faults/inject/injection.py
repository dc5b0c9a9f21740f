"""Faults on purpose: a source whose samples and stamps go wrong as `fault_grammar` says."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtbrain.check.faults.inject.grammar import OUTLET_FAULT_KINDS, Fault
from rtbrain.check.faults.inject.steps import FaultStep, SampleBlock, make_fault_step
from rtbrain.errors import MontageError, SettingsError
from rtbrain.stage import Source
from rtbrain.types import Chunk, Montage

_AWAY_S = 1.0


class FaultInjection:
    """Does faults to chunks, in the order that the faults are given.

    What it does hangs on the samples' place in the signal and not on where chunks end. It
    numbers what leaves as a source would that sees no fault but losses: what was dropped is
    declared as a gap; a sample that is sent twice is two samples.
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


class FaultySource:
    """A source with faults; what befalls the stream itself does not happen here."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """How the stream is to be from some second on."""

    start_s: float
    montage: Montage
    rows: tuple[int, ...]
    n_outlets: int


def outlet_plan(faults: Sequence[Fault], montage: Montage) -> tuple[Phase, ...]:
    """Phases of the stream, the first from second 0; faults of samples make none."""
    phases = [Phase(0.0, montage, tuple(range(montage.n_channels)), 1)]
    for start_s, fault in sorted(_moments(faults), key=lambda moment: moment[0]):
        last = phases[-1]
        if start_s < last.start_s:
            raise SettingsError(
                f"fault {fault.kind} at second {start_s:g}: the stream is "
                f" away until second {last.start_s:g}; let it begin later"
            )
        if fault.kind == "duplicate-source":
            n_outlets = 2 if start_s == fault.start_s else 1
            phases.append(replace(last, start_s=start_s, n_outlets=n_outlets))
            continue
        away_s = fault.amount if fault.kind == "vanish" else _AWAY_S
        phases.append(replace(last, start_s=start_s, n_outlets=0))
        changed, rows = _changed(fault, last)
        phases.append(Phase(start_s + away_s, changed, rows, last.n_outlets))
    return tuple(phases)


def _moments(faults: Sequence[Fault]) -> Iterator[tuple[float, Fault]]:
    for fault in faults:
        if fault.kind in OUTLET_FAULT_KINDS:
            yield fault.start_s, fault
            if np.isfinite(fault.stop_s):
                yield fault.stop_s, fault


def _changed(fault: Fault, last: Phase) -> tuple[Montage, tuple[int, ...]]:
    montage, names = last.montage, last.montage.names
    if fault.kind == "rate":
        return replace(montage, sfreq_hz=fault.amount), last.rows
    if fault.kind == "rename":
        (row,) = montage.rows(fault.channels)
        renamed = (*names[:row], fault.new_name, *names[row + 1 :])
        return replace(montage, names=renamed), last.rows
    if fault.kind == "add":
        return _with_zeros(montage, fault.new_name), (-1, *last.rows)
    kept = names
    if fault.kind == "permute":
        kept = names[::-1]
    if fault.kind == "remove":
        gone = {names[row] for row in montage.rows(fault.channels)}
        kept = tuple(name for name in names if name not in gone)
    if not kept:
        raise MontageError("fault remove: it leaves no channel; name fewer")
    return montage.pick(kept), tuple(last.rows[row] for row in montage.rows(kept))


def _with_zeros(montage: Montage, name: str) -> Montage:
    positions = montage.positions
    if positions is not None:
        unknown = np.full((1, 3), np.nan, np.float32)
        positions = np.concatenate([unknown, positions])
    kinds = (montage.kinds[0], *montage.kinds)
    return replace(montage, names=(name, *montage.names), kinds=kinds, positions=positions)


class PhaseOutput:
    """Makes a phase's chunks of the signal's: its channels, and its rate.

    At another rate each sample takes the value of the newest one of the signal, without a
    filter: held where the rate is higher, skipped where it is lower.
    """

    def __init__(self, phase: Phase, *, sfreq_hz: float, pace_hz: float) -> None:
        self._rows = np.asarray(phase.rows)
        self._ratio = phase.montage.sfreq_hz / sfreq_hz
        self._pace_hz = pace_hz
        self._n_seen = 0

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk as it is sent; its numbers are of no meaning."""
        data = np.where((self._rows < 0)[:, None], np.float32(0), chunk.data[self._rows])
        stamps = chunk.timestamps
        if self._ratio != 1:
            first, self._n_seen = self._n_seen, self._n_seen + chunk.n_samples
            wanted = np.arange(np.ceil(first * self._ratio), np.ceil(self._n_seen * self._ratio))
            places = wanted / self._ratio - first
            # Places are never before the chunk but by rounding.
            held = np.clip(np.floor(places + 1e-9).astype(int), 0, max(chunk.n_samples - 1, 0))
            data = data[:, held]
            stamps = stamps[held] + (places - held) / self._pace_hz
        return Chunk(np.ascontiguousarray(data), stamps)
