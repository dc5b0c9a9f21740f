import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.errors import MontageError, SettingsError
from rtbrain.spectrogram import RunningStatistics, RunningStft
from rtbrain.types import Quality, Window
from tests.conftest import brain_like
from tests.spectrogram.windows import window_at

LENGTH, FRAME, HOP = 1210, 400, 50
N_FRAMES = 17  # (1210 - 400) // 50 + 1
TAU = 12.5
RECORDING = brain_like(3, 9000, 2048.0)
ALL_GOOD = np.ones(3, bool)


def running(recording=RECORDING, **keywords) -> RunningStft:
    keywords = {"time_constant_frames": TAU} | keywords
    return RunningStft(len(recording), LENGTH, **keywords)


def by_definition(recording, last_stop: int, first_stop: int = FRAME + 10):
    """Z-scores of all frames that end from `first_stop` to `last_stop`, and the statistics.

    By explicit weights of all frames so far, and one spectrum at a time.
    """
    hann = scipy.signal.get_window("hann", FRAME)
    stops = range(first_stop, last_stop + 1, HOP)
    frames = np.stack([recording[:, stop - FRAME : stop].astype(float) for stop in stops], axis=1)
    magnitudes = np.abs(np.fft.rfft(frames * hann / hann.sum(), axis=2))[:, :, :40]
    z_scores = np.empty_like(magnitudes)
    weights = np.zeros(0)
    for index in range(len(stops)):
        newest = max(1 / (index + 1), 1 / TAU)
        weights = np.append(weights * (1 - newest), newest)
        seen = magnitudes[:, : index + 1]
        mean = np.einsum("t,ctf->cf", weights, seen)
        variance = np.einsum("t,ctf->cf", weights, (seen - mean[:, None]) ** 2)
        deviation = np.sqrt(np.where(variance == 0, 1, variance))
        z_scores[:, index] = (magnitudes[:, index] - mean) / deviation
    return z_scores, mean, variance


def test_spectrogram_equals_its_definition():
    stft = running()
    assert (stft.grid.n_frames, stft.grid.n_freqs) == (N_FRAMES, 40)
    for start in range(0, 5000, 500):
        spectrogram = stft(window_at(RECORDING, start, LENGTH))
    expected, mean, variance = by_definition(RECORDING, 4500 + LENGTH)
    np.testing.assert_allclose(spectrogram.data, expected[:, -N_FRAMES:], rtol=0, atol=2e-4)
    np.testing.assert_allclose(stft.statistics.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(stft.statistics.variance, variance, rtol=1e-4)
    assert stft.statistics.count.tolist() == [expected.shape[1]] * 3


@settings(max_examples=40)
@given(hops=st.lists(st.integers(0, N_FRAMES), min_size=1, max_size=8))
def test_frames_of_skipped_windows_are_fed_so_that_skipping_changes_nothing(hops):
    starts = [0, *np.cumsum(hops)]
    sparse, dense = running(), running()
    for index in range(starts[-1] + 1):
        window = window_at(RECORDING, index * HOP, LENGTH)
        expected = dense(window).data
        if index in starts:
            assert np.array_equal(sparse(window).data, expected)
    assert np.array_equal(sparse.statistics.variance, dense.statistics.variance)


def test_what_comes_later_changes_no_frame_already_given():
    stft = running()
    before = stft(window_at(RECORDING, 0, LENGTH)).data
    altered = RECORDING.copy()
    altered[:, LENGTH:] *= 5
    after = stft(window_at(altered, 4 * HOP, LENGTH)).data
    assert np.array_equal(after[:, :-4], before[:, 4:])


def test_first_frame_ever_is_its_own_mean():
    spectrogram = running()(window_at(RECORDING, 0, LENGTH))
    assert not spectrogram.data[:, 0].any()
    assert spectrogram.data[:, 1:].any(axis=(1, 2)).all()


def test_reset_equals_new_and_goes_back_to_the_statistics_given():
    given_ = running()
    given_(window_at(RECORDING, 0, LENGTH))
    start = given_.statistics
    stft = running(statistics=start)
    stft(window_at(RECORDING, 3000, LENGTH))
    stft.reset()
    assert np.array_equal(stft.statistics.mean, start.mean)
    window = window_at(RECORDING, 1000, LENGTH)
    assert np.array_equal(stft(window).data, running(statistics=start)(window).data)


def test_statistics_read_and_given_back_go_on_where_they_were():
    through, first = running(), running()
    through(window_at(RECORDING, 0, LENGTH))
    first(window_at(RECORDING, 0, LENGTH))
    kept = first.statistics
    mean = kept.mean.copy()
    second = running(statistics=kept)
    following = window_at(RECORDING, N_FRAMES * HOP, LENGTH)
    assert np.array_equal(second(following).data, through(following).data)
    assert np.array_equal(kept.mean, mean)


def test_frozen_statistics_normalise_and_never_change():
    learnt = running()
    learnt(window_at(RECORDING, 0, LENGTH))
    start = learnt.statistics
    stft = running(statistics=start, frozen=True)
    spectrogram = stft(window_at(RECORDING, 2000, LENGTH))
    assert np.array_equal(stft.statistics.mean, start.mean)
    assert np.array_equal(stft.statistics.count, start.count)
    last = RECORDING[:, 2000 + LENGTH - FRAME : 2000 + LENGTH].astype(float)
    hann = scipy.signal.get_window("hann", FRAME)
    magnitudes = np.abs(np.fft.rfft(last * hann / hann.sum()))[:, :40]
    expected = (magnitudes - start.mean) / np.sqrt(start.variance)
    np.testing.assert_allclose(spectrogram.data[:, -1], expected, rtol=1e-4, atol=1e-3)


def test_windows_off_the_grid_feed_each_stretch_of_time_once():
    stft = running()
    n_windows, advance = 20, HOP + 12
    for index in range(n_windows):
        stft(window_at(RECORDING, index * advance, LENGTH))
    # The first window feeds all its frames; after it a frame ends at least a hop after the last.
    assert (stft.statistics.count == N_FRAMES + n_windows - 1).all()
    stft(window_at(RECORDING, (n_windows - 1) * advance + 7, LENGTH))
    assert (stft.statistics.count == N_FRAMES + n_windows - 1).all()


def test_frames_off_the_grid_are_normalised_by_the_statistics_as_they_stand():
    stft = running()
    stft(window_at(RECORDING, 0, LENGTH))
    known = stft.statistics
    off_grid = window_at(RECORDING, 7, LENGTH)
    expected = running(statistics=known, frozen=True)(off_grid)
    assert np.array_equal(stft(off_grid).data, expected.data)


def test_statistics_survive_a_gap_and_no_frame_from_before_it_is_shown():
    stft = running()
    stft(window_at(RECORDING, 0, LENGTH))
    other = brain_like(3, 9000, 2048.0, seed=9)
    known = stft.statistics
    after = window_at(other, 2000, LENGTH, lost_samples=13)
    assert np.array_equal(stft(after).data, running(statistics=known)(after).data)


def test_frames_are_computed_anew_after_a_loss_and_only_new_time_is_fed():
    stft = running()
    stft(window_at(RECORDING, 2000, LENGTH))
    known = stft.statistics
    other = brain_like(3, 9000, 2048.0, seed=9)
    after = window_at(other, 2000 + 2 * HOP, LENGTH, lost_samples=13)
    shown = stft(after).data
    expected = running(statistics=known, frozen=True)(after).data
    assert np.array_equal(shown[:, :-2], expected[:, :-2])
    assert (stft.statistics.count == known.count + 2).all()


def test_recording_that_starts_again_is_fed_from_its_start():
    stft = running()
    stft(window_at(RECORDING, 5000, LENGTH))
    stft(window_at(RECORDING, 0, LENGTH))
    assert (stft.statistics.count == 2 * N_FRAMES).all()


def test_channel_that_is_not_good_feeds_nothing_and_is_blanked():
    good = np.array([True, False, True])
    stft, clean = running(), running()
    stft(window_at(RECORDING, 0, LENGTH))
    clean(window_at(RECORDING, 0, LENGTH))
    noisy = RECORDING.copy()
    noisy[1, LENGTH:] = 1e6
    bad = stft(window_at(noisy, 4 * HOP, LENGTH, good))
    expected = clean(window_at(RECORDING, 4 * HOP, LENGTH))
    assert bad.quality.good.tolist() == [True, False, True]
    assert not bad.data[1].any()
    assert np.array_equal(bad.data[[0, 2]], expected.data[[0, 2]])
    assert stft.statistics.count.tolist() == [N_FRAMES + 4, N_FRAMES, N_FRAMES + 4]
    assert (stft.statistics.variance[1] < 1e6).all()


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_sample_that_is_not_finite_never_reaches_statistics_or_other_channels(spoilt):
    recording = RECORDING.copy()
    recording[1, 2000] = spoilt
    stft, clean = running(), running()
    marks = []
    for start in range(0, 2300, HOP):
        spectrogram = stft(window_at(recording, start, LENGTH))
        expected = clean(window_at(RECORDING, start, LENGTH))
        marks.append(bool(spectrogram.quality.good[1]))
        assert np.isfinite(spectrogram.data).all()
        assert np.array_equal(spectrogram.data[[0, 2]], expected.data[[0, 2]])
        assert spectrogram.quality.good[[0, 2]].all()
    assert np.isfinite(stft.statistics.mean).all()
    assert np.isfinite(stft.statistics.variance).all()
    spoilt_frames = 8  # of 400 samples, every 50
    assert stft.statistics.count[0] - stft.statistics.count[1] == spoilt_frames
    assert marks[0]
    assert not marks[20]
    assert marks[-1]


def test_channel_without_statistics_is_not_good_until_it_has_fed_a_whole_window():
    late = np.array([True, False, True])
    stft = running()
    stft(window_at(RECORDING, 0, LENGTH, late))
    marks = []
    for index in range(1, N_FRAMES + 2):
        spectrogram = stft(window_at(RECORDING, index * HOP, LENGTH))
        marks.append(bool(spectrogram.quality.good[1]))
    assert marks == [False] * (N_FRAMES - 1) + [True, True]


def test_dead_channel_gives_zeros_and_stays_good():
    recording = RECORDING.copy()
    recording[1] = 0
    spectrogram = running()(window_at(recording, 0, LENGTH))
    assert not spectrogram.data[1].any()
    assert spectrogram.quality.good.all()


def test_window_is_not_changed_and_spectrograms_stay_as_given():
    recording = RECORDING.copy()
    stft = running()
    first = stft(window_at(recording, 0, LENGTH))
    kept = first.data.copy()
    stft(window_at(recording, 5 * HOP, LENGTH))
    assert np.array_equal(recording, RECORDING)
    assert np.array_equal(first.data, kept)


def test_frame_centres_count_back_from_the_end_of_the_window():
    centres = running().grid.centres_samples
    assert centres[-1] == -FRAME / 2
    assert (np.diff(centres) == HOP).all()
    assert centres.shape == (N_FRAMES,)


def statistics_of(n_channels: int, n_freqs: int) -> RunningStatistics:
    shape = (n_channels, n_freqs)
    return RunningStatistics(np.zeros(shape), np.ones(shape), np.ones(n_channels, np.int64))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"length_samples": 399}, "shorter than a frame of 400"),
        ({"time_constant_frames": 0.5}, "time_constant_frames must be at least 1"),
        ({"time_constant_frames": np.nan}, "time_constant_frames must be at least 1"),
        ({"frozen": True}, "frozen statistics need statistics"),
        ({"statistics": statistics_of(2, 40)}, "do not fit 3 channels and 40 bins"),
    ],
)
def test_what_cannot_work_is_refused(keywords, message):
    keywords = {"n_channels": 3, "length_samples": LENGTH, "time_constant_frames": TAU} | keywords
    with pytest.raises(SettingsError, match=message):
        RunningStft(**keywords)


def test_window_of_another_montage_is_refused():
    with pytest.raises(MontageError, match="window has 2 channels"):
        running()(window_at(RECORDING[:2], 0, LENGTH))


def after_a_gap(start: int, n_there: int):
    """A window of which only the newest samples have come."""
    window = window_at(RECORDING, start, LENGTH)
    data = window.data.copy()
    data[:, : LENGTH - n_there] = np.nan
    return Window(data, window.t_stop, start, Quality(ALL_GOOD, lost_samples=7))


def test_frames_that_are_used_are_normalised_as_soon_as_they_are_there():
    settled, waiting = running(used_frames=4), running()
    for stft in (settled, waiting):
        stft(window_at(RECORDING, 0, LENGTH))
    n_there = FRAME + 3 * HOP
    early = settled(after_a_gap(3000, n_there))
    assert early.quality.good.all()
    assert np.isnan(early.data[:, :-4]).all()
    assert not waiting(after_a_gap(3000, n_there)).quality.good.any()
    short = running(used_frames=4)
    short(window_at(RECORDING, 0, LENGTH))
    assert not short(after_a_gap(3000, n_there - 1)).quality.good.any()
    # From then on it is as if the window had been waited for.
    for start in range(3000 + HOP, 5000, HOP):
        n_there += HOP
        early = settled(after_a_gap(start, min(n_there, LENGTH)))
    whole = running()
    whole(window_at(RECORDING, 0, LENGTH))
    first = 3000 + HOP * round((LENGTH - FRAME - 3 * HOP) / HOP)
    for at in range(first, 5000, HOP):
        expected = whole(after_a_gap(at, LENGTH))
    np.testing.assert_allclose(early.data, expected.data, rtol=0, atol=1e-5)


def test_a_channel_without_statistics_feeds_them_before_its_frames_are_used():
    recording = RECORDING.copy()
    stft = running(used_frames=4)
    dead = np.array([True, False, True])
    for start in range(0, 3000, HOP):
        window = window_at(recording, start, LENGTH)
        good = ALL_GOOD if start >= 1000 else dead
        item = stft(Window(window.data, window.t_stop, start, Quality(good)))
        fed = stft.statistics.count[1]
        assert item.quality.good[1] == (fed >= N_FRAMES - 4)
    assert item.quality.good.all()
    given = RunningStatistics(stft.statistics.mean, stft.statistics.variance, np.full(3, 5))
    ready = running(used_frames=4, statistics=given)
    assert ready(after_a_gap(0, FRAME + 3 * HOP)).quality.good.all()
