"""Alarms come in their order, a new one shows itself, one that was seen stays in its cell."""

import math
from dataclasses import replace

import pytest

from rtbrain.units import WrongUnit
from rtbrain.view.alarms.conditions import Situation, conditions, plain
from rtbrain.view.alarms.model import Alarms
from rtbrain.view.health.recorder import Recording

FINE = Situation(100.0, signal="ward-amp", decoder="ward", recording=Recording("rec"))
FULL = Recording("failed", "disk_full", since=90.0)
FORBIDDEN = ("hop", "embargo", "bundle", "coverage", "NaN", "nan ", "standing", "{", "}")
ALL = {
    "signal_lost": {"silent_s": 4.2},
    "recording_failed": {"recording": FULL},
    "decoder_stopped": {"decoder_stopped": True},
    "unit_wrong": {"wrong_unit": WrongUnit(1e6, "microvolts")},
    "other_signal": {"recording": Recording("other", streams=("task-triggers",))},
    "not_recorded": {"recording": Recording(), "needs_recording": True},
    "decodes_old": {"decode_age_s": 1.9},
    "no_decode": {"invalid_s": 12.0, "invalid_why": "No contact is good."},
    "disk_low": {"recording": Recording("rec", disk_low=True, free_bytes=6e8, minutes_left=19.0)},
    "markers_stopped": {"markers": "task-triggers", "markers_silent_s": 61.0},
}


def named(**fields):
    return [alarm.key for alarm in conditions(replace(FINE, **fields))]


def test_nothing_is_wrong_where_all_is_well():
    assert conditions(FINE) == []


@pytest.mark.parametrize("key", ALL)
def test_each_alarm_has_a_title_and_a_sentence_in_plain_words(key):
    (alarm,) = conditions(replace(FINE, **ALL[key]))
    assert alarm.key == key
    said = f"{alarm.title} {alarm.sentence} {alarm.short}"
    assert not any(word in said for word in FORBIDDEN)
    assert alarm.title.removesuffix(" s").isupper()


def test_the_sentences_are_those_of_the_design():
    said = {key: conditions(replace(FINE, **fields))[0] for key, fields in ALL.items()}
    assert said["signal_lost"].title == "SIGNAL LOST 4.2 s"
    assert plain(said["signal_lost"].sentence) == (
        "Nothing comes from ward-amp. Check the amplifier, its cable and the network. rtbrain "
        "looks for it and goes on by itself."
    )
    assert "disk is full since" in said["recording_failed"].sentence
    assert "a million times too large" in said["unit_wrong"].sentence
    assert said["unit_wrong"].sentence.endswith("to microvolts.")
    assert plain(said["other_signal"].sentence) == (
        "A recording runs, but ward-amp is not in it: it holds task-triggers alone."
    )
    assert said["no_decode"].title == "NO VALID DECODE 12 s"
    assert said["disk_low"].sentence == "0.6 GB left: 19 min of this signal."


def test_a_lost_signal_explains_what_follows_from_it():
    lost = {"silent_s": 4.2, "decode_age_s": 4.0, "invalid_s": 9.0, "invalid_why": "x"}
    assert named(**lost) == ["signal_lost"]
    assert named(**lost, detects=True) == ["signal_lost", "detections_off"]
    assert named(invalid_s=9.0, decode_age_s=4.0) == ["no_decode"]
    assert named(invalid_s=4.9) == []


def test_a_full_disk_is_above_all_alarms_but_a_lost_signal():
    fields = {"recording": FULL, "decoder_stopped": True, "markers_silent_s": 99.0}
    assert named(**fields)[0] == "recording_failed"
    assert named(**fields, silent_s=2.0)[:2] == ["signal_lost", "recording_failed"]


def shown(alarms):
    return None if alarms.shown is None else alarms.shown.key


def test_both_of_two_alarms_can_be_reached():
    alarms = Alarms()
    alarms.update(replace(FINE, silent_s=2.0, recording=FULL))
    assert (shown(alarms), [one.key for one in alarms.waiting]) == (
        "signal_lost",
        ["recording_failed"],
    )
    alarms.turn()
    assert (shown(alarms), [one.key for one in alarms.waiting]) == (
        "recording_failed",
        ["signal_lost"],
    )
    alarms.see()
    assert shown(alarms) == "signal_lost"


def test_an_alarm_that_was_seen_stays_in_its_cell_and_a_new_one_shows_full():
    alarms = Alarms()
    alarms.update(replace(FINE, silent_s=2.0))
    alarms.see()
    assert shown(alarms) is None
    assert alarms.of("signal").high
    alarms.update(replace(FINE, silent_s=3.0))
    assert shown(alarms) is None
    alarms.update(replace(FINE, silent_s=4.0, recording=FULL))
    assert shown(alarms) == "recording_failed"
    assert alarms.of("recording").high
    assert alarms.of("signal").high
    alarms.update(FINE)
    assert alarms.of("signal") is alarms.of("recording") is None
    alarms.update(replace(FINE, silent_s=2.0))
    assert shown(alarms) == "signal_lost"


def test_a_new_alarm_interrupts_one_that_was_turned_to():
    alarms = Alarms()
    alarms.update(replace(FINE, silent_s=2.0, detects=True))
    alarms.turn()
    assert shown(alarms) == "detections_off"
    alarms.update(replace(FINE, silent_s=2.0, detects=True, recording=FULL))
    assert shown(alarms) == "signal_lost"


def test_what_is_over_is_said_for_5_s_and_then_stands_in_the_log_alone():
    alarms = Alarms()
    alarms.update(replace(FINE, silent_s=1.6))
    back = replace(FINE, now=102.6, n_lost=8602)
    alarms.update(back)
    assert alarms.over(102.6) == "Signal back after 4.2 s, 8602 samples lost"
    assert alarms.over(107.5)
    assert not alarms.over(107.7)
    assert [line.kind for line in alarms.log] == ["alarm", "over"]
    assert alarms.log[-1].text.endswith("8602 samples lost")


def test_the_log_holds_a_bounded_number_of_lines():
    alarms = Alarms()
    for number in range(5000):
        alarms.note("event", str(number))
    assert len(alarms.log) < 5000
    assert alarms.log[-1].text == "4999"


def test_names_of_strangers_change_no_sentence():
    strange = "{0} {signal} **x** \\n%s"
    for fields in ALL.values():
        (alarm,) = conditions(replace(FINE, **{**fields, "signal": strange, "decoder": strange}))
        assert "ward" not in alarm.sentence
    assert math.isnan(FINE.silent_s)
