"""Markers of a live session are heard again when their sender is back, and of no other sender."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from uuid import uuid4

import pylsl
import pytest

from rtbrain.errors import StreamError
from rtbrain.outlet import MarkerOutlet
from rtbrain.stream.lsl.supervised_markers import SupervisedMarkers

pytestmark = pytest.mark.lsl

WITHIN_S = 30.0


class Listener:
    def __init__(self, name: str) -> None:
        self.told: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.markers = SupervisedMarkers(name, timeout_s=WITHIN_S, on_event=self.hear)

    def hear(self, event: str, **fields: str) -> None:
        (text,) = fields.values()
        self.told.append((event, text))

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WITHIN_S
        while not true():
            assert time.monotonic() < end, (self.told, self.texts)
            self.texts += [text for _, text in self.markers.pull(0.01)]

    def until_told(self, event: str) -> str:
        self.until(lambda: event in dict(self.told))
        return dict(self.told)[event]


def test_a_sender_that_goes_away_is_told_and_heard_again_when_it_is_back() -> None:
    name, source_id = f"task-{uuid4().hex}", uuid4().hex
    sender = MarkerOutlet(name, source_id=source_id)
    listener = Listener(name)
    try:
        sender.push("before", pylsl.local_clock())
        listener.until(lambda: listener.texts == ["before"])
        sender.close()
        assert name in listener.until_told("markers_lost")
        assert listener.markers.pull(0.0) == []

        other = MarkerOutlet(name, source_id=f"other-{source_id}")
        why = listener.until_told("markers_refused")
        assert f"'other-{source_id}'" in why
        assert f"source_id '{source_id}'" in why
        other.close()

        sender = MarkerOutlet(name, source_id=source_id)
        assert listener.until_told("markers_recovered") == name
        sender.push("after", pylsl.local_clock())
        listener.until(lambda: listener.texts == ["before", "after"])
        events = [event for event, _ in listener.told]
        assert events == ["markers_lost", "markers_refused", "markers_recovered"]
    finally:
        listener.markers.close()
        listener.markers.close()
    assert not sender.wait_for_listeners(0.0)
    assert listener.markers.pull(0.0) == []
    sender.close()


SENDER = """
import sys, time
from rtbrain.outlet import MarkerOutlet
sender = MarkerOutlet(sys.argv[1], source_id=sys.argv[1])
print("ready", flush=True)
time.sleep(600)
"""


def test_a_sender_that_fell_silent_without_a_word_is_heard_again_by_its_successor() -> None:
    name = f"task-{uuid4().hex}"
    command = [sys.executable, "-c", SENDER, name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline()
            listener = Listener(name)
            first.send_signal(signal.SIGSTOP)  # its connection stays, as where a host loses power
            sender = MarkerOutlet(name, source_id=name)
            assert listener.until_told("markers_recovered") == name
            sender.push("after", pylsl.local_clock())
            listener.until(lambda: listener.texts == ["after"])
            assert [event for event, _ in listener.told] == ["markers_recovered"]
        finally:
            first.kill()
    listener.markers.close()
    sender.close()


def test_two_that_could_be_the_sender_that_is_back_are_both_left_alone() -> None:
    name, source_id = f"task-{uuid4().hex}", uuid4().hex
    sender = MarkerOutlet(name, source_id=source_id)
    listener = Listener(name)
    try:
        sender.close()
        listener.until_told("markers_lost")
        twins = [MarkerOutlet(name, source_id=source_id) for _ in range(2)]
        assert listener.until_told("markers_refused").startswith("2 LSL streams have")
        twins.pop().close()
        listener.until_told("markers_recovered")
        twins.pop().close()
    finally:
        listener.markers.close()


def test_a_search_ends_with_its_listener() -> None:
    name = f"task-{uuid4().hex}"
    sender = MarkerOutlet(name, source_id=name)
    listener = Listener(name)
    sender.close()
    listener.until_told("markers_lost")
    assert "rtbrain-markers" in {thread.name for thread in threading.enumerate()}
    start = time.monotonic()
    listener.markers.close()
    assert time.monotonic() - start < 2
    assert "rtbrain-markers" not in {thread.name for thread in threading.enumerate()}


def test_markers_that_are_not_there_at_the_start_are_a_mistake() -> None:
    with pytest.raises(StreamError, match="no LSL stream with name 'nowhere"):
        SupervisedMarkers(f"nowhere-{uuid4().hex}", timeout_s=0.5, on_event=print)
