"""The ring against plain concatenation; windows against slices of the whole recording."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.buffer import Ring, Windows
from rtbrain.errors import SettingsError, StreamError
from rtbrain.types import Chunk
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 500.0
MONTAGE = montage_of(3, SFREQ_HZ)
sizes = st.lists(st.integers(0, 130), max_size=8)


def copied(window):
    quality = window.quality
    return (
        window.data.copy(),
        window.t_stop,
        window.first_sample,
        quality.good.tolist(),
        quality.lost_samples,
        quality.valid,
        quality.reason,
    )


def taken(windows, chunks):
    """Every window, copied while it stands."""
    return [copied(window) for chunk in chunks for window in windows(chunk)]


def same(got, wanted):
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]


def recording(n_samples=400, first=0, gap=0, seed=0):
    data = brain_like(3, n_samples, SFREQ_HZ, seed)
    stamps = 100 + (first + np.arange(n_samples)) / SFREQ_HZ
    return Chunk(data, stamps, first, gap)


def split(chunk, lengths):
    """The chunk in pieces, its gap on the first."""
    edges = [min(edge, chunk.n_samples) for edge in itertools.accumulate(lengths, initial=0)]
    edges.append(chunk.n_samples)
    return [
        Chunk(
            chunk.data[:, a:b].copy(),
            chunk.timestamps[a:b],
            chunk.first_sample + a,
            0 if k else chunk.gap,
        )
        for k, (a, b) in enumerate(itertools.pairwise(edges))
    ]


@given(
    lengths=sizes,
    length=st.integers(1, 150),
    hop=st.integers(1, 170),
    first=st.integers(0, 1000),
)
@settings(max_examples=80)
def test_windows_are_slices_of_the_recording_whatever_the_chunks(lengths, length, hop, first):
    whole = recording(first=first)
    data = whole.data.copy()
    data[1, 50:55] = np.nan
    data[2, 200] = np.inf
    whole = Chunk(data, whole.timestamps, first)
    windows = Windows(MONTAGE, length_samples=length, hop_samples=hop)
    got = taken(windows, split(whole, lengths))
    padded = np.concatenate([np.full((3, length), np.nan, np.float32), data], axis=1)
    ends = [end for end in range(1, 401) if (end - length) % hop == 0]
    assert len(got) == len(ends)
    for (values, t_stop, first_sample, good, _, valid, reason), end in zip(got, ends, strict=True):
        wanted = padded[:, end : end + length]
        np.testing.assert_array_equal(values, wanted)
        assert t_stop == whole.timestamps[end - 1]
        assert first_sample == first + end - length
        assert good == np.isfinite(wanted).all(axis=1).tolist()
        assert valid == (end >= length)
        assert (reason == "") == valid


@given(lengths=sizes, more=sizes, hop=st.integers(1, 60))
@settings(max_examples=40)
def test_no_window_spans_a_gap_and_losses_add_up(lengths, more, hop):
    before, after = recording(), recording(first=437, gap=37, seed=1)
    windows = Windows(MONTAGE, length_samples=100, hop_samples=hop)
    taken(windows, split(before, lengths))
    got = taken(windows, split(after, more))
    alone = Windows(MONTAGE, length_samples=100, hop_samples=hop)
    wanted = taken(alone, [Chunk(after.data, after.timestamps, 437)])
    same([(*w[:4], 0, *w[5:]) for w in got], wanted)
    assert {w[4] for w in got} == {37}
    last = taken(windows, [recording(150, first=842, gap=5)])
    assert {w[4] for w in last} == {42}


def test_a_recording_of_just_one_length_gives_one_valid_window():
    windows = Windows(MONTAGE, length_samples=400, hop_samples=150)
    whole = recording()
    got = taken(windows, [whole])
    assert [w[5] for w in got] == [False, False, True]
    np.testing.assert_array_equal(got[-1][0], whole.data)
    assert got[-1][2] == 0


def test_a_window_that_fills_says_how_far_it_is():
    windows = Windows(montage_of(1, 1000), length_samples=5000, hop_samples=700)
    chunk = cut(brain_like(1, 2200, 1000), [], 1000)[0]
    got = taken(windows, [chunk])
    assert got[-1][6] == "filling: 2.2 of 5 s"
    assert got[-1][2] == -2800
    assert got[-1][3] == [False]


def test_a_bad_sample_mars_its_channel_for_one_length():
    data = np.zeros((3, 60), np.float32)
    data[1, 20] = np.nan
    windows = Windows(MONTAGE, length_samples=10, hop_samples=1)
    got = taken(windows, cut(data, [7] * 9, SFREQ_HZ))
    full = [w for w in got if w[5]]
    marred = [w[2] for w in full if not w[3][1]]
    assert marred == list(range(11, 21))
    assert all(w[3][0] and w[3][2] for w in full)


@given(lengths=sizes, hop=st.integers(1, 50), length=st.integers(1, 80))
@settings(max_examples=40)
def test_the_newest_window_may_be_kept_until_the_next_is_cut(lengths, hop, length):
    windows = Windows(MONTAGE, length_samples=length, hop_samples=hop)
    kept = None
    chunks = split(recording(), lengths)
    chunks += split(recording(first=437, gap=37, seed=2), lengths)
    for chunk in chunks:
        for window in windows(chunk):
            if kept is not None:
                np.testing.assert_array_equal(*kept)
            kept = (window.data, window.data.copy())
        if kept is not None:
            np.testing.assert_array_equal(*kept)


def test_a_window_cannot_be_written():
    windows = Windows(MONTAGE, length_samples=10, hop_samples=10)
    for window in windows(recording()):
        with pytest.raises(ValueError, match="read-only"):
            window.data[0, 0] = 0


@given(lengths=sizes, n_taken=st.integers(0, 3))
@settings(max_examples=40)
def test_an_abandoned_iterator_costs_windows_and_never_samples(lengths, n_taken):
    thorough = Windows(MONTAGE, length_samples=70, hop_samples=20)
    hasty = Windows(MONTAGE, length_samples=70, hop_samples=20)
    for chunk in split(recording(), lengths):
        taken(thorough, [chunk])
        list(itertools.islice(hasty(chunk), n_taken))
    after = recording(90, first=400)
    same(taken(hasty, [after]), taken(thorough, [after]))


def test_an_old_iterator_ends_when_the_next_chunk_comes():
    windows = Windows(MONTAGE, length_samples=70, hop_samples=20)
    old = windows(recording())
    next(old)
    new = windows(recording(60, first=400))
    assert list(old) == []
    assert len(list(new)) == 3


def test_reset_equals_new_even_half_way_through_an_iterator():
    windows = Windows(MONTAGE, length_samples=70, hop_samples=20)
    taken(windows, [recording(gap=12)])
    half = windows(recording(first=400))
    next(half)
    windows.reset()
    new = Windows(MONTAGE, length_samples=70, hop_samples=20)
    again = recording(first=3, seed=4)
    same(taken(windows, [again]), taken(new, [again]))
    assert list(half) == []


def test_the_future_changes_no_window_already_given():
    calm, wild = (Windows(MONTAGE, length_samples=70, hop_samples=20) for _ in range(2))
    past, future = split(recording(), [201])
    other = Chunk(-3 * future.data, future.timestamps, future.first_sample)
    same(taken(calm, [past]), taken(wild, [past]))
    assert not np.array_equal(taken(calm, [future])[0][0], taken(wild, [other])[0][0])


def test_the_input_is_left_unchanged():
    chunk = recording()
    data = chunk.data.copy()
    chunk.data.flags.writeable = False
    taken(Windows(MONTAGE, length_samples=70, hop_samples=20), [chunk])
    np.testing.assert_array_equal(chunk.data, data)


def test_an_empty_chunk_gives_no_window_and_its_gap_is_kept():
    windows = Windows(MONTAGE, length_samples=50, hop_samples=25)
    taken(windows, [recording(60)])
    empty = Chunk(np.empty((3, 0), np.float32), np.empty(0), 70, gap=10)
    assert taken(windows, [empty]) == []
    got = taken(windows, [recording(50, first=70)])
    assert [w[4:6] for w in got] == [(10, False), (10, True)]
    assert got[-1][2] == 70


def test_a_jump_of_the_counter_without_a_gap_is_refused():
    windows = Windows(MONTAGE, length_samples=50, hop_samples=25)
    taken(windows, [recording(60)])
    with pytest.raises(StreamError, match=r"expected sample 60 next, got .* sample 64"):
        windows(recording(60, first=64))


@pytest.mark.parametrize(("length", "hop"), [(0, 5), (5, 0), (-1, 1)])
def test_windows_of_nothing_are_refused(length, hop):
    with pytest.raises(SettingsError, match="1 sample or more"):
        Windows(MONTAGE, length_samples=length, hop_samples=hop)


@pytest.mark.parametrize(
    ("floor", "n_bad", "reason"),
    [
        (0.0, 2, ""),
        (0.0, 3, "no good channel"),
        (0.3, 2, ""),
        (0.34, 2, "1 of 3 contacts are good; 2 are needed"),
        (2 / 3, 1, ""),
        (1.0, 1, "2 of 3 contacts are good; 3 are needed"),
        (1.0, 0, ""),
    ],
)
def test_a_full_window_needs_its_share_of_good_channels(floor, n_bad, reason):
    data = brain_like(3, 60, SFREQ_HZ)
    data[:n_bad, 30] = np.nan
    windows = Windows(MONTAGE, length_samples=60, hop_samples=30, coverage_floor=floor)
    got = taken(windows, cut(data, [17], SFREQ_HZ))
    assert got[0][6].startswith("filling")
    assert got[-1][5] == (not reason)
    assert got[-1][6] == reason


@pytest.mark.parametrize("floor", [-0.1, 1.1, float("nan")])
def test_a_floor_that_is_no_share_is_refused(floor):
    with pytest.raises(SettingsError, match=r"0 to 1, got") as caught:
        Windows(MONTAGE, length_samples=60, hop_samples=30, coverage_floor=floor)
    assert "\n" not in str(caught.value)


@given(
    capacity=st.integers(1, 40),
    sizes=st.lists(st.integers(0, 95), max_size=12),
    data=st.data(),
)
@settings(max_examples=80)
def test_the_last_samples_are_those_pushed_last_and_nan_before(capacity, sizes, data):
    ring = Ring(2, capacity)
    pushed = np.full((2, capacity), np.nan, np.float32)
    for k, size in enumerate(sizes):
        new = (100 * k + np.arange(2 * size, dtype=np.float32)).reshape(2, size)
        ring.push(new)
        pushed = np.concatenate([pushed, new], axis=1)
        n_samples = data.draw(st.integers(0, capacity))
        wanted = pushed[:, pushed.shape[1] - n_samples :]
        np.testing.assert_array_equal(ring.last(n_samples), wanted)


def test_a_view_is_contiguous_a_row_and_cannot_be_written():
    ring = Ring(3, 10)
    for _ in range(7):
        ring.push(np.ones((3, 4), np.float32))
        view = ring.last(10)
        assert view.dtype == np.float32
        assert view.strides[1] == view.itemsize
        assert not view.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0] = 0
    ring.push(np.full((3, 4), 2, np.float32))
    assert ring.last(1)[0, 0] == 2


def test_a_view_stays_until_more_than_the_room_beside_it_is_pushed():
    for start in range(20):
        ring = Ring(1, 12)
        ring.push(np.arange(start + 30, dtype=np.float32)[None, : start + 8])
        view = ring.last(8)
        before = view.copy()
        ring.push(np.full((1, 4), -1, np.float32))
        np.testing.assert_array_equal(view, before)
        ring.push(np.full((1, 1), -1, np.float32))
        assert view[0, 0] == -1


def test_a_reset_ring_is_as_new_and_old_views_keep_their_samples():
    ring = Ring(1, 4)
    ring.push(np.arange(4, dtype=np.float32)[None])
    view = ring.last(4)
    ring.reset()
    assert np.isnan(ring.last(4)).all()
    ring.push(np.full((1, 4), 9, np.float32))
    np.testing.assert_array_equal(view, [[0, 1, 2, 3]])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="capacity must be 1 sample or more"):
        Ring(1, 0)
    ring = Ring(2, 5)
    with pytest.raises(ValueError, match="0 to 5 samples"):
        ring.last(6)
    with pytest.raises(ValueError, match="expected 2 channels"):
        ring.push(np.zeros((1, 3), np.float32))
