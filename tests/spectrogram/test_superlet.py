import numpy as np
import pytest
import scipy.signal
import scipy.stats

from rtbrain.errors import SettingsError
from rtbrain.spectrogram.superlet import Superlet
from tests.conftest import brain_like
from tests.spectrogram.windows import window_at

SFREQ_HZ, LENGTH = 1000.0, 2030
RECORDING = brain_like(3, 4000, SFREQ_HZ)


def small(n_channels: int = 3) -> Superlet:
    return Superlet(n_channels, LENGTH, SFREQ_HZ, n_freqs=6)


def by_convolution(signal, sfreq_hz: float, freqs_hz, orders):
    """Superlets of a signal, float64 [n_freqs, n_samples], wavelet by wavelet."""
    rows = []
    for freq_hz, order in zip(freqs_hz, orders, strict=True):
        exponents = np.clip(order - np.arange(2, 30), 0, 1)
        logs = np.zeros(signal.size)
        for n_cycles, exponent in zip(range(3, 31), exponents, strict=True):
            if not exponent:
                continue
            n_samples = 10 * n_cycles * sfreq_hz / (2 * np.pi * freq_hz)
            t_s = np.arange((1 - n_samples) / 2, (1 + n_samples) / 2) / sfreq_hz
            deviation_s = n_cycles / freq_hz / 5
            gauss = scipy.stats.norm.pdf(t_s, scale=deviation_s)
            wavelet = gauss * np.exp(2j * np.pi * freq_hz * t_s) / np.sqrt(sfreq_hz) / (4 * np.pi)
            answer = scipy.signal.fftconvolve(signal.astype(float), wavelet, mode="same")
            logs += exponent * np.log(np.abs(answer))
        rows.append(np.exp(logs / exponents.sum()))
    return np.array(rows)


@pytest.mark.shared
def test_superlets_equal_the_published_ones(shared):
    golden = np.load(shared / "golden" / "brainbert_superlet_golden.npz")
    superlet = Superlet(3, 10240, 2048.0)
    assert (superlet.grid.n_frames, superlet.grid.n_freqs) == (195, 40)
    magnitudes = superlet.magnitudes(golden["wav"]).transpose(0, 2, 1)
    largest = golden["superlet_abs"].max()
    np.testing.assert_allclose(magnitudes / largest, golden["superlet_abs"] / largest, atol=1e-5)
    spectrogram = superlet(window_at(golden["wav"], 0, 10240))
    np.testing.assert_allclose(spectrogram.data, golden["spec"], rtol=0, atol=1e-4)


def test_superlets_equal_convolution_at_another_rate_and_length():
    magnitudes = small().magnitudes(RECORDING[:, :LENGTH])
    freqs_hz, orders = np.linspace(0.1, 200, 6), np.linspace(3, 30, 6)
    for channel in range(3):
        expected = by_convolution(RECORDING[channel, :LENGTH], SFREQ_HZ, freqs_hz, orders)
        expected = expected[:, ::50].T
        atol = 1e-5 * expected.max()
        np.testing.assert_allclose(magnitudes[channel], expected, rtol=0, atol=atol)


def test_rhythm_stands_out_at_its_frequency_and_its_time():
    t_s = np.arange(10240) / 2048
    burst = np.sin(2 * np.pi * 80 * t_s) * np.exp(-(((t_s - 3) / 0.1) ** 2))
    superlet = Superlet(1, 10240, 2048.0)
    magnitudes = superlet.magnitudes(burst[None].astype(np.float32))[0]
    frame, freq = np.unravel_index(magnitudes.argmax(), magnitudes.shape)
    assert np.linspace(0.1, 200, 40)[freq] == pytest.approx(80, abs=3)
    kept = superlet.grid.centres_samples[frame - 5]
    assert kept / 2048 == pytest.approx(3 - 5, abs=0.03)


def test_windows_share_nothing_and_are_not_changed():
    recording = RECORDING.copy()
    superlet = small()
    first = superlet(window_at(recording, 0, LENGTH))
    kept = first.data.copy()
    second = superlet(window_at(recording, 50, LENGTH))
    superlet.reset()
    assert np.array_equal(second.data, small()(window_at(recording, 50, LENGTH)).data)
    assert np.array_equal(first.data, kept)
    assert np.array_equal(recording, RECORDING)


def test_z_scores_are_those_of_the_frames_kept():
    superlet = small()
    data = superlet(window_at(RECORDING, 0, LENGTH)).data
    assert data.shape == (3, superlet.grid.n_frames, 6)
    assert superlet.grid.n_frames == 31  # of 41
    np.testing.assert_allclose(data.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(data.std(axis=1), 1, atol=1e-5)


def test_dead_spoilt_and_bad_channels_are_zeros_and_touch_no_other():
    recording = np.concatenate([RECORDING, RECORDING[:1]])
    recording[1] = 0
    recording[2, 1500] = np.nan
    good = np.array([True, True, True, False])
    spectrogram = small(4)(window_at(recording, 0, LENGTH, good))
    assert spectrogram.quality.good.tolist() == [True, True, False, False]
    assert not spectrogram.data[1:].any()
    expected = small()(window_at(RECORDING, 0, LENGTH)).data[0]
    assert np.array_equal(spectrogram.data[0], expected)


def test_window_without_a_good_channel_is_all_zeros():
    spectrogram = small()(window_at(RECORDING, 0, LENGTH, np.zeros(3, bool)))
    assert not spectrogram.data.any()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sfreq_hz": 256.0}, "need a sampling rate of at least 400 Hz"),
        ({"length_samples": 500}, "no frames left"),
        ({"n_freqs": 1}, "n_freqs must be at least 2"),
    ],
)
def test_what_cannot_work_is_refused(keywords, message):
    keywords = {"n_channels": 3, "length_samples": LENGTH, "sfreq_hz": SFREQ_HZ} | keywords
    with pytest.raises(SettingsError, match=message):
        Superlet(**keywords)
