"""Stamps of clocks that are not LSL's, counted and dated against the true times of the samples."""

import math
import time

import numpy as np
import pytest

from rtbrain.stream.clock.rate import effective_rate_verdict
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.stream.clock.sender_clock import MarkerClock, OffsetFilter, SenderClock
from tests.conftest import brain_like

SFREQ_HZ, CHUNK = 1000.0, 20
OPENED_S = 5000.0
DELAY_S = 0.008  # of the network; a chunk waits for its last sample besides
UNIX_S = 1.8e9


def sent(stamp_of, *, seconds=16.0, delay_s=lambda t: DELAY_S, counter=None, first=0):
    """Counter and chunks of samples that are stamped by `stamp_of(true time, number)`."""
    counter = counter or SampleCounter(SFREQ_HZ)
    counter.connected(OPENED_S + first / SFREQ_HZ)
    data = brain_like(4, round(seconds * SFREQ_HZ), SFREQ_HZ)
    chunks, now_s = [], 0.0
    for at in range(0, data.shape[1], CHUNK):
        numbers = first + np.arange(at, at + CHUNK)
        true_s = OPENED_S + numbers / SFREQ_HZ
        stamps = np.array([stamp_of(t, n) for t, n in zip(true_s, numbers, strict=True)])
        now_s = max(now_s, true_s[-1] + delay_s(true_s[-1] - OPENED_S))
        chunks += counter.take(data[:, at : at + CHUNK], stamps, now_s)
    return counter, chunks


def errors_s(chunks, after_s=3.0):
    """How much later than it was made each sample is dated, from some seconds on, s."""
    true = [
        OPENED_S + (each.first_sample + np.arange(each.n_samples)) / SFREQ_HZ for each in chunks
    ]
    off = np.concatenate([each.timestamps - t for each, t in zip(chunks, true, strict=True)])
    return off[np.concatenate(true) > OPENED_S + after_s]


CLOCKS = {
    "count from another start": lambda t, n: n / SFREQ_HZ,
    "count from another start ": lambda t, n: t - OPENED_S + 900,
    "are Unix time:": lambda t, n: UNIX_S + t,
    "step again": lambda t, n: 1000 * (UNIX_S + t),
    "ahead of the LSL clock": lambda t, n: t + 40.0,
    "s ahead of": lambda t, n: t + 0.2,
    "behind the LSL clock": lambda t, n: t - 9e5,
    "stand still": lambda t, n: OPENED_S,
    "stand still:": lambda t, n: 0.0,
    "are not numbers": lambda t, n: math.nan,
    "pace of the samples": lambda t, n: 2 * OPENED_S - t,
    "count from": lambda t, n: (n + 1) / SFREQ_HZ if n < 59 else t,
}


@pytest.mark.parametrize("words", CLOCKS)
def test_samples_are_dated_within_50_ms_whatever_their_sender_stamps(words, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: UNIX_S + OPENED_S)
    counter, chunks = sent(CLOCKS[words])
    off_s = errors_s(chunks)
    assert off_s.min() > -1e-3, "a sample is not dated before it was made"
    assert off_s.max() < 0.05
    assert np.diff(np.concatenate([each.timestamps for each in chunks])[3000:]).min() > 0
    assert words.strip() in counter.clock.reason
    assert "\n" not in counter.clock.reason
    report = counter.report
    assert (report.lost, report.delivered) == (0, 16000)
    assert effective_rate_verdict(report) == ""


def test_lsl_stamps_are_left_as_they_are():
    counter, chunks = sent(lambda t, n: t)
    assert counter.clock.reason == ""
    assert np.abs(errors_s(chunks, 0.0)).max() < 1e-9


def test_a_clock_that_steps_later_loses_no_sample_and_no_time():
    for step_s in (3600.0, -3600.0, 8.0):
        counter, chunks = sent(lambda t, n, by=step_s: t + by * (t > OPENED_S + 6))
        assert counter.report.lost == 0
        assert np.abs(errors_s(chunks, 0.0)).max() < 0.05


def test_stamps_that_stop_later_are_replaced_within_two_seconds():
    counter, chunks = sent(lambda t, n: min(t, OPENED_S + 6))
    assert "stand still" in counter.clock.reason
    off_s = errors_s(chunks, 8.0)
    assert 0 <= off_s.min() <= off_s.max() < 0.05


def test_a_slow_link_is_not_taken_for_a_clock():
    """Dated by arrival, samples that wait on the network grow late in their stamps' age."""
    slow = lambda t: DELAY_S + max(0.0, min(t - 5, 6.0))  # noqa: E731
    _, chunks = sent(lambda t, n: UNIX_S + t, delay_s=slow)
    assert np.abs(errors_s(chunks)).max() < 0.05


@pytest.mark.parametrize("clock", ["count from", "are Unix time:", "stand still"])
def test_a_sender_that_returns_goes_on_where_time_is(clock, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: UNIX_S + OPENED_S)
    counter, _ = sent(CLOCKS[clock], seconds=6)
    _, chunks = sent(CLOCKS[clock], seconds=6, counter=counter, first=9000)
    off_s = errors_s(chunks, 10.0)
    assert np.abs(off_s).max() < 0.05
    assert abs(counter.report.lost - 3000) <= (60 if clock == "stand still" else 30)


def test_a_sender_without_time_that_pauses_is_missed_by_the_pause():
    data, counter = brain_like(2, 8000, SFREQ_HZ), SampleCounter(SFREQ_HZ)
    counter.connected(OPENED_S)
    chunks = []
    for at in range(0, 8000, CHUNK):
        late_s = 2.5 if at >= 5000 else 0.0
        now_s = OPENED_S + (at + CHUNK) / SFREQ_HZ + late_s
        chunks += counter.take(data[:, at : at + CHUNK], np.full(CHUNK, 7.0), now_s)
    gaps = [each.gap for each in chunks if each.gap]
    assert gaps == [pytest.approx(2500, abs=30)]
    got = np.concatenate([each.data for each in chunks], axis=1)
    np.testing.assert_array_equal(got, data[:, : got.shape[1]])
    assert got.shape[1] > 7500


def test_offsets_over_a_congested_link_are_passed_over_and_good_ones_followed():
    offsets = OffsetFilter()
    assert offsets.add(10.0, 0.0004, 0.0)
    for second in range(1, 60):
        assert not offsets.add(10.0 + 0.3, 0.7, float(second))
    assert offsets.offset_s == 10.0
    assert offsets.add(10.003, 0.0004, 60.0)
    assert not offsets.add(10.003, 0.0004, 90.0), "the same measurement is no news"
    assert not offsets.add(math.nan, 0.0, 91.0)
    assert offsets.offset_s == 10.003


def test_an_offset_that_cannot_be_true_with_the_one_before_shows_that_the_clock_was_set():
    offsets = OffsetFilter()
    assert offsets.add(10.0, 0.0004, 0.0)
    assert not offsets.add(10.3, 0.7, 1.0), "its round trip explains it"
    assert offsets.add(10.4, 0.7, 2.0), "its round trip does not"
    assert offsets.offset_s == 10.4


def test_the_rate_is_the_senders_own_while_the_link_is_congested():
    """Offsets come with the error that half of a long round trip makes, for 30 s of 80."""
    rng = np.random.default_rng(5)
    true_hz, offset_s = 1000.02, -3000.0
    counter = SampleCounter(SFREQ_HZ)
    counter.connected(OPENED_S, (offset_s, 0.0005))
    data = brain_like(2, 80_000, SFREQ_HZ)
    rates = []
    for at in range(0, 80_000, 50):
        true_s = OPENED_S + np.arange(at, at + 50) / true_hz
        second = true_s[0] - OPENED_S
        congested = 20 < second < 50
        trip_s = rng.uniform(0.4, 0.75) if congested else rng.uniform(4e-4, 9e-4)
        if at % 1000 == 0:
            wrong_s = rng.uniform(0.3, 0.5) * trip_s * (1 if congested else rng.choice([-1, 1]))
            counter.clock.measured((offset_s + wrong_s, trip_s), float(true_s[0]))
        late_s = (second - 20) / 3 if congested else 0.002
        for chunk in counter.take(data[:, at : at + 50], true_s - offset_s, true_s[-1] + late_s):
            assert np.abs(chunk.timestamps - true_s).max() < 0.002
        if second > 10:
            rates.append(counter.report.effective_rate_hz)
    assert np.abs(np.array(rates) / true_hz - 1).max() < 20e-6
    assert counter.clock.reason == ""
    assert counter.report.lost == 0


def test_a_drifting_clock_is_followed_by_its_offset():
    """50 ppm, with an offset of 100,000 s that is measured every 5 s."""
    counter = SampleCounter(SFREQ_HZ)
    ahead = lambda t: 1e5 + 50e-6 * (t - OPENED_S)  # noqa: E731
    counter.connected(OPENED_S, (-ahead(OPENED_S), 0.0005))
    data = brain_like(2, 100, SFREQ_HZ)
    for at in range(0, 300_000, 100):
        true_s = OPENED_S + np.arange(at, at + 100) / SFREQ_HZ
        if at % 5000 == 0:
            counter.clock.measured((-ahead(true_s[0]), 0.0005), float(true_s[0]))
        (chunk,) = counter.take(data, true_s + ahead(true_s), true_s[-1] + 0.01)
        assert np.abs(chunk.timestamps - true_s).max() < 0.002


def marker_times(stamps, arrivals, signal=None):
    clock = MarkerClock(signal, OPENED_S)
    return clock, [clock(a, b) for a, b in zip(stamps, arrivals, strict=True)]


def test_markers_on_the_lsl_clock_keep_their_stamps_however_late_they_come():
    true = OPENED_S + np.array([1.0, 2.0, 3.0, 40.0])
    clock, times = marker_times(true, true + np.array([0.01, 0.02, 11.0, -30.0]))
    assert times == true.tolist()
    assert clock.reason == ""


def test_markers_of_another_clock_are_dated_by_those_that_come_soonest(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: UNIX_S + OPENED_S)
    true = OPENED_S + np.arange(1.0, 30.0, 2.0)
    late = np.random.default_rng(1).uniform(0.005, 0.03, true.size)
    for shift_s, words in ((UNIX_S, "are Unix time"), (-OPENED_S, "count from another start")):
        clock, times = marker_times(true + shift_s, true + late)
        assert np.abs(np.array(times) - true).max() < 0.05
        assert words in clock.reason


def test_markers_of_the_signals_own_clock_are_dated_as_the_signal(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: UNIX_S + OPENED_S)
    counter, chunks = sent(CLOCKS["are Unix time:"], seconds=6)
    signal_off_s = errors_s(chunks)[-1]
    true = OPENED_S + np.array([4.0, 5.0])
    _, times = marker_times(true + UNIX_S, true + np.array([0.09, 0.2]), counter.clock)
    np.testing.assert_allclose(np.array(times) - true, signal_off_s, atol=1e-6)
    _, alone = marker_times(true + UNIX_S, true + np.array([0.09, 0.2]), SenderClock(SFREQ_HZ))
    assert np.abs(np.array(alone) - true - 0.09).max() < 1e-3


def test_markers_without_a_number_come_when_they_come():
    clock, times = marker_times([math.nan], [OPENED_S + 3])
    assert times == [OPENED_S + 3]
    assert "not numbers" in clock.reason
