"""Windows of markers where samples are lost, clocks are set, and markers come late or astray."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.types import Chunk
from tests.buffer.test_event_windows import (
    N_SAMPLES,
    SFREQ_HZ,
    WHOLE,
    check_slice,
    empty,
    event_windows,
    given_by,
    sizes,
)
from tests.buffer.test_windows import recording, same, split


def test_a_bad_sample_mars_its_channel_only_where_a_window_holds_it():
    data = WHOLE.data.copy()
    data[1, 110] = np.nan
    windows = event_windows(length=20, offset=0)
    for sample in (80, 91, 110, 111):
        windows.mark(float(WHOLE.timestamps[sample]), "go")
    got = given_by(windows, [Chunk(data, WHOLE.timestamps)])
    assert [window[3][1] for _, window in got] == [True, False, False, True]
    assert all(window[3][0] and window[5] for _, window in got)


def test_no_window_spans_a_gap_and_those_beside_it_stay_whole():
    after = recording(300, first=437, gap=37, seed=1)
    windows = event_windows(length=20, offset=-5)
    samples = (380, 385, 386, 400, 420, 436, 441, 442, 460)
    for sample in samples:
        windows.mark(100 + sample / SFREQ_HZ, str(sample))
    got = {m.text: w for m, w in given_by(windows, [WHOLE, after])}
    assert [text for text, w in got.items() if w[5]] == ["380", "385", "442", "460"]
    assert [w[2] for w in got.values()] == [sample - 5 for sample in samples]
    assert [got[text][4] for text in ("385", "386", "460")] == [0, 37, 37]
    assert got["386"][6] == "holds a gap of 1 samples"
    assert got["420"][6] == "the marker falls into a gap of 37 samples"
    np.testing.assert_array_equal(got["460"][0], after.data[:, 18:38])
    assert np.isnan(got["400"][0]).all()


def test_a_marker_added_after_a_gap_finds_its_window_before_it():
    windows = event_windows(length=20, offset=0)
    given_by(windows, [WHOLE, recording(300, first=437, gap=37, seed=1)])
    windows.mark(100.5, "late")
    ((_, window),) = given_by(windows, [empty(first=737)])
    check_slice(window, 250, 20, 0)
    assert window[4] == 0


def test_an_overwritten_window_is_not_valid_and_says_so():
    windows = event_windows(length=20, offset=-5, patience_s=0.2)
    given_by(windows, [WHOLE])
    windows.mark(float(WHOLE.timestamps[285]), "in time")
    windows.mark(float(WHOLE.timestamps[280]), "too late")
    windows.mark(100.0, "much too late")
    got = {m.text: w for m, w in given_by(windows, [recording(100, first=N_SAMPLES)])}
    check_slice(got["in time"], 285, 20, -5)
    assert got["too late"][6] == "the marker came 0.006 s too late: its window is overwritten"
    assert got["much too late"][6].endswith("too late: its sample is no longer held")
    assert not got["too late"][5]
    assert np.isnan(got["much too late"][0]).all()
    assert [w[2] for w in got.values()] == [275, 280, -5]


def test_a_marker_of_another_clock_is_reported_and_not_waited_for():
    windows = event_windows()
    for t in (1.7e9, float("nan"), float("inf"), 100.9):
        windows.mark(t, "go")
    got = given_by(windows, [WHOLE])
    assert {w[6] for _, w in got} == {
        "the marker's time is nan",
        "the marker's time is inf",
        "the marker is 1.7e+09 s ahead of the signal",
    }
    assert not any(w[5] for _, w in got)
    assert all(np.isfinite(w[1]) for _, w in got)


@given(lengths=sizes, more=sizes, seed=st.integers(0, 99))
@settings(max_examples=60)
def test_what_becomes_of_stray_markers_does_not_depend_on_chunking(lengths, more, seed):
    """Set clocks, gaps, markers of any time: cut in pieces or not, every marker gives the same."""
    rng = np.random.default_rng(seed)
    stamps = WHOLE.timestamps + 3.0 * np.repeat(rng.integers(-1, 2, 8), N_SAMPLES // 8)
    chunk = Chunk(WHOLE.data, stamps)
    after = recording(300, first=437, gap=37, seed=1)
    times = [*rng.uniform(96, 105, 20), *rng.uniform(0, 1e4, 3)]
    results = []
    for pieces in ([chunk, after], [*split(chunk, lengths), *split(after, more)]):
        windows = event_windows(length=20, offset=-10, patience_s=0.3)
        for number, t in enumerate(times):
            windows.mark(t, str(number))
        results.append(given_by(windows, pieces))
    one, other = results
    assert [m for m, _ in one] == [m for m, _ in other]
    same([w for _, w in one], [w for _, w in other])


def test_stamps_that_jitter_move_a_window_by_less_than_the_jitter():
    rng = np.random.default_rng(3)
    jittered = WHOLE.timestamps + np.repeat(rng.uniform(0, 0.012, N_SAMPLES // 10), 10)
    windows = event_windows(length=10, offset=0)
    samples = range(20, 380, 7)
    for sample in samples:
        windows.mark(100 + sample / SFREQ_HZ, str(sample))
    got = given_by(windows, split(Chunk(WHOLE.data, jittered), [33, 91, 120]))
    assert len(got) == len(samples)
    for marker, window in got:
        assert abs(window[2] - int(marker.text)) <= 1 + 0.012 * SFREQ_HZ
        assert window[5]


@pytest.mark.parametrize("added", ["early", "late"])
@pytest.mark.parametrize("step_s", [-10.0, 10.0])
def test_markers_of_a_clock_that_was_set_find_its_old_and_its_new_time(step_s, added):
    stamps = WHOLE.timestamps.copy()
    stamps[200:] += step_s
    before, after = split(Chunk(WHOLE.data, stamps), [200])[:2]
    windows = event_windows(length=10, offset=0)
    if added == "early":
        windows.mark(float(stamps[100]), "old")
        got = given_by(windows, [before])
        windows.mark(float(stamps[300]), "new")
        got += given_by(windows, [after])
    else:
        given_by(windows, [before, after])
        windows.mark(float(stamps[300]), "new")
        windows.mark(float(stamps[100]), "old")
        got = given_by(windows, [empty(first=N_SAMPLES)])
    assert [(m.text, w[2], w[5]) for m, w in got] == [("old", 100, True), ("new", 300, True)]


def test_a_marker_inside_a_jump_of_the_stamps_is_not_believed():
    stamps = WHOLE.timestamps.copy()
    stamps[200:] += 10
    windows = event_windows(length=10, offset=0)
    windows.mark(105.0, "go")
    ((_, window),) = given_by(windows, [Chunk(WHOLE.data, stamps)])
    assert not window[5]
    assert window[6] == "the marker falls where the stamps jump by 10 s"


def test_a_gap_on_an_empty_chunk_and_one_longer_than_what_is_held_are_kept():
    windows = event_windows(length=10, offset=0, patience_s=0.1)
    taken = given_by(windows, [WHOLE, empty(first=100_400, gap=100_000)])
    windows.mark(100 + 100_450 / SFREQ_HZ, "go")
    windows.mark(100 + 100_400 / SFREQ_HZ, "first")
    taken += given_by(windows, split(recording(100, first=100_400), [30, 30]))
    assert [(w[2], w[4], w[5]) for _, w in taken] == [
        (100_400, 100_000, True),
        (100_450, 100_000, True),
    ]


def test_markers_do_not_pile_up_over_an_hour_of_signal():
    windows = event_windows(length=10, offset=0)
    rest = itertools.count(N_SAMPLES, 5000)
    given_by(windows, [WHOLE])
    n_given = 0
    for first in itertools.islice(rest, 12):
        windows.mark(150.0 + (first - N_SAMPLES) / SFREQ_HZ, "waits")
        windows.mark(1.7e9, "never comes")
        data = np.zeros((3, 5000), np.float32)
        stamps = 100 + (first + np.arange(5000)) / SFREQ_HZ
        n_given += len(given_by(windows, [Chunk(data, stamps, first)]))
    assert n_given == 12 + 8
