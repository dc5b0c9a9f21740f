import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.buffer import Windows
from rtbrain.config import SpectrogramSettings
from rtbrain.errors import SettingsError
from rtbrain.spectrogram import Bands, RobustStatistics, RunningStatistics
from rtbrain.types import Quality, Window
from tests.conftest import brain_like, cut, montage_of
from tests.spectrogram.windows import window_at

SFREQ_HZ, HOP, LENGTH = 512.0, 16, 410
N_FRAMES = 10  # (410 - 256) // 16 + 1
LENGTHS, BINS = (256, 64, 32), (range(1, 8), range(2, 8), range(4, 11))
RECORDING = brain_like(3, 6000, SFREQ_HZ)
THREE = SpectrogramSettings(form="bands").bands
TAU = 40.0

either = pytest.mark.parametrize("robust", [False, True])


def bands(n_channels=3, length=LENGTH, sfreq_hz=SFREQ_HZ, **keywords) -> Bands:
    keywords = {"bands": THREE, "hop_samples": HOP, "time_constant_frames": TAU} | keywords
    return Bands(n_channels, length, sfreq_hz, **keywords)


def identity(n_channels: int, n_freqs: int) -> RunningStatistics:
    """Statistics whose z-scores are the magnitudes."""
    shape = (n_channels, n_freqs)
    return RunningStatistics(np.zeros(shape), np.ones(shape), np.ones(n_channels, np.int64))


def plain(n_channels=3, n_freqs=20, **keywords) -> Bands:
    return bands(n_channels, statistics=identity(n_channels, n_freqs), frozen=True, **keywords)


def by_definition(recording, stops, lengths=LENGTHS, bins=BINS):
    """Magnitudes of the frames that end before these samples, one spectrum at a time, float64."""
    columns = []
    for length, numbers in zip(lengths, bins, strict=True):
        hann = scipy.signal.get_window("hann", length)  # periodic
        frames = [recording[:, stop - length : stop].astype(float) * hann for stop in stops]
        columns.append(np.abs(np.fft.rfft(np.stack(frames, 1), axis=2))[:, :, list(numbers)])
    return np.concatenate(columns, axis=2)


def stops_of(start: int, n: int = N_FRAMES) -> list[int]:
    return [start + LENGTH - HOP * back for back in reversed(range(n))]


def test_magnitudes_are_those_of_tapered_frames_that_end_with_the_newest_sample():
    stage = plain()
    assert (stage.grid.n_frames, stage.grid.n_freqs) == (N_FRAMES, 20)
    assert stage.freqs_hz.tolist() == [*range(2, 15, 2), *range(16, 57, 8), *range(64, 161, 16)]
    for start in (0, 3 * HOP, 1000):
        got = stage(window_at(RECORDING, start, LENGTH))
        expected = by_definition(RECORDING, stops_of(start))
        np.testing.assert_allclose(got.data, expected, rtol=2e-4, atol=0.05)
        assert got.quality.good.all()


def test_logarithms_are_of_the_magnitudes_and_of_a_dead_channel_finite():
    recording = RECORDING.copy()
    recording[1] = 0
    got = plain(log=True)(window_at(recording, 0, LENGTH))
    expected = np.log(by_definition(RECORDING, stops_of(0)))
    np.testing.assert_allclose(got.data[[0, 2]], expected[[0, 2]], atol=1e-3)
    assert np.isfinite(got.data[1]).all()
    assert got.quality.good.all()


def test_white_noise_gives_rayleigh_magnitudes_and_a_sine_its_amplitude():
    sigma, n = 7.0, 4000
    noise = np.random.default_rng(3).normal(0, sigma, (n, LENGTH)).astype(np.float32)
    got = plain(n)(window_at(noise, 0, LENGTH)).data[:, -1]
    for columns, length in ((slice(1, 7), 256), (slice(7, 13), 64), (slice(13, 20), 32)):
        for column in got[:, columns].T:  # the first bin is not: the taper reaches its mirror
            fit = scipy.stats.kstest(column, "rayleigh", (0, sigma * np.sqrt(3 * length / 16)))
            assert fit.pvalue > 1e-4
    t = np.arange(LENGTH) / SFREQ_HZ
    for column, (freq_hz, length) in {2: (6, 256), 9: (32, 64), 15: (96, 32)}.items():
        sine = (5 * np.sin(2 * np.pi * freq_hz * t + 1))[None].astype(np.float32)
        assert plain(1)(window_at(sine, 0, LENGTH)).data[0, -1, column] == pytest.approx(
            5 * length / 4, rel=1e-4
        )
    offset = plain(1)(window_at(np.full((1, LENGTH), 8, np.float32), 0, LENGTH)).data[0, -1]
    np.testing.assert_allclose(offset[[0, 1, 7]], [8 * 256 / 4, 0, 0], atol=1e-2)


def test_the_running_statistics_are_weighted_means_of_all_frames_so_far():
    stage = bands(clip=3.0)
    for start in range(0, 3200, 4 * HOP):
        got = stage(window_at(RECORDING, start, LENGTH)).data
    frames = by_definition(RECORDING, range(LENGTH - (N_FRAMES - 1) * HOP, start + LENGTH + 1, HOP))
    mean, variance = frames[:, 0], np.zeros(frames[:, 0].shape)
    expected = []
    for number, frame in enumerate(np.moveaxis(frames, 1, 0), 1):
        weight = max(1 / number, 1 / TAU)
        bound = 5 * np.sqrt(variance) if number > 100 else np.inf
        delta = np.clip(frame - mean, -bound, bound)
        mean = mean + weight * delta
        variance = (1 - weight) * (variance + weight * delta**2)
        expected.append((frame - mean) / np.sqrt(np.where(variance == 0, 1, variance)))
    assert np.abs(expected).max() > 3
    expected = np.stack(expected[-N_FRAMES:], 1).clip(-3, 3)
    np.testing.assert_allclose(got, expected, rtol=0, atol=5e-3)


@either
@settings(max_examples=8)
@given(hops=st.lists(st.integers(0, N_FRAMES), min_size=1, max_size=16))
def test_frames_of_skipped_windows_are_fed_so_that_skipping_changes_nothing(robust, hops):
    starts = [0, *np.cumsum(hops)]
    sparse, dense = bands(robust=robust), bands(robust=robust)
    for index in range(starts[-1] + 1):
        window = window_at(RECORDING, index * HOP, LENGTH)
        expected = dense(window).data
        if index in starts:
            assert np.array_equal(sparse(window).data, expected)
    for got, wanted in zip(_arrays(sparse), _arrays(dense), strict=True):
        assert np.array_equal(got, wanted)


def _arrays(stage: Bands):
    statistics = stage.statistics
    if isinstance(statistics, RobustStatistics):
        return statistics.median, statistics.spread, statistics.count
    return statistics.mean, statistics.variance, statistics.count


@either
@settings(max_examples=5)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=9),
    n_channels=st.integers(1, 37),
    sfreq_hz=st.sampled_from([250.0, 512.0, 1000.0]),
)
def test_bands_do_not_depend_on_how_the_signal_arrives(robust, sizes, n_channels, sfreq_hz):
    data = brain_like(n_channels, 1600, sfreq_hz)
    data[0, 900] = np.nan
    length, hop = round(0.8 * sfreq_hz), round(sfreq_hz / 32)

    def run(pieces: list[int]):
        windows = Windows(montage_of(n_channels, sfreq_hz), length_samples=length, hop_samples=hop)
        stage = bands(n_channels, length, sfreq_hz, robust=robust, hop_samples=hop, clip=15.0)
        cuts = (item for chunk in cut(data, pieces, sfreq_hz) for item in windows(chunk))
        return [stage(item).data for item in cuts]

    whole, in_pieces = run([1600]), run(sizes * 400)
    assert len(whole) == len(in_pieces) > 20
    assert np.array_equal(whole, in_pieces)


@either
def test_what_comes_later_changes_no_frame_already_given(robust):
    stage = bands(robust=robust)
    before = stage(window_at(RECORDING, 0, LENGTH)).data
    altered = RECORDING.copy()
    altered[:, LENGTH:] *= 5
    after = stage(window_at(altered, 4 * HOP, LENGTH)).data
    assert np.array_equal(after[:, :-4], before[:, 4:])


@either
def test_reset_equals_new_and_goes_back_to_the_statistics_given(robust):
    first = bands(robust=robust)
    first(window_at(RECORDING, 0, LENGTH))
    start = first.statistics
    stage = bands(robust=robust, statistics=start)
    for at in range(3000, 5000, HOP):
        stage(window_at(RECORDING, at, LENGTH))
    stage.reset()
    new = bands(robust=robust, statistics=start)
    for at in range(1000, 2000, HOP):
        window = window_at(RECORDING, at, LENGTH)
        assert np.array_equal(stage(window).data, new(window).data)


@either
def test_window_is_not_changed_and_spectrograms_stay_as_given(robust):
    recording = RECORDING.copy()
    stage = bands(robust=robust)
    first = stage(window_at(recording, 0, LENGTH))
    kept = first.data.copy()
    stage(window_at(recording, 5 * HOP, LENGTH))
    assert np.array_equal(recording, RECORDING)
    assert np.array_equal(first.data, kept)


@either
@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_sample_that_is_not_finite_never_reaches_statistics_or_other_channels(robust, spoilt):
    recording = RECORDING.copy()
    recording[1, 1000] = spoilt
    stage, clean = bands(robust=robust), bands(robust=robust)
    marks = []
    for start in range(0, 1600, HOP):
        got = stage(window_at(recording, start, LENGTH))
        expected = clean(window_at(RECORDING, start, LENGTH))
        marks.append(bool(got.quality.good[1]))
        assert np.isfinite(got.data).all()
        assert np.array_equal(got.data[[0, 2]], expected.data[[0, 2]])
    assert all(np.isfinite(array).all() for array in _arrays(stage))
    n_fed = stage.statistics.count
    assert n_fed[0] - n_fed[1] == 256 // HOP  # the long frames hold it longest
    assert marks[0]
    assert not marks[45]
    assert marks[-1]


@either
def test_frozen_statistics_normalise_and_never_change(robust):
    learnt = bands(robust=robust)
    for start in range(0, 2000, HOP):
        learnt(window_at(RECORDING, start, LENGTH))
    start = learnt.statistics
    stage = bands(robust=robust, statistics=start, frozen=True)
    got = stage(window_at(RECORDING, 3000, LENGTH)).data
    middle, spread, _ = _arrays(stage)
    spread = spread if robust else np.sqrt(spread)
    expected = (by_definition(RECORDING, stops_of(3000)) - middle[:, None]) / spread[:, None]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)
    for now, then in zip(_arrays(stage), _arrays(learnt), strict=True):
        assert np.array_equal(now, then)


def test_a_dead_channel_gives_zeros_and_stays_good():
    recording = RECORDING.copy()
    recording[1] = 0
    for robust in (False, True):
        stage = bands(robust=robust)
        for start in (0, HOP):
            got = stage(window_at(recording, start, LENGTH))
        assert not got.data[1].any()
        assert got.quality.good.all()


def test_the_middle_of_every_bin_is_where_a_short_burst_is_loudest():
    stage = plain(1)
    centres = stage.grid.bin_centres_samples
    assert centres.shape == (N_FRAMES, 20)
    for column, freq_hz in ((2, 6), (9, 32), (15, 96)):
        for frame in (3, N_FRAMES - 2):
            at = LENGTH + centres[frame, column]
            t = np.arange(LENGTH) - at
            burst = np.exp(-0.5 * (t / 4) ** 2) * np.cos(2 * np.pi * freq_hz * t / SFREQ_HZ)
            loud = stage(window_at(burst[None].astype(np.float32), 0, LENGTH)).data[0, :, column]
            assert loud.argmax() == frame
            stage.reset()
    assert centres[-1, [0, 7, 13]].tolist() == [-128, -32, -16]
    np.testing.assert_allclose(stage.grid.centres_samples, centres.mean(axis=1))


@pytest.mark.parametrize("sfreq_hz", [250.0, 256.0, 500.0, 1000.0, 1024.0, 2034.5, 5000.0])
def test_any_rate_has_the_same_frames_in_seconds_and_the_bins_below_half_of_it(sfreq_hz):
    length, hop = round(1.25 * sfreq_hz), round(sfreq_hz / 32)
    n_bins = 20 if sfreq_hz > 330 else 20 - sum(f >= sfreq_hz / 2 - 1 for f in range(64, 161, 16))
    stage = plain(2, n_bins, length=length, sfreq_hz=sfreq_hz, hop_samples=hop)
    assert stage.grid.n_freqs == n_bins
    wanted = [*range(2, 15, 2), *range(16, 57, 8), *range(64, 161, 16)][:n_bins]
    np.testing.assert_allclose(stage.freqs_hz, wanted, rtol=0.04)
    assert ("of the band 64 to 160 Hz" in stage.note) == (n_bins < 20)
    lengths = [round(s * sfreq_hz) for s in (0.5, 0.125, 0.0625)]
    data = brain_like(2, length, sfreq_hz)
    bins = [*BINS[:2], range(4, 4 + n_bins - 13)]
    expected = by_definition(data, [length], lengths, bins)[:, 0]
    got = stage(window_at(data, 0, length)).data[:, -1]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=0.2)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"sfreq_hz": 100.0, "hop_samples": 3}, "64 to 160 Hz lies above half the rate of 100 Hz"),
        ({"length": 200}, "shorter than a frame of 256"),
        ({"hop_samples": 33}, "hop_samples must lie in 1 to frame_samples"),
        ({"robust": True, "statistics": identity(3, 20)}, "expected RobustStatistics"),
        ({"statistics": identity(3, 19)}, "do not fit 3 channels and 20 bins"),
        ({"frozen": True, "robust": True}, "frozen statistics need statistics"),
        ({"time_constant_frames": 0.5, "robust": True}, "time_constant_frames must be at least 1"),
    ],
)
def test_what_cannot_work_is_refused(keywords, message):
    with pytest.raises(SettingsError, match=message):
        bands(**keywords)


def test_frames_that_are_used_are_good_as_soon_as_they_are_there_after_a_gap():
    stage = bands(used_frames=3)
    stage(window_at(RECORDING, 0, LENGTH))
    for n_there, good in ((256 + 2 * HOP - 1, False), (256 + 2 * HOP, True)):
        data = RECORDING[:, 3000 : 3000 + LENGTH].copy()
        data[:, : LENGTH - n_there] = np.nan
        quality = Quality(np.ones(3, bool), lost_samples=n_there)
        assert stage(Window(data, 1.0, 3000, quality)).quality.good.all() == good
