"""Samples of a FieldTrip buffer, over real TCP, are what was put into it; what is lost is told."""

import socket
import struct
import threading
import time

import numpy as np
import pytest

from rtbrain.check.faults.fieldtrip_buffer import CHUNK_RESOLUTIONS, FieldTripServer
from rtbrain.stream.lsl.inlet import lsl_clock
from tests.conftest import brain_like
from tests.stream.fieldtrip.conftest import MONTAGE, SFREQ_HZ, made


class Reader:
    """A source, what it said, and what came: pulls until a condition holds."""

    def __init__(self, server, **settings):
        self.events = []
        self.source = made(port=server.port, on_event=self.tell, **settings)
        self.chunks = []
        assert self.source.pull(0.0).n_samples == 0

    def tell(self, event, **fields):
        if event != "live":
            self.events.append((event, fields))
        self.live = event in ("live", "recovered")

    def until(self, n_samples=None, event=None, timeout_s=10.0):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if n_samples is not None and sum(one.n_samples for one in self.chunks) >= n_samples:
                return
            if event is not None and event in [name for name, _ in self.events]:
                return
            chunk = self.source.pull(0.02)
            if chunk.n_samples:
                self.chunks.append(chunk)
        pytest.fail(f"{n_samples} {event} did not come: {self.events}")

    def pull_rest(self):
        while (chunk := self.source.pull(0.2)).n_samples:
            self.chunks.append(chunk)

    @property
    def data(self):
        return np.concatenate([chunk.data for chunk in self.chunks], axis=1)

    @property
    def stamps(self):
        return np.concatenate([chunk.timestamps for chunk in self.chunks])


def put_in_pieces(server, data, seed=0):
    rng = np.random.default_rng(seed)
    while data.shape[1]:
        n = int(rng.integers(1, 700))
        server.put(data[:, :n])
        data = data[:, n:]


def restarted(server, names=MONTAGE.names, rate_hz=SFREQ_HZ):
    """Another server on the port of one that was stopped."""
    server.stop()
    again = FieldTripServer(port=server.port)
    again.put_header(len(names), rate_hz, names=names)
    return again


def test_labels_rate_and_samples_are_those_put(server):
    reader = Reader(server)
    assert reader.source.montage.names == MONTAGE.names
    assert reader.source.montage.sfreq_hz == SFREQ_HZ
    assert reader.source.montage.kinds == ("eeg",) * 4
    assert len(reader.source.notes) == 1
    data = brain_like(4, 5000, SFREQ_HZ)
    put_in_pieces(server, data)
    reader.until(n_samples=5000)
    np.testing.assert_array_equal(reader.data, data)
    assert [chunk.gap for chunk in reader.chunks] == [0] * len(reader.chunks)
    edges = np.cumsum([0] + [chunk.n_samples for chunk in reader.chunks])
    assert [chunk.first_sample for chunk in reader.chunks] == edges[:-1].tolist()
    reader.source.close()
    reader.source.close()
    assert reader.source.pull(0.0) is None


def test_samples_put_before_the_first_pull_are_not_given(server):
    server.put(brain_like(4, 900, SFREQ_HZ))
    source = made(port=server.port)
    server.put(np.zeros((4, 100), np.float32))
    assert source.pull(0.0).n_samples == 0
    server.put(np.full((4, 3), 7, np.float32))
    chunk = source.pull(5.0)
    assert chunk.n_samples == 3
    assert chunk.first_sample == 0
    assert (chunk.data == 7).all()
    source.close()


@pytest.mark.parametrize(
    ("dtype", "unit", "factor"), [("f8", "volts", 1e6), ("i2", "nV", 1e-3), ("u4", "uV", 1.0)]
)
def test_every_number_type_is_read_in_the_unit_told(server, dtype, unit, factor):
    server.put_header(2, SFREQ_HZ, names=("x", "y"), dtype=dtype)
    reader = Reader(server, unit=unit)
    sent = np.arange(20).reshape(2, 10).astype(dtype)
    server.put(sent)
    reader.until(n_samples=10)
    np.testing.assert_allclose(reader.data, sent * factor, rtol=1e-6)


def test_resolutions_scale_integers(server):
    steps = struct.pack("dd", 0.5, 0.25)
    server.put_header(2, 512.0, names=("x", "y"), dtype="i2", chunks=[(CHUNK_RESOLUTIONS, steps)])
    reader = Reader(server)
    assert not any("resolution" in note for note in reader.source.notes)
    server.put(np.array([[2, 4], [8, 16]], "i2"))
    reader.until(n_samples=2)
    np.testing.assert_array_equal(reader.data, [[1, 2], [2, 4]])


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux has TCP_QUICKACK")
def test_no_answer_waits_for_a_late_acknowledgement():
    """The body of each answer waits for its head's, which the kernel gives after 40 ms."""
    server = FieldTripServer()
    server.put_header(64, SFREQ_HZ)
    reader = Reader(server)
    took_s = []
    for number in range(1, 41):
        start = time.monotonic()
        server.put(np.zeros((64, 32), np.float32))
        reader.until(n_samples=32 * number)
        took_s.append(time.monotonic() - start)
    assert np.median(took_s) < 0.03
    server.stop()


def test_resolutions_that_are_no_numbers_are_not_used_and_told(server):
    steps = struct.pack("<dd", 0.5, 0.0)
    server.put_header(2, 512.0, names=("x", "y"), dtype="i2", chunks=[(CHUNK_RESOLUTIONS, steps)])
    reader = Reader(server)
    assert any("0 or not finite" in note for note in reader.source.notes)


def test_a_drain_asks_for_later_samples_only_where_there_must_be_some(server):
    """An answer takes two round trips: a loop that asks once more has lost the next window."""
    reader = Reader(server)
    server.put(np.ones((4, 100), np.float32))
    reader.until(n_samples=100)
    start = time.monotonic()
    assert reader.source.pull(0.0).n_samples == 0
    assert time.monotonic() - start < 0.05
    data = brain_like(4, 3 * 2048, SFREQ_HZ)
    server.put(data)
    time.sleep(0.4)  # as a decoder that is late: what was put since is no longer what is newest
    server.put(data)
    chunk = reader.source.pull(0.1)
    n_drained = chunk.n_samples
    while chunk.n_samples:
        chunk = reader.source.pull(0.0)
        n_drained += chunk.n_samples
    assert n_drained == 6 * 2048


def test_stamps_are_no_later_than_now_and_rise(server):
    reader = Reader(server)
    for _ in range(40):
        server.put(np.zeros((4, 32), np.float32))
        n_before = len(reader.chunks)
        reader.until(n_samples=32 * (n_before + 1))
        assert reader.chunks[-1].timestamps[-1] <= lsl_clock()
    assert (np.diff(reader.stamps) > 0).all()


def test_killed_and_restarted_is_lost_and_recovered_with_a_gap_by_the_clock(server):
    reader = Reader(server)
    server.put(np.ones((4, 500), np.float32))
    reader.until(n_samples=500)
    last = lsl_clock()
    server.stop()
    reader.until(event="lost")
    assert reader.source.pull(0.0).n_samples == 0
    assert reader.source.pull(0.0).first_sample == 500
    again = restarted(server)
    again.put(np.zeros((4, 30), np.float32))
    while reader.source._link is None:
        assert reader.source.pull(0.02).n_samples == 0
    away_s = lsl_clock() - last
    again.put(np.full((4, 40), 2, np.float32))
    reader.until(event="recovered")
    first = reader.source.pull(0.0) if len(reader.chunks) < 2 else reader.chunks[-1]
    assert (first.data == 2).all()
    assert first.first_sample == 500 + first.gap
    assert first.gap == pytest.approx(away_s * SFREQ_HZ - 40, abs=0.05 * SFREQ_HZ)
    assert away_s > 0.05
    assert [name for name, _ in reader.events] == ["lost", "recovered"]
    assert reader.events[-1][1] == {"lost": first.gap}
    assert first.timestamps[-1] <= lsl_clock()
    again.stop()


def test_a_broken_connection_to_the_same_buffer_loses_nothing(server):
    reader = Reader(server)
    data = brain_like(4, 900, SFREQ_HZ)
    data[1, 490:500] = np.nan
    server.put(data[:, :500])
    reader.until(n_samples=500)
    server.hang_up()
    assert reader.live
    reader.until(event="lost")
    assert not reader.live
    server.put(data[:, 500:])
    reader.until(n_samples=900)
    np.testing.assert_array_equal(reader.data, data)
    assert [chunk.gap for chunk in reader.chunks] == [0] * len(reader.chunks)
    assert reader.events[-1] == ("recovered", {"lost": 0})
    assert reader.live


def test_a_count_that_jumps_to_the_largest_number_there_is_is_a_loss(server):
    reader = Reader(server)
    server.put(np.ones((4, 500), np.float32))
    reader.until(n_samples=500)
    server.n_samples = 2**32 - 1
    reader.until(event="lost")
    assert "jumped to 4294967295 samples" in reader.events[-1][1]["reason"]
    again = restarted(server)
    end = time.monotonic() + 10
    while reader.events[-1][0] != "recovered" and time.monotonic() < end:
        again.put(np.ones((4, 40), np.float32))
        reader.source.pull(0.02)
    assert reader.events[-1][0] == "recovered"
    again.stop()


def test_another_rate_is_refused_until_the_right_one_is_back(server):
    reader = Reader(server)
    again = restarted(server, rate_hz=1000.0)
    again.put(np.ones((4, 500), np.float32))
    reader.until(event="refused")
    (reason,) = [fields["reason"] for name, fields in reader.events if name == "refused"]
    assert "1000 Hz" in reason
    assert "2048" in reason
    again = restarted(again)
    end = time.monotonic() + 10
    while not reader.chunks and time.monotonic() < end:
        again.put(np.ones((4, 5), np.float32))
        chunk = reader.source.pull(0.02)
        if chunk.n_samples:
            reader.chunks.append(chunk)
    assert [name for name, _ in reader.events] == ["lost", "refused", "recovered"]
    again.stop()


def test_a_rate_within_the_tolerance_is_told_and_read_on(server):
    reader = Reader(server)
    again = restarted(server, rate_hz=2050.0)
    end = time.monotonic() + 10
    while not reader.chunks and time.monotonic() < end:
        again.put(np.ones((4, 5), np.float32))
        if (chunk := reader.source.pull(0.02)).n_samples:
            reader.chunks.append(chunk)
    assert [name for name, _ in reader.events] == ["lost", "connected", "recovered"]
    assert "2050 Hz, which is resampled to 2048 Hz" in reader.events[1][1]["notes"][0]
    again.stop()


def test_a_header_put_anew_is_checked_and_rebound_by_label(server):
    reader = Reader(server)
    server.put(np.ones((4, 100), np.float32))
    reader.until(n_samples=100)
    names = ("extra", *MONTAGE.names[::-1])
    server.put_header(5, SFREQ_HZ, names=names)
    reader.until(event="lost")
    while reader.source._link is None:
        reader.source.pull(0.02)
    server.put(np.arange(5, dtype=np.float32)[:, None])
    reader.until(n_samples=101)
    np.testing.assert_array_equal(reader.chunks[-1].data[:, 0], [4, 3, 2, 1])
    assert reader.chunks[-1].gap >= 1


def test_a_missing_channel_is_refused(server):
    reader = Reader(server)
    again = restarted(server, names=MONTAGE.names[:3])
    reader.until(event="refused")
    assert MONTAGE.names[3] in reader.events[-1][1]["reason"]
    again.stop()


def test_silence_is_told_and_what_it_cost_is_a_gap(server):
    reader = Reader(server)
    server.put(np.ones((4, 50), np.float32))
    reader.until(n_samples=50)
    last = lsl_clock()
    reader.until(event="lost")
    assert 1.0 <= lsl_clock() - last < 5
    silent_s = lsl_clock() - last
    server.put(np.ones((4, 40), np.float32))
    reader.until(n_samples=90)
    back = reader.chunks[-1]
    assert back.gap == pytest.approx(silent_s * SFREQ_HZ - 40, abs=0.1 * SFREQ_HZ)
    assert reader.events[-1] == ("recovered", {"lost": back.gap})


def test_close_ends_a_pull_in_another_thread(server):
    source = made(port=server.port)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(source.pull(60.0)))
    thread.start()
    source.close()
    thread.join(30)
    assert ended == [None]
