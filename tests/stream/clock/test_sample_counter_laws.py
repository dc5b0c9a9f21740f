"""Random damage and random cuts; LEDGER_EXAMPLES sets how many, 2000 for a thorough run."""

import itertools
import os

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtbrain.buffer import Windows
from rtbrain.signal import Chain, CommonAverage, NotchComb
from rtbrain.stream.clock.sample_counter import SampleCounter
from rtbrain.types import Chunk
from tests.conftest import montage_of
from tests.stream.clock.oracle import account, counts, cut_at, damaged, fed, numbers_of, stamps_of

SFREQ_HZ = 512.0
N_SAMPLES = 10_000
WINDOW, HOP = 128, 64
# A notch of this quality forgets within 27 ms: a start from zero state is over, to 1e-4 uV.
QUALITY = 5.0
SETTLED = 300

many = settings(
    max_examples=int(os.environ.get("LEDGER_EXAMPLES", "60")),
    suppress_health_check=list(HealthCheck),
)


@many
@given(seed=st.integers(0, 2**32 - 1))
def test_the_account_of_random_damage_is_exact_and_no_window_crosses_a_gap(seed):
    whole, numbers, stamps = damaged(seed, N_SAMPLES, SFREQ_HZ)
    rng = np.random.default_rng(seed)
    arrived = whole[:, numbers]
    counter, chunks = fed(arrived, stamps, cut_at(rng, numbers.size), SFREQ_HZ)
    kept, lost, duplicated, reordered = account(numbers)
    np.testing.assert_array_equal(numbers_of(chunks), numbers[kept])
    np.testing.assert_array_equal(np.concatenate([c.data for c in chunks], 1), arrived[:, kept])
    assert counts(counter) == (numbers.size, kept.size, lost, duplicated, reordered, 0)
    windows = Windows(montage_of(4, SFREQ_HZ), length_samples=WINDOW, hop_samples=HOP)
    for chunk in chunks:
        for window in windows(chunk):
            if window.quality.valid:
                of_recording = whole[:, window.first_sample : window.first_sample + WINDOW]
                np.testing.assert_array_equal(window.data, of_recording)
            else:
                assert "filling" in window.quality.reason


@many
@given(seed=st.integers(0, 2**32 - 1))
def test_good_channels_come_out_as_without_faults_where_no_gap_reaches(seed):
    whole, numbers, stamps = damaged(seed, N_SAMPLES, SFREQ_HZ)
    rng = np.random.default_rng(seed)
    _, chunks = fed(whole[:, numbers], stamps, cut_at(rng, numbers.size), SFREQ_HZ)
    clean = chain()(Chunk(whole, 5000 + np.arange(N_SAMPLES) / SFREQ_HZ)).data
    front = chain()
    windows = Windows(montage_of(4, SFREQ_HZ), length_samples=WINDOW, hop_samples=HOP)
    since = n_compared = 0
    for chunk in chunks:
        if chunk.gap:
            # A filter that begins anew inside a NaN span begins where the span ends.
            after = np.isfinite(whole[:, chunk.first_sample :]).all(axis=0)
            since = chunk.first_sample + int(after.argmax())
        for window in windows(front(chunk)):
            first, good = window.first_sample, window.quality.good
            if first - since < SETTLED or not good.any():
                continue
            n_compared += int(good.sum())
            of_recording = clean[good, first : first + WINDOW]
            np.testing.assert_allclose(window.data[good], of_recording, rtol=0, atol=1e-3)
    assert n_compared


def chain():
    montage = montage_of(4, SFREQ_HZ)
    return Chain(montage, [NotchComb(montage, 60.0, q=QUALITY), CommonAverage(montage)])


@many
@example(seed=1531, edges=[1206], trouble="step")  # gives its stamps up in the middle of a call
@given(
    seed=st.integers(0, 2**32 - 1),
    edges=st.lists(st.integers(0, 4000), max_size=60),
    trouble=st.sampled_from(["none", "step", "jitter", "rate"]),
)
def test_counts_numbers_and_times_do_not_depend_on_the_cuts(seed, edges, trouble):
    whole, numbers, stamps = damaged(seed, 3000, SFREQ_HZ)
    data = whole[:, numbers]
    rng = np.random.default_rng(seed)
    if trouble == "step":
        stamps[int(rng.integers(0, numbers.size)) :] += rng.uniform(-20, 20)
    elif trouble == "jitter":
        stamps += np.repeat(rng.normal(0, 0.02, -(-stamps.size // 16)), 16)[: stamps.size]
    elif trouble == "rate":
        stamps = stamps[0] + (stamps - stamps[0]) * 1.003
    arrived = float(stamps.max()) + 1
    first, second = SampleCounter(SFREQ_HZ), SampleCounter(SFREQ_HZ)
    one, pieces = first.take(data, stamps, arrived), []
    bounds = sorted({min(edge, numbers.size) for edge in edges} | {0, numbers.size})
    for a, b in itertools.pairwise(bounds):
        pieces += second.take(data[:, a:b], stamps[a:b], arrived)
    assert counts(second) == counts(first)
    np.testing.assert_array_equal(numbers_of(pieces), numbers_of(one))
    assert second.clock.usable == first.clock.usable
    if first.clock.usable:  # otherwise they are dated by the arrival of their call
        np.testing.assert_allclose(stamps_of(pieces), stamps_of(one), rtol=0, atol=1e-6)
    assert [c.gap for c in pieces if c.gap] == [c.gap for c in one if c.gap]
    np.testing.assert_array_equal(
        np.concatenate([c.data for c in pieces], 1), np.concatenate([c.data for c in one], 1)
    )
