"""Benchmark of the front end: filters, ring and spectrogram, against SciPy and real time."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import scipy.signal

from rtbrain.buffer import Windows
from rtbrain.check.bench.tables import BenchRow
from rtbrain.live.realtime_check import Timing, measure
from rtbrain.signal import ChannelQuality, CommonAverage, NotchComb
from rtbrain.spectrogram import PublishedStft, RunningStft, Superlet
from rtbrain.types import Chunk, Floats, Montage, Quality, Window

# The published recordings and spectrogram; the hop is that of 4.096 decodes a second.
_SFREQ_HZ = 2048.0
_LENGTH, _FRAME, _FRAME_HOP, _N_FREQS = 10240, 400, 50, 40
_HOP = 500
_MAINS_HZ = 60.0
_TIME_CONSTANT_FRAMES = 60.0 * _SFREQ_HZ / _FRAME_HOP
# As an amplifier sends them: 20 chunks a hop, 12 ms each.
_CHUNK = 25
_HOPS_OF_SIGNAL = 8
_Stft = PublishedStft | RunningStft
_SCIPY = "scipy.signal.stft, whole window"
_REAL_TIME = "real time"


def measure_rows(n_channels: int) -> list[BenchRow]:
    """Measure the front end at 2048 Hz, in windows of 5 s and hops of 0.244 s.

    The spectrograms are compared with ``scipy.signal.stft`` alone, whose magnitude, bins and
    z-scores are still to be made; what runs live with the time in which its samples arrive. The
    reader limits the threads.
    """
    signal = _signal(n_channels)
    return _spectrograms(signal) + _live(signal)


def _signal(n_channels: int) -> Floats:
    """Window and some hops of a random walk, float32 [n_channels, n_samples] µV."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 3, (n_channels, _LENGTH + _HOPS_OF_SIGNAL * _HOP))
    return np.cumsum(steps, axis=1).astype(np.float32)


def _spectrograms(signal: Floats) -> list[BenchRow]:
    window = signal[:, :_LENGTH]
    by_scipy = measure(lambda: _scipy_stft(window), repeats=15, warmup=2)
    rows = [BenchRow.of(_SCIPY, by_scipy)]

    def add(name: str, timing: Timing) -> None:
        rows.append(BenchRow.of(name, timing, _SCIPY, by_scipy.median_ms))

    add("the same, then z-scores", measure(lambda: _scipy_z_scores(window), repeats=15, warmup=2))
    for form, stage in _forms(len(signal)):
        hop = measure(_fed(stage, _windows(signal)), repeats=200, warmup=5)
        add(f"{form} STFT, a hop of {_HOP} samples", hop)
        whole = measure(partial(_anew, stage, next(_windows(signal))), repeats=15, warmup=2)
        add(f"{form} STFT, whole window", whole)
    # Every channel costs the same: one of them stands for all.
    superlet, window_of_one = Superlet(1, _LENGTH, _SFREQ_HZ), next(_windows(signal[:1]))
    stft_of_one = measure(lambda: _scipy_stft(window_of_one.data), repeats=15, warmup=2)
    timing = measure(lambda: superlet(window_of_one), repeats=15, warmup=2)
    of_one = f"{_SCIPY}, 1 channel"
    name = "superlets, whole window, 1 channel"
    rows.append(BenchRow.of(of_one, stft_of_one))
    rows.append(BenchRow.of(name, timing, of_one, stft_of_one.median_ms))
    return rows


def _live(signal: Floats) -> list[BenchRow]:
    hop_ms = _HOP / _SFREQ_HZ * 1e3
    n_channels, rows = len(signal), []

    def add(name: str, hop: Callable[[], None], repeats: int = 200, warmup: int = 25) -> None:
        timing = measure(hop, repeats=repeats, warmup=warmup)
        percent = 100 * timing.median_ms / hop_ms
        rows.append(BenchRow.of(f"{name}: {percent:.1f} % of one core", timing, _REAL_TIME, hop_ms))

    for n_bad in (0, max(1, n_channels // 8)):
        dead = signal.copy()
        dead[:n_bad] = 0
        add(f"channel quality, {n_bad} bad, a hop", _hop(_quality(n_channels), dead))
    add("filters, a hop", _hop(_filters(n_channels), signal), repeats=100, warmup=5)
    buffer = _buffer(n_channels)
    add("ring and windows, a hop", _hop(lambda chunk: list(buffer(chunk)), signal), repeats=100)
    for form, stage in _forms(n_channels):
        add(f"filters + ring + {form} STFT, a hop", _front_end(signal, stage))
    return rows


def _hop(step: Callable[[Chunk], object], signal: Floats) -> Callable[[], None]:
    """A call that gives the next hop of a signal's chunks to a step."""
    chunks = _chunks(signal)

    def hop() -> None:
        for chunk in itertools.islice(chunks, _HOP // _CHUNK):
            step(chunk)

    return hop


def _quality(n_channels: int) -> ChannelQuality:
    """Quality of shafts of 8 contacts, events kept."""
    names = tuple(
        f"S{chr(65 + row // 8 % 26)}{chr(65 + row // 208)}{row % 8 + 1}"
        for row in range(n_channels)
    )
    montage = Montage(names, ("seeg",) * n_channels, _SFREQ_HZ)
    events: list[str] = []
    return ChannelQuality(montage, on_event=lambda event, **fields: events.append(event))


def _front_end(signal: Floats, stage: _Stft) -> Callable[[], None]:
    filters, buffer = _filters(len(signal)), _buffer(len(signal))

    def step(chunk: Chunk) -> None:
        for window in buffer(filters(chunk)):
            stage(window)

    return _hop(step, signal)


def _forms(n_channels: int) -> list[tuple[str, _Stft]]:
    published = PublishedStft(n_channels, _LENGTH)
    running = RunningStft(n_channels, _LENGTH, time_constant_frames=_TIME_CONSTANT_FRAMES)
    return [("published", published), ("running", running)]


def _montage(n_channels: int) -> Montage:
    names = tuple(f"E{number}" for number in range(1, n_channels + 1))
    return Montage(names, ("ecog",) * n_channels, _SFREQ_HZ)


def _filters(n_channels: int) -> Callable[[Chunk], Chunk]:
    montage = _montage(n_channels)
    notch, reference = NotchComb(montage, _MAINS_HZ), CommonAverage(montage)
    return lambda chunk: reference(notch(chunk))


def _buffer(n_channels: int) -> Windows:
    return Windows(_montage(n_channels), length_samples=_LENGTH, hop_samples=_HOP)


def _chunks(signal: Floats) -> Iterator[Chunk]:
    """Chunks without end: the signal again and again, counted on."""
    starts = range(0, signal.shape[1], _CHUNK)
    pieces = [np.ascontiguousarray(signal[:, start : start + _CHUNK]) for start in starts]
    for number, piece in enumerate(itertools.cycle(pieces)):
        first_sample = number * _CHUNK
        yield Chunk(piece, (first_sample + np.arange(_CHUNK)) / _SFREQ_HZ, first_sample)


def _windows(signal: Floats) -> Iterator[Window]:
    """Windows without end that follow one another; after some hops the signal begins anew."""
    quality = Quality(np.ones(len(signal), np.bool_))
    for number in itertools.count():
        start = number % _HOPS_OF_SIGNAL * _HOP
        first_sample = number * _HOP
        t_stop = (first_sample + _LENGTH) / _SFREQ_HZ
        yield Window(signal[:, start : start + _LENGTH], t_stop, first_sample, quality)


def _fed(stage: _Stft, windows: Iterator[Window]) -> Callable[[], object]:
    return lambda: stage(next(windows))


def _anew(stage: _Stft, window: Window) -> object:
    stage.reset()
    return stage(window)


def _scipy_stft(signal: Floats) -> Any:
    return scipy.signal.stft(signal, nperseg=_FRAME, noverlap=_FRAME - _FRAME_HOP)[2]


def _scipy_z_scores(signal: Floats) -> object:
    magnitudes = np.abs(_scipy_stft(signal))[:, :_N_FREQS]
    mean = magnitudes.mean(axis=-1, keepdims=True)
    deviation = magnitudes.std(axis=-1, keepdims=True)
    return (magnitudes - mean) / np.where(deviation == 0, 1, deviation)
