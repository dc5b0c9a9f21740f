"""Rows of the matrix about long and uneven running: chunks of any length, an hour at speed."""

import gc
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rtbrain.bundling import build_decoder
from rtbrain.check.faults.matrix import FaultCase, Finding, Rig, cut_signal
from rtbrain.decoder import read_bundle
from rtbrain.errors import StreamError
from rtbrain.outlet import DecodeOutlet
from rtbrain.pipeline import Pipeline
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.types import Chunk, Decode, Floats, Montage, Quality

_LENGTHS = (1, 5000, 0, 7, 313, 0, 0, 64, 2048, 1, 1, 999)
_WITHIN = 1e-6
SIMULATED_S = 3600
# What "level" means: under 2 MiB an hour, once the first ten minutes have filled the caches.
_LEVEL_KIB = 2048
SETTLED_S = 600
_PULL_S = 0.25
_N_PUSHED = 100_000
# A push that took a hop would hold up the next decode; one in 100,000 may wait for its turn on a
# busy machine, but not one in a hundred.
_PUSH_LIMIT_S = 0.25
_PUSH_P99_S = 0.005


def uneven_chunks(rig: Rig) -> Finding:
    """Decode 12 s whole, then in chunks of 1 to 5000 samples with empty ones, then in bursts.

    A burst is what a stall leaves behind: 3 s of trickle, then 4 s at once.
    """
    sfreq_hz = rig.montage.sfreq_hz
    data = rig.signal(12.0)
    trickle = [round(sfreq_hz / 50)] * 150
    cuts = {
        "1 to 5000 and empty": _LENGTHS,
        "one by one for a second, then whole": [1] * round(sfreq_hz) + [data.shape[1]],
        "bursts": [*trickle, round(4 * sfreq_hz)],
    }
    said, worst = [], 0.0
    for kind in ("linear", "edge"):
        whole = rig.decoder(kind, rig.montage).decode(cut_signal(data, [data.shape[1]], sfreq_hz))
        valid = np.array([decode.quality.valid for decode in whole])
        if valid.sum() < 10 or np.ptp([d.values[0] for d in whole if d.quality.valid]) < 1e-4:
            return f"{kind}: {valid.sum()} valid decodes, too few or constant", False
        for name, lengths in cuts.items():
            decodes = rig.decoder(kind, rig.montage).decode(cut_signal(data, lengths, sfreq_hz))
            if [d.quality.valid for d in decodes] != valid.tolist():
                return f"{kind}, {name}: other windows are valid than offline", False
            off = max(
                float(np.abs(a.values - b.values).max())
                for a, b in zip(whole, decodes, strict=True)
                if a.quality.valid
            )
            worst = max(worst, off)
        said.append(f"{kind}: {valid.sum()} decodes x {len(cuts)} cuts")
    return f"{', '.join(said)}; largest difference {worst:.1e}", worst <= _WITHIN


def an_hour(rig: Rig) -> Finding:
    """Decode an hour of one looped minute, stamped by a clock with 1 ms of jitter.

    Samples go through the counter, the front end and the linear decoder, 0.25 s at a time.
    """
    sfreq_hz = rig.montage.sfreq_hz
    decoder, counter = rig.decoder("linear", rig.montage), SampleCounter(sfreq_hz)
    minute = rig.signal(60.0)
    pieces = [minute[:, at : at + 512].copy() for at in range(0, minute.shape[1] - 511, 512)]
    rng = np.random.default_rng(24)
    sampled: list[tuple[float, float]] = []
    threads: set[int] = set()
    n_pushed = n_decodes = n_valid = 0
    off_s = 0.0
    while n_pushed < SIMULATED_S * sfreq_hz:
        piece: Floats = pieces[(n_pushed // 512) % len(pieces)]
        truth = n_pushed + np.arange(piece.shape[1])
        stamps = 1000.0 + truth / sfreq_hz + rng.normal(0, 1e-3)
        for chunk in counter.take(piece, stamps, float(truth[-1] / sfreq_hz + 1000.02)):
            for decode in decoder.decode([chunk]):
                n_decodes += 1
                n_valid += decode.quality.valid
            stop = chunk.first_sample + chunk.n_samples - 1
            off_s = max(off_s, abs(chunk.timestamps[-1] - 1000.0 - stop / sfreq_hz))
        if n_pushed % (512 * 240) == 0:
            sampled.append((n_pushed / sfreq_hz, resident_kib()))
            threads.add(threading.active_count())
        n_pushed += piece.shape[1]
    settled = np.array([each for each in sampled if each[0] >= SETTLED_S])
    slope = float(np.polyfit(settled[:, 0] / 3600, settled[:, 1], 1)[0])
    passed = slope < _LEVEL_KIB and len(threads) == 1 and n_valid > 0.99 * n_decodes
    report = counter.report
    passed &= off_s < 0.01 and report.lost == 0 and abs(report.drift_ppm) < 5
    return (
        f"{n_decodes} decodes, {n_valid} valid, {report.lost} samples lost; memory "
        f"{slope / 1024:+.2f} MiB an hour, {', '.join(map(str, threads))} threads; counter and "
        f"clock at most {1000 * off_s:.1f} ms apart, effective "
        f"rate {report.effective_rate_hz:.3f} Hz",
        passed,
    )


def resident_kib() -> float:
    """Memory of this process in KiB: what is resident, or its peak where that is not told."""
    gc.collect()
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
    import resource  # absent on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else float(peak)


RUNNING_CASES = (FaultCase(13, uneven_chunks), FaultCase(24, an_hour))


@dataclass(slots=True)
class _Clock:
    """Seconds that pass only when somebody lets them."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(slots=True)
class _Amplifier:
    """A stream with a queue of limited length, as an LSL inlet is: the oldest samples go first."""

    montage: Montage
    data: Floats
    clock: _Clock
    queue_samples: int
    dropped: int = 0
    _read: int = 0
    _gap: int = 0

    def pull(self, timeout_s: float) -> Chunk | None:
        sfreq_hz = self.montage.sfreq_hz
        made = round((self.clock.now_s - 100.0) * sfreq_hz)
        if made <= self._read and timeout_s:
            self.clock.now_s += 0.02
            made = round((self.clock.now_s - 100.0) * sfreq_hz)
        if made >= self.data.shape[1]:
            return None
        if made - self._read > self.queue_samples:
            n_dropped = made - self._read - self.queue_samples
            self.dropped += n_dropped
            self._read += n_dropped
            self._gap += n_dropped
        stop = min(made, self._read + round(_PULL_S * sfreq_hz))
        first, gap, self._read = self._read, self._gap, stop
        if stop > first:
            self._gap = 0
        stamps = 100.0 + np.arange(first, stop) / sfreq_hz
        return Chunk(self.data[:, first:stop].copy(), stamps, first, gap if stop > first else 0)

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _Stalling:
    """A sink that lets time pass once, and keeps what it was given."""

    clock: _Clock
    stall_at: int
    stall_s: float
    decodes: list[Decode] = field(default_factory=list)

    def push(self, item: Decode) -> None:
        self.decodes.append(item)
        if len(self.decodes) == self.stall_at:
            self.clock.now_s += self.stall_s

    def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _Watcher:
    """What the loop told."""

    n_lost: int = 0
    n_skipped: int = 0

    def lost(self, n_samples: int) -> None:
        self.n_lost += n_samples

    def skipped(self, n_windows: int) -> None:
        self.n_skipped += n_windows


def stalled_consumer(rig: Rig) -> Finding:
    """Stall the loop for 10 s, which the queue holds, and for 40 s, which overflow its 30 s."""
    data = np.tile(rig.signal(60.0), (1, 2))
    _stalled(rig, 10.0, data)
    before_kib = resident_kib()
    said, passed = [], True
    for stall_s in (10.0, 40.0):
        observed, fine = _stalled(rig, stall_s, data)
        said.append(f"{stall_s:g} s: {observed}")
        passed &= fine
    grown_kib = resident_kib() - before_kib
    return f"{'; '.join(said)}; memory {grown_kib / 1024:+.1f} MiB", passed and (
        grown_kib < _LEVEL_KIB
    )


def _stalled(rig: Rig, stall_s: float, data: Floats) -> Finding:
    sfreq_hz, clock = rig.montage.sfreq_hz, _Clock()
    observer = _Watcher()
    source = _Amplifier(rig.montage, data, clock, round(30 * sfreq_hz))
    features, readout = build_decoder(read_bundle(rig.bundle("linear")), rig.montage)
    sink = _Stalling(clock, stall_at=60, stall_s=stall_s)
    pipeline = Pipeline(source, features, readout, (sink,), clock, True, observer)
    try:
        pipeline.run(lambda: False)
    except StreamError as error:
        return f"decoding ended: {error}", False
    hop_s = sink.decodes[1].t_stop - sink.decodes[0].t_stop
    oldest_s = max(decode.t_ready - decode.t_stop for decode in sink.decodes)
    before, after = sink.decodes[59].t_stop, sink.decodes[60].t_stop
    stalled_s = clock.now_s - 100.0
    told_lost = sink.decodes[-1].quality.lost_samples
    if source.dropped:
        # After a gap windows end on a new grid, so what is skipped is counted from there.
        received_s = 30.0
        expected_skipped = round(received_s / hop_s) - 1
    else:
        expected_skipped = round((after - before) / hop_s) - 1
    passed = (
        oldest_s < hop_s + 0.1
        and abs(observer.n_skipped - expected_skipped) <= bool(source.dropped)
        and told_lost == observer.n_lost == source.dropped
        and len(sink.decodes) > (stalled_s - stall_s) / hop_s - 3
    )
    return (
        f"oldest signal decoded {oldest_s:.3f} s, {observer.n_skipped} windows told as skipped "
        f"(expected {expected_skipped}), {told_lost} samples told as dropped (expected "
        f"{source.dropped})",
        passed,
    )


def outlet_without_listeners(rig: Rig) -> Finding:
    """Push 100000 decodes into an outlet that nobody listens to."""
    outlet = DecodeOutlet(
        "rtbrain-fault-15",
        ("rest", "speech"),
        hop_s=0.25,
        montage=rig.montage,
        bundle_id="none",
        source_id=f"rtbrain-fault-15-{rig.folder.name}",
    )
    try:
        return push_many(outlet, rig)
    finally:
        outlet.close()


def push_many(outlet: DecodeOutlet, rig: Rig) -> Finding:
    """Push decodes as fast as it goes; time of the slowest push and what memory did."""
    quality = Quality(np.ones(rig.montage.n_channels, np.bool_))
    decode = Decode(np.array([0.5, 0.5], np.float32), 1.0, 1.0, quality)
    took_s = np.empty(_N_PUSHED)
    settled_kib = 0.0
    for number in range(_N_PUSHED):
        start_s = time.perf_counter()
        outlet.push(decode)
        took_s[number] = time.perf_counter() - start_s
        if number == _N_PUSHED // 5:
            settled_kib = resident_kib()
    grown_kib = resident_kib() - settled_kib
    p99_s, most_s = float(np.percentile(took_s, 99)), float(took_s.max())
    return (
        f"{_N_PUSHED} pushes: p99 {1e6 * p99_s:.0f} µs, slowest {1e3 * most_s:.1f} ms; memory "
        f"{grown_kib / 1024:+.1f} MiB",
        most_s < _PUSH_LIMIT_S and p99_s < _PUSH_P99_S and grown_kib < _LEVEL_KIB,
    )


OVERLOAD_CASES = (FaultCase(6, stalled_consumer), FaultCase(15, outlet_without_listeners))
