"""Windows of markers against slices of the whole recording."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.buffer import EventWindows, Marker
from rtbrain.errors import SettingsError, StreamError
from rtbrain.types import Chunk
from tests.buffer.test_windows import copied, recording, same, split
from tests.conftest import montage_of

SFREQ_HZ = 500.0
MONTAGE = montage_of(3, SFREQ_HZ)
N_SAMPLES = 400
WHOLE = recording(N_SAMPLES)
sizes = st.lists(st.integers(0, 130), max_size=8)
moments = st.lists(st.floats(99.8, 101.0), max_size=30)


def event_windows(length=50, offset=-20, **settings):
    return EventWindows(MONTAGE, length_samples=length, offset_samples=offset, **settings)


def empty(first=0, gap=0):
    return Chunk(np.empty((3, 0), np.float32), np.empty(0), first, gap)


def given_by(windows, chunks):
    """Every window with its marker."""
    return [(windows.marker, copied(w)) for chunk in chunks for w in windows(chunk)]


def check_slice(got, anchor, length, offset, whole=WHOLE):
    """A window against the slice of the recording that it must be."""
    values, t_stop, first_sample, good, _, valid, reason = got
    start = anchor + offset
    assert first_sample == start + whole.first_sample
    assert valid == (start >= 0), reason
    if valid:
        np.testing.assert_array_equal(values, whole.data[:, start : start + length])
        assert t_stop == whole.timestamps[start + length - 1]
        assert good == np.isfinite(values).all(axis=1).tolist()
    else:
        assert np.isnan(values).all()
        assert "before the stream" in reason
        assert not any(good)


@given(lengths=sizes, times=moments, length=st.integers(1, 90), offset=st.integers(-150, 120))
@settings(max_examples=150)
def test_every_marker_gives_the_slice_around_its_nearest_sample(lengths, times, length, offset):
    windows = event_windows(length, offset, patience_s=0.5)
    for number, t in enumerate(times):
        windows.mark(t, str(number))
    got = given_by(windows, split(WHOLE, lengths))
    nearest = {
        str(number): int(np.abs(WHOLE.timestamps - t).argmin()) for number, t in enumerate(times)
    }
    # A window needs the sample after the marker, and its own last.
    due = {
        text
        for text, anchor in nearest.items()
        if times[int(text)] <= WHOLE.timestamps[-1] and anchor + offset + length <= N_SAMPLES
    }
    half_s = 0.5 / SFREQ_HZ
    seen = {}
    for marker, window in got:
        assert marker.text not in seen
        seen[marker.text] = window
        if marker.t >= 100 - half_s:
            check_slice(window, nearest[marker.text], length, offset)
        else:
            assert window[5:] == (False, window[6])
            assert "before the stream" in window[6]
    early = {str(number) for number, t in enumerate(times) if t < 100 - half_s}
    assert due - early <= set(seen) <= due | early
    stops = [window[2] for marker, window in got if marker.text not in early]
    assert stops == sorted(stops)


@given(lengths=sizes, other=sizes, times=moments)
@settings(max_examples=60)
def test_windows_do_not_depend_on_chunking(lengths, other, times):
    one, two = event_windows(), event_windows()
    for t in times:
        one.mark(t, "go")
        two.mark(t, "go")
    chunks = [(WHOLE, recording(300, first=437, gap=37, seed=1))] * 2
    first = given_by(one, [piece for c in chunks[0] for piece in split(c, lengths)])
    second = given_by(two, [piece for c in chunks[1] for piece in split(c, other)])
    assert [m for m, _ in first] == [m for m, _ in second]
    same([w for _, w in first], [w for _, w in second])


@given(
    lengths=st.lists(st.integers(1, 60), min_size=5, max_size=12),
    added=st.lists(st.tuples(st.floats(100.0, 100.7), st.integers(0, 12)), min_size=1, max_size=20),
)
@settings(max_examples=80)
def test_a_late_marker_gives_what_an_early_one_does(lengths, added):
    early, late = event_windows(patience_s=1.0), event_windows(patience_s=1.0)
    for number, (t, _) in enumerate(added):
        early.mark(t, str(number))
    pieces = split(WHOLE, lengths)
    wanted = {marker.text: window for marker, window in given_by(early, [WHOLE])}
    got = {}
    for place, piece in enumerate([*pieces, empty(first=N_SAMPLES)]):
        for number, (t, when) in enumerate(added):
            if min(when, len(pieces)) == place:
                late.mark(t, str(number))
        got |= {marker.text: window for marker, window in given_by(late, [piece])}
    assert got.keys() == wanted.keys()
    same(list(got.values()), [wanted[text] for text in got])


def test_a_window_is_given_as_soon_as_its_last_sample_is_here():
    windows = event_windows(length=30, offset=10)
    windows.mark(float(WHOLE.timestamps[100]), "go")
    counts = [len(list(windows(piece))) for piece in split(WHOLE, [139, 1, 1])]
    assert counts == [0, 1, 0, 0]


def test_a_window_that_ends_before_its_marker_comes_with_the_marker():
    windows = event_windows(length=30, offset=-200)
    windows.mark(float(WHOLE.timestamps[300]), "go")
    (before, *_), (at, *_) = split(WHOLE, [300])[:1], split(WHOLE, [300])[1:]
    assert given_by(windows, [before]) == []
    ((_, window),) = given_by(windows, [at])
    check_slice(window, 300, 30, -200)


def test_a_burst_of_hundreds_in_any_alphabet_loses_nothing():
    windows = event_windows(length=40, offset=0)
    texts = ["", "Wort-Ä", "语音", "\n", "go"] * 80
    for number, text in enumerate(texts):
        windows.mark(100.2 + number * 1e-6, text)
    got = given_by(windows, split(WHOLE, [90, 60]))
    assert [marker.text for marker, _ in got] == texts
    assert all(window[5] for _, window in got)
    np.testing.assert_array_equal(got[0][1][0], WHOLE.data[:, 100:140])


def test_only_the_texts_asked_for_are_cut():
    windows = event_windows(texts=["go", ""])
    for text in ("go", "stop", "", "Go"):
        windows.mark(100.3, text)
    assert [marker.text for marker, _ in given_by(windows, [WHOLE])] == ["go", ""]


def test_each_window_keeps_its_data_and_cannot_be_written():
    windows = event_windows(length=30, offset=0)
    for sample in (10, 20, 300):
        windows.mark(float(WHOLE.timestamps[sample]), "go")
    kept = [window for piece in split(WHOLE, [45, 200]) for window in windows(piece)]
    for window, sample in zip(kept, (10, 20, 300), strict=True):
        np.testing.assert_array_equal(window.data, WHOLE.data[:, sample : sample + 30])
        with pytest.raises(ValueError, match="read-only"):
            window.data[0, 0] = 0


def test_markers_before_the_first_sample_wait_for_it():
    windows = event_windows(length=10, offset=0)
    windows.mark(100.1, "go")
    assert given_by(windows, [empty(), empty()]) == []
    ((marker, window),) = given_by(windows, [WHOLE])
    assert marker == Marker(100.1, "go")
    check_slice(window, 50, 10, 0)


def test_the_future_changes_no_window_already_given():
    calm, wild = event_windows(), event_windows()
    past, future = split(WHOLE, [201])
    other = Chunk(-3 * future.data, future.timestamps + 5, future.first_sample)
    for windows in (calm, wild):
        windows.mark(100.2, "go")
        windows.mark(100.39, "go")
    same(*([w for _, w in given_by(windows, [past])] for windows in (calm, wild)))
    given_by(calm, [future])
    given_by(wild, [other])


def test_reset_equals_new_even_half_way_through_an_iterator():
    windows, new = event_windows(), event_windows()
    for t in (100.1, 100.2, 100.79, 300.0):
        windows.mark(t, "old")
    half = windows(recording(gap=12))
    next(half)
    windows.reset()
    assert windows.marker is None
    again = recording(first=3, seed=4)
    for fresh in (windows, new):
        fresh.mark(100.3, "go")
    same(*([w for _, w in given_by(each, [again])] for each in (windows, new)))
    assert list(half) == []


def test_an_abandoned_iterator_costs_windows_and_never_samples():
    windows = event_windows(length=10, offset=0)
    for t in (100.1, 100.2, 100.75):
        windows.mark(t, "go")
    old = windows(recording())
    next(old)
    got = given_by(windows, [recording(90, first=400)])
    assert list(old) == []
    assert got == []
    windows.mark(100.75, "again")
    ((_, window),) = given_by(windows, [empty(first=490)])
    check_slice(window, 375, 10, 0)


def test_the_input_is_left_unchanged():
    chunk = recording()
    before = chunk.data.copy(), chunk.timestamps.copy()
    chunk.data.flags.writeable = chunk.timestamps.flags.writeable = False
    windows = event_windows()
    windows.mark(100.3, "go")
    assert len(given_by(windows, [chunk])) == 1
    np.testing.assert_array_equal(chunk.data, before[0])
    np.testing.assert_array_equal(chunk.timestamps, before[1])


def test_a_jump_of_the_counter_without_a_gap_is_refused():
    windows = event_windows()
    given_by(windows, [recording(60)])
    with pytest.raises(StreamError, match=r"expected sample 60 next, got .* sample 64"):
        windows(recording(60, first=64))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"length": 0}, "1 sample or more"),
        ({"patience_s": 0.0}, "above 0 s, got 0"),
        ({"patience_s": float("nan")}, "got nan"),
    ],
)
def test_windows_of_nothing_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        event_windows(**wrong)
