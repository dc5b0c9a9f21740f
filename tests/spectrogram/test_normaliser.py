import numpy as np
import pytest
import scipy.stats

from rtbrain.spectrogram import RobustStatistics
from rtbrain.spectrogram.normaliser import RobustZScore

ALL = np.ones(3, bool)
FRAMES = np.random.default_rng(2).rayleigh(20, (2000, 3, 4)) + 5.0


def test_robust_z_scores_are_by_median_and_mad_of_the_frames_so_far():
    z_score = RobustZScore((3, 4), 300.0)
    for number, frame in enumerate(FRAMES[:300], 1):
        z_score.feed(frame, ALL)
        if number not in (1, 2, 16, 300):  # at which they are taken anew
            continue
        seen = FRAMES[:number]
        median = np.median(seen, axis=0)
        spread = scipy.stats.median_abs_deviation(seen, axis=0, scale="normal")
        np.testing.assert_allclose(z_score.statistics.median, median, rtol=1e-5)
        np.testing.assert_allclose(z_score.statistics.spread, spread, rtol=1e-5, atol=1e-5)
        expected = (frame - median) / spread if number > 1 else np.zeros((3, 4))
        np.testing.assert_allclose(z_score(frame), expected, rtol=1e-4)


def test_robust_statistics_are_at_most_a_sixth_of_the_frames_behind():
    z_score = RobustZScore((3, 4), 1e4)
    behind = 0
    for number in range(1, 513):
        before = z_score.statistics.median.copy()
        z_score.feed(FRAMES[number], ALL)
        behind = 0 if (z_score.statistics.median != before).any() else behind + 1
        assert behind <= max(1, number / 6)


@pytest.mark.parametrize("memory", [1e5, 600.0])
def test_the_reservoir_is_a_fair_sample_of_the_past_and_fades(memory):
    n_fed = 2500
    z_score = RobustZScore((3, 1), memory)
    for number in range(n_fed):
        z_score.feed(np.full((3, 1), float(number)), ALL)
    # As taken last, at a frame of its own for each channel.
    taken_at = n_fed - (n_fed + np.arange(3)) % 512
    assert len(set(taken_at)) == 3
    expected = taken_at / 2 if memory > n_fed else taken_at - memory * np.log(2)
    assert np.abs(z_score.statistics.median[:, 0] - expected).max() < 150


def test_a_channel_that_does_not_feed_keeps_its_statistics_and_its_place():
    apart, beside = RobustZScore((3, 4), 1e4), RobustZScore((3, 4), 1e4)
    feeding = np.array([True, False, True])
    for number, frame in enumerate(FRAMES[:700]):
        apart.feed(frame, ALL)
        spoilt = frame.copy()
        spoilt[1] = 1e6
        beside.feed(spoilt if number % 2 else frame, feeding if number % 2 else ALL)
    assert beside.statistics.count.tolist() == [700, 350, 700]
    rows = [0, 2]
    assert np.array_equal(beside.statistics.median[rows], apart.statistics.median[rows])
    assert (beside.statistics.median[1] < 100).all()


def test_an_artefact_moves_robust_statistics_by_no_more_than_its_share():
    ends = []
    for size in (0, 1e5):
        z_score = RobustZScore((3, 4), 1e4)
        for number, frame in enumerate(FRAMES):
            z_score.feed(frame + size * (number % 20 == 7), ALL)
        ends.append(z_score.statistics)
    assert (np.abs(ends[1].median - ends[0].median) < 0.2 * ends[0].spread).all()
    np.testing.assert_allclose(ends[1].spread, ends[0].spread, rtol=0.25)


def test_statistics_that_are_given_stand_until_the_reservoir_is_full():
    given = RobustStatistics(np.full((3, 4), 9.0), np.full((3, 4), 2.0), np.full(3, 50))
    z_score = RobustZScore((3, 4), 60.0, given)
    for frame in FRAMES[:60]:
        z_score.feed(frame, ALL)
        assert np.array_equal(z_score.statistics.median, given.median)
    for frame in FRAMES[60:121]:
        z_score.feed(frame, ALL)
    assert (z_score.statistics.median != given.median).all()
    assert z_score.statistics.count.tolist() == [171] * 3
    z_score.reset()
    assert np.array_equal(z_score.statistics.median, given.median)


def test_a_bin_without_spread_gives_zeros():
    z_score = RobustZScore((3, 4), 60.0)
    for _ in range(20):
        z_score.feed(np.zeros((3, 4)), ALL)
    assert not z_score(np.full((3, 4), 7.0)).any()
