"""A FieldTrip buffer arrives on LSL sample by sample, and its events at the stamps they name."""

import threading
import time
from uuid import uuid4

import numpy as np
import pylsl
import pytest

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from rtbrain.errors import SettingsError
from rtbrain.live.bridge import BridgeCounts, bridge
from rtbrain.outlet import SignalOutlet
from rtbrain.stream.fieldtrip.source import FieldTripSource
from tests.apps.program import refused, rtbrain
from tests.conftest import brain_like, montage_of
from tests.stream.receiving import find, lsl_source

pytestmark = pytest.mark.lsl

SFREQ_HZ = 512.0
MONTAGE = montage_of(4, SFREQ_HZ)


def ignore(event, **fields):
    pass


@pytest.fixture
def server():
    server = FieldTripServer()
    server.put_header(4, SFREQ_HZ, names=MONTAGE.names)
    yield server
    server.stop()


def test_samples_labels_and_events_are_those_of_the_buffer(server):
    name = f"ward-{uuid4().hex}"
    source = FieldTripSource("127.0.0.1", server.port, on_event=ignore)
    sent = BridgeCounts()
    stop = threading.Event()

    def run():
        nonlocal sent
        sent = bridge(source, name, stop=stop.is_set)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        montage = lsl_source(name=name).montage
        assert montage.names == MONTAGE.names
        assert set(montage.kinds) == {"eeg"}
        # Plain inlets: the stamps as sent, without two measurements of the sender's clock.
        signal = pylsl.StreamInlet(find(name=name), recover=False)
        markers = pylsl.StreamInlet(find(name=f"{name}-markers"), recover=False)
        for inlet in (signal, markers):
            inlet.open_stream(20)
        data = brain_like(4, 1000, SFREQ_HZ)
        for at in range(0, 1000, 100):
            server.put_event("cue", "go", at + 50)
            server.put(data[:, at : at + 100])
        samples, stamps, cues = [], [], []
        end = time.monotonic() + 20
        while (len(samples), len(cues)) != (1000, 10):
            assert time.monotonic() < end, (len(samples), cues)
            more, of_more = signal.pull_chunk(timeout=0.05)
            samples += more
            stamps += of_more
            cues += zip(*reversed(markers.pull_chunk(timeout=0.0)), strict=True)
        np.testing.assert_array_equal(np.array(samples, np.float32).T, data)
        np.testing.assert_allclose([t for t, _ in cues], stamps[50::100], atol=1e-6)
        assert {text for _, (text,) in cues} == {"go"}
    finally:
        stop.set()
        thread.join()
        source.close()
    assert (sent.n_samples, sent.n_markers, sent.n_lost) == (1000, 10, 0)


def test_a_name_that_is_taken_and_what_cannot_be_bridged_is_a_mistake(server):
    name = f"ward-{uuid4().hex}"
    taken = SignalOutlet(name, MONTAGE, source_id=name, origin="synthetic")
    source = FieldTripSource("127.0.0.1", server.port, on_event=ignore)
    with pytest.raises(SettingsError, match=f"there is a stream {name} already"):
        bridge(source, name, stop=lambda: False)
    source.close()
    taken.close()
    assert "expected fieldtrip or mne-client" in refused("bridge", "fieldtrop", "127.0.0.1:9")
    assert "fieldtrip" in refused("bridge", "fieldtrip", "nowhere")
    absent = refused("bridge", "fieldtrip", "127.0.0.1:9", "--timeout", "0.2")
    assert "127.0.0.1:9 does not answer" in absent


def test_the_command_says_what_it_sent_and_what_it_assumed(server):
    server.put_header(4, SFREQ_HZ)
    flags = ("--name", f"ward-{uuid4().hex}", "--names", "A1,A2,A3,A4", "--duration", "0.2")
    done = rtbrain("bridge", "fieldtrip", f"127.0.0.1:{server.port}", *flags)
    assert done.returncode == 0
    assert "does not say what kind" in done.stderr
    assert "0 samples and 0 markers sent, 0 samples lost" in done.stderr
