"""What is there is known without waiting, however liblsl's answers flicker or fail."""

from types import SimpleNamespace

import pylsl
import pytest

from rtbrain.errors import StreamError
from rtbrain.stream.lsl.resolve import StreamWatcher, resolve_one


def info(uid):
    return SimpleNamespace(uid=lambda: uid)


class Network:
    """What liblsl's resolver answers, on a clock that only the test moves."""

    def __init__(self):
        self.now, self.there, self.failures = 100.0, [], 0

    def results(self):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no socket")
        return [info(uid) for uid in self.there]

    def seen(self, watcher, after_s=0.0):
        """What is there after a time in which the watcher was asked every 0.1 s."""
        end = self.now + after_s
        while self.now < end:
            watcher.look()
            self.now += 0.1
        return {one.uid() for one in watcher.look()}


@pytest.fixture
def network(monkeypatch):
    made = Network()
    monkeypatch.setattr("rtbrain.stream.lsl.resolve.time.monotonic", lambda: made.now)
    monkeypatch.setattr(pylsl, "ContinuousResolver", lambda **_: made)
    return made


def test_a_stream_is_there_while_it_answers_and_for_a_flicker_after(network):
    watcher = StreamWatcher()
    assert network.seen(watcher) == set()
    network.there = ["a"]
    assert network.seen(watcher, 0.2) == {"a"}
    network.there = []
    assert network.seen(watcher, 0.8) == {"a"}
    assert watcher.n_misses("a") >= 7
    assert network.seen(watcher, 0.4) == set()
    network.there = ["a"]
    assert network.seen(watcher, 0.2) == {"a"}
    assert watcher.n_misses("a") == 0


def test_a_stream_is_settled_after_a_second_and_anew_where_it_was_away(network):
    watcher = StreamWatcher()
    network.there = ["a"]
    network.seen(watcher, 0.8)
    assert not watcher.is_settled("a")
    network.seen(watcher, 0.4)
    assert watcher.is_settled("a")
    network.there = []
    network.seen(watcher, 2.0)
    network.there = ["a"]
    network.seen(watcher, 0.2)
    assert not watcher.is_settled("a")
    assert not watcher.is_settled("b")


def test_a_stream_that_was_lost_is_left_out_until_nobody_announces_it_any_more(network):
    watcher = StreamWatcher()
    network.there = ["a", "b"]
    network.seen(watcher, 0.2)
    watcher.put_off("a")
    assert network.seen(watcher, 2.0) == {"b"}
    assert watcher.is_put_off("a")
    assert network.seen(watcher, 0.8) == {"a", "b"}


def test_refused_streams_are_left_out_in_bounded_memory(network):
    watcher = StreamWatcher()
    network.there = [str(number) for number in range(300)]
    for uid in network.there:
        watcher.refuse(uid)
    assert network.seen(watcher, 0.2) == set(network.there[:-256])


def test_streams_that_are_gone_are_forgotten(network):
    watcher = StreamWatcher()
    network.there = ["a"]
    network.seen(watcher, 0.2)
    network.there = []
    network.seen(watcher, 110.0)
    assert watcher.n_misses("a") == watcher.n_misses("never there")


def test_what_liblsl_cannot_do_is_reported_and_tried_again(network, monkeypatch):
    watcher = StreamWatcher()
    network.there, network.failures = ["a"], 2
    assert network.seen(watcher) == set()
    assert watcher.error == "no socket"
    assert network.seen(watcher, 1.2) == {"a"}
    assert watcher.error == ""


def test_the_network_is_queried_no_more_often_than_ten_times_a_second(network, monkeypatch):
    watcher, queries = StreamWatcher(), []
    results = network.results
    monkeypatch.setattr(network, "results", lambda: queries.append(network.now) or results())
    for _ in range(100):
        watcher.look()
    assert len(queries) == 1


class Announced(pylsl.StreamInfo):
    """A stream that somebody sends."""

    def uid(self):
        return self.name()


def test_what_a_decoder_sends_itself_is_not_offered_in_place_of_a_missing_signal():
    about = [("amp", "EEG"), ("ward-status", "Status"), ("ward-triggers", "Triggers")]
    about += [("ward-events", "Markers"), ("ward-marks", "Markers"), ("task", "Markers")]
    there = [Announced(name, kind, 1, 0.0, "string", name) for name, kind in about]
    with pytest.raises(StreamError) as refused:
        resolve_one({"name": "absent"}, 0.0, watcher=SimpleNamespace(look=lambda: there, error=""))
    offered = str(refused.value)
    assert "there are 'amp' (" in offered
    assert "'task' (" in offered
    assert "ward-" not in offered
