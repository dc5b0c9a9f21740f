import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbrain.config import DecodeSettings, DetectSettings, parse_settings
from rtbrain.detect import Detector
from rtbrain.errors import SettingsError
from rtbrain.types import Decode, Quality

HOP_S = 0.03125
LABELS = ("rest", "speech")


def decode(value, t_stop, *, reason="", good=1.0, drift=math.nan):
    mask = np.arange(10) < 10 * good
    quality = Quality(mask, valid=not reason, reason=reason)
    values = np.array([1 - value, value], np.float32)
    return Decode(values, t_stop - 0.2, t_stop, quality, t_stop, t_stop + 0.01, drift)


def series(values, start_s=0.0):
    return [decode(value, start_s + n * HOP_S) for n, value in enumerate(values)]


def detector(hop_s=HOP_S, labels=LABELS, task="classification", **settings):
    one = DetectSettings(**({"up": 0.8, "refractory_s": 0.0} | settings))
    return Detector({"speech": one}, labels, hop_s, task=task)


def run(stage, decodes):
    return [found for one in decodes for found in stage(one)]


def hops(found):
    """When they were sent, and when suppressed with the reason, in hops."""
    sent = [round(one.t_stop / HOP_S) for one in found if not one.suppressed]
    return sent, [(round(one.t_stop / HOP_S), one.suppressed) for one in found if one.suppressed]


def test_an_event_begins_at_up_and_the_next_needs_a_fall_below_down():
    values = [0.1, 0.9, 0.7, 0.9, 0.4, 0.79, 0.8, 0.9]
    assert hops(run(detector(), series(values)))[0] == [1, 3, 6]
    assert hops(run(detector(down=0.5), series(values)))[0] == [1, 6]


def test_a_detection_says_what_was_decided_and_of_which_moment():
    (found,) = run(detector(), [decode(0.9, 5.0, good=0.7, drift=0.5)])
    assert (found.label, found.suppressed, found.calibrated) == ("speech", "", False)
    assert found.value == pytest.approx(0.9)
    assert (found.t_neural, found.t_stop, found.t_ready) == (4.8, 5.0, 5.01)
    assert (found.coverage, found.drift) == (0.7, 0.5)


def test_what_does_not_stay_for_the_hold_time_is_suppressed():
    found = run(detector(hold_s=3 * HOP_S), series([0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9]))
    assert hops(found) == ([6], [(2, "stayed for 0.0625 s of 0.09375 s")])
    # Stamps that are fitted to a clock are a little early, or late.
    early = [decode(0.9, n * HOP_S * (1 - 1e-4)) for n in range(4)]
    assert hops(run(detector(hold_s=3 * HOP_S), early)) == ([3], [])


@pytest.mark.parametrize("between", ["gap", "invalid", "not a number", "backwards"])
def test_a_gap_or_an_invalid_decode_breaks_a_hold(between):
    first = series([0.9, 0.9, 0.9])
    if between == "invalid":
        first.append(decode(0.9, 3 * HOP_S, reason="filling"))
    elif between == "not a number":
        first.append(decode(math.nan, 3 * HOP_S))
    later_s = {"gap": 9, "backwards": 1}.get(between, 4) * HOP_S
    found = run(detector(hold_s=3 * HOP_S), first + series([0.9] * 5, later_s))
    sent, suppressed = hops(found)
    assert sent == [round(later_s / HOP_S) + 3]
    reason = "invalid" if between in ("invalid", "not a number") else "a gap between decodes"
    assert [text.split(":")[0] for _, text in suppressed] == [reason]


def test_an_event_on_both_sides_of_a_gap_or_of_an_invalid_decode_is_two():
    assert len(run(detector(), series([0.9, 0.9]) + series([0.9, 0.9], 1.0))) == 2
    invalid = decode(0.9, 2 * HOP_S, reason="stale")
    found = run(detector(), [*series([0.9, 0.9]), invalid, *series([0.9], 3 * HOP_S)])
    assert hops(found) == ([0, 3], [])


def test_within_the_refractory_time_none_is_sent_and_one_that_lasts_is_sent_after_it():
    one = detector(refractory_s=4 * HOP_S)
    found = run(one, series([0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9]))
    reason = f"within {4 * HOP_S:g} s after the last one"
    assert hops(found) == ([0, 5, 9], [(2, reason), (7, reason)])
    long = [decode(value, at) for at in (0.0, 70.0, 100.0) for value in (0.9,)]
    found = run(detector(refractory_s=90.0), long)
    assert [one.t_stop for one in found if not one.suppressed] == [0, 100]


def test_no_more_are_sent_in_a_minute_than_the_cap():
    decodes = [decode(value, 10.0 * n + at) for n in range(14) for at, value in ((0, 0.9), (5, 0))]
    found = run(detector(max_per_min=2), decodes)
    sent = [one.t_stop for one in found if not one.suppressed]
    assert sent == [0, 10, 60, 70, 120, 130]
    assert {one.suppressed for one in found} == {"", "more than 2 a minute"}


@pytest.mark.parametrize(
    ("limit", "bad", "good", "reason"),
    [
        ({"min_coverage": 0.5}, {"good": 0.4}, {"good": 0.5}, "coverage below 0.5"),
        ({"max_drift": 1.0}, {"drift": 1.5}, {"drift": 0.9}, "drift above 1, or unknown"),
        ({"max_drift": 1.0}, {}, {"drift": 0.9}, "drift above 1, or unknown"),
    ],
)
def test_a_second_condition_holds_events_back(limit, bad, good, reason):
    decodes = [decode(0.9, n * HOP_S, **(bad if n < 3 else good)) for n in range(5)]
    assert hops(run(detector(**limit), decodes)) == ([3], [(0, reason)])


def test_each_decode_at_an_event_stands_alone():
    decodes = [decode(0.9, at) for at in (0.0, 0.01, 7.0)]
    assert len(run(detector(hop_s=None), decodes)) == 3
    assert len(run(detector(hop_s=None, refractory_s=1.0), decodes)) == 3  # one is suppressed


def test_hold_is_by_the_times_of_decodes_and_not_by_their_count():
    times = np.cumsum(np.full(40, HOP_S) * np.random.default_rng(0).uniform(0.9, 1.1, 40))
    found = run(detector(hold_s=0.5), [decode(0.9, float(at)) for at in times])
    assert found[0].t_stop - times[0] >= 0.5 - HOP_S / 4
    assert found[0].t_stop - times[0] < 0.5 + HOP_S


def test_each_class_has_thresholds_of_its_own():
    settings = {
        name: DetectSettings(up=up, refractory_s=0.0) for name, up in (("a", 0.6), ("b", 0.3))
    }
    one = Detector(settings, ("rest", "a", "b"), HOP_S)
    values = [(0.3, 0.4, 0.3), (0.1, 0.7, 0.2), (0.1, 0.55, 0.35)]
    good = Quality(np.ones(1, bool))
    decodes = [
        Decode(np.array(of, np.float32), n * HOP_S, n * HOP_S, good) for n, of in enumerate(values)
    ]
    found = [(each.label, round(each.t_stop / HOP_S)) for each in run(one, decodes)]
    assert found == [("b", 0), ("a", 1), ("b", 2)]


def test_thresholds_of_values_may_be_any_number():
    one = detector(task="regression", up=-3.0, down=-5.0)
    found = run(one, [decode(value, n * HOP_S) for n, value in enumerate((-6, -2, -4, -2, -6, -3))])
    assert hops(found)[0] == [1, 5]


@pytest.mark.parametrize(
    ("settings", "labels", "hop_s", "says"),
    [
        ({"up": 1.2}, LABELS, HOP_S, "detect.speech: expected thresholds above 0 and at most 1"),
        ({"up": 0.5, "down": 0.0}, LABELS, HOP_S, "got up 0.5, down 0"),
        ({"up": 0.5}, ("rest", "seizure"), HOP_S, "no output 'speech'.*rest, seizure"),
        ({"up": 0.5, "hold_s": 1.0}, LABELS, None, "hold_s of 1 s.*set it to 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, labels, hop_s, says):
    with pytest.raises(SettingsError, match=says):
        detector(hop_s, labels, **settings)


def test_thresholds_out_of_order_are_refused_where_they_are_written():
    values = {"stream": {"name": "x"}, "detect": {"speech": {"up": 0.5, "down": 0.6}}}
    with pytest.raises(SettingsError, match=r"^live: detect\.speech: expected down at or below up"):
        parse_settings(values, DecodeSettings, where="live")


def test_after_time_has_stepped_back_the_last_event_counts_as_sent_just_then():
    stage = detector(refractory_s=4 * HOP_S, max_per_min=2)
    assert hops(run(stage, series([0.9, 0.1], 3600.0)))[0] == [round(3600.0 / HOP_S)]
    sent, suppressed = hops(run(stage, series([0.9, 0.9, 0.9, 0.9, 0.9, 0.1], 0.0)))
    assert sent == [4]
    assert suppressed == [(0, "within 0.125 s after the last one")]
    assert not hops(run(stage, series([0.9], 10 * HOP_S)))[0]  # the third in a minute


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(1, 3)), max_size=80))
def test_reset_is_as_new_and_the_future_changes_nothing(items):
    settings = {"down": 0.6, "hold_s": 2 * HOP_S, "refractory_s": 5 * HOP_S, "max_per_min": 3}
    t_s, decodes = 0.0, []
    for value, valid, steps in items:
        t_s += steps * HOP_S
        decodes.append(decode(value, t_s, reason="" if valid else "filling"))
    used, new = detector(**settings), detector(**settings)
    whole = [used(one) for one in decodes]
    used.reset()
    assert [used(one) for one in decodes] == whole
    assert [new(one) for one in decodes[: len(decodes) // 2]] == whole[: len(decodes) // 2]
