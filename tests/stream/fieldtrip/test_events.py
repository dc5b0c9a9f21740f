"""Events of a FieldTrip buffer are markers at the very stamps of the samples that they name."""

import numpy as np
import pytest

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from rtbrain.config import StreamSettings
from rtbrain.errors import SettingsError
from rtbrain.stream.fieldtrip.connection import BufferEvent, BufferEvents
from rtbrain.stream.fieldtrip.events import BufferMarkers
from rtbrain.stream.fieldtrip.source import FieldTripSource, open_source
from tests.conftest import brain_like, montage_of

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


@pytest.mark.parametrize(
    ("trigger", "high", "texts"),
    [("TRIG", 7, ["7", "2"]), ("DC:0xF", 18, ["2", "2"]), ("DC:1.5mV", 2000, ["DC", "DC"])],
)
def test_codes_of_a_trigger_channel_are_the_markers(server, trigger, high, texts):
    server.put_header(4, SFREQ_HZ, names=("A1", "A2", "A3", trigger.split(":")[0]))
    address = f"127.0.0.1:{server.port}"
    settings = StreamSettings(fieldtrip=address, trigger=trigger)
    source = open_source(address, settings, ignore, lambda: False)
    source.pull(0.0)
    data = brain_like(4, 500, SFREQ_HZ)
    data[3] = 0
    data[3, 100:150] = high
    data[3, 300:350] = 2000 if "mV" in trigger else 2
    server.put_event("stimulus", "of the buffer", 10)
    server.put(data)
    stamps, markers = pulled(source, 500)
    source.close()
    assert markers == list(zip(stamps[[100, 300]], texts, strict=True))


def test_codes_are_no_voltage_in_any_unit(server):
    server.put_header(4, SFREQ_HZ, names=("A1", "A2", "A3", "TRIG"))
    source = FieldTripSource("127.0.0.1", server.port, on_event=ignore, unit="volts")
    source.pull(0.0)
    server.put(np.full((4, 100), 3, np.float32))
    chunk = source.pull(5.0)
    source.close()
    assert chunk.data[:, 0].tolist() == [3e6, 3e6, 3e6, 3]


def test_a_trigger_channel_that_is_not_there_is_refused(server):
    with pytest.raises(SettingsError, match="no channel fits 'TRIG'"):
        FieldTripSource("127.0.0.1", server.port, on_event=ignore, trigger="TRIG")
