"""Of the streams on the network, each role gets the one that is meant, or the reason why none."""

import pylsl
import pytest

from rtbrain.stream_names import recorder_source_id
from rtbrain.view.streams.choice import choose_streams

SFREQ_HZ = 512.0


def info(name, kind="EEG", rate=SFREQ_HZ, fmt="float32"):
    return pylsl.StreamInfo(name, kind, 1, rate, fmt, name)


def texts(name):
    return info(name, "Status" if name.endswith("-status") else "Markers", 0, "string")


def test_the_only_signal_is_taken_and_none_of_several():
    chosen, problems = choose_streams(
        [info("a"), info("x-decode", "Decode"), info("g", "Gaze")], None, None
    )
    assert (chosen["signal"].name(), chosen["decode"].name()) == ("a", "x-decode")
    assert not problems
    chosen, problems = choose_streams([info("a"), info("b", "iEEG")], None, None)
    assert "signal" not in chosen
    assert problems["signal"] == "2 streams: a, b"
    assert choose_streams([info("g", "Gaze")], None, None)[0]["signal"].name() == "g"
    assert choose_streams([info("a"), info("b")], "b", None)[0]["signal"].name() == "b"


@pytest.mark.parametrize("named", ["x", "x-decode", None])
def test_status_and_markers_belong_to_the_decoder_and_to_the_signal(named):
    there = [
        info("a"),
        info("x-decode", "Decode", 4.0),
        *map(
            texts, ["x-status", "y-status", "r-record-status", "a-markers", "b-markers", "op-marks"]
        ),
        *map(texts, ["x-events", "y-events"]),
    ]
    chosen, problems = choose_streams(there, None, named)
    names = {key: found.name() for key, found in chosen.items()}
    assert names == {
        "signal": "a",
        "decode": "x-decode",
        "status": "x-status",
        "events": "x-events",
        "record:r-record-status": "r-record-status",
        "markers:a-markers": "a-markers",
        "markers:op-marks:op-marks:": "op-marks",
    }
    assert not problems


def test_every_recorder_is_found_whatever_its_name_and_is_no_decoder():
    there = [texts("foo-status"), texts("x-record-status"), texts("ward-status")]
    there += [pylsl.StreamInfo("bar-status", "Status", 1, 0, "string", recorder_source_id("bar"))]
    chosen, problems = choose_streams(there[2:], None, None)
    assert {key: found.name() for key, found in chosen.items()} == {
        "status": "ward-status",
        "record:bar-status": "bar-status",
    }
    assert not problems
    chosen, _ = choose_streams(there[1:], None, None)
    assert {"record:bar-status", "record:x-record-status"} <= chosen.keys()


def test_two_windows_marks_of_one_name_are_kept_apart():
    there = [pylsl.StreamInfo("w-marks", "Markers", 1, 0, "string", each) for each in "ab"]
    chosen, problems = choose_streams(there, None, None)
    assert chosen.keys() == {"markers:w-marks:a:", "markers:w-marks:b:"}
    assert not problems


def test_a_stream_that_was_named_and_is_no_signal_says_why() -> None:
    for made, why in (
        (info("a", rate=0.0), "has no regular rate (nominal rate 0 Hz)"),
        (texts("a"), "carries texts"),
        (info("a", "Decode"), "is of type 'Decode'"),
    ):
        chosen, problems = choose_streams([made, info("b")], "a", None)
        assert "signal" not in chosen
        assert problems["signal"] == f"stream 'a' {why}" + ", not a signal" * ("rate" not in why)


def test_of_two_signals_of_one_name_the_source_id_chooses() -> None:
    both = [pylsl.StreamInfo("a", "EEG", 1, 512.0, "float32", each) for each in "xy"]
    assert "signal" not in choose_streams(both, "a", None)[0]
    assert choose_streams(both, "a", None, source_id="y")[0]["signal"].source_id() == "y"
    _, problems = choose_streams(both, "a", None, source_id="z")
    assert problems["signal"] == "stream 'a' has the source id 'x'"


def test_a_marker_stream_that_is_named_is_shown_whether_texts_or_numbers():
    trig = info("trig", "Markers", 0, "int32")
    there = [info("a"), trig, texts("a-markers"), texts("door-status"), info("x", "Decode", 0)]
    chosen, problems = choose_streams(there, "a", None, markers="trig")
    assert {key: found.name() for key, found in chosen.items() if key.startswith("markers:")} == {
        "markers:trig": "trig",
        "markers:a-markers": "a-markers",
    }
    assert not problems
    assert "markers:trig" not in choose_streams(there, "a", None)[0]
    _, problems = choose_streams(there, "a", None, markers="a")
    assert problems == {
        "markers:a": "stream 'a' has numbers at 512 Hz, markers are strings or have no regular rate"
    }
    door = pylsl.StreamInfo("door-status", "Markers", 1, 0, "string", "d")
    chosen, _ = choose_streams([info("a"), door], "a", None, markers="door-status")
    assert chosen.keys() == {"signal", "markers:door-status"}


@pytest.mark.parametrize("named", ["amp", None])
def test_a_signal_without_a_regular_rate_is_not_waited_for_without_a_word(named):
    chosen, problems = choose_streams([info("amp", "EEG", 0), texts("t")], named, None)
    assert "signal" not in chosen
    assert problems["signal"] == "stream 'amp' has no regular rate (nominal rate 0 Hz)"
