"""What a session opens: whether a stream that is absent ends it or is waited for."""

import pytest

from rtbrain.config import DecodeSettings, StreamSettings
from rtbrain.errors import StreamError
from rtbrain.live import source
from rtbrain.live.source import patiently
from rtbrain.live.supervision.turn import Turn

SETTINGS = DecodeSettings(stream=StreamSettings(name="amp"))


def opened(supervised, monkeypatch):
    monkeypatch.setattr(source, "_AGAIN_S", 0.0)
    asked_s, events = [], []

    def open_(settings):
        asked_s.append(settings.stream.timeout_s)
        if len(asked_s) < 3:
            raise StreamError("no stream 'amp'")
        return "the stream"

    def report(event, **fields):
        events.append((event, fields))

    turn = Turn(supervised=supervised)
    return patiently(open_, SETTINGS, report, lambda: False, turn), asked_s, events


def test_under_a_supervisor_a_stream_that_is_absent_is_said_and_waited_for(monkeypatch):
    found, asked_s, events = opened(True, monkeypatch)
    assert found == "the stream"
    assert asked_s[0] == SETTINGS.stream.timeout_s
    assert min(asked_s[1:]) > 1e6
    assert events == [("waiting", {"reason": "no stream 'amp'"})] * 2


def test_without_one_it_ends_the_session(monkeypatch):
    with pytest.raises(StreamError, match="amp"):
        opened(False, monkeypatch)
