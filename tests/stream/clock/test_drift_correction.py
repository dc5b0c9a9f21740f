"""Streams whose true rate is off are brought to their nominal rate, and no others."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbrain.stream.clock.drift_correction import DriftCorrection
from rtbrain.types import Chunk, Floats
from tests.conftest import brain_like, montage_of

NOMINAL_HZ = 500.0
START_S = 100.0


def chunks(data: Floats, true_hz: float, sizes: list[int], jitter_s: float = 0.0) -> list[Chunk]:
    """Chunks of these sizes over and over, stamped at the true rate."""
    rng = np.random.default_rng(1)
    stamps = START_S + np.arange(data.shape[1]) / true_hz
    stamps += rng.uniform(-jitter_s, jitter_s, stamps.size)
    edges = [0]
    for size in itertools.cycle(sizes):
        edges.append(min(edges[-1] + size, data.shape[1]))
        if edges[-1] == data.shape[1]:
            break
    return [Chunk(data[:, a:b], stamps[a:b], a) for a, b in itertools.pairwise(edges)]


def corrected(stage: DriftCorrection, given: list[Chunk]) -> tuple[Floats, np.ndarray, list[Chunk]]:
    made = [stage(chunk) for chunk in given]
    data = np.concatenate([chunk.data for chunk in made], axis=1)
    return data, np.concatenate([chunk.timestamps for chunk in made]), made


def tone(true_hz: float, seconds: float, freq_hz: float = 40.0) -> Floats:
    t = np.arange(round(seconds * true_hz)) / true_hz
    return np.sin(2 * np.pi * freq_hz * t)[None].astype(np.float32)


@pytest.mark.parametrize("ppm", [0, 60, -200, 190])
def test_a_rate_of_the_usual_precision_leaves_every_chunk_as_it_is(ppm):
    stage = DriftCorrection(montage_of(2, NOMINAL_HZ))
    true_hz = NOMINAL_HZ * (1 + ppm * 1e-6)
    for chunk in chunks(brain_like(2, 10_000, NOMINAL_HZ), true_hz, [37]):
        got = stage(chunk)
        assert got.first_sample == chunk.first_sample
        np.testing.assert_array_equal(got.data, chunk.data)
        np.testing.assert_array_equal(got.timestamps, chunk.timestamps)


@pytest.mark.parametrize("share", [-0.004, -0.0008, 0.0008, 0.004])
def test_a_rate_that_is_off_becomes_the_nominal_rate(share):
    true_hz = NOMINAL_HZ * (1 + share)
    told = []
    stage = DriftCorrection(
        montage_of(1, NOMINAL_HZ), lambda event, **fields: told.append((event, fields))
    )
    data, stamps, _ = corrected(stage, chunks(tone(true_hz, 40), true_hz, [50]))
    ((event, fields),) = told
    assert event == "rate"
    assert fields["effective_rate_hz"] == pytest.approx(true_hz, abs=1e-3)
    late = stamps > START_S + 6
    # Each sample is that of its stamp, and the stamps are one period of the nominal rate apart.
    wanted = np.sin(2 * np.pi * 40 * (stamps[late] - START_S))
    np.testing.assert_allclose(data[0, late], wanted, rtol=0, atol=2e-4)
    np.testing.assert_allclose(np.diff(stamps[late]), 1 / NOMINAL_HZ, rtol=0, atol=1e-8)


@pytest.mark.parametrize("share", [-0.01, 0.0055])
def test_a_rate_beyond_the_tolerance_is_left_to_be_refused(share):
    true_hz = NOMINAL_HZ * (1 + share)
    stage = DriftCorrection(montage_of(1, NOMINAL_HZ))
    given_data = tone(true_hz, 20)
    data, _, _ = corrected(stage, chunks(given_data, true_hz, [50]))
    np.testing.assert_array_equal(data, given_data)


def test_jittery_stamps_of_a_true_rate_correct_nothing():
    stage = DriftCorrection(montage_of(1, NOMINAL_HZ))
    given_data = tone(NOMINAL_HZ, 60)
    data, _, _ = corrected(stage, chunks(given_data, NOMINAL_HZ, [50], jitter_s=0.02))
    np.testing.assert_array_equal(data, given_data)


@given(sizes=st.lists(st.integers(1, 900), min_size=1, max_size=6))
@settings(max_examples=20)
def test_however_a_drifting_stream_is_cut_the_samples_are_the_same(sizes):
    true_hz = NOMINAL_HZ * 0.997
    data = brain_like(2, 5000, NOMINAL_HZ)
    whole, whole_stamps, _ = corrected(
        DriftCorrection(montage_of(2, NOMINAL_HZ)), chunks(data, true_hz, [5000])
    )
    got, stamps, made = corrected(
        DriftCorrection(montage_of(2, NOMINAL_HZ)), chunks(data, true_hz, sizes)
    )
    np.testing.assert_array_equal(got, whole)
    np.testing.assert_allclose(stamps, whole_stamps, rtol=0, atol=1e-9)
    assert stamps.size > 4900
    numbers = [chunk.first_sample for chunk in made if chunk.n_samples]
    lengths = [chunk.n_samples for chunk in made if chunk.n_samples]
    assert numbers == [0, *np.cumsum(lengths)[:-1].tolist()]


def test_a_gap_is_as_long_at_the_nominal_rate_as_it_was():
    true_hz = NOMINAL_HZ * 0.996
    given = chunks(tone(true_hz, 30), true_hz, [100])
    lost = given[100:120]
    after = given[120]
    given[100:121] = [
        Chunk(after.data, after.timestamps, after.first_sample, sum(c.n_samples for c in lost))
    ]
    stage = DriftCorrection(montage_of(1, NOMINAL_HZ))
    data, stamps, made = corrected(stage, given)
    (gap,) = [chunk for chunk in made if chunk.gap]
    before = made[made.index(gap) - 1]
    passed_s = gap.timestamps[0] - before.timestamps[-1]
    assert gap.gap + 1 == pytest.approx(passed_s * NOMINAL_HZ, abs=1e-6)
    assert gap.timestamps[0] >= after.timestamps[0]
    late = stamps > gap.timestamps[0] + 16 / NOMINAL_HZ
    wanted = np.sin(2 * np.pi * 40 * (stamps[late] - START_S))
    np.testing.assert_allclose(data[0, late], wanted, rtol=0, atol=2e-4)


def test_the_numbers_go_on_without_a_hole_over_a_gap_and_its_outputs():
    true_hz = NOMINAL_HZ * 1.003
    given = chunks(tone(true_hz, 30), true_hz, [64])
    kept = [chunk for at, chunk in enumerate(given) if at % 40 or at < 40]
    at = 0
    stage, number = DriftCorrection(montage_of(1, NOMINAL_HZ)), 0
    for chunk in kept:
        got = stage(
            Chunk(chunk.data, chunk.timestamps, chunk.first_sample, chunk.first_sample - at)
        )
        at = chunk.first_sample + chunk.n_samples
        if got.n_samples:
            assert got.first_sample == number + got.gap
            number = got.first_sample + got.n_samples


def test_a_missing_value_stays_in_its_channel():
    true_hz = NOMINAL_HZ * 0.996
    data = brain_like(2, 8000, NOMINAL_HZ)
    clean, _, _ = corrected(DriftCorrection(montage_of(2, NOMINAL_HZ)), chunks(data, true_hz, [90]))
    data = data.copy()
    data[1, 6000] = np.nan
    got, _, _ = corrected(DriftCorrection(montage_of(2, NOMINAL_HZ)), chunks(data, true_hz, [90]))
    np.testing.assert_array_equal(got[0], clean[0])
    assert 31 <= np.isnan(got[1]).sum() <= 33


def test_reset_is_as_new_and_the_input_is_left_alone():
    true_hz = NOMINAL_HZ * 0.996
    given = chunks(brain_like(1, 6000, NOMINAL_HZ), true_hz, [123])
    copies = [chunk.data.copy() for chunk in given]
    stage = DriftCorrection(montage_of(1, NOMINAL_HZ))
    first, _, _ = corrected(stage, given)
    assert stage.pace != 1
    stage.reset()
    assert stage.pace == 1
    again, _, _ = corrected(stage, given)
    np.testing.assert_array_equal(first, again)
    for chunk, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(chunk.data, copy)


def test_the_future_changes_nothing_that_was_given():
    true_hz = NOMINAL_HZ * 0.996
    data = brain_like(1, 6000, NOMINAL_HZ)
    other = data.copy()
    other[:, 5000:] = 0
    first, stamps, _ = corrected(
        DriftCorrection(montage_of(1, NOMINAL_HZ)), chunks(data, true_hz, [50])[:100]
    )
    second, _, _ = corrected(
        DriftCorrection(montage_of(1, NOMINAL_HZ)), chunks(other, true_hz, [50])
    )
    np.testing.assert_array_equal(first, second[:, : stamps.size])


def test_an_empty_chunk_is_fine_before_and_after_the_correction_began():
    stage = DriftCorrection(montage_of(1, NOMINAL_HZ))
    empty = Chunk(np.empty((1, 0), np.float32), np.empty(0))
    assert stage(empty).n_samples == 0
    true_hz = NOMINAL_HZ * 0.996
    corrected(stage, chunks(tone(true_hz, 8), true_hz, [50]))
    assert stage.pace != 1
    assert stage(Chunk(empty.data, empty.timestamps, round(8 * true_hz))).n_samples == 0
