import threading
import time

import numpy as np
import pylsl
import pytest

from rtbrain.errors import StreamError, StreamLostError
from rtbrain.outlet.lsl import SignalOutlet
from rtbrain.outlet.lsl_stream import (
    describe_channels,
    describe_contacts,
    describe_origin,
    new_info,
)
from rtbrain.stream.lsl.resolve import list_streams
from rtbrain.types import Chunk, Montage
from tests.conftest import brain_like, cut, montage_of, wait_until
from tests.stream.receiving import DEADLINE_S, SFREQ_HZ, joined, lsl_source, receive

pytestmark = [pytest.mark.lsl, pytest.mark.usefixtures("hasty")]


@pytest.mark.parametrize(
    ("unit", "per_microvolt"),
    [("nanovolts", 1e3), ("microvolts", 1), ("millivolts", 1e-3), ("volts", 1e-6)],
)
def test_what_went_out_comes_in_whatever_the_unit(unit, per_microvolt, source_id, opened):
    montage = Montage(
        ("A1", "B'2", "Ωµ 3"),
        ("seeg", "ecog", "dbs"),
        SFREQ_HZ,
        np.array([[1.25, -2, 1 / 3], [np.nan] * 3, [1e-8, 7, 9]], np.float32),
        "MNI mm",
    )
    info = new_info("sig", "EEG", 3, SFREQ_HZ, "float32", source_id)
    nodes = describe_channels(info, montage.names, montage.kinds, (unit,) * 3)
    describe_contacts(info, montage, nodes)
    describe_origin(info, origin="replay")
    sent = pylsl.StreamOutlet(info)
    source = opened(source_id=source_id)
    assert source.montage.names == montage.names
    assert source.montage.kinds == montage.kinds
    assert source.montage.sfreq_hz == SFREQ_HZ
    assert source.montage.space == "MNI mm"
    np.testing.assert_array_equal(source.montage.positions, montage.positions)
    assert source.origin == "replay"
    assert not [note for note in source.notes if "unit" in note]
    data = brain_like(3, 300, SFREQ_HZ)
    for chunk in cut(data, [1, 7, 200], SFREQ_HZ, pylsl.local_clock()):
        values = (chunk.data.T.astype(float) * per_microvolt).astype(np.float32)
        sent.push_chunk(values, chunk.timestamps.tolist())
    received, _ = joined(receive(source, 300))
    np.testing.assert_allclose(received, data, rtol=2e-7)
    if unit == "microvolts":
        np.testing.assert_array_equal(received, data)
    source.close()


def test_samples_of_a_sender_whose_clock_is_known_do_not_wait_for_its_measurement(
    outlet, source_id, opened, monkeypatch
):
    first = opened(source_id=source_id)
    start_s = pylsl.local_clock() - 1.0
    first_chunk, *others = cut(brain_like(4, 300, SFREQ_HZ), [100, 200], SFREQ_HZ, start_s)
    outlet.push(first_chunk)
    receive(first, first_chunk.n_samples)
    first.close()
    monkeypatch.setattr(pylsl.StreamInlet, "time_correction", lambda *_: pytest.fail("measured"))
    again = opened(source_id=source_id, counter=first.counter)
    for chunk in others:
        outlet.push(chunk)
    _, times = joined(receive(again, 200))
    np.testing.assert_allclose(times, start_s + np.arange(100, 300) / SFREQ_HZ, atol=2e-3)


@pytest.mark.parametrize("fmt", ["float32", "double64", "int64", "int32", "int16", "int8"])
def test_every_numeric_format_of_senders_is_read(fmt, source_id, opened):
    info = pylsl.StreamInfo("other", "EEG", 2, SFREQ_HZ, fmt, source_id)
    sent = pylsl.StreamOutlet(info)
    source = opened(source_id=source_id, scale=0.5)
    values = np.arange(-20, 20).reshape(20, 2)
    sent.push_chunk(values, pylsl.local_clock())
    received, _ = joined(receive(source, 20))
    assert received.dtype == np.float32
    assert received.flags.c_contiguous
    np.testing.assert_array_equal(received, values.T / 2)
    source.close()
    del sent


def test_samples_and_stamps_do_not_depend_on_chunking(outlet, source_id, opened):
    source = opened(source_id=source_id)
    data = brain_like(4, 3000, SFREQ_HZ)
    start = pylsl.local_clock() - 7  # no stamp is in the future
    rng = np.random.default_rng(1)
    for chunk in cut(data, [int(n) for n in rng.integers(0, 90, 80)], SFREQ_HZ, start):
        outlet.push(chunk)
    chunks = receive(source, 3000)
    received, stamps = joined(chunks)
    np.testing.assert_array_equal(received, data)
    np.testing.assert_allclose(stamps, start + np.arange(3000) / SFREQ_HZ, rtol=0, atol=1e-3)
    edges = np.cumsum([0] + [chunk.n_samples for chunk in chunks])
    assert [chunk.first_sample for chunk in chunks] == edges[:-1].tolist()
    assert {chunk.gap for chunk in chunks} == {0}
    assert max(chunk.n_samples for chunk in chunks) <= SFREQ_HZ / 4
    before = chunks[0].data.copy()
    outlet.push(Chunk(np.ones((4, 100), np.float32), start + 6 + np.arange(100) / SFREQ_HZ))
    receive(source, 100)
    np.testing.assert_array_equal(chunks[0].data, before)


def test_nothing_old_is_served_at_the_first_pull(outlet, source_id):
    source = lsl_source(source_id=source_id)
    stop = threading.Event()

    def send():
        number = 0
        while not stop.is_set():
            stamps = pylsl.local_clock() + np.arange(-7, 1) / SFREQ_HZ
            outlet.push(Chunk(np.full((4, 8), number, np.float32), stamps))
            number += 1
            stop.wait(8 / SFREQ_HZ)

    sender = threading.Thread(target=send)
    sender.start()
    asked = pylsl.local_clock()
    assert outlet.wait_for_listeners(0.0) is False
    first = source.pull(5.0)
    answered = pylsl.local_clock()
    stop.set()
    sender.join()
    source.close()
    assert first.n_samples
    assert first.first_sample == 0
    assert first.timestamps[0] > asked
    assert answered - first.timestamps[-1] < 0.3


@pytest.mark.parametrize("inside", [False, True], ids=["between pulls", "inside one pull"])
def test_lost_samples_are_counted_from_the_stamps(inside, outlet, source_id, opened):
    source = opened(source_id=source_id)
    start = pylsl.local_clock() - 9
    data = brain_like(4, 90, SFREQ_HZ)
    numbers = np.concatenate([np.arange(0, 30), np.arange(130, 160), np.arange(4130, 4160)])
    chunks = []
    for part in [slice(0, 90)] if inside else [slice(0, 30), slice(30, 60), slice(60, 90)]:
        outlet.push(Chunk(data[:, part], start + numbers[part] / SFREQ_HZ))
        chunks += receive(source, data[:, part].shape[1])
    assert [(c.first_sample, c.gap) for c in chunks if c.gap] == [(130, 100), (4130, 3970)]
    seen = np.concatenate([c.first_sample + np.arange(c.n_samples) for c in chunks])
    np.testing.assert_array_equal(seen, numbers)
    np.testing.assert_array_equal(joined(chunks)[0], data)
    assert source.pull(0.0).first_sample == 4160


def test_jitter_below_the_tolerance_is_no_gap(outlet, source_id, opened):
    source = opened(source_id=source_id)
    start = pylsl.local_clock() - 1
    stamps = start + np.arange(200) / SFREQ_HZ
    stamps[100:150] += 0.045
    outlet.push(Chunk(brain_like(4, 200, SFREQ_HZ), stamps))
    chunks = receive(source, 200)
    assert {chunk.gap for chunk in chunks} == {0}
    assert chunks[-1].first_sample + chunks[-1].n_samples == 200


def test_two_streams_of_one_name_are_both_named_and_none_is_taken(source_id, monkeypatch):
    monkeypatch.undo()
    montage = montage_of(2, SFREQ_HZ)
    ids = [f"{source_id}-{letter}" for letter in "ab"]
    name = f"twin '\" {source_id}"
    made = [SignalOutlet(name, montage, source_id=one, origin="synthetic") for one in ids]
    host = next(row.host for row in list_streams() if row.source_id == ids[0])
    with pytest.raises(StreamError) as caught:
        lsl_source(name=name)
    message = str(caught.value)
    assert message.startswith("2 LSL streams have name")
    assert all(one in message for one in ids)
    assert message.count(host) == 2
    assert "pass the source_id" in message
    only = lsl_source(name=name, stream_type="EEG", source_id=ids[1])
    assert only._found.source_id() == ids[1]
    only.close()
    for one in made:
        one.close()


def test_a_stream_that_does_not_come_is_told_with_those_that_are_there(outlet, source_id):
    started = time.monotonic()
    with pytest.raises(StreamError) as caught:
        lsl_source(name=f"sig-{source_id}", stream_type="no such type", timeout_s=0.7)
    assert time.monotonic() - started > 0.6
    message = str(caught.value)
    assert f"no LSL stream with name 'sig-{source_id}' and type 'no such type'" in message
    assert f"'sig-{source_id}' (type 'EEG', source_id '{source_id}', on " in message
    assert "4 channels at 512 Hz" in message


def test_a_stream_that_comes_while_waiting_is_taken(source_id):
    made = []

    def come():
        made.append(
            SignalOutlet("late", montage_of(2, SFREQ_HZ), source_id=source_id, origin="synthetic")
        )

    timer = threading.Timer(0.7, come)
    timer.start()
    source = lsl_source(source_id=source_id, timeout_s=DEADLINE_S)
    timer.join()
    assert source.montage.n_channels == 2
    source.close()
    made[0].close()


def test_a_lost_stream_is_an_error_that_names_it(outlet, source_id, opened):
    source = opened(source_id=source_id)
    outlet.close()
    with pytest.raises(StreamLostError, match=f"'{source_id}'.*was there and is gone"):
        receive(source, 1)


def test_a_megabyte_of_header_with_control_characters_is_read(source_id):
    info = pylsl.StreamInfo("big\x02", "EEG", 2, SFREQ_HZ, "float32", source_id)
    info.desc().append_child_value("junk", "<&>\x07" * 250_000)
    sent = pylsl.StreamOutlet(info)
    source = lsl_source(source_id=source_id)
    assert source.montage.names == ("1", "2")
    source.close()
    del sent


def test_a_closed_source_is_at_its_end_and_closes_twice(outlet, source_id):
    source = lsl_source(source_id=source_id)
    source.close()
    source.close()
    assert source.pull(0.0) is None


def test_closing_during_a_pull_waits_for_it(outlet, source_id, opened):
    source = opened(source_id=source_id)
    puller = threading.Thread(target=source.pull, args=(1.0,))
    puller.start()
    wait_until(source._lock.locked)
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started > 0.5
    puller.join(DEADLINE_S)
    assert not puller.is_alive()
    assert source.pull(0.0) is None


def test_a_chunk_of_one_channel_is_not_overwritten_by_the_next(source_id, opened):
    montage = montage_of(1, SFREQ_HZ)
    sent = SignalOutlet("one", montage, source_id=source_id, origin="synthetic")
    source = opened(source_id=source_id)
    start = pylsl.local_clock()
    stamps = start + np.arange(20) / SFREQ_HZ
    sent.push(Chunk(np.zeros((1, 20), np.float32), stamps))
    zeros = receive(source, 20)
    sent.push(Chunk(np.ones((1, 20), np.float32), stamps + 20 / SFREQ_HZ))
    ones = receive(source, 20)
    assert not joined(zeros)[0].any()
    assert joined(ones)[0].all()
    source.close()
    sent.close()


def test_the_numbers_of_a_trigger_channel_are_scaled_by_neither_unit_nor_factor(source_id, opened):
    names, kinds = ("A1", "PORT", "TRIG"), ("seeg", "seeg", "stim")
    info = new_info("sig", "EEG", 3, SFREQ_HZ, "float32", source_id)
    describe_channels(info, names, kinds, ("millivolts",) * 3)
    sent = pylsl.StreamOutlet(info)
    source = opened(source_id=source_id, trigger="port:0xFF", scale=2.0)
    sent.push_chunk(np.full((20, 3), 3, np.float32))
    received, _ = joined(receive(source, 20))
    np.testing.assert_array_equal(received[:, 0], [6000, 3, 3])
    source.close()
    source = opened(source_id=source_id, trigger="port:2500uV")
    sent.push_chunk(np.full((20, 3), 3, np.float32))
    received, _ = joined(receive(source, 20))
    np.testing.assert_array_equal(received[:, 0], [3000, 3000, 3])
    source.close()
