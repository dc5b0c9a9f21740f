"""What the window says of a recording is true of the signal that it shows."""

import math

import pytest

from rtbrain.view.health.recorder import Recorders
from tests.view.stub import feed, status_event

SIGNAL = feed("signal", name="amp", source_id="amp-1")
THIS = ("summary", {"recording": [["amp", "amp-1"], ["task", "t"]], "file": "a.xdf"})
OTHER = ("summary", {"recording": [["task", "t"]], "file": "mk.xdf"})
FULL = ("disk_full", {"reason": "No space left", "waiting_samples": 7, "dropped_samples": 2})


def event(name, fields, recorder="x-record-status", t=0.0):
    made = status_event(name, t, **fields)
    return type(made)(t, name, {**fields, "recorder": recorder})


def recording(*events, record="live", signal=SIGNAL, now=0.0, recorders=None, name="x-record"):
    """State of the recording after these events of one recorder, all at 0 s."""
    recorders = recorders or Recorders()
    there = (feed("record", record, name=f"{name}-status"),)
    told = [event(*one, recorder=f"{name}-status") for one in events]
    recorders.take(told, (), there, 0.0)
    return recorders.recording(signal, now)


def test_the_recording_is_followed_from_its_start_to_its_end():
    started = ("recording", {"file": "a.xdf"})
    steps = [started, THIS]
    assert recording().state == "none"
    assert recording(*steps).state == "rec"
    assert recording(*steps).file == "a.xdf"
    failed = recording(*steps, FULL, ("disk", {"free_bytes": 0}), THIS)
    assert (failed.state, failed.why, failed.n_waiting, failed.n_dropped) == (
        "failed",
        "disk_full",
        7,
        2,
    )
    resumed = [*steps, FULL, ("write_resumed", {})]
    assert recording(*resumed).state == "rec"
    assert recording(*resumed, record="lost").why == "gone"
    ended = recording(*resumed, ("stopping", {}), record="ended")
    assert ended.state == "none"
    over = recording(*resumed, ("stopped", {"clean_end": False}), record="ended")
    assert (over.state, over.incomplete) == ("none", True)


@pytest.mark.parametrize(
    "signal",
    [
        feed("signal", name="other", source_id="amp-1"),
        feed("signal", name="amp", source_id="amp-2"),
    ],
)
def test_rec_stands_for_the_signal_on_display_alone(signal):
    other = recording(THIS, signal=signal)
    assert (other.state, other.streams) == ("other", ("amp", "task"))
    assert recording(THIS).state == "rec"


@pytest.mark.parametrize(("state", "name"), [("absent", ""), ("absent", "amp"), ("connecting", "")])
def test_before_there_is_a_signal_no_recording_is_one_of_another(state, name):
    assert recording(THIS, signal=feed("signal", state, name=name)).state == "none"


def test_of_two_recorders_of_the_signal_the_one_that_fails_is_told_and_not_one_replaced():
    recorders = Recorders()
    begins = ("recording", {"file": "a.xdf"})
    recording(begins, THIS, recorders=recorders, name="one")
    both = recording(("recording", {"file": "b.xdf"}), THIS, FULL, recorders=recorders, name="two")
    assert (both.state, both.other_failed.why, both.other_failed.recorder) == (
        "rec",
        "disk_full",
        "two-status",
    )
    for t, told in ((10.0, True), (20.0, False)):  # the other one runs; its successor has begun
        recorders = Recorders()
        recording(begins, THIS, recorders=recorders, name="dead")
        recorders.take((), (), (feed("record", "lost", name="dead-status"),), 15.0)
        here = (feed("record", name="new-status"),)
        new = [event(*one, recorder="new-status", t=t) for one in (begins, THIS)]
        recorders.take(new, (), here, t)
        found = recorders.recording(SIGNAL, t)
        assert (found.state, found.other_failed is not None) == ("rec", told)


@pytest.mark.parametrize("state", ["lost", "live"])
def test_the_time_of_a_recording_stands_still_when_its_recorder_is_gone(state):
    recorders = Recorders()
    late = ("summary", dict(THIS[1], seconds=60.0))
    recording(late, recorders=recorders)
    recorders.take((), (), (feed("record", state, name="x-record-status"),), 1.0)
    found = recorders.recording(SIGNAL, 3600.0)
    assert (found.state, found.seconds) == ("failed", pytest.approx(60.0, abs=1.1))


def test_a_signal_that_the_recorder_lost_is_not_recorded():
    assert recording(THIS, OTHER).state == "other"
    assert recording(THIS, OTHER, THIS).state == "rec"


def test_a_recorder_that_has_just_begun_is_still_finding_its_streams():
    begun = ("recording", {"file": "a.xdf"})
    assert recording(begun, OTHER, now=1.4).state == "none"
    assert recording(begun, OTHER, now=1.6).state == "other"
    assert recording(begun, THIS, now=0.1).state == "rec"


def test_a_stream_counts_as_recorded_from_the_moment_it_is_added():
    added = ("stream_added", {"stream": "amp", "source_id": "amp-1"})
    assert recording(OTHER, added).state == "rec"


def test_of_several_recorders_the_one_that_holds_the_signal_counts():
    recorders = Recorders()
    assert recording(OTHER, recorders=recorders, name="markers").state == "other"
    found = recording(THIS, recorders=recorders, name="foo")
    assert (found.state, found.file) == ("rec", "a.xdf")
    assert recording(record="lost", recorders=recorders, name="foo").why == "gone"
    again = recording(THIS, recorders=recorders, name="bar")
    assert again.state == "rec"


def test_a_recorder_that_never_held_the_signal_may_vanish():
    recorders = Recorders()
    recording(OTHER, recorders=recorders, name="markers")
    assert recording(record="lost", recorders=recorders, name="markers").state == "none"


@pytest.mark.parametrize("state", ["stalled", "lost"])
def test_a_signal_that_sends_nothing_is_in_the_recording_all_the_same(state):
    silent = feed("signal", state, name="amp", source_id="amp-1")
    assert recording(THIS, signal=silent).state == "no_signal"


def test_a_window_that_comes_later_learns_when_it_began_and_that_it_fails():
    late = dict(THIS[1], seconds=751.0, failing="write_error")
    found = recording(("summary", late), now=0.5)
    assert (found.state, found.why) == ("failed", "write_error")
    assert found.seconds == pytest.approx(751.5)
    healthy = recording(("summary", late), ("summary", dict(late, failing="")))
    assert healthy.state == "rec"


def test_a_recorder_that_says_nothing_for_5_s_has_failed():
    assert recording(THIS, now=4.9).state == "rec"
    assert recording(THIS, now=5.1).why == "silent"


def test_a_recorder_of_a_decoder_that_ended_with_an_error_is_gone():
    recorders = Recorders()
    told = status_event("record_failed", stream="x-status", code=1)
    recorders.take((), (told,), (), 0.0)
    assert recorders.recording(SIGNAL, 0.0).why == "gone"


def test_an_expected_stream_that_is_missing_is_named():
    missing = dict(THIS[1], missing=["triggers", "eye"])
    assert recording(("summary", missing)).missing == "triggers, eye"


def test_the_disk_is_low_below_the_floor_and_until_a_tenth_above_it():
    low = ("disk_low", {"free_bytes": 100, "floor_bytes": 100, "minutes_left": 9.5})
    assert recording(THIS, low).disk_low
    assert recording(THIS, low).minutes_left == 9.5
    assert recording(THIS, low, ("disk", {"free_bytes": 109})).disk_low
    assert not recording(THIS, low, ("disk", {"free_bytes": 111})).disk_low
    assert math.isnan(recording(THIS).free_bytes)


def test_what_strangers_send_changes_nothing_else():
    hostile = [None, 3, "x", ["x"], {"x": 1}, [["a"]], [[1, 2]], True]
    for value in hostile:
        names = ("recording", "file", "missing", "seconds", "failing", "free_bytes", "stream")
        for kind in ("summary", "recording", "stream_added", "disk", "disk_full", "stopped"):
            recording((kind, dict.fromkeys(names, value)))
