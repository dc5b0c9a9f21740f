"""What the linear rows of a probe read of a window, and the dimensions of embeddings."""

import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT
from sklearn.decomposition import PCA

from rtbrain.encoder import BrainBERTSizes, random_encoder
from rtbrain.learn.probe.windows import (
    RAW,
    binned_frames,
    binned_spectra,
    contact_dimensions,
    intrinsic_dimension,
    mean_frame,
)
from tests.conftest import brain_like
from tests.learn.planted import N_FREQS, planted_session

SFREQ_HZ, LENGTH_S = 1024.0, 2.0


@pytest.mark.parametrize("n_frames", [3, 8, 37, 196])
def test_every_frame_of_a_window_is_in_one_bin(n_frames: int) -> None:
    items = np.random.default_rng(0).standard_normal((3, 2, n_frames, 5)).astype(np.float32)
    n_bins = min(n_frames, 20)
    before = binned_frames(items, 5.0).reshape(3, 2, n_bins, 5)
    moved = np.zeros((n_frames, n_bins), bool)
    for frame in range(n_frames):
        other = items.copy()
        other[:, :, frame] += 1
        change = binned_frames(other, 5.0).reshape(3, 2, n_bins, 5) - before
        moved[frame] = (change > 1e-3).all(axis=(0, 1, 3))
    assert (moved.sum(axis=1) == 1).all()
    assert (np.diff(moved.argmax(axis=1)) >= 0).all()
    first = items[:, :, moved[:, 0]].mean(axis=2)
    np.testing.assert_allclose(before[:, :, 0], first, atol=1e-6)


def test_the_mean_frame_is_of_those_that_an_encoder_pools() -> None:
    items = np.random.default_rng(0).standard_normal((2, 3, 11, 4)).astype(np.float32)
    np.testing.assert_allclose(mean_frame(items, "last", 4), items[:, :, 7:].mean(axis=2))
    np.testing.assert_allclose(mean_frame(items, "centre", 4), items[:, :, 3:7].mean(axis=2))


@pytest.mark.parametrize("patch_samples", [9, 16, 32])
def test_spectra_are_those_of_the_signal_that_the_patches_were_cut_from(
    patch_samples: int,
) -> None:
    n_samples = int(SFREQ_HZ * LENGTH_S) // patch_samples * patch_samples
    signal = brain_like(4, n_samples, SFREQ_HZ)
    items = signal.reshape(2, 2, -1, patch_samples)
    length = n_samples // 8
    found = binned_spectra(items, LENGTH_S).reshape(4, 8, 40)
    boxes = ShortTimeFFT(np.ones(length), length, SFREQ_HZ)
    kept = signal[:, n_samples - 8 * length :].astype(np.float64)
    whole = np.abs(boxes.stft(kept, k_offset=length // 2, p0=0, p1=8))[:, :40]
    np.testing.assert_allclose(found, whole.transpose(0, 2, 1), rtol=1e-3, atol=1e-2)


def test_a_window_of_few_samples_has_the_spectrum_that_there_is() -> None:
    items = np.ones((1, 2, 2, 3), np.float32)
    np.testing.assert_allclose(binned_spectra(items, 5.0), [[[2, 0] * 3] * 2], atol=1e-6)


@pytest.mark.parametrize("n_hidden", [1, 3, 12])
def test_components_are_counted_as_scikit_learn_counts_them(n_hidden: int) -> None:
    rng = np.random.default_rng(n_hidden)
    hidden = rng.standard_normal((300, n_hidden)) * np.linspace(1, 3, n_hidden)
    vectors = hidden @ rng.standard_normal((n_hidden, 30)) + 100
    vectors = (vectors + 0.05 * rng.standard_normal(vectors.shape)).astype(np.float32)
    expected = PCA(0.95, svd_solver="full").fit(vectors.astype(np.float64)).n_components_
    assert intrinsic_dimension(vectors) == expected <= n_hidden


def test_what_never_changes_has_no_dimension() -> None:
    assert intrinsic_dimension(np.full((60, 8), 3, np.float32)) == 0


def test_every_contact_is_counted_on_the_windows_where_it_is_good() -> None:
    session = planted_session("s1", n_windows=120, n_channels=3)
    session.good[100:, 0] = False
    session.good[10:, 2] = False  # too few are left to count
    session.shards[0][~session.good] = np.nan
    encoder = random_encoder(BrainBERTSizes(16, 32, 2, 1, N_FREQS), 0)
    found = contact_dimensions(session, {"it": encoder}, device=torch.device("cpu"))
    assert {name: counts.size for name, counts in found.items()} == {"it": 2, RAW: 2}
    first = session.shards[0][:100, 0]
    assert found[RAW][0] == intrinsic_dimension(first.mean(axis=1))
    with torch.no_grad():
        hidden = encoder(torch.from_numpy(first)).mean(dim=1).numpy()
    assert found["it"][0] == intrinsic_dimension(hidden)
