"""What an LSL query finds: one watcher for good, and a stream that is asked for by itself."""

from dataclasses import replace
from types import SimpleNamespace

import pylsl
import pytest

from rtbrain.errors import StreamError
from rtbrain.stream.lsl import inlet
from rtbrain.stream.supervise import query
from rtbrain.stream.supervise.query import LslStreamQuery


def info(uid, name="amp"):
    return SimpleNamespace(
        uid=lambda: uid,
        name=lambda: name,
        type=lambda: "EEG",
        source_id=lambda: "one",
        hostname=lambda: "host",
        channel_count=lambda: 4,
        nominal_srate=lambda: 512.0,
        channel_format=lambda: 1,
    )


class Watcher:
    """A watcher whose answers the test gives."""

    def __init__(self):
        self.error, self.there = "", {}
        self.n_made = 0

    def __call__(self):
        self.n_made += 1
        return self

    def look(self):
        return [info(uid, name) for uid, (name, _) in self.there.items()]

    def seen_s(self, uid):
        return self.there[uid][1]


@pytest.fixture
def watcher(monkeypatch):
    made = Watcher()
    monkeypatch.setattr(query, "StreamWatcher", made)
    return made


def test_one_watcher_serves_a_query_for_good_and_says_how_long_each_stream_has_been_there(watcher):
    amp = LslStreamQuery(name="amp")
    watcher.there = {"a": ("amp", 0.5), "b": ("amp", 40.0), "c": ("other", 40.0)}
    for _ in range(3):
        assert [(one.uid, one.seen_s) for one in amp.all()] == [("a", 0.5), ("b", 40.0)]
    assert watcher.n_made == 1


def test_that_liblsl_cannot_look_is_an_error_only_where_nothing_is_known(watcher):
    amp = LslStreamQuery(name="amp")
    watcher.error = "no socket"
    with pytest.raises(StreamError, match="cannot look for streams now: no socket"):
        amp.all()
    watcher.there = {"a": ("amp", 2.0)}
    assert [one.uid for one in amp.all()] == ["a"]


def test_a_stream_is_asked_for_by_its_uid_and_taken_from_where_it_answers_now(watcher, monkeypatch):
    asked, answers = [], []
    monkeypatch.setattr(pylsl, "resolve_bypred", lambda *given: asked.append(given) or answers)
    amp = LslStreamQuery(name="amp")
    watcher.there = {"5b1c-e": ("amp", 9.0)}
    (before,) = amp.all()
    assert amp.again(before, 0.3) is None
    answers.append(info("5b1c-e"))
    after = amp.again(before, 0.3)
    assert after.uid == "5b1c-e"
    assert after.handle is answers[0]
    assert asked == [("uid='5b1c-e'", 1, 0.3)] * 2


@pytest.mark.parametrize("uid", ["a' or '1'='1", "", "a\n", "ü"])
def test_a_uid_that_is_none_is_never_put_into_a_query(watcher, monkeypatch, uid):
    monkeypatch.setattr(pylsl, "resolve_bypred", lambda *_: pytest.fail("asked"))
    watcher.there = {uid: ("amp", 9.0)}
    amp = LslStreamQuery(name="amp")
    (before,) = amp.all()
    assert amp.again(before, 0.3) is None


def test_a_failure_of_liblsl_is_no_answer(watcher, monkeypatch):
    def fails(*_):
        raise RuntimeError("no socket")

    monkeypatch.setattr(pylsl, "resolve_bypred", fails)
    watcher.there = {"a": ("amp", 9.0)}
    amp = LslStreamQuery(name="amp")
    assert amp.again(amp.all()[0], 0.3) is None


def test_a_clock_is_measured_while_others_may_show_themselves_and_of_the_stream_that_is_taken(
    watcher, monkeypatch
):
    made, measured, looks = [], [], iter("aabbb")

    def look():
        watcher.there = dict.fromkeys(next(looks), ("amp", 0.0))
        return [info(uid) for uid in watcher.there]

    def making(found):
        made.append(found.uid())
        return f"inlet {len(made)} of {found.uid()}"

    monkeypatch.setattr(watcher, "look", look)
    monkeypatch.setattr(watcher, "is_settled", lambda uid: len(made) >= 2, raising=False)
    monkeypatch.setattr(query, "signal_inlet", making)
    monkeypatch.setattr(query, "measure_clock", measured.append)
    monkeypatch.setattr(query, "LslSource", lambda found, **given: (found.uid(), given["inlet"]))
    amp = LslStreamQuery(name="amp")
    found = amp.only(5.0, lambda: False)
    assert made == ["a", "b"]
    assert measured == ["inlet 1 of a", "inlet 2 of b"]
    assert amp.connect(found) == ("b", "inlet 2 of b")
    assert amp.connect(found) == ("b", None)  # another time, by an inlet of its own
    other = replace(amp.only(5.0, lambda: False), uid="c", handle=info("c"))
    assert amp.connect(other) == ("c", None)


def test_a_stream_that_no_inlet_can_be_made_of_is_refused_when_it_is_connected_to(
    watcher, monkeypatch
):
    def refusing(found, *_):
        raise StreamError("it claims a million channels")

    watcher.there = {"a": ("amp", 2.0)}
    monkeypatch.setattr(watcher, "is_settled", lambda uid: True, raising=False)
    monkeypatch.setattr(query, "signal_inlet", refusing)
    monkeypatch.setattr(inlet, "signal_inlet", refusing)
    amp = LslStreamQuery(name="amp")
    found = amp.only(5.0, lambda: False)
    with pytest.raises(StreamError, match="a million channels"):
        amp.connect(found)
