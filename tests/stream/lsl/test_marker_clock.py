"""Markers over LSL that are stamped by another clock than LSL's."""

import time
from uuid import uuid4

import pylsl
import pytest

from rtbrain.stream.lsl.inlet import lsl_clock
from rtbrain.stream.lsl.supervised_markers import SupervisedMarkers

pytestmark = pytest.mark.lsl


def test_markers_in_unix_time_are_dated_by_their_arrival_and_reported_once() -> None:
    name = f"markers-{uuid4().hex}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, "string", name))
    events: list[tuple[str, str]] = []
    markers = SupervisedMarkers(
        name,
        timeout_s=20,
        on_event=lambda event, **fields: events.append((event, *fields.values())),
    )
    try:
        assert outlet.wait_for_consumers(20)
        for word in ("rest", "go"):
            sent_s = lsl_clock()
            outlet.push_sample([word], time.time())
            got: list[tuple[float, str]] = []
            while not got:
                got = markers.pull(0.2)
            ((at_s, text),) = got
            assert text == word
            assert sent_s - 0.01 <= at_s <= lsl_clock()
    finally:
        markers.close()
    assert [event for event, _ in events] == ["markers_clock"]
    assert "are Unix time" in events[0][1]
