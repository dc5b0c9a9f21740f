import math

import numpy as np
import pytest

from rtbrain.stream.clock.rate import effective_rate_verdict
from rtbrain.stream.clock.sample_counter import SampleCounter
from tests.conftest import brain_like
from tests.stream.clock.oracle import (
    SFREQ_HZ,
    START_S,
    Sent,
    contents_of,
    counts,
    numbers_of,
    run,
    stamps_of,
    steady,
    without,
)


def test_a_clean_stream_goes_through_as_it_is():
    counter, chunks = run(steady(5000))
    np.testing.assert_array_equal(contents_of(chunks), np.arange(5000))
    np.testing.assert_array_equal(numbers_of(chunks), np.arange(5000))
    np.testing.assert_array_equal(stamps_of(chunks), START_S + np.arange(5000) / SFREQ_HZ)
    assert counts(counter) == (5000, 5000, 0, 0, 0, 0)
    assert {chunk.gap for chunk in chunks} == {0}


def test_input_is_not_changed_and_what_is_given_is_not_tied_to_it():
    data = brain_like(3, 64, SFREQ_HZ)
    stamps = START_S + np.arange(64) / SFREQ_HZ
    stamps[40:] += 20 / SFREQ_HZ
    before, stamps_before = data.copy(), stamps.copy()
    SampleCounter(SFREQ_HZ).take(data, stamps, START_S + 1)
    np.testing.assert_array_equal(data, before)
    np.testing.assert_array_equal(stamps, stamps_before)


def test_an_empty_call_gives_nothing_and_counts_nothing():
    counter = SampleCounter(SFREQ_HZ)
    empty = np.empty((2, 0), np.float32), np.empty(0)
    assert counter.take(*empty, START_S) == []
    run(steady(100), counter)
    before = counter.report.delivered, counter.next_sample
    assert counter.take(*empty, START_S + 50) == []
    assert (counter.report.delivered, counter.next_sample) == before
    assert math.isnan(counter.report.effective_rate_hz)


@pytest.mark.parametrize("length", [1, 2, 7, 300, 1536])
def test_a_gap_is_counted_to_the_sample(length):
    sent = steady(6000)
    counter, chunks = run(without(sent, 1500, 1500 + length))
    assert [(c.first_sample, c.gap) for c in chunks if c.gap] == [(1500 + length, length)]
    np.testing.assert_array_equal(numbers_of(chunks), contents_of(chunks))
    assert counts(counter)[2:] == (length, 0, 0, 0)


def test_a_gap_among_the_very_first_samples_is_counted_too():
    counter, chunks = run(without(steady(400), 3, 10))
    np.testing.assert_array_equal(numbers_of(chunks), contents_of(chunks))
    assert counter.report.lost == 7


def test_a_burst_after_a_stall_loses_nothing():
    sent = steady(20_000)
    stalled = (sent.arrived > START_S + 10) & (sent.arrived < START_S + 20)
    sent.arrived[stalled] = START_S + 20.0
    counter, chunks = run(sent)
    assert counts(counter) == (20_000, 20_000, 0, 0, 0, 0)
    np.testing.assert_array_equal(numbers_of(chunks), np.arange(20_000))


def test_a_gap_inside_a_burst_is_a_loss():
    sent = steady(20_000)
    stalled = (sent.arrived > START_S + 10) & (sent.arrived < START_S + 30)
    sent.arrived[stalled] = START_S + 30.0
    counter, chunks = run(without(sent, 8000, 11_000))
    assert counts(counter)[2:] == (3000, 0, 0, 0)
    np.testing.assert_array_equal(numbers_of(chunks), contents_of(chunks))


def test_a_chunk_sent_twice_is_given_once():
    sent = steady(4000)
    order = np.r_[0:1600, 1568:1600, 1600:2000, 1984:2000, 2000:4000]
    twice = Sent(*(column[order] for column in (sent.numbers, sent.stamps, sent.arrived)))
    twice.arrived = np.maximum.accumulate(twice.arrived)
    counter, chunks = run(twice)
    np.testing.assert_array_equal(contents_of(chunks), np.arange(4000))
    assert counts(counter) == (4048, 4000, 0, 48, 0, 0)


@pytest.mark.parametrize(
    ("chunk", "flat_from"),
    [(1, 0), (1, 1607), (16, 0), (16, 1600), (16, 1607), (50, 0), (50, 1600), (50, 1607)],
)
@pytest.mark.parametrize("stamps_of_a_chunk", ["are one", "follow on"])
def test_a_flat_signal_of_a_sender_that_stamps_whole_chunks_has_no_duplicates(
    chunk, flat_from, stamps_of_a_chunk
):
    sent = steady(4800, chunk=chunk)
    late = np.random.default_rng(2).uniform(-0.5, 0.5, 4800 // chunk) * chunk / SFREQ_HZ
    if stamps_of_a_chunk == "are one":
        sent.stamps = np.repeat(sent.stamps[::chunk], chunk)
    else:
        sent.stamps += np.repeat(late, chunk)
    sent.arrived += chunk / SFREQ_HZ
    data, counter = brain_like(4, 4800, SFREQ_HZ), SampleCounter(SFREQ_HZ)
    data[:, flat_from:4000] = 0
    for a in range(0, 4800, chunk):
        counter.take(data[:, a : a + chunk], sent.stamps[a : a + chunk], float(sent.arrived[a]))
    assert counts(counter) == (4800, 4800, 0, 0, 0, 0)


def test_a_chunk_under_one_stamp_that_is_sent_twice_is_given_once():
    order = np.r_[0:1600, 1568:3200]
    stamps = START_S + order // 32 * 32 / SFREQ_HZ
    assert counts(run(Sent(order, stamps, stamps + 0.1))[0]) == (3232, 3200, 0, 32, 0, 0)


def test_samples_that_come_late_are_dropped_and_their_numbers_stay_lost():
    sent = steady(4000)
    order = np.r_[0:1600, 1632:1664, 1600:1632, 1664:4000]
    swapped = Sent(*(column[order] for column in (sent.numbers, sent.stamps, sent.arrived)))
    swapped.arrived = np.maximum.accumulate(swapped.arrived)
    counter, chunks = run(swapped)
    np.testing.assert_array_equal(numbers_of(chunks), contents_of(chunks))
    assert counts(counter) == (4000, 3968, 32, 0, 32, 0)


@pytest.mark.parametrize("step_s", [10.0, -10.0, -6000.0, 3e5, 1.2345, -0.777])
@pytest.mark.parametrize("at", [200, 5000])
def test_a_step_of_the_senders_clock_loses_nothing(step_s, at):
    sent = steady(10_000)
    sent.stamps[at:] += step_s
    counter, chunks = run(sent)
    assert counts(counter) == (10_000, 10_000, 0, 0, 0, 1)
    np.testing.assert_array_equal(numbers_of(chunks), np.arange(10_000))
    np.testing.assert_allclose(
        stamps_of(chunks), START_S + np.arange(10_000) / SFREQ_HZ, rtol=0, atol=1e-6
    )


def test_a_clock_that_begins_again_at_0_loses_nothing():
    sent = steady(10_000)
    sent.stamps[6000:] = np.arange(4000) / SFREQ_HZ
    counter, chunks = run(sent)
    assert counts(counter) == (10_000, 10_000, 0, 0, 0, 1)
    true = START_S + np.arange(10_000) / SFREQ_HZ
    np.testing.assert_allclose(stamps_of(chunks), true, rtol=0, atol=1e-6)


def test_a_sender_with_a_clock_of_its_own_is_followed_through_steps_and_losses():
    sent = steady(20_000)
    sent.stamps -= 4000
    sent.stamps[5000:] += 10
    counter, chunks = run(without(sent, 12_000, 13_000))
    assert counts(counter)[2:] == (1000, 0, 0, 1)
    np.testing.assert_array_equal(numbers_of(chunks), contents_of(chunks))


def test_a_loss_after_which_the_clock_also_steps_is_counted_to_within_a_chunk():
    sent = steady(12_000)
    sent.stamps[6000:] -= 4000.0
    counter, chunks = run(without(sent, 6000, 6000 + 1536))
    assert counter.report.clock_steps == 1
    assert abs(counter.report.lost - 1536) <= 32
    assert sum(chunk.gap > 0 for chunk in chunks) == 1
    late_s = stamps_of(chunks) - (START_S + contents_of(chunks) / SFREQ_HZ)
    assert np.abs(late_s).max() < 0.1


def test_no_stamp_is_in_the_future_whatever_the_sender_says():
    sent = steady(5000)
    sent.stamps += 0.2
    _, chunks = run(sent)  # which checks it of each chunk
    assert np.all(np.diff(stamps_of(chunks)) >= 0)


def test_a_stamp_that_is_no_number_is_taken_from_the_counter():
    sent = steady(4000)
    sent.stamps[[1000, 2000, 2001, 3999]] = np.nan
    counter, chunks = run(sent)
    assert counts(counter) == (4000, 4000, 0, 0, 0, 0)
    true = START_S + np.arange(4000) / SFREQ_HZ
    np.testing.assert_allclose(stamps_of(chunks), true, rtol=0, atol=1e-6)
    sent.stamps[:2] = np.nan
    counter, chunks = run(sent)
    assert counts(counter) == (4000, 4000, 0, 0, 0, 0)
    assert np.isfinite(stamps_of(chunks)).all()


@pytest.mark.parametrize("true_hz", [2046.3, 2040.0, 2048.0])
def test_the_true_rate_is_told_and_gaps_are_counted_by_it(true_hz):
    sent = steady(30_000, 2048.0, true_hz=true_hz, chunk=64)
    counter, chunks = run(without(sent, 20_000, 26_139), sfreq_hz=2048.0)
    assert counter.report.effective_rate_hz == pytest.approx(true_hz, abs=1e-3)
    assert counter.report.drift_ppm == pytest.approx(1e6 * (true_hz / 2048 - 1), abs=1)
    assert counter.report.lost == 6139
    np.testing.assert_array_equal(numbers_of(chunks), contents_of(chunks))


def test_an_hour_of_200_ppm_of_drift_loses_nothing_and_is_told():
    sfreq_hz, true_hz = 64.0, 64.0 * (1 + 2e-4)
    sent = steady(round(3600 * true_hz), sfreq_hz, true_hz=true_hz, chunk=96)
    rng = np.random.default_rng(5)
    sent.stamps += np.repeat(rng.normal(0, 3e-4, -(-sent.numbers.size // 96)), 96)[
        : sent.numbers.size
    ]
    counter, _ = run(sent, sfreq_hz=sfreq_hz)
    report = counter.report
    assert counts(counter)[2:] == (0, 0, 0, 0)
    assert report.drift_ppm == pytest.approx(200, abs=10)
    last = sent.numbers[-1]
    at = report.offset_s + last / report.effective_rate_hz
    assert abs(at - START_S - last / true_hz) < 5 * report.uncertainty_s < 1e-3


def test_a_sender_whose_clock_is_not_ours_drifts_for_an_hour_and_losses_are_still_losses():
    sfreq_hz = 64.0
    sent = steady(230_000, sfreq_hz, chunk=128)
    sent.arrived = START_S + (sent.arrived - START_S) * (1 + 2e-4)
    counter, _ = run(without(sent, 220_000, 220_200), sfreq_hz=sfreq_hz)
    assert counts(counter)[2:] == (200, 0, 0, 0)
    stepped = steady(230_000, sfreq_hz, chunk=128)
    stepped.arrived = START_S + (stepped.arrived - START_S) * (1 + 2e-4)
    stepped.stamps[220_000:] += 0.8
    counter, _ = run(stepped, sfreq_hz=sfreq_hz)
    assert counts(counter)[2:] == (0, 0, 0, 1)


def test_late_stamps_do_not_bend_the_rate():
    sent = steady(30_000)
    sent.stamps[5000:25_000:2500] += 0.04
    sent.stamps[29_000:29_300] += 0.0907
    sent.arrived += 0.1
    counter, _ = run(sent)
    assert abs(counter.report.drift_ppm) < 5
    assert counts(counter)[2:] == (0, 0, 0, 0)


def test_a_loss_of_few_samples_is_seen_under_the_noise_of_a_synchronised_clock():
    sent = steady(3000)
    sent.stamps += np.random.default_rng(3).normal(0, 5e-5, 3000)
    counter, chunks = run(without(sent, 1000, 1003))
    assert [(c.first_sample, c.gap) for c in chunks if c.gap] == [(1003, 3)]
    assert counter.report.lost == 3


def test_the_verdict_on_the_rate_names_both_and_waits_for_10_s():
    def verdict(true_hz, n_samples):
        counter, _ = run(steady(n_samples, 2048.0, true_hz=true_hz, chunk=64), sfreq_hz=2048.0)
        return effective_rate_verdict(counter.report)

    assert verdict(1900.0, 20_000) == ""
    assert verdict(2046.3, 21_000) == ""
    assert verdict(2040.0, 21_000) == ""
    said = verdict(2030.0, 21_000)
    assert "2030.00 Hz" in said
    assert "2048 Hz" in said


def test_one_ledger_counts_over_two_connections():
    sent = without(steady(8000), 3000, 5000)
    first = Sent(sent.numbers[:3000], sent.stamps[:3000], sent.arrived[:3000])
    second = Sent(sent.numbers[3000:], sent.stamps[3000:], sent.arrived[3000:])
    counter, _ = run(first)
    _, chunks = run(second, counter)
    assert (chunks[0].first_sample, chunks[0].gap) == (5000, 2000)
