"""Which stream a supervised source takes where several match, others come, or liblsl fails."""

import dataclasses
import time

import pytest

from rtbrain.errors import StreamError, StreamLostError
from rtbrain.stream.supervise.states import StreamState
from tests.conftest import montage_of, wait_until
from tests.stream.supervise.bedside import REQUIREMENTS, SFREQ_HZ, Bedside

ACCEPTING = dataclasses.replace(REQUIREMENTS, accept_other_source=True)


@pytest.fixture
def bedside():
    made = Bedside()
    yield made
    made.source.close()


@pytest.fixture
def accepting():
    made = Bedside(requirements=ACCEPTING)
    yield made
    made.source.close()


def test_another_sender_is_refused_once_after_a_loss_and_the_first_one_taken_beside_it(bedside):
    bedside.live()
    bedside.lose()
    bedside.world.put("b", source_id="other")
    bedside.until_state(StreamState.REFUSED)
    why = bedside.fields("refused")["reason"]
    assert "comes from source_id 'other', decoding began with 'amplifier'" in why
    assert "accept_other_source: true" in why
    assert len(bedside.world.inlets) == 1
    bedside.world.put("c")
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[-1].uid == "c"
    assert bedside.events.count("refused") == 1


def test_another_sender_is_taken_and_told_where_the_settings_accept_it(accepting):
    accepting.live()
    accepting.lose()
    accepting.world.put("b", source_id="other")
    accepting.until_state(StreamState.WARMING)
    notes = accepting.fields("connected")["notes"]
    assert notes[1:] == ["the source_id is 'other', it was 'amplifier'"]


def test_a_sender_without_a_source_id_is_taken_and_the_one_before_it_still_expected(bedside):
    bedside.live()
    for uid, source_id in (("b", ""), ("c", "other")):
        bedside.lose()
        bedside.world.put(uid, source_id=source_id)
        bedside.until(lambda: bedside.source.state in {StreamState.WARMING, StreamState.REFUSED})
        if bedside.source.state is StreamState.WARMING:
            bedside.give(1000)
            bedside.until_state(StreamState.LIVE)
    assert [inlet.uid for inlet in bedside.world.inlets] == ["a", "b"]
    assert "'other', decoding began with 'amplifier'" in bedside.fields("refused")["reason"]


@pytest.mark.parametrize("seen", ["before the first pull", "live"])
def test_a_second_stream_that_is_seen_late_is_an_error_and_nothing_is_given_until_one_is_left(
    bedside, seen
):
    if seen == "live":
        bedside.live()
    else:
        bedside.world.put("a")
        bedside.source.connect(1.0)
    bedside.world.put("b", source_id="other")
    with pytest.raises(StreamError, match=r"on-a.*on-b"):
        bedside.until(lambda: "refused" in bedside.events)
    assert bedside.source.state is StreamState.REFUSED
    del bedside.world.there["a"]
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[0].closed
    assert bedside.fields("connected")["source_id"] == "other"
    assert bedside.events.count("refused") == 1


def test_after_a_loss_a_second_stream_that_is_seen_late_is_refused_and_no_error(bedside):
    bedside.live()
    bedside.lose()
    bedside.world.put("b")
    bedside.until_state(StreamState.WARMING)
    bedside.give(1000)
    bedside.until_state(StreamState.LIVE)
    bedside.world.put("stranger", source_id="other")
    bedside.world.put("c")
    bedside.until(lambda: bedside.events.count("refused") == 2)
    ambiguous, other = [fields["reason"] for event, fields in bedside.told if event == "refused"]
    assert "on-b" in ambiguous
    assert "on-c" in ambiguous
    assert "stranger" not in ambiguous
    assert "accept_other_source" in other
    bedside.world.there.pop("b")
    bedside.until_state(StreamState.WARMING)
    assert bedside.world.inlets[-1].uid == "c"


def failing(call, times, error=StreamLostError):
    """The call, after it failed some times as it does where liblsl has no room or no socket."""

    def wrapped(*args):
        nonlocal times
        times -= 1
        if times >= 0:
            raise error("liblsl cannot do it now: could not create it.")
        return call(*args)

    return wrapped


@pytest.mark.parametrize("event", ["search_failed", "lost"])
def test_what_liblsl_cannot_do_after_a_loss_is_told_and_tried_again(bedside, event):
    bedside.live()
    bedside.lose()
    told = bedside.events.count(event)
    name, error = ("all", StreamError) if event == "search_failed" else ("connect", StreamLostError)
    setattr(bedside.world, name, failing(getattr(bedside.world, name), 2, error))
    bedside.world.put("b")
    bedside.until_state(StreamState.WARMING)
    assert bedside.events.count(event) == told + 2
    assert "could not create" in bedside.fields(event)["reason"]


def test_an_attempt_that_took_long_is_followed_by_the_next_at_once(bedside, monkeypatch):
    monkeypatch.setattr("rtbrain.stream.supervise.connection._FIRST_PAUSE_S", 0.6)
    connect, ends, begins = bedside.world.connect, [], []

    def slow(candidate):
        begins.append(time.monotonic())
        if len(begins) > 1:
            return connect(candidate)
        bedside.world.go.wait(0.7)  # as where the network drops what is sent
        ends.append(time.monotonic())
        raise StreamLostError("did not answer")

    bedside.live()
    bedside.lose()
    bedside.world.connect = slow
    bedside.world.put("b")
    bedside.until_state(StreamState.WARMING)
    assert begins[1] - ends[0] < 0.5


def test_a_data_connection_that_liblsl_cannot_open_is_told_and_tried_again(bedside):
    connect = bedside.world.connect

    def unopened(candidate):
        inlet = connect(candidate)
        inlet.open = failing(inlet.open, len(bedside.world.inlets) == 1)
        return inlet

    bedside.world.connect = unopened
    bedside.world.put("a")
    bedside.source.connect(1.0)
    bedside.until_state(StreamState.WARMING)
    assert [inlet.closed for inlet in bedside.world.inlets] == [True, False]
    assert bedside.fields("waiting")["reason"] == "liblsl cannot do it now: could not create it."


@pytest.mark.parametrize("name", ["all", "again", "connect"])
def test_a_fault_of_liblsl_that_nobody_expected_is_told_and_the_search_goes_on(bedside, name):
    bedside.live()
    bedside.lose()
    setattr(bedside.world, name, failing(getattr(bedside.world, name), 1, RuntimeError))
    bedside.world.put("b")
    bedside.until_state(StreamState.WARMING)
    assert "tried again: liblsl cannot do it now" in bedside.fields("search_failed")["reason"]


@pytest.mark.parametrize("name", ["only", "connect"])
def test_what_liblsl_cannot_do_at_first_connect_is_an_error(bedside, name):
    bedside.world.put("a")
    setattr(bedside.world, name, failing(getattr(bedside.world, name), 1))
    with pytest.raises(StreamError, match="could not create it"):
        bedside.source.connect(1.0)
    assert bedside.source.connect(1.0)


def test_refused_streams_are_remembered_in_bounded_memory(bedside):
    bedside.live()
    bedside.lose()
    wrong = montage_of(4, SFREQ_HZ)
    for number in range(300):
        bedside.world.put(f"wrong-{number}", wrong, source_id=f"other-{number}")
    # More than are remembered: the oldest are judged, and refused, anew.
    bedside.until(lambda: sum("'other-0'" in str(told) for told in bedside.told) > 1)
    assert len(bedside.world.inlets) == 1


def test_what_is_found_before_connect_is_reported_and_opened_only_then(bedside):
    bedside.world.put("a")
    bedside.source.find(5.0)
    wait_until(lambda: bedside.world.inlets)
    assert (bedside.events, bedside.world.inlets[0].opened_in) == ([], None)
    chunk = bedside.live()
    assert bedside.events == ["waiting", "connecting", "connected", "warming", "live"]
    assert (chunk.first_sample, len(bedside.world.inlets)) == (0, 1)


def test_two_that_match_are_an_error_of_connect_whenever_the_search_began(bedside):
    for uid in "ab":
        bedside.world.put(uid)
    bedside.source.find(5.0)
    wait_until(lambda: not bedside.source._worker.events.empty())
    assert bedside.events == []
    with pytest.raises(StreamError, match=r"on-a.*on-b"):
        bedside.source.connect(5.0)
    assert bedside.world.inlets == []
