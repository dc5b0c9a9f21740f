"""Rows of the matrix about long and uneven running: chunks of any length, an hour at speed."""

import gc
import os
import sys
import threading
from pathlib import Path

import numpy as np

from rtbrain.offline.fault_matrix import Case, Finding, Rig, chunks_of
from rtbrain.stream.ledger import Ledger
from rtbrain.types import Floats

__all__ = ["CASES", "resident_kib"]

_LENGTHS = (1, 5000, 0, 7, 313, 0, 0, 64, 2048, 1, 1, 999)
_WITHIN = 1e-6
SIMULATED_S = 3600
# What "level" means: under 2 MiB an hour, once the first ten minutes have filled the caches.
_LEVEL_KIB = 2048
SETTLED_S = 600


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
        whole = rig.decoder(kind, rig.montage).decode(chunks_of(data, [data.shape[1]], sfreq_hz))
        valid = np.array([decode.quality.valid for decode in whole])
        if valid.sum() < 10 or np.ptp([d.values[0] for d in whole if d.quality.valid]) < 1e-4:
            return f"{kind}: {valid.sum()} valid decodes, too few or constant", False
        for name, lengths in cuts.items():
            decodes = rig.decoder(kind, rig.montage).decode(chunks_of(data, lengths, sfreq_hz))
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

    Samples go through the ledger, the front end and the linear decoder, 0.25 s at a time.
    """
    sfreq_hz = rig.montage.sfreq_hz
    decoder, ledger = rig.decoder("linear", rig.montage), Ledger(sfreq_hz)
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
        for chunk in ledger.take(piece, stamps, float(truth[-1] / sfreq_hz + 1000.02)):
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
    report = ledger.report
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


CASES = (Case(13, uneven_chunks), Case(24, an_hour))
