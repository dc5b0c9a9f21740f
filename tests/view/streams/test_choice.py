"""Of the streams on the network, each role gets the one that is meant, or the reason why none."""

import pylsl
import pytest

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
    ]
    chosen, problems = choose_streams(there, None, named)
    names = {key: found.name() for key, found in chosen.items()}
    assert names == {
        "signal": "a",
        "decode": "x-decode",
        "status": "x-status",
        "record": "r-record-status",
        "markers:a-markers": "a-markers",
        "markers:op-marks:op-marks:": "op-marks",
    }
    assert not problems


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
