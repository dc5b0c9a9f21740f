"""Sessions of a corpus, by hand: arrays in memory as shards."""

import numpy as np
from scipy.signal import stft

from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.types import Floats
from tests.conftest import brain_like, montage_of

SFREQ_HZ = 2048.0


def session_of(
    items: np.ndarray,
    *,
    name: str = "01",
    hop_s: float = 0.5,
    bad: tuple[tuple[int, int], ...] = (),
    shard_length: int = 7,
) -> CorpusSession:
    """Session of items [n_windows, n_channels, ...] in several shards, some not good."""
    n_windows, n_channels = items.shape[:2]
    good = np.ones((n_windows, n_channels), bool)
    for window, channel in bad:
        good[window, channel] = False
    return CorpusSession(
        "sub-01",
        name,
        montage_of(n_channels, SFREQ_HZ),
        (),
        5 + hop_s * np.arange(n_windows),
        good,
        [items[start : start + shard_length] for start in range(0, n_windows, shard_length)],
    )


def numbered(n_windows: int, n_channels: int, shape: tuple[int, ...], session: int = 0) -> Floats:
    """Items that say whose they are: 10,000 session + 100 window + channel, everywhere."""
    number = 1e4 * session + 100 * np.arange(n_windows)[:, None] + np.arange(n_channels)
    return np.broadcast_to(
        number.reshape(n_windows, n_channels, *(1 for _ in shape)), (n_windows, n_channels, *shape)
    ).astype(np.float32)


def spectrograms(n_windows: int, n_channels: int, n_frames: int, n_freqs: int) -> Floats:
    """Z-scored STFT of brain-like signals, [n_windows, n_channels, n_frames, n_freqs]."""
    n_samples = 400 + 50 * (n_frames - 1)
    signal = brain_like(n_channels, n_windows * n_samples, SFREQ_HZ, seed=1)
    windows = signal.reshape(n_channels, n_windows, n_samples).swapaxes(0, 1)
    *_, coefficients = stft(windows, nperseg=400, noverlap=350, boundary=None, padded=False)
    magnitude = np.abs(coefficients[:, :, :n_freqs]).swapaxes(2, 3)
    deviation = magnitude - magnitude.mean(axis=2, keepdims=True)
    return (deviation / deviation.std(axis=2, keepdims=True)).astype(np.float32)
