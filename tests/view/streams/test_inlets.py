"""States of streams are kept while they matter, and in bounded memory."""

import math
from types import SimpleNamespace

import numpy as np
import pylsl
import pytest

from rtbrain.stream.lsl.decodes import DecodeHeader, StatusEvent
from rtbrain.view.streams.inlets import DecodeInlet, StreamStates, ViewInlet, feed_of
from rtbrain.view.streams.texts import TextInlet


def inlet(name, **changes):
    """Inlet of markers that is open and silent."""
    figures = {"nominal_hz": 0.0, "effective_hz": 0.0, "counted": (0, 0), "t_last": 0.0}
    clock = {"clock_offset_s": 0.0, "clock_uncertainty_s": 0.0}
    state = {"origin": "", "source_id": "", "lost": False, "received": 0, "t_arrived": 0.0}
    return SimpleNamespace(**{"name": name, **figures, **clock, **state, **changes})


@pytest.mark.parametrize(("name", "n_kept"), [("w{}-marks", 0), ("amp{}-markers", 2)])
def test_marker_streams_that_come_and_go_are_not_kept_for_ever(name, n_kept):
    states = StreamStates({})
    inlets = {f"markers:{i}": inlet(name.format(i)) for i in range(50)}
    assert len(states.update(inlets, (), {}, 0.0)) == 4 + 50
    feeds = states.update({}, (), {}, 1.0)
    assert [feed.state for feed in feeds[4:]] == ["lost"] * n_kept


def test_a_recorder_that_ended_is_forgotten_and_one_that_vanished_is_not():
    states = StreamStates({})
    inlets = {f"record:{n}-status": inlet(f"{n}-status") for n in ("ended", "gone")}
    states.update(inlets, (), {}, 0.0)
    for sender, event in (("ended", "stopping"), ("gone", "summary")):
        fields = {"recorder": f"{sender}-status", "stream": "amp"}
        states.note_end(StatusEvent(0.5, event, fields))
    feeds = [feed for feed in states.update({}, (), {}, 1.0) if feed.kind == "record"]
    assert [(feed.name, feed.state) for feed in feeds] == [("gone-status", "lost")]


def test_a_stream_is_expected_by_its_name_until_a_problem_says_why_it_is_not_there():
    states = StreamStates({"signal": "amp"})
    assert feed_of(states.update({}, (), {}, 0.0), "signal").name == "amp"
    signal = feed_of(states.update({}, (), {"signal": "2 streams: a, b"}, 0.0), "signal")
    assert (signal.name, signal.state) == ("amp", "absent")
    assert signal.problem == "2 streams: a, b"
    assert feed_of(states.update({}, {"signal"}, {}, 0.0), "signal").state == "connecting"


def test_a_signal_that_is_opened_again_stays_lost_until_its_samples_come():
    states = StreamStates({"signal": "amp"})

    def state(inlets, connecting=()):
        return feed_of(states.update(inlets, connecting, {}, 1.0), "signal").state

    assert state({}, {"signal"}) == "connecting"
    opened = inlet("amp", nominal_hz=512.0, t_arrived=1.0)
    assert state({"signal": opened}) == "connecting"
    assert state({"signal": inlet("amp", nominal_hz=512.0, t_arrived=1.0, received=5)}) == "live"
    assert [state({}), state({}, {"signal"}), state({"signal": opened})] == ["lost"] * 3


WRONG = (math.nan, math.inf, -math.inf, 1e300)


class Waiting:
    """Inlet in which samples wait."""

    def __init__(self, samples, stamps):
        self.samples, self.stamps = samples, np.array(stamps)

    def pull_chunk(self, **about):
        return self.samples, self.stamps

    def pull_sample(self, timeout):
        return None, None


def test_what_is_of_no_time_is_left_out_and_counted(monkeypatch):
    stamps = [1.0, *WRONG, 2.0]
    found = SimpleNamespace(
        uid=lambda: "u", name=lambda: "task", source_id=lambda: "", nominal_srate=lambda: 0.0,
        channel_format=lambda: pylsl.cf_string, type=lambda: "Markers", hostname=lambda: "",
    )  # fmt: skip
    monkeypatch.setattr("rtbrain.view.streams.texts.open_inlet", lambda *a, **k: None)
    texts = Waiting(np.array([[b"go"]] * 6, dtype=object), stamps)
    monkeypatch.setattr("rtbrain.view.streams.texts.make_inlet", lambda *a, **k: texts)
    markers = TextInlet(found, lambda: 5.0)
    assert markers.pull() == [(1.0, "go"), (2.0, "go")]
    assert (markers.counted, markers.t_last) == ((6, 4), 2.0)
    decodes = DecodeInlet.__new__(DecodeInlet)
    ViewInlet.__init__(decodes, found, lambda: 5.0, Waiting(np.ones((6, 6)), stamps))
    decodes.header = DecodeHeader("x", ("a", "b"), "probability", 0.25)
    assert [decode.t_stop for decode in decodes.pull()] == [1.0, 2.0]
    assert decodes.counted == (2, 4)


def test_a_stream_of_a_rate_is_stalled_after_1_5_s_or_some_hops():
    slow, fast = inlet("x", nominal_hz=0.5), inlet("y", nominal_hz=512.0)
    for each in (slow, fast):
        each.received = 1
    feeds = StreamStates({}).update({"decode": slow, "signal": fast}, (), {}, 1.6)
    assert feed_of(feeds, "decode").state == "live"
    assert feed_of(feeds, "signal").state == "stalled"
