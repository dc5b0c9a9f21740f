import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import MontageError, SettingsError
from rtbrain.spectrogram.stft import PublishedStft
from rtbrain.types import Floats, Quality, Window
from tests.conftest import brain_like
from tests.spectrogram.windows import window_at

LENGTH = 2400
RECORDING = brain_like(3, 9000, 2048.0)


def by_scipy(data: Floats, frame: int = 400, hop: int = 50, n_freqs: int = 40, clip: int = 10):
    stft = scipy.signal.stft(data.astype(float), nperseg=frame, noverlap=frame - hop)[2]
    magnitudes = np.abs(stft)[:, :n_freqs].transpose(0, 2, 1)
    deviation = magnitudes.std(axis=1, keepdims=True)
    deviation[deviation == 0] = 1
    z_scores = (magnitudes - magnitudes.mean(axis=1, keepdims=True)) / deviation
    return z_scores[:, clip : magnitudes.shape[1] - clip]


@pytest.mark.shared
def test_spectrogram_equals_the_published_one(shared):
    golden = np.load(shared / "golden" / "brainbert_stft_golden.npz")
    stft = PublishedStft(4, 10240)
    assert (stft.grid.n_frames, stft.grid.n_freqs) == (186, 40)
    spectrogram = stft(window_at(golden["wav"], 0, 10240))
    assert spectrogram.data.dtype == np.float32
    np.testing.assert_allclose(spectrogram.data, golden["spec"], rtol=0, atol=1e-4)


@settings(max_examples=40)
@given(
    frame=st.integers(4, 90),
    hop_share=st.floats(0.05, 1),
    extra=st.integers(0, 300),
    n_freqs=st.integers(1, 3),
)
def test_spectrogram_equals_scipy_for_any_frame_and_hop(frame, hop_share, extra, n_freqs):
    hop = max(1, int(frame * hop_share))
    length = 2 * frame + extra
    stft = PublishedStft(
        3, length, frame_samples=frame, hop_samples=hop, n_freqs=n_freqs, clip_frames=1
    )
    window = window_at(RECORDING, 0, length)
    expected = by_scipy(window.data, frame, hop, n_freqs, 1)
    spectrogram = stft(window)
    assert spectrogram.data.shape == (3, stft.grid.n_frames, n_freqs)
    np.testing.assert_allclose(spectrogram.data, expected, rtol=0, atol=2e-4)


@settings(max_examples=40)
@given(starts=st.lists(st.integers(0, 130).map(lambda n: 50 * n), min_size=2, max_size=8))
def test_spectrogram_does_not_depend_on_the_windows_before(starts):
    stft = PublishedStft(3, LENGTH)
    for start in starts:
        window = window_at(RECORDING, start, LENGTH)
        alone = PublishedStft(3, LENGTH)(window)
        assert np.array_equal(stft(window).data, alone.data)


@settings(max_examples=20)
@given(advances=st.lists(st.integers(0, 700), min_size=2, max_size=6))
def test_windows_off_the_grid_of_frames_are_computed_anew(advances):
    stft = PublishedStft(3, LENGTH)
    for start in np.cumsum(advances):
        window = window_at(RECORDING, int(start), LENGTH)
        assert np.array_equal(stft(window).data, PublishedStft(3, LENGTH)(window).data)


def test_only_new_frames_are_read_from_a_window_that_follows():
    stft = PublishedStft(3, LENGTH)
    stft(window_at(RECORDING, 0, LENGTH))
    altered = RECORDING.copy()
    # Inside the frames that both windows hold, outside the padded ones and the new one.
    altered[:, 1000:1100] = 0
    following = stft(window_at(altered, 50, LENGTH))
    expected = PublishedStft(3, LENGTH)(window_at(RECORDING, 50, LENGTH))
    assert np.array_equal(following.data, expected.data)


def test_frames_are_computed_anew_after_a_loss():
    stft = PublishedStft(3, LENGTH)
    stft(window_at(RECORDING, 0, LENGTH))
    other = brain_like(3, 9000, 2048.0, seed=5)
    after = window_at(other, 50, LENGTH, lost_samples=7)
    assert np.array_equal(stft(after).data, PublishedStft(3, LENGTH)(after).data)


def test_reset_equals_new():
    stft = PublishedStft(3, LENGTH)
    stft(window_at(RECORDING, 0, LENGTH))
    stft.reset()
    other = window_at(brain_like(3, 9000, 2048.0, seed=5), 50, LENGTH)
    assert np.array_equal(stft(other).data, PublishedStft(3, LENGTH)(other).data)


def test_window_is_not_changed_and_spectrograms_stay_as_given():
    recording = RECORDING.copy()
    stft = PublishedStft(3, LENGTH)
    first = stft(window_at(recording, 0, LENGTH))
    kept = first.data.copy()
    stft(window_at(recording, 50, LENGTH))
    assert np.array_equal(recording, RECORDING)
    assert np.array_equal(first.data, kept)


def test_dead_channel_gives_zeros_and_stays_good():
    recording = RECORDING.copy()
    recording[1] = 0
    spectrogram = PublishedStft(3, LENGTH)(window_at(recording, 0, LENGTH))
    assert not spectrogram.data[1].any()
    assert spectrogram.quality.good.all()


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf])
def test_sample_that_is_not_finite_blanks_and_marks_its_channel_alone(spoilt):
    recording = RECORDING.copy()
    recording[1, 1200] = spoilt
    stft = PublishedStft(3, LENGTH)
    clean = PublishedStft(3, LENGTH)
    for start in (0, 50, 1250):
        spectrogram = stft(window_at(recording, start, LENGTH))
        expected = clean(window_at(RECORDING, start, LENGTH))
        held = start <= 1200
        assert spectrogram.quality.good.tolist() == [True, not held, True]
        assert np.array_equal(spectrogram.data[[0, 2]], expected.data[[0, 2]])
        assert np.array_equal(
            spectrogram.data[1], np.zeros_like(expected.data[1]) if held else expected.data[1]
        )


def test_channel_that_is_not_good_is_blanked_and_stays_marked():
    good = np.array([True, False, True])
    spectrogram = PublishedStft(3, LENGTH)(window_at(RECORDING, 0, LENGTH, good))
    assert spectrogram.quality.good.tolist() == [True, False, True]
    assert not spectrogram.data[1].any()
    assert spectrogram.data[0].any()


def test_frame_centres_count_back_from_the_end_of_the_window():
    stft = PublishedStft(1, LENGTH)
    pulse = np.zeros((1, LENGTH), np.float32)
    pulse[0, 1000] = 1
    spectrogram = stft(window_at(pulse, 0, LENGTH))
    loudest = spectrogram.data[0].sum(axis=1).argmax()
    assert stft.grid.centres_samples[loudest] == 1000 - LENGTH
    assert stft.grid.centres_samples.dtype == np.float64
    assert stft.grid.centres_samples.shape == (stft.grid.n_frames,)


def test_window_of_another_montage_is_refused():
    with pytest.raises(MontageError, match="window has 3 channels, the spectrogram was made for 2"):
        PublishedStft(2, LENGTH)(window_at(RECORDING, 0, LENGTH))


def test_window_of_another_length_is_refused():
    with pytest.raises(SettingsError, match="window has 2350 samples"):
        PublishedStft(3, LENGTH)(window_at(RECORDING, 0, 2350))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"length_samples": 399}, "no room for frames"),
        ({"length_samples": 900}, "no room for frames"),
        ({"n_freqs": 202}, "n_freqs must lie in 1 to 201"),
        ({"hop_samples": 401}, "hop_samples must lie in 1"),
        ({"n_channels": 0}, "n_channels must be at least 1"),
        ({"frame_samples": 1}, "frame_samples must be at least 2"),
    ],
)
def test_sizes_that_cannot_work_are_refused(settings_, message):
    with pytest.raises(SettingsError, match=message):
        PublishedStft(**{"n_channels": 3, "length_samples": LENGTH} | settings_)


def test_time_and_worth_of_the_window_are_handed_on():
    quality = Quality(np.ones(3, bool), 12, valid=False, reason="gap")
    window = Window(RECORDING[:, :LENGTH], 77.5, 0, quality)
    spectrogram = PublishedStft(3, LENGTH)(window)
    assert spectrogram.t_stop == 77.5
    assert (spectrogram.quality.lost_samples, spectrogram.quality.reason) == (12, "gap")
    assert not spectrogram.quality.valid
