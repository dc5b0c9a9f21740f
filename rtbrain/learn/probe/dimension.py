"""Intrinsic dimension by contact: the number of principal components of its embeddings.

Legend: N windows, T frames, F freqs, D features.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from rtbrain.learn.corpus.corpus import CorpusSession
from rtbrain.types import Floats, Ints

RAW = "raw input"
_SHARE = 0.95
_MAX_WINDOWS = 500
_MIN_WINDOWS = 50  # windows; with fewer, the count means nothing
_ITEMS = 128


def intrinsic_dimension(vectors: Floats, share: float = _SHARE) -> int:
    """Principal components that hold a share of the variance; 0 where there is none."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    variances = np.square(np.linalg.svd(centred, compute_uv=False))
    if not variances.sum() > 0:
        return 0
    explained = np.cumsum(variances) / variances.sum()
    return int(np.searchsorted(explained, share - 1e-12)) + 1


def contact_dimensions(
    session: CorpusSession,
    encoders: Mapping[str, nn.Module],
    *,
    device: torch.device,
    on_contact: Callable[[], None] = lambda: None,
) -> dict[str, Ints]:
    """Components to 95 % of the variance at every contact, of each encoder and of the input.

    Of each of the contact's first 500 windows, the hidden states are averaged over all frames;
    the control averages the frames themselves.

    References
    ----------
    Wang et al. 2023, BrainBERT, arXiv:2302.14367.
    """
    counts: dict[str, list[int]] = {name: [] for name in (*encoders, RAW)}
    for channel in range(session.montage.n_channels):
        windows = np.flatnonzero(session.good[:, channel])[:_MAX_WINDOWS]
        if windows.size >= _MIN_WINDOWS:
            for name, vectors in _means(session, windows, channel, encoders, device).items():
                counts[name].append(intrinsic_dimension(vectors))
        on_contact()
    return {name: np.array(found, np.int64) for name, found in counts.items()}


def _means(
    session: CorpusSession,
    windows: Ints,
    channel: int,
    encoders: Mapping[str, nn.Module],
    device: torch.device,
) -> dict[str, Floats]:
    """Means over all frames, float32 [n_windows, n_features], of each encoder and the input."""
    parts: dict[str, list[Floats]] = {name: [] for name in (*encoders, RAW)}
    for first in range(0, windows.size, _ITEMS):
        rows = windows[first : first + _ITEMS]
        items = session.read(rows, np.full(rows.size, channel))  # [N, T, F]
        parts[RAW].append(items.mean(axis=1, dtype=np.float32))
        frames = torch.from_numpy(items).to(device)
        for name, encoder in encoders.items():
            with torch.inference_mode():
                parts[name].append(encoder(frames).mean(dim=1).float().cpu().numpy())
    return {name: np.concatenate(found) for name, found in parts.items()}
