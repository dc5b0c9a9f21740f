"""The ring against a plain concatenation of all that was pushed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.buffer import Ring


@given(
    capacity=st.integers(1, 40),
    sizes=st.lists(st.integers(0, 95), max_size=12),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
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
