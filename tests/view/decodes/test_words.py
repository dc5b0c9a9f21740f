"""The panel Now says in words what is decoded, whether to believe it, and what to do if not."""

import re
from dataclasses import replace

import numpy as np
import pytest

from rtbrain.buffer.windows import coverage_flaw
from rtbrain.marks import ARTIFACT, AWAY, LATE, UNKNOWN, UNSETTLED, sample_flaw
from rtbrain.stream.lsl.decodes import DecodeHeader, ReceivedDetection
from rtbrain.view.decodes.decoding import Decoding
from rtbrain.view.decodes.words import describe, explain, explain_later
from rtbrain.view.streams.session import SessionUpdate
from rtbrain.view.texts import texts
from tests.view.decodes.test_decoding import SPEECH, summary, take
from tests.view.stub import StubSession, row, status_event

HOP_S = 0.25
CONTACTS = tuple(f"A{i}" for i in range(62))
INFO = DecodeHeader(
    "ward-decode", ("rest", "speech"), "probability", HOP_S, 0.0, CONTACTS, "linear", 5.0
)
BANNED = re.compile(r"hop|embargo|bundle|coverage|nan\b|standing|stale", re.IGNORECASE)


def decoding_of(*values, info=INFO, thresholds=None, sent=0, **more):
    """A decoder whose decodes end at 100 s, and what it reported."""
    decoding = Decoding(StubSession(decode=info))
    start = 100.0 - (len(values) - 1) * HOP_S
    decodes = tuple(
        row(start + i * HOP_S, value, bool(np.isfinite(value).all()), t_arrived=start + i * HOP_S)
        for i, value in enumerate(values)
    )
    found = {"speech": SPEECH} if thresholds is None else thresholds
    take(
        decoding, decodes=decodes, events=(summary(sent, **found), *more.pop("events", ())), **more
    )
    return decoding


def detected(*times, label="speech"):
    return tuple(ReceivedDetection(t, label, 0.9, True, 31) for t in times)


THEIRS = "movement, threshold 0.55"
NOTHING = [np.nan, np.nan]


def test_a_target_above_its_threshold_is_said_with_its_number_and_the_detection():
    decoding = decoding_of([0.06, 0.94], detections=detected(98.8))
    now = describe(decoding, 100.2)
    assert (now.state, now.word, now.number, now.above) == ("valid", "speech", "0.94", True)
    assert (now.icon, now.label, now.decoder) == ("fine", "valid", "decoder ward, linear")
    assert (now.level, now.tick) == (pytest.approx(0.94), 0.7)
    assert (now.scale, now.threshold) == ("probability of speech", "threshold 0.70")
    assert (now.first, now.count, now.pin) == ("Detection 1.4 s ago", "31 this run", True)
    assert now.second == ("next possible in 0.6 s (refractory 2.0 s)", "next possible in 0.6 s")
    assert now.rows == ((1, "speech", "0.94"), (0, "rest", "0.06"))


def test_of_another_class_the_bar_still_shows_the_target():
    decoding = decoding_of([0.5, 0.5], [0.91, 0.09], detections=detected(98.0))
    now = describe(decoding, 100.2)
    assert (now.word, now.number, now.above) == ("rest", "0.91", False)
    assert now.level == pytest.approx(0.09)
    assert now.second == ("ready for the next one",)


@pytest.mark.parametrize(("value", "above"), [(0.69, False), (0.71, True)])
def test_a_target_below_its_threshold_is_likelier_and_yet_not_marked(value, above):
    now = describe(decoding_of([1 - value, value]), 100.2)
    assert (now.word, now.above) == ("speech", above)


def test_where_none_was_detected_it_says_so_and_gives_no_rate():
    now = describe(decoding_of([0.9, 0.1]), 100.2)
    assert (now.first, now.count, now.second) == (
        "No detection yet",
        "",
        ("ready for the first one",),
    )
    gone = describe(decoding_of([0.9, 0.1], NOTHING), 100.2)
    assert (gone.first, gone.second) == ("Detections out: OFF", ("none this run",))
    # Of one who came later the last one is not known, only how many there were.
    later = describe(decoding_of([0.9, 0.1], sent=7), 100.2)
    assert (later.first, later.pin) == ("7 this run", False)
    said = " ".join(text for key, text in texts().items() if key.startswith("decode."))
    assert "an hour" not in said


def test_a_threshold_without_known_rates_and_none_at_all_are_said():
    untested = describe(decoding_of([0.9, 0.1], thresholds={"speech": {"up": 0.5}}), 100.2)
    assert untested.threshold == "threshold 0.50, not calibrated"
    none = describe(decoding_of([0.1, 0.9], thresholds={}), 100.2)
    assert (none.threshold, none.first, none.above) == ("no threshold set", "", False)
    assert np.isnan(none.tick)


def test_after_a_detection_it_says_what_the_next_one_waits_for():
    decoding = decoding_of([0.2, 0.8], [0.2, 0.8], detections=detected(97.0))
    assert describe(decoding, 100.2).second[0] == "next one possible once below 0.55"


def test_a_detection_of_another_output_is_named():
    decoding = decoding_of([0.9, 0.1], detections=detected(98.2, label="rest"))
    assert describe(decoding, 100.2).first == "rest 2.0 s ago"


def test_an_old_decode_says_how_old_it_is_and_that_the_decoder_is_late():
    decoding = decoding_of([0.06, 0.94], detections=detected(98.0))
    now = describe(decoding, 101.9)
    assert (now.state, now.icon, now.border, now.above) == ("old", "look", "warn", False)
    assert (now.first, now.pin) == ("1.9 s old, decoder late", False)
    assert now.second == ("last detection 3.9 s ago",)


def test_once_the_signal_is_lost_an_old_decode_is_none_whatever_the_decoder_says():
    decoding = decoding_of([0.06, 0.94], detections=detected(98.0))
    decoding.session.set("signal", state="lost")
    assert describe(decoding, 100.2).number == "0.94"  # not old yet
    now = describe(decoding, 101.9)
    assert (now.state, now.word, now.number) == ("invalid", "No decode", "")
    assert now.detail[0] == "for 1.9 s: the signal is lost."
    assert now.first == "Detections out: OFF"


def invalid(reason, lasts_s=0.0, *, info=INFO, signal="live"):
    event = status_event("invalid", 100.0, reason=reason)
    decoding = decoding_of([0.5, 0.5], NOTHING, info=info, events=(event,))
    decoding.session.set("signal", state=signal)
    return describe(decoding, 100.0 + lasts_s)


def test_a_lost_signal_has_no_decode_says_for_how_long_and_what_brings_it_back():
    now = invalid("no samples for 1 s", 4.2 - HOP_S, signal="lost")
    assert (now.word, now.number, now.icon) == ("No decode", "", "fix")
    assert now.detail == (
        "for 4.2 s: the signal is lost.",
        "Valid again 5 s after the signal is back.",
    )
    assert now.border == "line"
    assert invalid("no samples for 1 s", 5.0).border == "bad"  # after one window
    old = replace(INFO, window_s=float("nan"))
    back = invalid("no samples for 1 s", 1.0, info=old).detail[1]
    assert back == "Valid again soon after the signal is back."


def test_a_window_that_fills_counts_up_between_the_reports():
    assert invalid("filling: 0.1 of 5 s", 2.0).detail == (
        "filling: 2.1 of 5 s seen",
        "Valid again in 2.9 s.",
    )
    assert invalid("settling: 0.1 of 5 s", 9.0).detail[1] == "Valid again in 0.0 s."


def test_few_good_contacts_are_counted():
    good = np.arange(62) < 17
    why = coverage_flaw(good, 0.3)
    assert invalid(why).detail == (
        "for 0.2 s: 17 of 62 contacts are good; 19 are needed.",
        "Look at the contacts.",
    )


def test_no_reason_that_a_decoder_reports_is_shown_in_its_own_jargon():
    none = np.zeros(62, np.bool_)
    reasons = [sample_flaw(flag, 0.0, 1.0) for flag in (ARTIFACT, LATE, UNSETTLED, AWAY, UNKNOWN)]
    reasons += [sample_flaw(0, 0.9, 0.5), coverage_flaw(none, 0.3), coverage_flaw(~none, 1.1)]
    reasons += ["stale: the signal arrives more than 0.5 s late", "warming: 1 of 16 s", ""]
    reasons += ["true rate is 1990.00 Hz, expected 2000 Hz: more than 0.5 % off"]
    for reason in reasons:
        said = " ".join(explain(decoding_of(NOTHING), reason))
        assert said.strip()
        assert not BANNED.search(f"{said} {explain_later(reason.split(':')[0])}"), reason
    shown = [text for key, text in texts().items() if key.startswith("decode.")]
    assert not [text for text in shown if BANNED.search(text) and "rtbrain decode" not in text]


def test_outputs_that_act_are_armed_or_off_in_every_state_and_absent_where_there_are_none():
    outputs = {"armed": True, "outputs": ["OSC"]}
    events = (status_event("summary", triggers=outputs),)
    assert describe(decoding_of([0.5, 0.5]), 100.2).armed is None
    assert describe(decoding_of([0.5, 0.5], events=events), 100.2).armed is True
    events += (status_event("disarmed"),)
    assert describe(decoding_of([0.5, 0.5], NOTHING, events=events), 100.2).armed is False


def test_detections_that_are_switched_off_are_said_to_be_off():
    decoding = decoding_of([0.06, 0.94])
    take(decoding, events=(summary(31, sending=False, speech=SPEECH),))
    now = describe(decoding, 100.2)
    assert (now.first, now.count) == ("Detections out: OFF", "31 this run")


def test_a_signal_unlike_calibration_is_a_state_to_look_at():
    decoding = decoding_of([0.5, 0.5])
    take(decoding, decodes=(row(100.25, [0.06, 0.94], drift=1.37),))
    now = describe(decoding, 100.4)
    assert (now.state, now.icon, now.label) == ("valid", "look", "valid, drift 1.4")
    assert now.number == "0.94"


def test_of_decodes_at_events_the_time_since_the_last_is_said_and_none_is_old():
    info = replace(INFO, hop_s=None)
    now = describe(decoding_of([0.06, 0.94], info=info), 125.0)
    assert (now.state, now.label) == ("valid", "25.0 s ago")


def test_a_continuous_output_has_its_value_and_a_bar_over_the_range_of_the_page():
    info = replace(INFO, labels=("grip", "wrist"), unit="value")
    grip = {"grip": {"up": 40.0, "down": 30.0, "calibrated": True}}
    now = describe(decoding_of([0.0, 1.0], [45.25, -0.2], info=info, thresholds=grip), 100.2)
    assert (now.word, now.number, now.above) == ("grip", "45.2", True)
    assert (now.level, now.tick) == (pytest.approx(1.0), pytest.approx(40 / 45.25))
    assert now.rows[1] == (1, "wrist", "-0.2")
    flat = describe(decoding_of([3.0, 0.0], info=info, thresholds={}), 100.2)
    assert np.isnan(flat.level)


def test_each_class_that_is_detected_is_listed_with_its_own_threshold():
    info = replace(INFO, labels=("rest", "speech", "movement"))
    own = {"speech": SPEECH, "movement": SPEECH | {"up": 0.55}}
    now = describe(decoding_of([0.05, 0.25, 0.7], info=info, thresholds=own), 100.0)
    assert (now.word, now.number) == ("movement", "0.70")
    assert now.threshold == f"threshold {SPEECH['up']:.2f}"
    assert now.rows == ((1, "speech", "0.25"), (0, "rest", "0.05"), (2, THEIRS, "0.70"))


def test_of_many_classes_the_strongest_are_listed_and_the_others_counted():
    info = replace(INFO, labels=tuple("abcdefg"))
    now = describe(
        decoding_of([0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.02], info=info, thresholds={}), 100
    )
    assert [label for _, label, _ in now.rows] == list("abcd")
    assert now.more == "3 more"


def test_without_a_decoder_it_says_how_to_start_one():
    session = StubSession()
    session.set("decode", state="absent", name="")
    session.set("status", state="absent")
    session.set("signal", name="ward-amp")
    decoding = Decoding(session)
    now = describe(decoding, 0.0)
    assert (now.state, now.word) == ("none", "No decoder runs.")
    assert now.detail[1] == "rtbrain decode --stream ward-amp --bundle FOLDER"
    assert describe(decoding, 0.0, in_console=True).detail == ("Press Start run.", "")
    session.set("decode", problem="2 streams: a-decode, b-decode")
    assert describe(decoding, 0.0).detail[0] == "2 streams: a-decode, b-decode"
    session.set("decode", problem="", state="connecting", name="ward-decode")
    assert describe(decoding, 0.0).detail[0] == "Connecting to ward."
    session.set("status", state="live", name="ward-status")
    decoding.take(SessionUpdate(0.0, events=(status_event("waiting"),)))
    now = describe(decoding, 0.0)
    assert (now.state, now.detail[0]) == ("waiting", "ward looks for its signal.")


@pytest.mark.parametrize(("state", "word"), [("ended", "No decoder runs."), ("lost", "No decode")])
def test_a_decoder_that_ended_is_not_one_that_stopped(state, word):
    decoding = decoding_of([0.06, 0.94])
    decoding.session.set("decode", state=state)
    now = describe(decoding, 112.0)
    assert (now.word, now.number) == (word, "")
    assert "12" in now.detail[0]
    assert now.border == ("bad" if state == "lost" else "line")
    said = describe(decoding, 112.0, in_console=True).detail[1]
    assert ("Switch Decode on" in said) == (state == "ended")
