"""Events found and alarms that are false: counted by hand, with intervals of known answers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from rtbrain.config import DetectSettings
from rtbrain.learn.detection import (
    Detections,
    LabelSpan,
    Timeline,
    delay_interval,
    describe_rate,
    detect,
    dispersion,
    join_timelines,
    rate_interval,
    spans_of_states,
)
from rtbrain.learn.fit.labels import Labelled
from rtbrain.types import Decode, Quality

HOP_S = 0.5
GOOD = Quality(np.ones(1, np.bool_))
SETTINGS = DetectSettings(up=0.5, refractory_s=0.0)


def found_in(events: list[LabelSpan], sent_s: list[float], last_s: float, **more) -> Detections:
    times = np.arange(0, last_s, HOP_S)
    known = np.ones(times.size, np.bool_)
    return detect(events, sent_s, times, known, hop_s=HOP_S, **({"grace_s": 0.0} | more))


def timeline(on, events, last_s=600.0, gap_s=(0.0, 0.0)) -> Timeline:
    """Decodes that say "b" at these times, and are missing in the gap; "b" is true in events."""
    times = [at for at in np.arange(0, last_s, HOP_S) if not gap_s[0] <= at < gap_s[1]]
    decodes = []
    for at in times:
        b = 0.9 if any(start <= at < stop for start, stop in on) else 0.1
        decodes.append(Decode(np.array([1 - b, b], np.float32), at - 0.1, at, GOOD))

    def label(t_stop):
        true = [any(start <= at - 0.1 < stop for start, stop in events) for at in t_stop]
        return Labelled(np.arange(t_stop.size), np.array(true, np.int64), ("a", "b"), t_stop)

    return Timeline.of(decodes, label, HOP_S)


def test_states_become_spans_from_their_first_to_their_last_sample() -> None:
    times = np.arange(8) / 4
    states = np.array([1, 1, 0, 0, 1, 0, 1, 1])
    assert spans_of_states(times, states, 1) == [
        LabelSpan(0, 0.25),
        LabelSpan(1, 1),
        LabelSpan(1.5, 1.75),
    ]
    assert spans_of_states(times, states, 3) == []


def test_events_delays_and_false_alarms_are_those_counted_by_hand() -> None:
    events = [LabelSpan(10, 12), LabelSpan(20, 22), LabelSpan(30, 32), LabelSpan(40, 42)]
    sent_s = [
        10.5,  # found, 0.5 s late
        11.5,  # the same event again: neither
        19.0,  # before its event, and so false
        32.4,  # found only by grace
        50.0,  # false
    ]
    strict = found_in(events, sent_s, 70.0)
    assert (strict.n_events, strict.n_found, strict.false_s.size) == (4, 1, 3)
    assert strict.delays_s.tolist() == [0.5, math.inf, math.inf, math.inf]
    assert strict.rest_s == pytest.approx(70 - 4 * 2.5)  # both ends of an event are within it
    graceful = found_in(events, sent_s, 70.0, grace_s=0.5)
    assert (graceful.n_found, graceful.false_s.size) == (2, 2)
    assert graceful.delays_s == pytest.approx([0.5, math.inf, 2.4, math.inf])
    assert graceful.rest_s == pytest.approx(70 - 4 * 3)


@given(
    st.lists(st.tuples(st.floats(0, 99), st.floats(0, 9)), max_size=8),
    st.lists(st.floats(0, 99), max_size=20),
    st.floats(0, 5),
)
def test_what_is_false_and_what_is_rest_is_as_one_by_one(spans, sent_s, refractory_s) -> None:
    events = [LabelSpan(start_s, start_s + lasts_s) for start_s, lasts_s in sorted(spans)]
    sent_s = sorted(round(at * 2) / 2 for at in sent_s)
    found = found_in(events, sent_s, 100.0, refractory_s=refractory_s)

    def inside(at: float) -> bool:
        return any(one.start_s <= at <= one.stop_s for one in events)

    rest = [
        not inside(at) and not any(one < at <= one + refractory_s for one in sent_s)
        for at in np.arange(0, 100, HOP_S)
    ]
    assert found.false_s.size == sum(not inside(at) for at in sent_s)
    assert found.rest_s == pytest.approx(HOP_S * sum(rest))


def test_time_without_decodes_is_no_rest() -> None:
    # 5 alarms in the valid 5 of 10 minutes: one a minute, not one in two.
    on = [(at, at + HOP_S) for at in (30.0, 60.0, 90.0, 480.0, 510.0)]
    found = timeline(on, [], gap_s=(150, 450)).count("b", SETTINGS)
    assert found.rest_s == pytest.approx(300)
    assert found.summary("b")["false_alarms_per_hour"] == pytest.approx(60)


def test_an_event_is_of_the_part_of_the_time_that_it_begins_in() -> None:
    on = [(10.5, 12.0), (30.0, 31.0), (60.5, 62.0), (80.0, 81.0), (90.0, 91.0)]
    whole = timeline(on, [(10.0, 12.0), (60.0, 62.0)], 100.0)
    first = whole.within(whole.times < 50).count("b", SETTINGS)
    second = whole.within(whole.times >= 50).count("b", SETTINGS)
    assert [(one.n_found, one.false_s.size) for one in (first, second)] == [(1, 1), (1, 2)]
    assert first.rest_s + second.rest_s == whole.count("b", SETTINGS).rest_s


def test_recordings_are_counted_together_and_apart() -> None:
    parts = [timeline([(99.0, 100.0)], [(98.0, 101.0)], 100.0), timeline([(0, 1)], [], 50.0)]
    found = join_timelines(parts).count("b", SETTINGS)
    assert (found.n_events, found.n_found, found.false_s.size) == (1, 1, 1)
    assert found.rest_s == pytest.approx(147.5, abs=1.0)


def test_alarms_where_the_truth_is_not_known_are_neither_false_nor_in_rest() -> None:
    times = np.arange(0, 100, HOP_S)
    known = times >= 50
    found = detect([], [10.0, 60.0], times, known, hop_s=HOP_S)
    assert found.false_s.size == 1
    assert found.rest_s == pytest.approx(50)


def test_an_event_that_nothing_was_decoded_of_is_no_miss() -> None:
    times = np.r_[np.arange(0, 50, HOP_S), np.arange(100, 150, HOP_S)]
    known = np.ones(times.size, np.bool_)
    events = [LabelSpan(20, 25), LabelSpan(60, 90), LabelSpan(120, 130)]
    found = detect(events, [21.0], times, known, hop_s=HOP_S)
    assert (found.n_unseen, found.n_events, found.n_found) == (1, 2, 1)
    assert found.text("speech").startswith("1 of 2 speech found (95 %: 1 to 99 %), 1 more without")


def test_a_refractory_time_takes_alarms_and_time_with_it() -> None:
    on = [(10.0, 10.5), (12.0, 12.5), (16.0, 16.5)]
    slow = DetectSettings(up=0.5, refractory_s=5.0)
    found = timeline(on, [], 100.0).count("b", slow)
    assert found.false_s.size == 2
    assert found.rest_s == pytest.approx(90)
    # A false alarm just before a brief event costs the event.
    slower = DetectSettings(up=0.5, refractory_s=60.0)
    late = timeline([(5, 6), (22, 23)], [(20, 30)], 100.0).count("b", slower)
    assert (late.n_found, late.false_s.size) == (0, 1)
    assert math.isinf(late.summary("b")["delay_s"])


def test_nothing_to_detect_and_nothing_detected_are_no_numbers() -> None:
    none = found_in([], [1.0], 60.0).summary("b")
    assert math.isnan(none["hit_rate"])
    assert none["false_alarms_per_hour"] == pytest.approx(60)
    missed = found_in([LabelSpan(0, 60)], [], 60.0)
    assert missed.summary("b")["hit_rate"] == 0
    assert math.isinf(missed.summary("b")["delay_s"])
    assert math.isnan(missed.summary("b")["false_alarms_per_hour"])
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
    assert "could be 0 to " in describe_rate(np.array([10.0]), 37.0)  # not 0.0032


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
