"""Channel dropout: each window twice, once with fewer channels, never with others."""

import numpy as np

from rtbrain.encoder import FrameMean
from rtbrain.learn.fit.features import ChannelDropout
from rtbrain.types import Quality, Spectrogram


def spectrograms(n_windows: int, n_channels: int) -> list[Spectrogram]:
    rng = np.random.default_rng(4)
    good = np.ones(n_channels, np.bool_)
    good[0] = False
    return [
        Spectrogram(
            rng.normal(size=(n_channels, 12, 5)).astype(np.float32), float(t), Quality(good)
        )
        for t in range(n_windows)
    ]


def test_each_window_is_given_whole_and_kept_with_a_share_of_its_good_channels() -> None:
    plain = FrameMean(10, neural_delay_s=0.1)
    dropout = ChannelDropout(FrameMean(10, neural_delay_s=0.1), most=0.7, seed=1)
    items = spectrograms(200, 20)
    whole = [dropout(item) for item in items]
    for item, embedding in zip(items, whole, strict=True):
        np.testing.assert_array_equal(embedding.population, plain(item).population)
    left = np.array([fewer.quality.good.sum() for fewer in dropout.with_fewer])
    assert left.min() >= 19 - int(0.7 * 19)
    assert left.max() == 19
    assert abs(left.mean() - 19 * 0.65) < 1
    assert not any(fewer.quality.good[0] for fewer in dropout.with_fewer)
    rows = dropout.rows(whole)
    assert [row.t_stop for row in rows] == [float(t) for t in range(200) for _ in range(2)]


def test_a_reset_draws_the_same_again() -> None:
    dropout = ChannelDropout(FrameMean(10, neural_delay_s=0.1), seed=2)
    first = [dropout(item) and dropout.with_fewer[-1] for item in spectrograms(9, 8)]
    dropout.reset()
    again = [dropout(item) and dropout.with_fewer[-1] for item in spectrograms(9, 8)]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.quality.good, other.quality.good)
