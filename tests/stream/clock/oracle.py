"""Damage done to a recording, and what an honest account of it says, one sample at a time."""

import itertools
from dataclasses import dataclass

import numpy as np

from rtbrain.stream.clock.sample_counter import SampleCounter
from tests.conftest import brain_like

SFREQ_HZ = 512.0
START_S = 5000.0


def damaged(seed, n_samples, sfreq_hz, *, n_gaps=30, n_channels=4, start_s=5000.0):
    """Brain-like samples as they arrive: gaps, repeats, swaps and NaN spans at random.

    Returns
    -------
    whole : ndarray, float32 [n_channels, n_samples]
        The recording with its NaN spans, nothing lost.
    numbers : ndarray, int64 [n_arrived]
        Which of its samples arrive, in order: ``whole[:, numbers]``.
    stamps : ndarray, float64 [n_arrived]
    """
    rng = np.random.default_rng(seed)
    data = brain_like(n_channels, n_samples, sfreq_hz, seed % 7)
    for _ in range(4):
        start = int(rng.integers(0, n_samples))
        data[rng.integers(0, n_channels), start : start + int(rng.integers(1, 200))] = np.nan
    keep = np.ones(n_samples, bool)
    for start in rng.integers(1, n_samples, n_gaps):
        keep[start : start + int(rng.integers(1, 40))] = False
    keep[0] = True
    order = np.flatnonzero(keep).tolist()
    for _ in range(8):
        # Not the very first sample alone: nothing tells that from a flat signal under one stamp.
        at, length = int(rng.integers(2, len(order) - 1)), int(rng.integers(1, 60))
        again = order[max(0, at - length) : at]
        order[at:at] = again
    for _ in range(4):
        at, length = int(rng.integers(1, len(order) - 60)), int(rng.integers(1, 25))
        first, second = order[at : at + length], order[at + length : at + 2 * length]
        order[at : at + 2 * length] = second + first
    numbers = np.array(order)
    return data, numbers, start_s + numbers / sfreq_hz


def account(numbers):
    """Which samples go on, how many numbers are lost, how many come twice and how many late."""
    kept, given = [], set()
    duplicated = reordered = 0
    for at, number in enumerate(numbers.tolist()):
        if not given or number > numbers[kept[-1]]:
            kept.append(at)
            given.add(number)
        elif number in given:
            duplicated += 1
        else:
            reordered += 1
    lost = int(numbers[kept[-1]]) + 1 - len(kept)
    return np.array(kept), lost - int(numbers[0]), duplicated, reordered


def cut_at(rng, n_samples):
    """Bounds of calls of random lengths, empty ones among them."""
    n_cuts = int(rng.integers(0, 60))
    return sorted([0, n_samples, *rng.integers(0, n_samples + 1, n_cuts).tolist()])


def fed(data, stamps, bounds, sfreq_hz):
    """Counter and chunks of calls between these bounds; each arrives 10 ms after its newest."""
    counter, chunks = SampleCounter(sfreq_hz), []
    arrived = float(stamps[0])
    for a, b in itertools.pairwise(bounds):
        arrived = max([arrived, *stamps[a:b].tolist()])
        chunks += counter.take(data[:, a:b], stamps[a:b], arrived + 0.01)
    return counter, chunks


def counts(counter):
    """Of received, given, lost, duplicated, reordered and clock steps; they must balance."""
    report = counter.report
    assert report.received == report.delivered + report.duplicated + report.reordered
    assert counter.next_sample == report.delivered + report.lost
    return (
        report.received,
        report.delivered,
        report.lost,
        report.duplicated,
        report.reordered,
        report.clock_steps,
    )


def numbers_of(chunks):
    """Numbers of all samples of the chunks."""
    return np.concatenate([c.first_sample + np.arange(c.n_samples) for c in chunks])


def stamps_of(chunks):
    """Time stamps of all samples of the chunks, s."""
    return np.concatenate([c.timestamps for c in chunks])


@dataclass
class Sent:
    """Samples as a sender sent them: numbers by its counter, its stamps, when each was here."""

    numbers: np.ndarray
    stamps: np.ndarray
    arrived: np.ndarray


def steady(n_samples, sfreq_hz=SFREQ_HZ, *, chunk=32, true_hz=None, delay_s=0.01):
    numbers = np.arange(n_samples)
    stamps = START_S + numbers / (true_hz or sfreq_hz)
    last = np.minimum((numbers // chunk + 1) * chunk, n_samples) - 1
    return Sent(numbers, stamps, stamps[last] + delay_s)


def run(sent, counter=None, sfreq_hz=SFREQ_HZ):
    """Feed what arrived together in one call; every sample holds its number."""
    counter = counter or SampleCounter(sfreq_hz)
    chunks = []
    edges = np.flatnonzero(np.diff(sent.arrived)) + 1
    for part in np.split(np.arange(sent.numbers.size), edges):
        data = np.stack([sent.numbers[part], -sent.numbers[part]]).astype(np.float32)
        for chunk in counter.take(data, sent.stamps[part], float(sent.arrived[part[0]])):
            assert np.all(chunk.timestamps <= sent.arrived[part[0]])
            chunks.append(chunk)
    counts(counter)
    return counter, chunks


def contents_of(chunks):
    return np.concatenate([c.data[0] for c in chunks]).astype(np.int64)


def without(sent, start, stop):
    keep = np.ones(sent.numbers.size, bool)
    keep[start:stop] = False
    return Sent(sent.numbers[keep], sent.stamps[keep], sent.arrived[keep])
