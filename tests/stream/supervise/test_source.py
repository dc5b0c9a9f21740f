import itertools
import threading

import numpy as np
import pytest

from rtbrain.errors import MontageError, StreamError, StreamLostError
from rtbrain.stream.supervise.states import StreamState
from rtbrain.types import Chunk, Montage
from tests.conftest import brain_like, montage_of
from tests.stream.supervise.bedside import DEADLINE_S, MONTAGE, SFREQ_HZ, Bedside


@pytest.fixture
def bedside():
    made = Bedside()
    yield made
    made.world.go.set()
    made.source.close()


def test_a_stream_is_connected_to_opened_by_the_worker_and_goes_live(bedside):
    chunk = bedside.live()
    assert bedside.events == ["waiting", "connecting", "connected", "warming", "live"]
    assert (chunk.first_sample, chunk.gap) == (0, 0)
    connected = bedside.fields("connected")
    assert connected["source_id"] == "amplifier"
    assert connected["missing"] == []
    assert connected["notes"] == ["the header gives no unit"]
    assert bedside.world.inlets[0].opened_in == "rtbrain-connection"


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        ({}, "no stream: there are none"),
        ({"a": MONTAGE, "b": MONTAGE}, "on-a.*on-b"),
        ({"a": montage_of(4, 1000.0)}, "'fake' has 1000 Hz, the decoder needs 512 Hz"),
        ({"a": montage_of(1, SFREQ_HZ)}, "1 of the decoder's 4 channels"),
    ],
)
def test_at_first_connect_a_mistake_is_an_error_at_once(bedside, streams, words):
    for uid, montage in streams.items():
        bedside.world.put(uid, montage)
    with pytest.raises(StreamError, match=words):
        bedside.source.connect(5.0)
    assert bedside.source.state is StreamState.REFUSED
    assert all(inlet.closed for inlet in bedside.world.inlets)


def test_connecting_is_given_up_when_asked(bedside):
    bedside.world.only = lambda timeout_s, stop: bedside.world.go.wait(DEADLINE_S)
    assert bedside.source.connect(5.0, stop=lambda: True) is False


def test_without_connect_a_pull_waits_for_a_stream_that_comes(bedside):
    assert bedside.source.pull(0.0).data.shape == (4, 0)
    assert bedside.events == ["waiting"]
    bedside.world.put("a")
    bedside.until_state(StreamState.WARMING)
    assert bedside.events == ["waiting", "connecting", "connected", "warming"]


def test_a_lost_stream_comes_back_with_its_gap_counted(bedside):
    bedside.live()
    bedside.lose()
    assert bedside.fields("lost")["reason"] == "stream a was there and is gone"
    bedside.world.put("b")
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[0].closed
    bedside.give(1557, 5)
    bedside.give(1562, 5)
    first, *_ = bedside.until_state(StreamState.LIVE)
    second = bedside.source.pull(0.0)
    assert (first.gap, first.first_sample, first.n_samples) == (1537, 1557, 5)
    assert (second.gap, second.first_sample) == (0, 1562)
    np.testing.assert_array_equal(first.data[0], np.arange(1557, 1562))
    assert bedside.fields("recovered") == {"gap": 1537}
    assert bedside.events[5:] == ["lost", "connecting", "connected", "warming", "live", "recovered"]


def test_empty_chunks_while_there_is_no_stream_run_on_in_number(bedside):
    bedside.live()
    bedside.lose()
    chunk = bedside.source.pull(0.0)
    assert (chunk.first_sample, chunk.n_samples, chunk.data.shape) == (20, 0, (4, 0))


def test_silence_is_a_stall_then_a_loss_within_one_and_a_half_seconds(bedside):
    bedside.live()
    started = bedside.clock.now
    bedside.world.there.clear()
    at = {}
    while bedside.source.state is not StreamState.LOST:
        bedside.clock.now += 0.01
        bedside.source.pull(0.0)
        at.setdefault(bedside.source.state, bedside.clock.now - started)
    assert at[StreamState.STALLED] == pytest.approx(1.0, abs=0.011)
    assert 1.0 < at[StreamState.LOST] < 1.4
    assert "no sample for" in bedside.fields("lost")["reason"]


def test_a_stall_that_ends_is_no_loss(bedside):
    bedside.live()
    bedside.wait(1.1)
    bedside.until_state(StreamState.STALLED)
    bedside.give(20)
    (chunk,) = bedside.until_state(StreamState.LIVE)
    assert (chunk.gap, chunk.first_sample) == (0, 20)
    assert bedside.events[-2:] == ["stalled", "live"]
    assert "recovered" not in bedside.events


def test_a_consumer_that_was_away_finds_its_samples_and_no_stall(bedside):
    bedside.live()
    bedside.give(20)
    bedside.clock.now += 30
    assert bedside.source.pull(0.0).n_samples == 20
    assert bedside.source.state is StreamState.LIVE


def test_a_consumer_that_was_away_waits_for_samples_that_are_slow_to_be_handed_on(bedside):
    bedside.live()
    bedside.clock.now += 30
    bedside.source.pull(0.1)
    bedside.wait(0.5)
    assert bedside.source.state is StreamState.LIVE
    bedside.give(20)
    assert bedside.source.pull(0.0).n_samples == 20
    bedside.clock.now += 30
    bedside.wait(2.0)
    assert "lost" in bedside.events


def test_a_sender_without_samples_is_dropped_and_tried_again(bedside):
    bedside.world.put("a")
    bedside.source.connect(1.0)
    bedside.until_state(StreamState.WARMING)
    bedside.wait(4)
    bedside.source.pull(0.0)
    assert bedside.source.state is StreamState.WARMING
    bedside.wait(1.1)
    bedside.until_state(StreamState.WAITING)
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[0].closed
    assert not bedside.world.inlets[1].closed


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (montage_of(4, 1000.0), "has 1000 Hz, the decoder needs 512 Hz"),
        (Montage(("x", "y"), ("seeg",) * 2, SFREQ_HZ), "missing A1, A2, A3, A4"),
    ],
)
def test_a_wrong_stream_is_refused_once_and_the_right_one_found_beside_it(bedside, wrong, words):
    bedside.live()
    bedside.lose()
    bedside.world.put("wrong", wrong)
    bedside.until_state(StreamState.REFUSED)
    assert words in bedside.fields("refused")["reason"]
    looks = itertools.count()
    look = bedside.world.all
    bedside.world.all = lambda: next(looks) or look()
    bedside.until(lambda: next(looks) > 3)
    assert bedside.events.count("refused") == 1
    assert len(bedside.world.inlets) == 2
    bedside.world.all = look
    bedside.world.put("right")
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[-1].uid == "right"
    assert bedside.world.inlets[1].closed


def test_two_at_once_are_refused_by_name_until_one_is_left(bedside):
    bedside.live()
    bedside.lose()
    bedside.world.put("b")
    bedside.world.put("c")
    bedside.until_state(StreamState.REFUSED)
    why = bedside.fields("refused")["reason"]
    assert "on-b" in why
    assert "on-c" in why
    assert len(bedside.world.inlets) == 1
    del bedside.world.there["b"]
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[-1].uid == "c"
    assert bedside.events.count("refused") == 1


def test_a_sender_that_dies_as_the_next_one_comes_is_no_twin(bedside):
    bedside.live()
    bedside.lose()
    bedside.world.put("b")
    bedside.world.put("c")
    bedside.world.seen_s["c"] = 2.0  # not yet longer than one that has ended is still seen
    bedside.until(lambda: bedside.world.n_looks > 5)
    assert bedside.source.state is StreamState.LOST
    del bedside.world.there["b"]
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[-1].uid == "c"
    assert "refused" not in bedside.events


def test_a_stream_that_was_only_just_seen_is_not_taken_before_a_second_can_show_itself(bedside):
    bedside.live()
    bedside.lose()
    bedside.world.put("b")
    bedside.world.seen_s["b"] = 0.5
    bedside.until(lambda: bedside.world.n_looks > 5)
    assert bedside.source.state is StreamState.LOST
    bedside.world.seen_s["b"] = 1.1
    bedside.until_state(StreamState.WARMING)


def fall_silent(bedside):
    """Let the stream that is live fall silent, until it is lost."""
    bedside.world.there.clear()
    bedside.wait(1.1)
    bedside.wait(0.4)
    bedside.until_state(StreamState.LOST)


def test_a_connection_that_fell_silent_is_used_again_where_it_delivers_first(bedside):
    bedside.live()
    fall_silent(bedside)
    bedside.give(20, 30)
    (chunk,) = bedside.until_state(StreamState.LIVE)
    assert (chunk.gap, chunk.first_sample, chunk.n_samples) == (0, 20, 30)
    assert bedside.events[-3:] == ["lost", "live", "recovered"]
    assert bedside.fields("recovered") == {"gap": 0}
    assert len(bedside.world.inlets) == 1
    assert not bedside.world.inlets[0].closed


@pytest.mark.parametrize(
    ("uid", "silent_s", "grace_s"), [("a", 1.5, 1.0), ("a", 6.0, 0.0), ("b", 1.5, 0.0)]
)
def test_a_new_connection_is_used_where_it_delivers_first_and_the_silent_one_dropped(
    bedside, uid, silent_s, grace_s
):
    bedside.live()
    old = bedside.world.inlets[0]
    fall_silent(bedside)
    bedside.wait(silent_s - 1.5)
    bedside.world.put(uid)
    bedside.until_state(StreamState.WARMING)
    assert not old.closed
    bedside.give(120, 10)
    if grace_s:
        bedside.wait(grace_s - 0.1)
        bedside.clock.now += 0.2 * (bedside.source.state is StreamState.WARMING)
    (chunk,) = bedside.until_state(StreamState.LIVE)
    assert (chunk.gap, chunk.first_sample) == (100, 120)
    bedside.until(lambda: old.closed)
    assert not bedside.world.inlets[1].closed


def test_what_a_new_connection_holds_is_dropped_uncounted_where_the_silent_one_is_first(bedside):
    bedside.live()
    old = bedside.world.inlets[0]
    fall_silent(bedside)
    bedside.world.put("a")
    bedside.until_state(StreamState.WARMING)
    new = bedside.world.inlets[1]
    bedside.give(120, 10)
    bedside.give(20, 110, inlet=old)
    (chunk,) = bedside.until_state(StreamState.LIVE)
    assert (chunk.gap, chunk.first_sample, chunk.n_samples) == (0, 20, 110)
    bedside.until(lambda: new.closed)
    bedside.give(130, 10, inlet=old)
    (chunk,) = bedside.until(lambda: not old.given)
    assert (chunk.gap, chunk.first_sample) == (0, 130)
    assert bedside.source.counter.report.lost == 0
    assert bedside.source.counter.report.received == 140


@pytest.mark.parametrize("answers", [False, True])
def test_what_a_search_that_is_over_still_finds_or_not_is_nobodys_concern(bedside, answers):
    bedside.live()
    old, connect = bedside.world.inlets[0], bedside.world.connect
    connecting, go_on = threading.Event(), threading.Event()

    def slow(candidate):
        connecting.set()
        go_on.wait(DEADLINE_S)
        bedside.world.connect = connect
        if answers:
            return connect(candidate)
        raise StreamLostError("did not answer")

    bedside.world.connect = slow
    fall_silent(bedside)
    bedside.world.put("a")
    assert connecting.wait(DEADLINE_S)
    bedside.give(20, 30, inlet=old)
    bedside.until_state(StreamState.LIVE)
    fall_silent(bedside)
    go_on.set()
    bedside.wait(0.2)
    assert bedside.source.state is StreamState.LOST
    bedside.world.put("a")
    bedside.until_state(StreamState.WARMING)
    bedside.clock.now += 1.1
    bedside.give(120, 10)
    (chunk,) = bedside.until_state(StreamState.LIVE)
    assert chunk.gap == 70
    *others, newest = bedside.world.inlets
    bedside.until(lambda: all(inlet.closed for inlet in others))
    assert not newest.closed


def test_a_silent_connection_that_breaks_is_let_go_of_and_the_search_goes_on(bedside):
    bedside.live()
    fall_silent(bedside)
    bedside.world.inlets[0].gone = True
    bedside.source.pull(0.0)
    bedside.world.put("a")
    bedside.until_state(StreamState.WARMING)
    bedside.until(lambda: bedside.world.inlets[0].closed)


def test_a_sender_that_does_not_answer_is_tried_again(bedside):
    bedside.live()
    bedside.lose()
    bedside.world.put("b", silent=True)
    bedside.until(lambda: bedside.events.count("lost") > 1)
    bedside.world.silent = False
    bedside.until_state(StreamState.WARMING)


def test_channels_are_bound_by_label_at_every_reconnect():
    bedside = Bedside()
    bedside.live()
    bedside.lose()
    names = ("X", "A3", "A1", "A4")
    bedside.world.put("b", Montage(names, ("seeg",) * 4, SFREQ_HZ))
    bedside.until_state(StreamState.WARMING)
    data = brain_like(4, 30, SFREQ_HZ)
    bedside.world.inlets[-1].given.append(Chunk(data, 1001 + np.arange(30) / SFREQ_HZ))
    (chunk,) = bedside.until_state(StreamState.LIVE)
    np.testing.assert_array_equal(chunk.data[[0, 2, 3]], data[[2, 1, 3]])
    assert np.isnan(chunk.data[1]).all()
    assert bedside.fields("connected")["missing"] == ["A2"]
    bedside.source.close()


def test_a_montage_other_than_the_requirements_is_refused():
    with pytest.raises(MontageError, match="make both from one bundle"):
        Bedside(montage=montage_of(3, SFREQ_HZ))
