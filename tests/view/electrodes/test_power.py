"""High-gamma power is that of scipy, and neither chunks nor gaps change it."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.view.electrodes.power import HighGamma
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0


def followed(montage, chunks):
    power = HighGamma(montage)
    for chunk in chunks:
        power.push(chunk)
    return power


def test_high_gamma_is_the_log_of_the_bands_power_against_its_past():
    montage = montage_of(3, SFREQ_HZ)
    data = brain_like(3, round(20 * SFREQ_HZ), SFREQ_HZ)
    power = followed(montage, cut(data, [], SFREQ_HZ))
    # scipy's own spectrogram, windows of 0.5 s each 0.25 s.
    n = round(0.5 * SFREQ_HZ)
    freqs, _, spectra = scipy.signal.spectrogram(
        data.astype(np.float64), SFREQ_HZ, window=np.hanning(n), nperseg=n, noverlap=n // 2,
        detrend="constant", axis=1,
    )  # fmt: skip
    kept = (freqs >= 70) & (freqs <= 150)
    for mains_hz in (100, 120, 150):
        kept &= np.abs(freqs - mains_hz) > 4
    logs = np.log10(spectra[:, kept].mean(axis=1))
    expected = (logs[:, -1] - logs.mean(axis=1)) / logs.std(axis=1)
    np.testing.assert_allclose(power.z, expected, atol=0.01)
    assert power.n_windows == logs.shape[1]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 700), max_size=20))
def test_high_gamma_does_not_depend_on_chunking(sizes):
    montage, data = montage_of(2, SFREQ_HZ), brain_like(2, round(13 * SFREQ_HZ), SFREQ_HZ)
    whole = followed(montage, cut(data, [], SFREQ_HZ))
    pieces = followed(montage, cut(data, sizes, SFREQ_HZ))
    assert pieces.n_windows == whole.n_windows
    np.testing.assert_array_equal(pieces.z, whole.z)


def test_high_gamma_shows_a_burst_where_it_is_and_leaves_its_input_alone():
    montage, data = montage_of(4, SFREQ_HZ), brain_like(4, round(20 * SFREQ_HZ), SFREQ_HZ)
    t = np.arange(300) / SFREQ_HZ
    data[2, -300:] += (20 * np.sin(2 * np.pi * 85 * t)).astype(np.float32)
    before = data.copy()
    power = followed(montage, cut(data, [20] * 600, SFREQ_HZ))
    assert power.z[2] > 3
    assert np.abs(power.z[[0, 1, 3]]).max() < 3
    np.testing.assert_array_equal(data, before)


def test_high_gamma_never_reaches_across_a_gap():
    montage, data = montage_of(2, SFREQ_HZ), brain_like(2, round(20 * SFREQ_HZ), SFREQ_HZ)
    half = data.shape[1] // 2
    first, second = cut(data, [half], SFREQ_HZ)[:2]
    jumped = replace(second, data=second.data + np.float32(1e5), gap=100)
    with_jump = followed(montage, [first, jumped])
    without = followed(montage, [first, replace(second, gap=100)])
    np.testing.assert_allclose(with_jump.z, without.z, atol=0.05)


def test_what_has_no_power_or_no_samples_has_no_score():
    montage, data = montage_of(3, SFREQ_HZ), brain_like(3, round(15 * SFREQ_HZ), SFREQ_HZ)
    data[0] = 0
    data[1] = np.nan
    power = followed(montage, cut(data, [100] * 50, SFREQ_HZ))
    assert np.isnan(power.z[:2]).all()
    assert np.isfinite(power.z[2])


def test_scores_wait_for_ten_seconds_and_memory_for_nothing():
    montage = montage_of(2, SFREQ_HZ)
    power = HighGamma(montage)
    assert power.waits_s == 10.0
    assert np.isnan(power.z).all()
    held = len(pickle.dumps(power))
    for chunk in cut(brain_like(2, round(100 * SFREQ_HZ), SFREQ_HZ), [5000] * 9, SFREQ_HZ):
        power.push(chunk)
    assert power.waits_s == 0
    assert len(pickle.dumps(power)) == pytest.approx(held, abs=100)


@pytest.mark.parametrize("sfreq_hz", [0.2, 0.5, 1.0, 3.0])
def test_a_slow_signal_has_no_high_gamma_and_is_taken_all_the_same(sfreq_hz):
    power = followed(montage_of(2, sfreq_hz), cut(np.zeros((2, 9), np.float32), [], sfreq_hz))
    assert not power.possible
    assert np.isnan(power.z).all()
