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


def after(*steps):
    """Alarms after these changes of a situation in which all is well, 10 s apart."""
    alarms = Alarms()
    for number, fields in enumerate(steps):
        alarms.update(replace(FINE, now=100.0 + 10 * number, **fields))
    return alarms


GONE = Recording("failed", "gone", since=110.0)
NONE = Recording("none")
HIDDEN = {
    "not valid, then the decoder stops": (ALL["no_decode"], ALL["decoder_stopped"]),
    "not valid, then the signal is lost": (ALL["no_decode"], ALL["signal_lost"]),
    "not valid, then none that is valid": (ALL["no_decode"], {"decodes_fine": False}),
    "old, then the decoder stops": (ALL["decodes_old"], ALL["decoder_stopped"]),
    "old, then not valid": (ALL["decodes_old"], {"invalid_s": 1.0, "decode_age_s": 9.0}),
    "the unit, then the signal is lost": (ALL["unit_wrong"], ALL["signal_lost"]),
    "the unit, then not yet judged": (ALL["unit_wrong"], {"unit_judged": False}),
    "the disk is low, then full": (ALL["disk_low"], ALL["recording_failed"]),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_an_alarm_that_another_thing_hides_is_not_over_and_stays_seen(name):
    began, hidden = HIDDEN[name]
    alarms = after(began, hidden)
    assert not alarms.over(110.0)
    assert "over" not in [line.kind for line in alarms.log]
    alarms = after(began)
    alarms.see()
    (first,) = alarms.active
    alarms.update(replace(FINE, now=110.0, **hidden))
    alarms.update(replace(FINE, now=120.0, **began))
    assert [alarm.key for alarm in alarms.active] == [first.key]
    assert shown(alarms) is None
    alarms.update(replace(FINE, now=130.0))
    assert alarms.over(130.0)


@pytest.mark.parametrize(
    ("began", "then"),
    [
        (ALL["recording_failed"], {"recording": NONE}),
        (ALL["other_signal"], {"recording": NONE}),
        (ALL["other_signal"], {"recording": GONE}),
        (ALL["not_recorded"], {"recording": NONE}),
        (ALL["disk_low"], {"recording": NONE}),
        (ALL["no_decode"], {"decoder_ended": True}),
        (ALL["decoder_stopped"], {"decoder_ended": True}),
        (ALL["markers_stopped"], {"markers_silent": {"other": 1.0}}),
    ],
)
def test_an_alarm_of_no_more_matter_is_not_called_mended(began, then):
    assert not after(began, then).over(110.0)
    assert after(began, then, {}, began).log[-1].kind == "alarm"


def test_each_alarm_says_when_it_is_mended_and_after_how_long():
    said = {key: after(fields, {}).over(110.0) for key, fields in ALL.items()}
    assert all(said.values())
    assert said["no_decode"] == "Decodes are valid again after 22.0 s"
    assert said["recording_failed"] == "The recording goes on after 20.0 s"


@pytest.mark.parametrize("back", [{"n_lost": 0, "sfreq_hz": 512.0}, {"n_lost": 3}])
def test_a_signal_that_is_counted_anew_has_not_lost_nothing(back):
    alarms = after({"silent_s": 2.0, "n_lost": 9, "sfreq_hz": 2048.0}, {"sfreq_hz": 2048.0, **back})
    assert alarms.over(110.0) == "Signal back after 12.0 s"


@pytest.mark.parametrize(
    ("seen", "new"),
    [
        (ALL["recording_failed"], {"recording": GONE}),
        (ALL["markers_stopped"], {"markers": "eye", "markers_silent_s": 61.0}),
        (ALL["other_signal"], {"recording": Recording("other", recorder="b-status")}),
        (ALL["no_decode"], {"invalid_s": 22.0, "invalid_why": "The signal is lost."}),
    ],
)
def test_an_alarm_that_was_seen_comes_back_full_for_another_cause(seen, new):
    alarms = after(seen)
    alarms.see()
    later = {name: v + 1 if isinstance(v, float) else v for name, v in seen.items()}
    alarms.update(replace(FINE, now=101.0, **later))
    assert shown(alarms) is None
    alarms.update(replace(FINE, now=102.0, **new))
    assert shown(alarms) == alarms.active[0].key
    assert [line.kind for line in alarms.log] == ["alarm", "event", "alarm"]


def test_the_failure_of_one_of_two_recordings_is_an_alarm():
    failed = replace(FULL, file="b.xdf")
    (alarm,) = conditions(replace(FINE, recording=Recording("rec", other_failed=failed)))
    assert alarm.key == "recording_failed"
    assert "This is b.xdf; another recording of the signal goes on." in alarm.sentence


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
