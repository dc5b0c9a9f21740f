import threading
import time

import numpy as np
import pylsl
import pytest

from rtbrain.errors import SettingsError
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.types import Chunk
from tests.conftest import brain_like
from tests.stream.receiving import DEADLINE_S, SFREQ_HZ, joined, receive

pytestmark = [pytest.mark.lsl, pytest.mark.usefixtures("hasty")]


def test_a_step_of_the_senders_clock_is_no_gap_and_no_sample_is_from_the_future(
    outlet, source_id, opened
):
    source = opened(source_id=source_id)
    start = pylsl.local_clock() - 1
    stamps = start + np.arange(400) / SFREQ_HZ
    for part, step_s in [(slice(0, 200), 0.0), (slice(200, 300), 10.0), (slice(300, 400), -10.0)]:
        outlet.push(Chunk(brain_like(4, 400, SFREQ_HZ)[:, part], stamps[part] + step_s))
    chunks = receive(source, 400)
    assert {chunk.gap for chunk in chunks} == {0}
    np.testing.assert_allclose(joined(chunks)[1], stamps, rtol=0, atol=1e-3)
    assert source.counter.report.clock_steps == 2
    assert source.counter.report.delivered == 400


def test_what_the_queue_drops_while_nobody_pulls_is_counted_to_the_sample(
    outlet, source_id, opened
):
    source = opened(source_id=source_id, max_buffer_s=1)
    start, sent = pylsl.local_clock(), 0
    pause = threading.Event()
    received = []

    def send(until_s):
        nonlocal sent
        while sent < until_s * SFREQ_HZ:
            due = int((pylsl.local_clock() - start) * SFREQ_HZ)
            if due > sent:
                numbers = np.arange(sent, due)
                data = np.tile(numbers.astype(np.float32), (4, 1))
                outlet.push(Chunk(data, start + numbers / SFREQ_HZ))
                sent = due
            pause.wait(0.01)

    send(0.5)
    received += receive(source, sent)
    send(4.5)
    end = time.monotonic() + DEADLINE_S
    while not received or received[-1].data[0, -1] < sent - 1:
        assert time.monotonic() < end
        chunk = source.pull(0.2)
        if chunk.n_samples:
            received.append(chunk)
    report = source.counter.report
    numbers = np.concatenate([c.first_sample + np.arange(c.n_samples) for c in received])
    np.testing.assert_array_equal(numbers, joined(received)[0][0])
    assert report.lost == sent - report.delivered > 2 * SFREQ_HZ
    assert report.clock_steps == report.duplicated == report.reordered == 0


def test_a_ledger_counts_what_is_lost_between_two_inlets(outlet, source_id, opened):
    first = opened(source_id=source_id)
    start = pylsl.local_clock() - 2
    data = brain_like(4, 60, SFREQ_HZ)
    outlet.push(Chunk(data, start + np.arange(60) / SFREQ_HZ))
    receive(first, 60)
    first.close()
    second = opened(source_id=source_id, counter=first.counter)
    outlet.push(Chunk(data, start + np.arange(560, 620) / SFREQ_HZ))
    chunks = receive(second, 60)
    assert (chunks[0].first_sample, chunks[0].gap) == (560, 500)
    with pytest.raises(SettingsError, match="512 Hz, got one of 256 Hz"):
        opened(source_id=source_id, counter=SampleCounter(256.0))
