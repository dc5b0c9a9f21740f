"""Stamps made from the counter and the moments of arrival."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbrain.stream.clock.rate import ArrivalClock

SFREQ_HZ = 2048.0


def run(clock, sfreq_hz, delays_s, hop_samples=32, start_s=100.0):
    """Blocks made at a true rate, each here after its delay: stamps and when they were given."""
    stamps, nows, n, now = [], [], 0, 0.0
    for delay_s in delays_s:
        made = start_s + (n + hop_samples - 1) / sfreq_hz
        now = max(now, made + delay_s)
        clock.arrived(n + hop_samples, now)
        assert clock.resume(now) == 0
        stamps.append(clock.stamps(n, hop_samples))
        nows += [now] * hop_samples
        n += hop_samples
    return np.concatenate(stamps), np.array(nows)


@given(
    st.floats(2030.0, 2060.0),
    st.lists(st.floats(0.0, 0.2), min_size=1, max_size=60),
    st.integers(1, 200),
)
def test_stamps_rise_and_are_never_in_the_future(sfreq_hz, delays_s, hop_samples):
    stamps, nows = run(ArrivalClock(SFREQ_HZ), sfreq_hz, delays_s, hop_samples)
    assert (np.diff(stamps) > 0).all()
    # A block of n is stamped n nanoseconds on where it overtook its stamps.
    assert (stamps <= nows + 1e-6).all()


@pytest.mark.parametrize("sfreq_hz", [2048.0, 2046.3, 2040.0, 2056.0])
def test_stamps_follow_the_true_time_at_any_rate_within_the_jitter(sfreq_hz):
    rng = np.random.default_rng(1)
    delays_s = 0.005 + rng.exponential(0.01, 4000)
    stamps, _ = run(ArrivalClock(SFREQ_HZ), sfreq_hz, delays_s)
    true = 100 + np.arange(stamps.size) / sfreq_hz
    error_s = stamps - true
    drift_s = abs(sfreq_hz / SFREQ_HZ - 1) * 10.0
    assert error_s.max() < 0.012 + 0.01
    assert error_s.min() > -drift_s - 0.01
    assert abs(np.median(error_s[error_s.size // 2 :]) - 0.005) < drift_s + 0.01


def test_at_the_nominal_rate_stamps_are_regular():
    stamps, _ = run(ArrivalClock(SFREQ_HZ), SFREQ_HZ, [0.003] * 400)
    np.testing.assert_allclose(np.diff(stamps), 1 / SFREQ_HZ, rtol=1e-6)


@pytest.mark.parametrize(("n_made_up", "lost"), [(0, 4096), (4096, 0)])
def test_a_pause_is_counted_unless_a_burst_makes_up_for_it(n_made_up, lost):
    clock = ArrivalClock(SFREQ_HZ)
    run(clock, SFREQ_HZ, [0.0] * 100)
    last = 100 + 3199 / SFREQ_HZ
    clock.arrived(3232, last + 2.0 + 32 / SFREQ_HZ)
    assert clock.resume(last + 2.0 + 32 / SFREQ_HZ) is None
    clock.arrived(3200 + n_made_up + 256, last + 2.0 + 256 / SFREQ_HZ)
    assert clock.resume(last + 2.2) is None
    assert clock.resume(last + 2.3) == lost
    assert clock.resume(last + 2.3) == 0
    stamps = clock.stamps(3200 + lost, 256)
    assert stamps[0] == pytest.approx(last + (lost + 1) / SFREQ_HZ, abs=1e-6)


def test_a_reader_that_slept_finds_no_pause():
    clock = ArrivalClock(SFREQ_HZ)
    run(clock, SFREQ_HZ, [0.0] * 100)
    n = 3200 + 10 * 2048
    clock.arrived(n, 100 + (n - 1) / SFREQ_HZ)
    assert clock.resume(110.0) == 0


def test_a_break_costs_one_sample_at_least():
    clock = ArrivalClock(SFREQ_HZ)
    run(clock, SFREQ_HZ, [0.0] * 100)
    clock.break_off()
    now = 100 + 3231 / SFREQ_HZ
    clock.arrived(3232, now)
    assert clock.resume(now) is None
    assert clock.resume(now + 0.3) == 1


def test_samples_that_arrived_and_were_never_fetched_do_not_hide_a_restart():
    clock = ArrivalClock(100.0)
    clock.arrived(100, 10.0)
    clock.break_off(60)
    clock.arrived(70, 15.0)
    assert clock.resume(15.0) is None
    assert clock.resume(15.3) == 530  # as many as 15 s hold, but for the 70 and the first second
