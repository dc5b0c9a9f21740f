"""Stamps that jitter: no loss while they do, exact counts again once they are exact."""

import numpy as np
import pytest

from rtbrain.stream.clock.rate import effective_rate_verdict
from tests.stream.clock.oracle import SFREQ_HZ, counts, run, steady, without


@pytest.mark.parametrize("chunk", [4, 16, 50, 128])
@pytest.mark.parametrize("seed", range(5))
def test_the_jitter_of_a_sender_that_stamps_by_arrival_is_no_loss(chunk, seed):
    sent = steady(15_000, chunk=chunk)
    rng = np.random.default_rng(seed)
    n_chunks = -(-15_000 // chunk)
    late = rng.uniform(-0.5, 0.5, n_chunks) * chunk / SFREQ_HZ
    sent.stamps += np.repeat(late, chunk)[:15_000]
    sent.arrived += chunk / SFREQ_HZ
    counter, _ = run(sent)
    assert counter.report.lost == 0
    assert counter.report.duplicated == counter.report.reordered == counter.report.clock_steps == 0
    assert abs(counter.report.drift_ppm) < 2500
    assert effective_rate_verdict(counter.report) == ""


def test_a_loss_under_jitter_is_counted_to_within_the_jitter():
    sent = steady(20_000)
    late = np.random.default_rng(1).uniform(-0.5, 0.5, 625) * 32 / SFREQ_HZ
    sent.stamps += np.repeat(late, 32)
    sent.arrived += 0.1
    counter, chunks = run(without(sent, 10_000, 13_000))
    assert abs(counter.report.lost - 3000) <= 16
    assert sum(chunk.gap > 0 for chunk in chunks) <= 2
    assert counter.report.clock_steps == 0


def test_jitter_that_grows_is_followed():
    sent = steady(30_000)
    sway = np.sin(np.arange(938)) * np.linspace(0.01, 0.2, 938)
    sent.stamps += np.repeat(sway, 32)[:30_000]
    sent.arrived += 0.2
    counter, _ = run(sent)
    assert counts(counter)[2:] == (0, 0, 0, 0)


def test_jitter_of_stamps_is_not_taken_for_another_rate():
    for seed in range(10):
        sent = steady(5500, chunk=128)
        late = np.random.default_rng(seed).uniform(-0.125, 0.125, 43)
        sent.stamps += np.repeat(late, 128)[:5500]
        sent.arrived += 0.25
        counter, _ = run(sent)
        assert effective_rate_verdict(counter.report) == ""


def swaying(n_samples, sfreq_hz=SFREQ_HZ, *, until, sway_s, chunk=32):
    """A steady stream whose stamps sway until a sample, every other chunk and ever more."""
    sent = steady(n_samples, sfreq_hz, chunk=chunk)
    every_other = np.arange(n_samples) // chunk % 2
    growing_s = np.interp(np.arange(n_samples), [0, until], [min(sway_s, 0.05), sway_s])
    sent.stamps += np.where(np.arange(n_samples) < until, every_other * growing_s, 0.0)
    sent.arrived += 0.5
    return sent


@pytest.mark.parametrize(("clean_s", "n_lost"), [(9.9, 0), (10.1, 7)])
def test_jitter_is_over_after_10_s_of_exact_stamps_and_small_losses_count_again(clean_s, n_lost):
    jump = 3200 + round(clean_s * SFREQ_HZ)
    sent = swaying(12_000, until=3200, sway_s=0.0312)
    counter, chunks = run(without(sent, jump, jump + 7))
    assert [chunk.gap for chunk in chunks if chunk.gap] == [7] * (n_lost > 0)
    assert counts(counter)[2:] == (n_lost, 0, 0, 0)


@pytest.mark.parametrize("clean_s", [2.0, 12.0])
def test_how_far_stamps_swayed_is_forgotten_when_the_jitter_is_over(clean_s):
    # 0.3 s and a part of a sample: within 1.5 times the sway, so jitter while that is believed.
    sfreq_hz, n_missing = 128.0, 38
    jump = 3200 + round(clean_s * sfreq_hz)
    sent = swaying(6000, sfreq_hz, until=3200, sway_s=0.2413)
    sent.stamps[jump:] += 0.45 / sfreq_hz
    counter, _ = run(without(sent, jump, jump + n_missing), sfreq_hz=sfreq_hz)
    lost, *others = counts(counter)[2:]
    assert lost == (pytest.approx(n_missing, abs=1) if clean_s > 10 else 0)
    assert others == [0, 0, 0]


def test_jitter_that_comes_again_within_10_s_goes_on():
    sent = swaying(20_000, until=3200, sway_s=0.0312)
    again = 3200 + round(6 * SFREQ_HZ)
    sent.stamps[again : again + 32] += 0.0312
    jump = 3200 + round(11 * SFREQ_HZ)
    counter, _ = run(without(sent, jump, jump + 7))
    assert counts(counter)[2:] == (0, 0, 0, 0)
