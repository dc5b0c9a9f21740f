"""Events of a FieldTrip buffer are markers at the very stamps of the samples that they name."""

import numpy as np
import pytest

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from rtbrain.stream.fieldtrip.connection import BufferEvent, BufferEvents
from rtbrain.stream.fieldtrip.events import BufferMarkers
from rtbrain.stream.fieldtrip.source import FieldTripSource
from tests.conftest import montage_of

SFREQ_HZ = 512.0


def ignore(event, **fields):
    pass


@pytest.fixture
def server():
    server = FieldTripServer()
    server.put_header(4, SFREQ_HZ, names=montage_of(4, SFREQ_HZ).names)
    yield server
    server.stop()


def pulled(source, n_samples):
    """Chunks and markers, until so many samples came."""
    chunks, markers = [], []
    for _ in range(500):
        chunk = source.pull(0.05)
        markers += source.markers(0.0)
        chunks += [chunk] if chunk.n_samples else []
        if sum(one.n_samples for one in chunks) >= n_samples:
            break
    # Those that were put after their samples.
    for _ in range(4):
        source.pull(0.1)
        markers += source.markers(0.0)
    return np.concatenate([one.timestamps for one in chunks]), markers


def test_an_event_has_the_stamp_of_its_sample_whether_it_comes_before_or_after_it(server):
    server.put_event("old", "gone", 3)
    server.put(np.zeros((4, 1000), np.float32))
    source = FieldTripSource("127.0.0.1", server.port, on_event=ignore)
    source.pull(0.0)
    server.put_event("stimulus", "left", 1000 + 700)
    server.put(np.zeros((4, 600), np.float32))
    server.put_event("stimulus", 7, 1000 + 12)
    server.put_event("response", "", 1000)
    server.put(np.zeros((4, 200), np.float32))
    stamps, markers = pulled(source, 800)
    source.close()
    assert sorted(markers) == [(stamps[0], "response"), (stamps[12], "7"), (stamps[700], "left")]


def test_events_that_the_buffer_no_longer_holds_are_counted(server):
    said = []
    source = FieldTripSource(
        "127.0.0.1", server.port, on_event=lambda event, **fields: said.append((event, fields))
    )
    source.pull(0.0)
    for number in range(130):
        server.put_event("n", number, number)
    server.put(np.zeros((4, 130), np.float32))
    _, markers = pulled(source, 130)
    source.close()
    skipped = sum(fields["events"] for event, fields in said if event == "markers_skipped")
    assert len(markers) + skipped == 130
    assert [text for _, text in markers] == [str(number) for number in range(skipped, 130)]


def test_an_event_of_a_lost_sample_or_of_none_that_will_come_is_given_by_the_nominal_rate():
    markers = BufferMarkers(100.0, ignore)
    markers.stamped(0, 50 + np.arange(10) / 100)
    markers.stamped(30, 50.31 + np.arange(10) / 100)
    events = tuple(BufferEvent(number, str(number)) for number in (20, 45, 10**7))
    markers.take(BufferEvents(0, 3, events), base=0, n_there=40)
    due = markers.due(40)
    assert [text for _, text in due] == ["20", str(10**7)]
    np.testing.assert_allclose([t for t, _ in due], [50.2, 50.31 + (10**7 - 30) / 100])
    assert [text for _, text in markers.due(46)] == ["45"]
