"""A corpus session whose spectrograms hold a state: known beforehand, by hand."""

import numpy as np

from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.recording.recording import Event
from tests.conftest import montage_of

N_FRAMES, N_FREQS, N_POOLED = 15, 6, 4
HOP_S, LENGTH_S = 0.5, 2.0


def planted_session(
    subject: str,
    *,
    n_windows: int = 240,
    n_channels: int = 4,
    strength: float = 1.0,
    seed: int = 0,
) -> CorpusSession:
    """States of 3 to 7 s; in `b` the last frames of two channels are raised in one bin."""
    rng = np.random.default_rng(seed)
    t_stop = LENGTH_S + HOP_S * np.arange(n_windows)
    edges = [0.0]
    while edges[-1] < t_stop[-1]:
        edges.append(edges[-1] + rng.uniform(3, 7))
    events = tuple(Event(edge, 0.0, "ab"[number % 2]) for number, edge in enumerate(edges))
    of = np.searchsorted(edges, t_stop, side="right") - 1
    items = rng.standard_normal((n_windows, n_channels, N_FRAMES, N_FREQS)).astype(np.float32)
    items[of % 2 == 1, :2, -N_POOLED:, 2] += np.float32(strength)
    good = np.ones((n_windows, n_channels), bool)
    montage = montage_of(n_channels, 2048.0)
    return CorpusSession(subject, "1", montage, events, t_stop, good, [items])
