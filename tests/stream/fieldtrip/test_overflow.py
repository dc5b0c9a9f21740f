"""What a FieldTrip buffer's ring no longer holds is a gap, counted exactly."""

import threading

import numpy as np

from rtbrain.check.faults.fieldtrip_buffer import FieldTripServer
from tests.conftest import brain_like
from tests.stream.fieldtrip.test_source import MONTAGE, SFREQ_HZ, Reader


def test_overwritten_samples_are_a_gap_counted_exactly():
    server = FieldTripServer(ring_samples=1000)
    server.put_header(4, SFREQ_HZ, names=MONTAGE.names)
    reader = Reader(server)
    data = brain_like(4, 8000, SFREQ_HZ)
    server.put(data[:, :300])
    reader.until(n_samples=300)
    server.put(data[:, 300:])
    reader.until(n_samples=700)
    reader.pull_rest()
    # The oldest that are held are left out too, for they are about to be overwritten.
    gap = sum(chunk.gap for chunk in reader.chunks)
    assert 6700 <= gap < 7500
    assert gap + reader.data.shape[1] == 8000
    for chunk in reader.chunks:
        part = data[:, chunk.first_sample : chunk.first_sample + chunk.n_samples]
        np.testing.assert_array_equal(chunk.data, part)
    assert (np.diff(reader.stamps) > 0).all()
    reader.source.close()
    server.stop()


def test_a_writer_faster_than_the_ring_loses_samples_but_never_the_count():
    server = FieldTripServer(ring_samples=600)
    server.put_header(1, SFREQ_HZ, names=("n",))
    reader = Reader(server)
    stop = threading.Event()

    def write():
        start = 0
        while not stop.wait(0.002):
            for first in range(start, start + 1500, 100):
                server.put(np.arange(first, first + 100, dtype=np.float32)[None])
            start += 1500

    writer = threading.Thread(target=write)
    writer.start()
    reader.until(n_samples=3000)
    stop.set()
    writer.join()
    expected = 0
    for chunk in reader.chunks:
        assert chunk.first_sample == expected + chunk.gap
        numbers = chunk.first_sample + np.arange(chunk.n_samples)
        np.testing.assert_array_equal(chunk.data[0], numbers)
        expected = chunk.first_sample + chunk.n_samples
    assert sum(chunk.gap for chunk in reader.chunks) > 0
    reader.source.close()
    server.stop()
