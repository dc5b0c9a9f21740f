"""Decodes are kept for two minutes, in the order of time, with the stretches that have none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.stream.lsl.decodes import DecodeHeader
from rtbrain.view.decodes.history import DecodeHistory
from tests.view.stub import row, status_event

HOP_S = 0.25
PAGE_S = 60.0
INFO = DecodeHeader("x-decode", ("rest", "move"), "probability", HOP_S)
EVENTS = DecodeHeader("x-decode", ("rest", "move"), "probability", None)


def rows(n, start_s=100.0, invalid=()):
    return [
        row(start_s + i * HOP_S, [np.nan] * 2 if i in invalid else [0.25, 0.75], i not in invalid)
        for i in range(n)
    ]


def history_of(many, info=INFO):
    history = DecodeHistory(info)
    for each in many:
        history.push(each)
    return history


def test_no_line_is_drawn_across_missing_decodes():
    many = [each for each in rows(20) if not 101 < each.t_stop < 103]
    t, values, _ = history_of(many).page(105.0, PAGE_S)
    (broken,) = np.flatnonzero(np.isnan(values[:, 0]))
    assert t[broken - 1] + 105 == 101
    assert t[broken + 1] + 105 == 103
    there = np.delete(values, broken, axis=0)
    np.testing.assert_array_equal(there, np.stack([each.values for each in many]))


def test_what_is_not_valid_has_no_value_and_spans_it_with_its_reason():
    history = history_of(rows(40, invalid={8, 9, 10, 20}))
    history.push(row(110.0, [0.2, 0.8], valid=False))  # a value that may not be used
    history.note(status_event("invalid", 102.1, reason="window filling"))
    history.note(status_event("invalid", 105.1, reason="few contacts"))
    first, second, _ = history.spans(110.0, PAGE_S)
    assert (first.start, first.stop, first.reason) == (101.75, 102.5, "window filling")
    assert (second.start, second.stop, second.reason) == (104.75, 105.0, "few contacts")
    _, values, _ = history.page(110.0, PAGE_S)
    assert np.isnan(values).all(axis=1).sum() == 5


def test_silence_is_a_span_of_its_own_and_after_an_invalid_decode_it_is_that_one():
    many = [each for each in rows(40) if not 101 < each.t_stop < 103]
    spans = history_of(many).spans(113.0, PAGE_S)
    assert [(s.start, s.stop, s.silent) for s in spans] == [
        (101.0, 102.75, True),
        (109.75, 113.0, True),
    ]
    # A decoder whose signal is lost says so once, and sends no more.
    (only,) = history_of(rows(9, invalid={8})).spans(113.0, PAGE_S)
    assert (only.start, only.stop, only.silent) == (101.75, 113.0, False)


def test_a_page_that_holds_no_decode_any_more_is_hatched_as_a_whole():
    (span,) = history_of(rows(8)).spans(300.0, PAGE_S)
    assert (span.start, span.stop, span.silent) == (240.0, 300.0, True)


@pytest.mark.parametrize("hop_s", [0.25, 2.0])
@pytest.mark.parametrize("late_s", [0.0, 0.95, 1.05, 3.95, 4.05])
def test_a_decode_is_old_after_two_hops_and_at_least_a_second(late_s, hop_s):
    info = DecodeHeader("x-decode", ("rest", "move"), "probability", hop_s)
    history = history_of([row(100.5, [0.5, 0.5])], info)
    assert history.is_old(100.5 + late_s) == (late_s > max(1.0, 2 * hop_s))
    assert history.age_s(100.5 + late_s) == pytest.approx(late_s)


def test_a_decode_stamped_in_the_future_grows_old_from_its_arrival():
    history = history_of([row(1000.0, [0.5, 0.5], t_arrived=100.0)])
    assert history.is_old(101.1)
    assert history.age_s(101.0) == pytest.approx(1.0)


def test_decodes_at_events_are_never_old_and_never_silent():
    history = history_of([row(100.0, [0.2, 0.8]), row(130.0, [np.nan] * 2, False)], EVENTS)
    assert not history.is_old(155.0)
    (span,) = history.spans(155.0, PAGE_S)
    assert not span.silent


def test_decodes_that_catch_up_after_a_stall_stand_in_the_order_of_time():
    taken_back = row(102.0, [np.nan] * 2, valid=False)
    history = history_of([*rows(4), taken_back, row(101.0, [0.1, 0.9])])
    t, values, _ = history.page(103.0, PAGE_S)
    assert (np.diff(t) > 0).all()
    assert np.isnan(values[-1]).all()


def test_the_history_holds_two_minutes_whatever_comes():
    history = history_of(rows(5000))
    now = 100 + 5000 * HOP_S
    assert history.page(now, 60.0)[0].size <= 60 / HOP_S + 1
    assert history.page(now, 120.0)[0].size == pytest.approx(120 / HOP_S, abs=1)
    for i in range(500):
        history.note(status_event("invalid", 100.0 + i, reason=f"reason {i}"))
    assert history.reason == "reason 499"
    history.push(row(110.0, [np.nan] * 2, valid=False))
    (span, *_) = history.spans(120.0, PAGE_S)
    assert span.reason == ""  # its own, "reason 12", was forgotten


def test_one_who_listens_later_learns_the_reason_from_the_summary():
    history = history_of(rows(4, invalid={2, 3}))
    history.note(status_event("summary", 101.0, reason="filling: 2 of 5 s"))
    history.note(status_event("summary", 103.0, reason="filling: 4 of 5 s"))
    assert (history.reason, history.t_reason) == ("filling: 2 of 5 s", 101.0)
    history.note(status_event("summary", 105.0, reason=""))
    assert history.reason == "filling: 2 of 5 s"


def test_an_output_is_armed_again_by_a_low_value_or_an_invalid_decode_alone():
    history = history_of(rows(8))
    assert not history.fell_below(1, 0.5, 100.0)
    assert history.fell_below(1, 0.8, 100.0)
    assert not history.fell_below(1, 0.8, 110.0)
    history.push(row(102.0, [np.nan] * 2, valid=False))
    assert history.fell_below(1, 0.5, 100.0)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 12), max_size=12))
def test_decodes_in_pieces_of_any_length_are_the_same_picture(lengths):
    many = rows(40, invalid={5, 6})
    whole, pieces, start = history_of(many), DecodeHistory(INFO), 0
    for length in [*lengths, 40]:
        for each in many[start : start + length]:
            pieces.push(each)
        start += length
        pieces.page(105.0, PAGE_S)
    for one, other in zip(whole.page(111.0, PAGE_S), pieces.page(111.0, PAGE_S), strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.spans(111.0, PAGE_S) == pieces.spans(111.0, PAGE_S)
