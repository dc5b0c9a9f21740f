"""Rows of the matrix about overload: a consumer that stalls, listeners that do not listen."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtbrain.errors import StreamError
from rtbrain.offline.fault_matrix import Case, Finding, Rig
from rtbrain.types import Chunk, Decode, Montage, Quality

if TYPE_CHECKING:
    from rtbrain.outlet import DecodeOutlet
    from rtbrain.types import Floats

_PULL_S = 0.25
_LEVEL_KIB = 2048
_N_PUSHED = 100_000
# A push that took a hop would hold up the next decode; one in 100,000 may wait for its turn on a
# busy machine, but not one in a hundred.
_PUSH_LIMIT_S = 0.25
_PUSH_P99_S = 0.005


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
    data: "Floats"
    clock: _Clock
    queue_samples: int
    dropped: int = 0
    _read: int = 0
    _gap: int = 0

    def pull(self, timeout_s: float) -> Chunk | None:
        import numpy as np

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

    def gap(self, n_samples: int) -> None:
        self.n_lost += n_samples

    def late(self, n_windows: int) -> None:
        self.n_skipped += n_windows


def stalled_consumer(rig: Rig) -> Finding:
    """Stall the loop for 10 s, which the queue holds, and for 40 s, which overflow its 30 s."""
    import numpy as np

    from rtbrain.offline.fault_rows_running import resident_kib

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


def _stalled(rig: Rig, stall_s: float, data: "Floats") -> Finding:
    from rtbrain.build import build_decoder
    from rtbrain.decoder import read_bundle
    from rtbrain.pipeline import Pipeline

    sfreq_hz, clock = rig.montage.sfreq_hz, _Clock()
    watcher = _Watcher()
    source = _Amplifier(rig.montage, data, clock, round(30 * sfreq_hz))
    encoding, readout = build_decoder(read_bundle(rig.bundle("linear")), rig.montage)
    sink = _Stalling(clock, stall_at=60, stall_s=stall_s)
    pipeline = Pipeline(source, encoding, readout, (sink,), clock, True, watcher)
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
        and abs(watcher.n_skipped - expected_skipped) <= bool(source.dropped)
        and told_lost == watcher.n_lost == source.dropped
        and len(sink.decodes) > (stalled_s - stall_s) / hop_s - 3
    )
    return (
        f"oldest signal decoded {oldest_s:.3f} s, {watcher.n_skipped} windows told as skipped "
        f"(expected {expected_skipped}), {told_lost} samples told as dropped (expected "
        f"{source.dropped})",
        passed,
    )


def unheard_outlet(rig: Rig) -> Finding:
    """Push 100000 decodes into an outlet that nobody listens to."""
    from rtbrain.outlet import DecodeOutlet

    outlet = DecodeOutlet(
        "rtbrain-fault-15",
        ("rest", "speech"),
        hop_s=0.25,
        montage=rig.montage,
        bundle_id="none",
        source_id=f"rtbrain-fault-15-{rig.folder.name}",
    )
    try:
        return pushed(outlet, rig)
    finally:
        outlet.close()


def pushed(outlet: "DecodeOutlet", rig: Rig) -> Finding:
    """Push decodes as fast as it goes; time of the slowest push and what memory did."""
    import time

    import numpy as np

    from rtbrain.offline.fault_rows_running import resident_kib

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


CASES = (Case(6, stalled_consumer), Case(15, unheard_outlet))
