import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.types import Chunk, Montage
from rtbrain.view.traces.pages import TraceCache, TracePages
from rtbrain.view.traces.paint import offsets, segments
from rtbrain.view.traces.scene import (
    SCALES_UV,
    Lanes,
    bad_reason,
    fit_scale_uv,
    group_markers,
    group_text,
    step_scale_uv,
)
from tests.conftest import brain_like, cut, montage_of

SFREQ_HZ = 512.0


def expected_columns(pieces, page_samples, n_columns):
    """Columns one by one: low, high, gap, broken by slot."""
    n_columns = min(n_columns, page_samples)
    column = {}
    gaps, breaks = set(), set()
    for first, data in pieces:
        for at in range(data.shape[1]):
            column.setdefault((first + at) * n_columns // page_samples, []).append(data[:, at])
    for (a, before), (b, _) in itertools.pairwise(pieces):
        stop = a + before.shape[1]
        if b > stop:
            gaps |= {n * n_columns // page_samples for n in range(stop, b)}
            breaks.add(b * n_columns // page_samples)
    newest = max(column)
    n_channels = pieces[0][1].shape[0]
    low = np.full((n_channels, n_columns), np.nan, np.float32)
    high, gap, broken = low.copy(), np.zeros(n_columns, bool), np.zeros(n_columns, bool)
    for number in range(newest - n_columns + 1, newest + 1):
        slot = number % n_columns
        gap[slot], broken[slot] = number in gaps, number in breaks
        if number in column:
            samples = np.stack(column[number], axis=1)
            there = np.isfinite(samples)
            low[:, slot] = np.where(there, samples, np.inf).min(axis=1)
            high[:, slot] = np.where(there, samples, -np.inf).max(axis=1)
    low[np.isinf(low)] = high[np.isinf(high)] = np.nan
    return low, high, gap, broken


def same(cache, expected):
    got = (cache.low, cache.high, cache.gap, cache.broken)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=12),
    gaps=st.lists(st.sampled_from([0, 0, 0, 1, 7, 60, 400]), min_size=12, max_size=12),
    page=st.sampled_from([(100, 30), (64, 64), (90, 200), (101, 17)]),
    first=st.integers(0, 5000),
)
def test_columns_hold_the_least_and_greatest_however_the_samples_are_cut(
    lengths, gaps, page, first
):
    rng = np.random.default_rng(sum(lengths))
    pieces, at = [], first
    for length, gap in zip(lengths, gaps, strict=False):
        data = rng.normal(0, 50, (2, length)).astype(np.float32)
        data[0, rng.random(length) < 0.1] = np.nan
        data[1, rng.random(length) < 0.05] = np.inf
        at += gap if pieces else 0
        pieces.append((at, data))
        at += length
    expected = expected_columns(pieces, *page)
    whole, single = TraceCache(2, *page), TraceCache(2, *page)
    for start, data in pieces:
        before = data.copy()
        whole.add(data, start)
        np.testing.assert_array_equal(data, before)
        for offset in range(data.shape[1]):
            single.add(data[:, offset : offset + 1], start + offset)
        single.add(data[:, :0], start)
    same(whole, expected)
    same(single, expected)
    whole.reset()
    for start, data in pieces:
        whole.add(data, start)
    same(whole, expected)


def test_what_comes_later_changes_no_column_but_the_newest():
    data = brain_like(3, 900, SFREQ_HZ)
    cache = TraceCache(3, 1000, 100)
    cache.add(data[:, :455], 0)
    low = cache.low.copy()
    cache.add(data[:, 455:], 455)
    np.testing.assert_array_equal(cache.low[:, :45], low[:, :45])


def test_numbers_that_go_back_begin_a_new_page():
    cache = TraceCache(1, 100, 10)
    cache.add(np.full((1, 80), 5, np.float32), 1000)
    cache.add(np.full((1, 3), 2, np.float32), 0)
    assert np.isfinite(cache.low).sum() == 1
    assert cache.newest == 0


def test_memory_is_the_same_whatever_comes():
    cache = TraceCache(2, 1000, 100)
    held = cache.low.nbytes
    for number in range(50):
        cache.add(np.zeros((2, 5000), np.float32), number * 10**7)
    assert cache.low.nbytes == held
    assert cache.low.shape == (2, 100)


def test_pages_of_every_length_see_the_same_signal_and_markers_at_their_samples():
    montage = montage_of(2, SFREQ_HZ)
    data = brain_like(2, 3000, SFREQ_HZ)
    pages = TracePages(montage)
    assert pages.markers(5.0) == []
    for chunk in cut(data, [100, 0, 700, 1], SFREQ_HZ):
        pages.add(chunk)
    pages.mark(100.0 + 2500 / SFREQ_HZ, "go\n now")
    pages.mark(100.0 + 1 / SFREQ_HZ, "old")
    pages.mark(100.0 + 9000 / SFREQ_HZ, "to come")
    for page_s, cache in pages.caches.items():
        length = min(3000, round(page_s * SFREQ_HZ))
        expected = data[:, -length:]
        assert np.nanmax(cache.high) == expected.max()
        marks = {text: column for column, text in pages.markers(page_s)}
        assert marks["go now"] == cache.column_of(2500)
        assert ("old" in marks) == (page_s > 5)
        assert "to come" not in marks
        ahead = cache.column_of(9000) - cache.newest
        assert "to come" in {text for _, text in pages.markers(page_s, ahead)}


@pytest.mark.parametrize("sfreq_hz", [99.97, 256.0, 500.0, 2048.0])
def test_each_page_holds_what_its_samples_give(sfreq_hz):
    data = brain_like(2, round(33 * sfreq_hz), sfreq_hz)
    data[0, 500:900] = np.nan
    stamps = 100 + np.arange(data.shape[1]) / sfreq_hz
    lengths = [3, 64, 700, round(7 * sfreq_hz), 65, 0, round(11 * sfreq_hz)]
    pages, at = TracePages(montage_of(2, sfreq_hz)), 0
    alone = {
        page_s: TraceCache(2, round(page_s * round(sfreq_hz)), cache.n_columns)
        for page_s, cache in pages.caches.items()
    }
    for length in (*lengths, *lengths):
        chunk = Chunk(data[:, at : at + length], stamps[at : at + length], at)
        pages.add(chunk)
        for cache in alone.values():
            cache.add(chunk.data, at)
        at += length + (37 if length == 65 else 0)
    for page_s, cache in alone.items():
        same(pages.caches[page_s], (cache.low, cache.high, cache.gap, cache.broken))


@pytest.mark.parametrize("sfreq_hz", [99.97, 2035.4, 30000.0])
def test_any_rate_makes_a_page(sfreq_hz):
    pages = TracePages(montage_of(1, sfreq_hz))
    pages.add(cut(brain_like(1, 500, sfreq_hz), [], sfreq_hz)[0])
    assert all(np.isfinite(cache.high).any() for cache in pages.caches.values())


@pytest.mark.parametrize("wide", [False, True])
def test_lines_join_neighbours_but_neither_across_a_break_nor_to_what_is_not_there(wide):
    low = np.array([[1.0, 4, np.nan, 6, 9, 2]])
    high = low + 1
    joined = np.array([True, True, True, True, False, True])
    x = np.arange(6.0) * 3
    ends = segments(-high, -low, x, joined, wide=wide)
    assert np.isfinite(ends).all()
    spans = {(a, b) for a, _, b, _ in ends.tolist()}
    if wide:
        assert spans == {(0, 0), (3, 3), (9, 9), (12, 12), (15, 15), (0, 3), (12, 15)}
    else:
        assert spans == {(0, 0), (3, 3), (9, 9), (12, 12), (15, 15)}
        upright = {a: (top, bottom) for a, top, _, bottom in ends.tolist()}
        assert upright[3] == (-5, -2)  # up to the top of the one before
        assert upright[9] == (-7, -6)  # nothing there before
        assert upright[12] == (-10, -9)  # broken off
        assert upright[15] == (-9, -2)  # down from the one before
        flat = segments(low, low, x, joined, wide=False)
        assert (flat[:, 3] - flat[:, 1] >= 1).all()  # a flat trace is a line, too


def test_offset_is_the_median_of_what_is_there():
    low = np.full((2, 80), np.nan, np.float32)
    low[0, :41] = 100
    low[0, 0] = 1e6
    taken = offsets(low, low)
    assert taken[0] == 100
    assert np.isnan(taken[1])


def test_shafts_stay_together_and_labels_are_found():
    montage = montage_of(20, SFREQ_HZ).pick(
        [f"{shaft}{number}" for number in range(1, 5) for shaft in "BA"]
    )
    lanes = Lanes.of(montage)
    assert lanes.names == ("B1", "B2", "B3", "B4", "A1", "A2", "A3", "A4")
    assert [montage.names[row] for row in lanes.rows] == list(lanes.names)
    assert lanes.shaft_numbers == (0,) * 4 + (1,) * 4
    assert lanes.names[lanes.find("a3")] == "A3"
    assert lanes.names[lanes.find("a")] == "A1"
    assert lanes.find("zz") is None
    assert lanes.find(" ") is None


def test_a_shaft_is_what_stands_before_the_contact_s_number():
    names = ("LA'3", "S0E1", "A1-A2", "G12-REF", "Fz", "7")
    lanes = Lanes.of(Montage(names, ("seeg",) * 6, SFREQ_HZ))
    shafts = dict(zip(lanes.names, lanes.shafts, strict=True))
    assert shafts == {
        "LA'3": "LA'",
        "S0E1": "S0E",
        "A1-A2": "A",
        "G12-REF": "G",
        "Fz": "seeg",
        "7": "seeg",
    }


def test_a_pair_is_as_bad_as_either_contact():
    bad = {"A2": "flat"}
    assert bad_reason("A2", bad) == "flat"
    assert bad_reason("A1-A2", bad) == "A2: flat"
    assert bad_reason("A1-A3", bad) == ""


def test_scales_go_by_one_two_five_and_stop_at_the_ends():
    assert [step_scale_uv(100, steps) for steps in (-1, 0, 1, 2)] == [50, 100, 200, 500]
    assert step_scale_uv(SCALES_UV[0], -1) == SCALES_UV[0]
    assert step_scale_uv(SCALES_UV[-1], 1) == SCALES_UV[-1]
    low = np.tile(np.float32([[-40], [-45], [-1e4]]), (1, 30))
    assert fit_scale_uv(low, -low) == 100
    assert fit_scale_uv(low * np.nan, low) is None


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("n_columns", [0, 1, 5])
def test_a_page_on_which_nothing_is_there_has_no_lines(wide, n_columns):
    nothing = np.full((2, n_columns), np.nan)
    joined = np.ones(n_columns, bool)
    assert segments(nothing, nothing, np.arange(n_columns) * 3.0, joined, wide=wide).shape == (0, 4)


def test_markers_that_are_near_each_other_share_a_text_that_scrolling_does_not_change():
    rng = np.random.default_rng(1)
    columns = np.cumsum(rng.integers(1, 140, 300))
    placed = [(int(column), "ripple") for column in columns]
    whole = group_markers(placed, 100, 30)
    assert sum(len(texts) for _, texts in whole) == 300
    assert np.diff([column for column, _ in whole]).min() >= 30
    later = group_markers(placed[150:], 100, 30)
    assert later[2:] == whole[len(whole) - len(later) + 2 :]


def test_seven_equal_markers_are_one_text_and_others_are_counted():
    assert group_text(["go"]) == "go"
    assert group_text(["ripple"] * 7) == "ripple ×7"
    assert group_text(["rest", "go", "go"]) == "3 markers"
    apart = [(0, "rest"), (50, "go"), (90, "go")]
    assert group_markers(apart, 40, 20) == [(0, ["rest"]), (50, ["go"]), (90, ["go"])]
