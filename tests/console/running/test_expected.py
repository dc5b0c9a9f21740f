"""What a threshold promises: figures in words, with intervals of known answers."""

import json

import pytest
from scipy.stats import chi2

from rtbrain.console.folder import Session
from rtbrain.console.running.expected import expected_of, figures, notes
from tests.console.fitting.reports import CURVE, DETECTIONS, report


@pytest.fixture
def expected():
    return expected_of(report(), "speech")


def words(expected, up):
    return [(one.value, one.unit, one.line) for one in figures(expected.at(up))]


def test_at_a_threshold_it_says_how_many_alarms_are_false_what_is_found_and_how_late(expected):
    alarms, found, delay = words(expected, 0.7)
    assert alarms == (
        "8.6",
        "an hour",
        "95 %: 0.2 to 48; 1 in 7.0 min of rest",
    )
    assert found == ("93", "%", "95 %: 84 to 98; 55 of 59")
    assert delay == ("0.43", "s [0.39, 0.48]", "9 of 10 within 0.71 s")


def test_where_no_alarm_was_false_an_upper_bound_is_shown_and_never_zero_an_hour(expected):
    alarms, _, _ = words(expected, 0.75)
    # 22 min without one, alarms in groups (q = 3): 3.69 * 3 / (22 / 60) = 30.2 an hour.
    assert alarms == (
        "none",
        "in 22 min",
        "could be up to 30 an hour, since alarms come in groups",
    )
    lines = notes(expected, expected.at(0.75), 0.75)
    assert "to show fewer than 10 an hour, record 67 min of rest" in lines
    for point in expected.points:
        value, unit, line = words(expected, point.up)[0]
        assert value != "0"
        assert point.n_false or ("up to" in line and unit.startswith("in "))


def test_a_threshold_that_is_no_preset_is_said_to_be_chosen_on_the_same_blocks(expected):
    assert expected.preset_at(0.7) == "balanced"
    assert not [line for line in notes(expected, expected.at(0.7), 0.7) if "worse" in line]
    assert any("chosen by hand" in line for line in notes(expected, expected.at(0.72), 0.72))
    same = {"speech": DETECTIONS["speech"] | {"same_data": True}}
    found = expected_of(report(detections=same), "speech")
    assert any("was chosen on" in line for line in notes(found, found.at(0.7), 0.7))


def test_intervals_are_those_of_the_report_where_alarms_come_in_larger_groups(tmp_path):
    wide = [[0.0, 99.0]] * 6
    grouped = CURVE | {"dispersion": [12.0] * 6, "false_alarms_per_hour_interval_95": wide}
    found = {"speech": DETECTIONS["speech"] | {"curves": {"0": grouped}}}
    alarms, _, _ = words(expected_of(report(detections=found), "speech"), 0.7)
    assert alarms[2].startswith("95 %: 0 to 99;")
    session = Session(tmp_path / "s")
    (session.folder / "runs/run-01.xdf").write_bytes(b"")
    events = {"settings": {"up": 0.7, "down": 0.46}, "false_alarms": 5, "rest_s": 3600.0}
    text = json.dumps({"scores": {"events": {"speech": events | {"dispersion": 4.0}}}})
    (session.folder / "reports/run-01.json").write_text(text)
    point = expected_of(report(detections=found), "speech", session).at(0.7)
    high = chi2.ppf(0.975, 2 * 6 / 12 + 2) * 3600 * 12 / (2 * 4020.0)
    assert point.interval[1] == pytest.approx(high)


def test_an_interval_of_the_delay_that_ends_beyond_all_that_was_found_says_missed(expected):
    assert words(expected, 0.75)[2][:2] == ("0.50", "s [0.40, missed]")


def test_delay_is_not_told_where_half_are_missed(expected):
    assert words(expected, 0.9)[2] == ("–", "", "half of the cues are missed")


def test_rest_of_finished_runs_at_the_same_threshold_narrows_the_interval(tmp_path, expected):
    session = Session(tmp_path / "s")
    for number, up in enumerate((0.7, 0.7, 0.8), 1):
        (session.folder / f"runs/run-{number:02d}.xdf").write_bytes(b"")
        settings = {"up": up, "down": 0.46}
        events = {"speech": {"settings": settings, "false_alarms": 2, "rest_s": 1800.0}}
        path = session.folder / f"reports/run-{number:02d}.json"
        path.write_text(json.dumps({"scores": {"events": events}}))
    found = expected_of(report(), "speech", session)
    point = found.at(0.7)
    assert (point.n_false, point.rest_s) == (1 + 2 * 2, 420.0 + 2 * 1800.0)
    low, high = point.interval
    before_low, before_high = expected.at(0.7).interval
    assert high - low < before_high - before_low
    assert "rest of 2 finished runs is counted too" in notes(found, point, 0.7)
    assert found.at(0.8) == expected.at(0.8)


def test_without_presets_nothing_is_known():
    few = {"speech": DETECTIONS["speech"] | {"calibrated": False}}
    assert expected_of(report(detections=few), "speech") is None
    assert expected_of(report(detections={}), "speech") is None
