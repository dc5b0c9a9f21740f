"""Events found and alarms that are false: counted by hand, with intervals of known answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from rtbrain.learn.detection import (
    Detections,
    LabelSpan,
    alarms,
    delay_interval,
    describe_rate,
    detect,
    dispersion,
    rate_interval,
    spans_of_states,
)

HOP_S = 0.5


def found_in(events: list[LabelSpan], raised: list[LabelSpan], last_s: float, **more) -> Detections:
    times = np.arange(0, last_s, HOP_S)
    known = np.ones(times.size, np.bool_)
    return detect(events, raised, times, known, hop_s=HOP_S, **more)


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
    assert alarms(times, values, 0.5, 1.0) == [LabelSpan(0, 1), LabelSpan(3, 3)]


def test_alarms_on_both_sides_of_a_gap_are_two() -> None:
    times = np.array([0.0, 1.0, 2.0, 302.0, 303.0])
    values = np.full(5, 0.9, np.float32)
    assert alarms(times, values, 0.5, 1.0) == [LabelSpan(0, 2), LabelSpan(302, 303)]


def test_events_delays_and_false_alarms_are_those_counted_by_hand() -> None:
    events = [LabelSpan(10, 12), LabelSpan(20, 22), LabelSpan(30, 32), LabelSpan(40, 42)]
    raised = [
        LabelSpan(10.5, 11),  # found, 0.5 s late
        LabelSpan(11.5, 12.5),  # the same event again: neither
        LabelSpan(19, 21),  # on before its event: found, and its delay means nothing
        LabelSpan(32.4, 33),  # found only by grace
        LabelSpan(50, 51),  # false
        LabelSpan(55, 56),  # false
    ]
    strict = found_in(events, raised, 70.0)
    assert (strict.n_events, strict.n_found, strict.false_s.size) == (4, 2, 3)
    assert strict.delays_s.tolist() == [0.5, math.inf, math.inf]
    assert strict.rest_s == pytest.approx(70 - 4 * 2.5)  # both ends of an event are within it
    graceful = found_in(events, raised, 70.0, grace_s=0.5)
    assert (graceful.n_found, graceful.false_s.size) == (3, 2)
    assert graceful.delays_s == pytest.approx([0.5, 2.4, math.inf])
    assert graceful.rest_s == pytest.approx(70 - 4 * 3)
    assert graceful.summary()["delay_s"] == pytest.approx(2.4)


def test_time_without_decodes_is_no_rest() -> None:
    # 5 alarms in the valid 5 of 10 minutes: one a minute, not one in two.
    times = np.r_[np.arange(0, 150, HOP_S), np.arange(450, 600, HOP_S)]
    values = np.isin(times, [30, 60, 90, 480, 510]).astype(np.float32)
    raised = alarms(times, values, 0.5, HOP_S)
    found = detect([], raised, times, np.ones(times.size, np.bool_), hop_s=HOP_S)
    assert found.rest_s == pytest.approx(300)
    assert found.summary()["false_alarms_per_hour"] == pytest.approx(60)


def test_alarms_where_the_truth_is_not_known_are_neither_false_nor_in_rest() -> None:
    times = np.arange(0, 100, HOP_S)
    known = times >= 50
    found = detect([], [LabelSpan(10, 11), LabelSpan(60, 61)], times, known, hop_s=HOP_S)
    assert found.false_s.size == 1
    assert found.rest_s == pytest.approx(50)


def test_an_event_that_nothing_was_decoded_of_is_no_miss() -> None:
    times = np.r_[np.arange(0, 50, HOP_S), np.arange(100, 150, HOP_S)]
    known = np.ones(times.size, np.bool_)
    events = [LabelSpan(20, 25), LabelSpan(60, 90), LabelSpan(120, 130)]
    found = detect(events, [LabelSpan(21, 22)], times, known, hop_s=HOP_S)
    assert (found.n_unseen, found.n_events, found.n_found) == (1, 2, 1)
    assert found.text("speech").startswith("1 of 2 speech found (95 %: 1 to 99 %), 1 more without")


def test_a_refractory_time_takes_alarms_and_time_with_it() -> None:
    raised = [LabelSpan(10, 10.5), LabelSpan(12, 12.5), LabelSpan(16, 16.5)]
    found = found_in([], raised, 100.0, refractory_s=5.0)
    assert found.false_s.size == 2
    assert found.rest_s == pytest.approx(90)
    # What is silenced finds nothing: a false alarm just before an event costs the event.
    late = found_in([LabelSpan(20, 30)], [LabelSpan(5, 6), LabelSpan(22, 23)], 100, refractory_s=60)
    assert (late.n_found, late.false_s.size) == (0, 1)
    assert math.isinf(late.summary()["delay_s"])


def test_nothing_to_detect_and_nothing_detected_are_no_numbers() -> None:
    none = found_in([], [LabelSpan(1, 2)], 60.0).summary()
    assert math.isnan(none["hit_rate"])
    assert none["false_alarms_per_hour"] == pytest.approx(60)
    missed = found_in([LabelSpan(0, 60)], [], 60.0)
    assert missed.summary()["hit_rate"] == 0
    assert math.isinf(missed.summary()["delay_s"])
    assert math.isnan(missed.summary()["false_alarms_per_hour"])
    assert "no time in which" in missed.text("speech")


@pytest.mark.parametrize(
    ("n", "minutes", "q", "low", "high"),
    [(0, 7, 1, 0, 31.6), (2, 30, 1, 0.484, 14.4), (0, 66, 3, 0, 10.1), (6, 30, 3, 1.45, 43.3)],
)
def test_rates_have_intervals_of_known_answers(n, minutes, q, low, high) -> None:
    assert rate_interval(n, 60 * minutes, q) == pytest.approx((low, high), rel=5e-3)


@given(st.integers(1, 60), st.floats(0.1, 20))
def test_the_bounds_of_single_alarms_are_those_that_make_the_count_rare(n, hours) -> None:
    low, high = rate_interval(n, 3600 * hours)
    assert poisson.sf(n - 1, low * hours) == pytest.approx(0.025)
    assert poisson.cdf(n, high * hours) == pytest.approx(0.025)


def test_a_rate_is_said_with_the_time_and_that_alarms_come_in_groups() -> None:
    none = np.zeros(0)
    assert describe_rate(none, 22 * 60) == (
        "None in 22 min; could be up to 30 an hour, since alarms come in groups (10 if singly)."
    )
    assert describe_rate(np.arange(6) * 290.0, 30 * 60) == (
        "6 in 30 min, 12 an hour; could be 1.5 to 43, since alarms come in groups (4.4 to 26 if "
        "singly)."
    )


def test_dispersion_is_measured_and_never_below_three() -> None:
    rng = np.random.default_rng(0)
    singly = np.sort(rng.uniform(0, 7200, 120))
    assert dispersion(singly, 7200) == 3
    groups = np.sort(np.concatenate([at + rng.uniform(0, 60, 20) for at in range(300, 7200, 1200)]))
    assert dispersion(groups, 7200) > 10
    assert dispersion(np.zeros(9), 200) == 3  # too short to measure


@pytest.mark.parametrize(
    ("n", "first", "last"), [(6, 1, 6), (8, 1, 8), (10, 2, 9), (20, 6, 15), (30, 10, 21)]
)
def test_the_interval_of_a_delay_is_between_ordered_delays(n, first, last) -> None:
    delays = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    median, low, high, p90 = delay_interval(delays)
    assert (median, low, high) == ((n + 1) / 2, first, last)
    assert math.isnan(p90)


def test_few_delays_have_no_interval_and_misses_count_as_endless() -> None:
    assert math.isnan(delay_interval(np.arange(5.0))[1])
    assert delay_interval(np.r_[np.arange(49.0), math.inf])[3] == 44
    assert math.isinf(delay_interval(np.r_[np.ones(4), np.full(5, math.inf)])[0])
