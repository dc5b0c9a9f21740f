"""Thresholds and rates of detections on decodes whose events and false alarms are planted."""

import numpy as np
import pytest

from rtbrain.config import DetectSettings
from rtbrain.learn.detection import Detections, Timeline
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.presets import (
    _choose,
    _Tried,
    default_detections,
    detection_tables,
    propose_presets,
)
from rtbrain.learn.report.score_table import report_tables
from rtbrain.types import Decode, Quality

HOP_S, SLOT_S, LAG_S = 0.25, 20.0, 0.25
GOOD = Quality(np.ones(1, np.bool_))


def planted(n_events: int, heights=(0.7, 0.95), false=(0.6, 0.8), seed=0) -> Timeline:
    """An event of 3 s every 20 s, and a false alarm as long between two, of these heights."""
    rng, decodes = np.random.default_rng(seed), []
    times = np.arange(LAG_S, n_events * SLOT_S, HOP_S)
    high, low = rng.uniform(*heights, n_events), rng.uniform(*false, n_events)
    for at in times:
        slot, inside = divmod(at, SLOT_S)
        b = rng.uniform(0.05, 0.2)
        if 6.0 <= inside < 8.5:
            b = high[int(slot)]
        elif 14.0 <= inside < 16.5:
            b = low[int(slot)]
        decodes.append(Decode(np.array([1 - b, b], np.float32), at - LAG_S, at, GOOD))

    def label(t_stop):
        inside = (t_stop - LAG_S) % SLOT_S
        states = ((inside >= 5.0) & (inside < 8.0)).astype(np.int64)
        return Labelled(np.arange(t_stop.size), states, ("rest", "b"), t_stop)

    return Timeline.of(decodes, label, HOP_S)


def stretches(timeline: Timeline) -> np.ndarray:
    return (timeline.times // SLOT_S).astype(np.int64)


def proposed(n_events: int, **more) -> dict:
    timeline = planted(n_events, **more)
    return propose_presets(timeline, "b", stretches(timeline))


def test_presets_find_most_and_alarm_least_on_the_stretches_between() -> None:
    found = proposed(80)
    assert (found["n_events"], found["calibrated"], found["same_data"]) == (80, True, False)
    few_misses, balanced, few_alarms = found["presets"].values()
    assert list(found["presets"]) == ["few_misses", "balanced", "few_alarms"]
    assert few_misses["chosen"]["n_found"] >= 0.95 * 40
    assert few_alarms["chosen"]["false_alarms"] == 0
    assert few_alarms["chosen"]["n_found"] >= 20
    for one in (few_misses, balanced, few_alarms):
        assert one["n_events"] == one["chosen"]["n_events"] == 40
        assert one["delay_s"] == pytest.approx(1.25, abs=0.5)
    rates = [one["false_alarms"] for one in (few_misses, balanced, few_alarms)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[2]
    assert few_alarms["chosen"]["n_found"] > 25  # the most that nothing false costs
    assert few_misses["n_found"] >= few_alarms["n_found"]


def test_where_thresholds_do_equally_well_the_middle_between_rest_and_events_is_taken() -> None:
    # Rest stays below 0.2 and every event reaches 0.9: all thresholds between are perfect.
    for preset in proposed(60, heights=(0.9, 0.95), false=(0.1, 0.2))["presets"].values():
        settings = preset["settings"]
        assert settings["up"] == pytest.approx(0.6, abs=0.06)  # the mean of the two logits
        assert 0.25 < settings["down"] < settings["up"]
        assert settings.get("hold_s", 0) == 0
        assert preset["chosen"]["n_found"] == preset["chosen"]["n_events"] == 30
        assert preset["chosen"]["false_alarms"] == 0


def test_the_middle_lies_in_one_run_of_thresholds_that_do_equally_well() -> None:
    def tried(up: float, n_false: int, n_found: int) -> _Tried:
        delays, false_s = np.full(10, 1.0), np.arange(float(n_false))
        return _Tried(DetectSettings(up=up), Detections(0, 10, n_found, delays, false_s, 600.0))

    ups = {0.2: (3, 8), 0.3: (3, 7), 0.5: (1, 6), 0.6: (1, 6), 0.9: (1, 6)}
    made = [tried(up, *counts) for up, counts in ups.items()]

    def count(settings: DetectSettings) -> Detections:
        nearest = min(made, key=lambda one: abs(one.settings.up - settings.up))
        return nearest.found

    chosen = _choose(made, count)["balanced"]
    assert 0.7 < chosen.settings.up < 0.8  # not between 0.2 and 0.9, of which 0.3 does worse
    worse = tried(0.75, 5, 6).found
    assert _choose(made, lambda settings: worse)["balanced"].settings.up == 0.6


def test_what_is_counted_is_what_a_detector_gives_on_the_odd_stretches() -> None:
    timeline = planted(60)
    number = stretches(timeline)
    found = propose_presets(timeline, "b", number)["presets"]["balanced"]
    settings = DetectSettings(**found["settings"])
    counted = timeline.within(number % 2 == 1).count("b", settings)
    assert counted.summary("b").items() <= found.items()
    assert settings.down < settings.up


def test_the_curve_of_thresholds_is_counted_where_the_presets_are() -> None:
    timeline = planted(60)
    number = stretches(timeline)
    found = propose_presets(timeline, "b", number)
    odd = timeline.within(number % 2 == 1)
    for preset in found["presets"].values():
        one = preset["settings"]
        curve = found["curves"][f"{one.get('hold_s', 0):g}"]
        at = curve["up"].index(one["up"])
        assert curve["down"][at] == one["down"]
        for key in ("n_found", "false_alarms", "rest_s", "delay_s", "n_events"):
            assert (curve[key] if key == "n_events" else curve[key][at]) == preset[key], key
        assert {0.3, 0.31, 0.7, 0.95} <= {*curve["up"]}
        at = curve["up"].index(0.7)
        settings = DetectSettings(up=0.7, down=curve["down"][at], hold_s=one.get("hold_s", 0))
        counted = odd.count("b", settings).summary("b")
        assert curve["false_alarms"][at] == counted["false_alarms"] > 0
        interval = counted["false_alarms_per_hour_interval_95"]
        assert curve["false_alarms_per_hour_interval_95"][at] == interval
        assert curve["false_alarms"][-1] <= curve["false_alarms"][0]


def test_with_few_events_rates_are_of_the_same_data_and_with_fewer_there_is_no_preset() -> None:
    same = proposed(30)
    assert (same["calibrated"], same["same_data"]) == (True, True)
    assert same["presets"]["balanced"]["n_events"] == 30
    few = proposed(8)
    assert (few["calibrated"], few["same_data"]) == (False, False)
    report = {"detections": {"b": few | {"of": "this recording"}}}
    assert default_detections(report) == {}
    ((title, headings, rows),) = detection_tables(report)
    assert title.startswith("No preset for b: 8 events, 20 are needed. Not calibrated, counted on")
    assert {len(row) for row in rows} == {len(headings)}


def test_reports_say_where_rates_are_from_and_that_alarms_come_in_groups() -> None:
    report = {"detections": {"b": proposed(80) | {"of": "2 recordings"}}}
    ((title, headings, rows),) = detection_tables(report)
    assert title == (
        "Detections of b, counted on odd stretches of 2 recordings, thresholds from the even ones."
    )
    few_alarms = dict(zip(headings, rows[2], strict=True))
    assert few_alarms[""] == "few alarms"
    assert "since alarms come in groups" in few_alarms["false alarms"]
    assert "of 40 b found (95 %: " in few_alarms["found"]
    default = default_detections(report)["b"]
    assert default == DetectSettings(**report["detections"]["b"]["presets"]["balanced"]["settings"])


def test_reports_of_three_classes_say_which_was_taken_for_which() -> None:
    windows = [[8, 1, 1], [0, 10, 0], [5, 0, 5]]
    report = {"confusion": {"classes": ["rest", "left", "right"], "windows": windows}}
    ((title, headings, rows),) = report_tables(report)
    assert title == "Held-out windows by class"
    assert headings == ("", "decoded rest", "decoded left", "decoded right", "right")
    assert rows[0] == ("true rest", "8", "1", "1", "80%")
    assert [row[-1] for row in rows] == ["80%", "100%", "50%"]
    two = {"classes": ["a", "b"], "windows": [[1, 0], [0, 1]]}
    assert report_tables({"confusion": two}) == []


def test_the_halves_of_an_event_that_spans_a_cut_are_no_rest() -> None:
    """Blocks may be cut within the events of an output."""
    times = np.arange(LAG_S, 600.0, HOP_S)

    def on(t_s):
        return (t_s % 20.0) < 12.0

    # The output dips in the middle of each event, and never rises outside one.
    high = on(times - LAG_S) & (np.abs((times - LAG_S) % 20.0 - 6.0) > 1.0)
    decodes = [
        Decode(np.array([1 - b, b], np.float32), t - LAG_S, t, GOOD)
        for t, b in zip(times, np.where(high, 0.9, 0.1), strict=True)
    ]

    def label(t_stop):
        states = on(t_stop - LAG_S).astype(np.int64)
        return Labelled(np.arange(t_stop.size), states, ("rest", "b"), t_stop)

    timeline = Timeline.of(decodes, label, HOP_S)
    number = ((times + 14.0) // 20.0).astype(np.int64)  # cuts at the middle of each event
    settings = DetectSettings(up=0.5, refractory_s=0.0)
    whole = timeline.count("b", settings)
    halves = [timeline.within(number % 2 == side).count("b", settings) for side in (0, 1)]
    assert whole.false_s.size == sum(half.false_s.size for half in halves) == 0
    assert sum(half.rest_s for half in halves) == pytest.approx(whole.rest_s, abs=2.0)
