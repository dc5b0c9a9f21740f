"""Onsets that were detected, late or not at all, counted by hand."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from rtbrain.learn.evaluate.scores import LabelSpan, alarms, score_events, spans_of_states
from rtbrain.learn.fit.score_table import ScoreTable


def test_states_become_spans_from_their_first_to_their_last_sample() -> None:
    times = np.arange(8) / 4
    states = np.array([1, 1, 0, 0, 1, 0, 1, 1])
    assert spans_of_states(times, states, 1) == [
        LabelSpan(0, 0.25),
        LabelSpan(1, 1),
        LabelSpan(1.5, 1.75),
    ]
    assert spans_of_states(times, states, 3) == []


def test_a_missing_decode_ends_an_alarm() -> None:
    times = np.arange(5.0)
    values = np.array([0.9, 0.9, np.nan, 0.9, 0.1], np.float32)
    assert alarms(times, values, 0.5) == [LabelSpan(0, 1), LabelSpan(3, 3)]


def test_hits_delays_and_false_alarms_are_those_counted_by_hand() -> None:
    events = [LabelSpan(10, 12), LabelSpan(20, 22), LabelSpan(30, 32), LabelSpan(40, 42)]
    raised = [
        LabelSpan(10.5, 11),  # a hit, 0.5 s late
        LabelSpan(11.5, 12.5),  # the same event again: neither
        LabelSpan(19, 21),  # on before its event: a hit, whose delay means nothing
        LabelSpan(32.4, 33),  # a hit only by grace
        LabelSpan(50, 51),  # false
        LabelSpan(55, 56),  # false
    ]
    strict = score_events(events, raised, 68.0)
    assert strict.n_events == 4
    assert strict.hit_rate == 0.5
    assert strict.delay_s == pytest.approx(0.5)
    assert strict.false_alarms_per_min == pytest.approx(60 * 3 / 60)
    graceful = score_events(events, raised, 70.0, grace_s=0.5)
    assert graceful.hit_rate == 0.75
    assert graceful.delay_s == pytest.approx((0.5 + 2.4) / 2)
    assert graceful.false_alarms_per_min == pytest.approx(60 * 2 / 60)


def test_nothing_to_detect_and_nothing_detected_are_no_numbers() -> None:
    none = score_events([], [LabelSpan(1, 2)], 60.0)
    assert math.isnan(none.hit_rate)
    assert none.false_alarms_per_min == 1
    missed = score_events([LabelSpan(0, 60)], [], 60.0)
    assert missed.hit_rate == 0
    assert math.isnan(missed.delay_s)
    assert math.isnan(missed.false_alarms_per_min)


def test_many_scores_run_down_the_table_so_that_80_columns_hold_them() -> None:
    headings = ("AUC", "balanced accuracy", "hits", "false alarms\nper minute", "valid decodes")
    cells = {"decoder": ("0.976", "0.926", "100 % of 23", "0.00", "366 of 386")}
    out = io.StringIO()
    Console(file=out, width=80).print(ScoreTable("held out", headings, cells, {}, {}))
    lines = out.getvalue().splitlines()
    for heading, cell in zip(headings, cells["decoder"], strict=True):
        assert any(heading.replace("\n", " ") in line and cell in line for line in lines)
