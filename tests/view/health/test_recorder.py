"""What the window says of a recording is true of the signal that it shows."""

import pytest

from rtbrain.view.health.recorder import RecorderStatus
from tests.view.stub import feed, status_event

RECORD = "x-record-status"
SIGNAL = feed("signal", name="amp", source_id="amp-1")
THIS = ("summary", {"recording": [["amp", "amp-1"], ["task", "t"]], "file": "a.xdf"})


def recorder(*events):
    status = RecorderStatus()
    for name, fields in events:
        status.update(status_event(name, stream=RECORD, **fields))
    return status


def recording(*events, record=None, signal=SIGNAL, now=0.0):
    """Indicator of the recording after these events, the last at 0 s."""
    return recorder(*events).indicator(record or feed("record"), signal, now)


def test_the_recording_is_followed_from_its_start_to_its_end():
    started = ("recording", {"file": "a.xdf"})
    full = ("disk_full", {"reason": "No space left", "waiting_samples": 7, "dropped_samples": 2})
    steps = [started, THIS, full, ("disk", {"free_bytes": 0}), THIS]
    assert recording(record=feed("record", "absent")).text == "not recording"
    assert recording(*steps[:1]).text == "recorder found"
    assert recording(*steps[:2]).text == "REC a.xdf"
    word = recording(*steps)
    assert (word.text, word.severity) == ("NOT RECORDING: disk full", "bad")
    assert "7 samples waiting, 2 samples dropped" in word.tip
    steps.append(("write_resumed", {}))
    assert recording(*steps).text == "REC a.xdf"
    gone = feed("record", "lost")
    assert recording(*steps, record=gone).text == "NOT RECORDING: recorder gone"
    steps.append(("stopped", {"clean_end": False}))
    assert recording(*steps, record=gone).text.startswith("recording stopped: samp")


@pytest.mark.parametrize(
    "signal",
    [feed("signal", name="other", source_id="amp-1"), feed("signal", name="amp", source_id="amp-2"),
     feed("signal", "absent", name="")],
)  # fmt: skip
def test_rec_stands_for_the_signal_on_display_alone(signal):
    word = recording(THIS, signal=signal)
    assert (word.text, word.severity) == ("REC, NOT THIS SIGNAL", "bad")
    assert "amp, task" in word.tip
    assert recording(THIS).severity == "good"


def test_a_signal_that_the_recorder_lost_is_not_recorded():
    lost = ("summary", {"recording": [["task", "t"]], "file": "a.xdf"})
    assert recording(THIS, lost).text == "REC, NOT THIS SIGNAL"
    assert recording(THIS, lost, THIS).text == "REC a.xdf"


def test_a_window_that_is_opened_later_knows_what_is_recorded_from_the_next_summary():
    assert recording(THIS).text == "REC a.xdf"


def test_a_recorder_that_says_nothing_any_more_is_not_taken_to_record():
    assert recording(THIS, now=2.0).text == "REC a.xdf"
    word = recording(THIS, now=8.0)
    assert (word.text, word.severity) == ("REC ? recorder silent", "bad")


def test_a_stream_that_is_expected_and_missing_is_named():
    missing = ("summary", THIS[1] | {"missing": ["task-markers"]})
    word = recording(missing)
    assert (word.text, word.severity) == ("REC a.xdf, MISSING task-markers", "bad")
    assert recording(missing, THIS).severity == "good"


def test_a_recorder_that_said_that_it_stops_has_not_been_lost():
    gone = feed("record", "lost")
    word = recording(THIS, ("stopping", {}), record=gone)
    assert (word.text, word.severity) == ("recording stopped", "warn")
    assert recording(THIS, ("stopping", {}), ("stopped", {}), record=gone).severity == "faint"
    assert recording(THIS, ("stopping", {}), ("stopped", {}), THIS).text == "REC a.xdf"


def test_of_several_recorders_it_is_not_known_what_they_record():
    word = recording(record=feed("record", "absent", name="", problem="2 streams: a, b"))
    assert word.severity == "warn"
    assert "2 streams: a, b" in word.tip


@pytest.mark.parametrize("rows", [None, 3, "x", [1], [["amp"]], [[["amp"], "amp-1"]], {"amp": 1}])
def test_a_summary_that_is_none_does_not_make_this_signal_recorded(rows):
    assert recording(("summary", {"recording": rows})).severity != "good"


def test_a_decoder_reports_the_recorder_that_it_lost():
    status = recorder(("recording", {"file": "a.xdf"}))
    status.update(status_event("record_failed", code=1, reason="the recorder has ended"))
    assert status.indicator(feed("record"), SIGNAL, 0.0).severity == "bad"


def test_a_disk_is_low_below_the_floor_and_enough_a_tenth_above():
    low = ("disk_low", {"free_bytes": 2e8, "floor_bytes": 3e8, "minutes_left": 4.0})
    word = recorder(("disk", {"free_bytes": 5e9}), low).disk_indicator()
    assert (word.text, word.severity) == ("disk 0.2 GB free, 4 min: LOW", "bad")
    assert recorder(low, ("disk", {"free_bytes": 3.2e8})).disk_indicator().severity == "bad"
    assert recorder(low, ("disk", {"free_bytes": 3.4e8})).disk_indicator().severity == "good"
    assert recorder().disk_indicator().severity == "faint"
