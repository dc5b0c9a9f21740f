"""Notch comb and high-pass against scipy."""

import numpy as np
import pytest
from scipy.signal import butter, iirnotch, lfilter, sosfilt, sosfilt_zi

from rtbrain.errors import SettingsError
from rtbrain.signal import HighPass, NotchComb
from tests.conftest import brain_like, montage_of
from tests.signal.recording import whole

RATES = pytest.mark.parametrize("sfreq_hz", [512.0, 2048.0, 4096.0])


@RATES
@pytest.mark.parametrize("mains_hz", [50, 60])
def test_the_notch_equals_chained_published_filters(sfreq_hz, mains_hz):
    data = brain_like(4, 3000, sfreq_hz)
    wanted = data.astype(np.float64)
    for harmonic_hz in np.arange(mains_hz, min(361, sfreq_hz / 2), mains_hz):
        b, a = iirnotch(harmonic_hz, 30, sfreq_hz)
        wanted = lfilter(b, a, wanted, axis=1)
    got = NotchComb(montage_of(4, sfreq_hz), mains_hz)(whole(data, sfreq_hz))
    np.testing.assert_allclose(got.data, wanted, atol=1e-4)


def test_the_notch_removes_the_mains_and_keeps_the_rest():
    sfreq_hz = 2048.0
    t = np.arange(6 * 2048) / sfreq_hz
    rhythm = np.sin(2 * np.pi * 21 * t)
    data = (rhythm + 30 * np.sin(2 * np.pi * 60 * t) + 9 * np.sin(2 * np.pi * 180 * t))[None]
    notch = NotchComb(montage_of(1, sfreq_hz), 60)
    settled = notch(whole(data.astype(np.float32), sfreq_hz)).data[0, 4096:]
    spectrum = np.abs(np.fft.rfft(settled)) * 2 / settled.size
    at = {f: spectrum[round(f * settled.size / sfreq_hz)] for f in (21, 60, 180)}
    assert at[21] == pytest.approx(1, rel=0.01)
    assert at[60] < 0.01
    assert at[180] < 0.01


def test_harmonics_stop_below_the_nyquist_rate_and_at_the_limit():
    assert NotchComb(montage_of(1, 2048), 60).frequencies_hz == (60, 120, 180, 240, 300, 360)
    assert NotchComb(montage_of(1, 240), 60).frequencies_hz == (60,)
    assert NotchComb(montage_of(1, 2048), 50, up_to_hz=100).frequencies_hz == (50, 100)


@RATES
@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_high_pass_equals_scipy_from_the_first_samples_steady_state(sfreq_hz, order):
    data = brain_like(3, 3000, sfreq_hz)
    sos = butter(order, 0.5, "highpass", fs=sfreq_hz, output="sos")
    state = sosfilt_zi(sos)[:, None] * data[:, :1].astype(np.float64)[None]
    wanted, _ = sosfilt(sos, data.astype(np.float64), axis=1, zi=state)
    got = HighPass(montage_of(3, sfreq_hz), 0.5, order=order)(whole(data, sfreq_hz))
    np.testing.assert_allclose(got.data, wanted, atol=1e-3)


def test_an_offset_of_millivolts_leaves_no_transient_in_the_high_pass():
    data = np.full((2, 500), 8000, np.float32)
    data[1] = -3000
    got = HighPass(montage_of(2, 1000), 0.1)(whole(data, 1000))
    np.testing.assert_allclose(got.data, 0, atol=1e-3)


@pytest.mark.parametrize("make", [lambda m: NotchComb(m, 60), lambda m: HighPass(m, 1.0)])
def test_a_lost_sample_is_nan_and_does_not_silence_its_channel(make):
    data = brain_like(3, 8000, 1000)
    holed = data.copy()
    holed[1, 2000] = np.nan
    holed[1, 2001] = np.inf
    montage = montage_of(3, 1000)
    clean, got = make(montage)(whole(data, 1000)).data, make(montage)(whole(holed, 1000)).data
    assert list(np.flatnonzero(np.isnan(got[1]))) == [2000, 2001]
    np.testing.assert_array_equal(got[[0, 2]], clean[[0, 2]])
    np.testing.assert_array_equal(got[1, :2000], clean[1, :2000])
    np.testing.assert_allclose(got[1, -100:], clean[1, -100:], atol=0.5)


def test_a_channel_that_is_always_nan_stays_nan():
    data = np.full((1, 300), np.nan, np.float32)
    assert np.isnan(HighPass(montage_of(1, 1000), 1.0)(whole(data, 1000)).data).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m: NotchComb(m, 0), "mains_hz"),
        (lambda m: NotchComb(m, 60, q=0), "q 0"),
        (lambda m: NotchComb(m, 60, up_to_hz=50), "no harmonic"),
        (lambda m: NotchComb(m, 600), "Nyquist rate 500.0 Hz"),
        (lambda m: HighPass(m, 0), "cutoff_hz"),
        (lambda m: HighPass(m, 500), "got 500"),
        (lambda m: HighPass(m, 1, order=0), "order"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_in_one_line(make, words):
    with pytest.raises(SettingsError, match=words) as caught:
        make(montage_of(1, 1000))
    assert "\n" not in str(caught.value)
