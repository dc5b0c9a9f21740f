"""Rows of the matrix about samples and their times: gaps, clocks, markers, chunks, an hour."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtbrain.buffer import EventWindows, Windows
from rtbrain.check.faults.rig import FaultCase, Finding, Rig, cut_signal
from rtbrain.processes import resident_kib
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.types import Chunk, Floats, Ints, Montage, Times

_START_S = 1000.0
_DELAY_S = 0.01  # from the last sample of a packet to its arrival
_N_PACKETS = 2000
_PACKET = 64


@dataclass(frozen=True, slots=True)
class _Packet:
    """Samples as they arrive: their true numbers, their stamps, when they are here."""

    numbers: Ints
    stamps: Times
    t_arrived: float


def uneven_delivery(rig: Rig) -> Finding:
    """Drop, repeat and swap packets of 64 samples at 30 random places each, in a minute."""
    sfreq_hz = rig.montage.sfreq_hz
    packets = _packets(np.arange(_N_PACKETS * _PACKET), sfreq_hz)
    rng = np.random.default_rng(7)
    places = rng.choice(np.arange(50, _N_PACKETS - 50, 4), 90, replace=False)
    dropped, repeated, swapped = (set(part.tolist()) for part in np.split(places, 3))
    sent: list[_Packet] = []
    for number, packet in enumerate(packets):
        if number in dropped:
            continue
        if number - 1 in swapped:
            late, sent[-1] = sent[-1], packet
            packet = late
        sent += [packet, packet] if number in repeated else [packet]
    counter, chunks = _taken(rig, sent)
    report = counter.report
    expected = (30 * 2 * _PACKET, 30 * _PACKET, 30 * _PACKET)
    got = (report.lost, report.duplicated, report.reordered)
    wrong = sum(
        int((_counted(chunk) != chunk.first_sample + np.arange(chunk.n_samples)).sum())
        for chunk in chunks
    )
    n_valid, n_crossing = _crossings(rig.montage, chunks)
    passed = got == expected and not wrong and not n_crossing and n_valid > 0
    return (
        f"lost, duplicated, reordered: {got} of {expected}; {wrong} samples numbered wrong; "
        f"{n_crossing} of {n_valid} valid windows cross a gap",
        passed,
    )


def stepping_clocks(rig: Rig) -> Finding:
    """Let the sender's clock jump by +10 s and -10 s, start again at 0, and drift by 200 ppm."""
    sfreq_hz = rig.montage.sfreq_hz
    numbers = np.arange(round(120 * sfreq_hz))
    true = numbers / sfreq_hz
    jumps = np.select([true < 30, true < 60, true < 90], [0.0, 10.0, 0.0], default=-90.0 - _START_S)
    counter, chunks = _taken(rig, _packets(numbers, sfreq_hz, stamps=_START_S + true + jumps))
    report = counter.report
    # How long before its arrival the last sample of each chunk is dated.
    ages = np.array(
        [
            _DELAY_S + _START_S + (_counted(chunk)[-1] + 1) / sfreq_hz - chunk.timestamps[-1]
            for chunk in chunks
        ]
    )
    n_steps = report.clock_steps
    passed = report.lost == 0 and report.delivered == numbers.size and n_steps == 3
    passed &= bool(ages.min() >= 0 and ages.max() < 0.1)
    drift, _ = _taken(rig, _packets(numbers, sfreq_hz, stamps=_START_S + true * (1 + 200e-6)))
    measured = drift.report
    passed &= abs(measured.drift_ppm + 200) < 5 and measured.lost == 0
    return (
        f"{n_steps} steps reported, {report.lost} of {numbers.size} samples lost, age of samples "
        f"on arrival {1000 * ages.min():.1f} to {1000 * ages.max():.1f} ms (true: 10.5); drift: "
        f"{measured.drift_ppm:.1f} ppm, {measured.effective_rate_hz:.3f} Hz, {measured.lost} lost",
        passed,
    )


def uneven_markers(rig: Rig) -> Finding:
    """Mark 60 s 400 times: irregular, in bursts, empty, in unicode, before or after the samples."""
    sfreq_hz, rng = rig.montage.sfreq_hz, np.random.default_rng(16)
    length, offset = round(0.5 * sfreq_hz), -round(0.2 * sfreq_hz)
    windows = EventWindows(
        rig.montage, length_samples=length, offset_samples=offset, patience_s=2.0
    )
    bursts = rng.uniform(5, 55, 3)[:, None] + rng.uniform(0, 0.01, (3, 100))
    times = _START_S + np.concatenate([rng.uniform(2, 58, 100), bursts.ravel()])
    texts = ["", "réponse ✓", "刺激", "a" * 500, "rest"]
    sent = sorted(
        (t + rng.uniform(-1, 1.5), t, f"{number} {texts[number % 5]}" if number % 5 else "")
        for number, t in enumerate(times)
    )
    packets = _packets(np.arange(round(60 * sfreq_hz)), sfreq_hz)
    received: list[tuple[float, str]] = []
    worst = 0.0
    for packet in packets:
        while sent and sent[0][0] <= packet.t_arrived:
            _, t, text = sent.pop(0)
            windows.mark(t, text)
        data = _marked(rig.montage, packet.numbers)
        for window in windows(Chunk(data, packet.stamps, int(packet.numbers[0]))):
            marker = windows.marker
            if marker is None or not window.quality.valid:
                return f"a window without a marker or invalid: {window.quality.reason}", False
            received.append((marker.t, marker.text))
            first = int(window.data[0, 0])
            worst = max(worst, abs(first - offset - (marker.t - _START_S) * sfreq_hz))
    passed = len(received) == len(times) == len(set(received)) and worst <= 1
    passed &= sorted(t for t, _ in received) == sorted(times.tolist())
    return (
        f"{len(received)} windows of {len(times)} markers, at most {worst:.2f} samples off",
        passed,
    )


def _packets(numbers: Ints, true_hz: float, *, stamps: Times | None = None) -> list[_Packet]:
    """Packets of a sender whose clock shows `stamps`, the true time by default."""
    stamps = _START_S + numbers / true_hz if stamps is None else stamps
    return [
        _Packet(
            numbers[at : at + _PACKET],
            stamps[at : at + _PACKET],
            _START_S + (int(numbers[at]) + _PACKET) / true_hz + _DELAY_S,
        )
        for at in range(0, numbers.size, _PACKET)
    ]


def _taken(rig: Rig, packets: Sequence[_Packet]) -> tuple[SampleCounter, list[Chunk]]:
    counter, chunks = SampleCounter(rig.montage.sfreq_hz), []
    now_s = 0.0
    for packet in packets:
        now_s = max(now_s, packet.t_arrived)
        data = _marked(rig.montage, packet.numbers)
        chunks += counter.take(data, packet.stamps, now_s)
    return counter, chunks


def _marked(montage: Montage, numbers: Ints) -> Floats:
    """Samples that carry their own true number, float32 [n_channels, n_samples]."""
    return np.tile(numbers.astype(np.float32), (montage.n_channels, 1))


def _counted(chunk: Chunk) -> Ints:
    numbers: Ints = chunk.data[0].astype(np.int64)
    return numbers


def _crossings(montage: Montage, chunks: Sequence[Chunk]) -> tuple[int, int]:
    """Valid windows of 0.25 s, and how many of them hold other than consecutive samples."""
    windows = Windows(
        montage,
        length_samples=round(0.25 * montage.sfreq_hz),
        hop_samples=round(0.05 * montage.sfreq_hz),
    )
    n_valid = n_crossing = 0
    for chunk in chunks:
        for window in windows(chunk):
            if window.quality.valid:
                n_valid += 1
                n_crossing += bool((np.diff(window.data[0]) != 1).any())
    return n_valid, n_crossing


_LENGTHS = (1, 5000, 0, 7, 313, 0, 0, 64, 2048, 1, 1, 999)


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
    parts, worst = [], 0.0
    for kind in ("linear", "edge"):
        whole = rig.decoder(kind).decode(cut_signal(data, [data.shape[1]], sfreq_hz))
        valid = np.array([decode.quality.valid for decode in whole])
        if valid.sum() < 10 or np.ptp([d.values[0] for d in whole if d.quality.valid]) < 1e-4:
            return f"{kind}: {valid.sum()} valid decodes, too few or constant", False
        for name, lengths in cuts.items():
            decodes = rig.decoder(kind).decode(cut_signal(data, lengths, sfreq_hz))
            if [d.quality.valid for d in decodes] != valid.tolist():
                return f"{kind}, {name}: other windows are valid than offline", False
            off = max(
                float(np.abs(a.values - b.values).max())
                for a, b in zip(whole, decodes, strict=True)
                if a.quality.valid
            )
            worst = max(worst, off)
        parts.append(f"{kind}: {valid.sum()} decodes x {len(cuts)} cuts")
    return f"{', '.join(parts)}; largest difference {worst:.1e}", worst <= 1e-6


SIMULATED_S = 3600
SETTLED_S = 600  # by then the caches are full
_LEVEL_KIB = 2048  # an hour: what "level" means


def an_hour(rig: Rig) -> Finding:
    """Decode an hour of one looped minute, stamped by a clock with 1 ms of jitter.

    Samples go through the counter, the front end and the linear decoder, 0.25 s at a time.
    """
    sfreq_hz = rig.montage.sfreq_hz
    decoder, counter = rig.decoder("linear"), SampleCounter(sfreq_hz)
    minute = rig.signal(60.0)
    pieces = [minute[:, at : at + 512].copy() for at in range(0, minute.shape[1] - 511, 512)]
    rng = np.random.default_rng(24)
    sampled: list[tuple[float, float]] = []
    threads: set[int] = set()
    n_pushed = n_decodes = n_valid = 0
    off_s = 0.0
    while n_pushed < SIMULATED_S * sfreq_hz:
        piece: Floats = pieces[(n_pushed // 512) % len(pieces)]
        settled = n_pushed >= SETTLED_S * sfreq_hz
        truth = n_pushed + np.arange(piece.shape[1])
        stamps = 1000.0 + truth / sfreq_hz + rng.normal(0, 1e-3)
        for chunk in counter.take(piece, stamps, float(truth[-1] / sfreq_hz + 1000.02)):
            for decode in decoder.decode([chunk]):
                n_decodes += settled
                n_valid += settled and decode.quality.valid
            stop = chunk.first_sample + chunk.n_samples - 1
            off_s = max(off_s, abs(chunk.timestamps[-1] - 1000.0 - stop / sfreq_hz))
        if n_pushed % (512 * 240) == 0:
            sampled.append((n_pushed / sfreq_hz, resident_kib()))
            threads.add(threading.active_count())
        n_pushed += piece.shape[1]
    late = np.array([each for each in sampled if each[0] >= SETTLED_S])
    slope = float(np.polyfit(late[:, 0] / 3600, late[:, 1], 1)[0])
    passed = slope < _LEVEL_KIB and len(threads) == 1 and n_valid > 0.99 * n_decodes
    report = counter.report
    passed &= off_s < 0.01 and report.lost == 0 and abs(report.drift_ppm) < 5
    return (
        f"{n_decodes} decodes once settled, {n_valid} valid, {report.lost} samples lost; memory "
        f"{slope / 1024:+.2f} MiB an hour, {', '.join(map(str, threads))} threads; counter and "
        f"clock at most {1000 * off_s:.1f} ms apart, effective "
        f"rate {report.effective_rate_hz:.3f} Hz",
        passed,
    )


TIME_CASES = (
    FaultCase(7, uneven_delivery),
    FaultCase(8, stepping_clocks),
    FaultCase(13, uneven_chunks),
    FaultCase(16, uneven_markers),
    FaultCase(24, an_hour),
)
