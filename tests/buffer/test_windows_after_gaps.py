"""After a gap, windows count as soon as they hold the samples that are used of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.buffer import Windows
from rtbrain.errors import SettingsError
from rtbrain.types import Chunk
from tests.buffer.test_windows import MONTAGE, SFREQ_HZ, recording, sizes, split, taken


@given(lengths=sizes, more=sizes, hop=st.integers(1, 60), used=st.integers(1, 100))
@settings(max_examples=60)
def test_after_a_gap_windows_are_valid_as_soon_as_they_hold_the_samples_that_are_used(
    lengths, more, hop, used
):
    windows = Windows(MONTAGE, length_samples=100, hop_samples=hop, used_samples=used)
    taken(windows, split(recording(), lengths))
    after = recording(first=437, gap=37, seed=1)
    got = taken(windows, split(after, more))
    ends = [end for end in range(1, 401) if (end - used) % hop == 0]
    padded = np.concatenate([np.full((3, 100), np.nan, np.float32), after.data], axis=1)
    assert [w[2] for w in got] == [437 + end - 100 for end in ends]
    for (values, _, _, _, _, valid, reason), end in zip(got, ends, strict=True):
        np.testing.assert_array_equal(values, padded[:, end : end + 100])
        assert valid == (end >= used)
        assert (reason == "") == valid
        assert valid or reason.startswith("filling" if used == 100 else "warming")


def test_the_first_window_of_a_stream_is_whole_whatever_is_used_of_it():
    windows = Windows(MONTAGE, length_samples=100, hop_samples=10, used_samples=20)
    short = taken(windows, [recording(90)])
    assert not any(w[5] for w in short)
    again = taken(windows, [recording(99, first=100, gap=10)])
    assert not any(w[5] for w in again)
    whole = taken(windows, [recording(110, first=300, gap=101)])
    assert [w[2] for w in whole if w[5]] == [300, 310]
    windows.reset()
    assert not any(w[5] for w in taken(windows, [recording(90)]))


def test_a_bad_sample_soon_after_a_gap_mars_its_channel_until_it_has_left_the_window():
    windows = Windows(MONTAGE, length_samples=100, hop_samples=1, used_samples=10)
    taken(windows, [recording(120)])
    data = np.zeros((3, 300), np.float32)
    data[1, 5] = np.nan
    got = taken(windows, [Chunk(data, 100 + np.arange(300) / SFREQ_HZ, 130, 10)])
    valid = [w for w in got if w[5]]
    assert [w[2] + 99 for w in valid if not w[3][1]] == list(range(139, 235))
    assert all(w[3][0] and w[3][2] for w in valid)


@pytest.mark.parametrize("used", [0, 101])
def test_more_than_a_window_cannot_be_used(used):
    with pytest.raises(SettingsError, match="1 to all 100 samples"):
        Windows(MONTAGE, length_samples=100, hop_samples=10, used_samples=used)


@pytest.mark.parametrize(("settling", "first"), [(0, 100), (100, 100), (101, 110), (175, 180)])
def test_the_first_window_waits_for_what_settles_and_those_after_a_gap_do_not(settling, first):
    windows = Windows(
        MONTAGE, length_samples=100, hop_samples=10, used_samples=20, settling_samples=settling
    )
    stamps = np.arange(600) / SFREQ_HZ
    data = np.ones((MONTAGE.n_channels, 300), np.float32)
    chunks = [Chunk(data, stamps[:300]), Chunk(data, stamps[300:], first_sample=350, gap=50)]
    ends = [
        window.first_sample + 100
        for chunk in chunks
        for window in windows(chunk)
        if window.quality.valid
    ]
    assert ends == [*range(first, 301, 10), *range(350 + 20, 651, 10)]
