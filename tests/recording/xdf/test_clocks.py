"""Stamps that show no time, or another clock's, are put right and named, or the events left out."""

import numpy as np
import pytest

from rtbrain.recording.open import read_recording
from rtbrain.recording.replay import lost_before
from tests.conftest import brain_like
from tests.recording.xdf.file_by_hand import XdfStream, described, write_xdf

SFREQ_HZ = 500.0
N_SAMPLES = 5000
REGULAR = np.arange(N_SAMPLES) / SFREQ_HZ
VALUES = brain_like(2, N_SAMPLES, SFREQ_HZ).T


def read_with(folder, stamps, events=(), offsets=()):
    """A recording whose signal has these stamps, and its markers those."""
    desc = described(("A1", "A2"))
    signal = XdfStream("amp", stamps, VALUES, SFREQ_HZ, desc=desc, offsets=list(offsets))
    texts = [f"event {number}" for number in range(len(events))]
    marks = XdfStream("task", np.asarray(events, float), texts, 0.0, "string", "Markers")
    write_xdf(folder / "one.xdf", signal, *([marks] if texts else []))
    return read_recording(folder / "one.xdf")


def onsets_of(recording):
    return [event.onset_s for event in recording.events]


def is_regular(recording):
    np.testing.assert_allclose(recording.stamps, REGULAR, rtol=0, atol=2e-3)
    return not lost_before(recording.stamps, SFREQ_HZ).any()


@pytest.mark.parametrize(
    ("stamps", "words"),
    [
        (1.7e9 + REGULAR, "are Unix time"),
        (1.7e12 + 1e3 * REGULAR, "are Unix time in milliseconds"),
        (REGULAR, "count from 0"),
    ],
)
def test_events_of_another_clock_are_left_out_and_both_clocks_named(stamps, words, tmp_path):
    recording = read_with(tmp_path, stamps, [5000.0, 5001.0])
    assert not recording.events
    (note,) = (note for note in recording.notes if "left out" in note)
    assert f"the signal's stamps {words}, theirs are LSL's clock" in note
    assert is_regular(recording)


@pytest.mark.parametrize(("factor", "unit"), [(1e3, "milliseconds"), (1e6, "microseconds")])
def test_stamps_in_another_unit_than_seconds_are_put_right(factor, unit, tmp_path):
    recording = read_with(tmp_path, factor * (5000 + REGULAR), factor * np.array([5001.0, 5002.5]))
    assert is_regular(recording)
    np.testing.assert_allclose(onsets_of(recording), [1, 2.5], atol=1e-6)
    assert any(unit in note for note in recording.notes)


def test_the_first_stamps_that_count_from_0_are_placed_before_the_others(tmp_path):
    stamps = 5000 + REGULAR
    stamps[:59] = np.arange(1, 60) / SFREQ_HZ
    recording = read_with(tmp_path, stamps, [5001.0])
    assert is_regular(recording)
    assert onsets_of(recording) == pytest.approx([1.0])
    assert any("the first 59 samples count from 0" in note for note in recording.notes)


def test_an_hour_without_samples_is_a_gap_and_no_other_clock(tmp_path):
    stamps = REGULAR.copy()
    stamps[1000:] += 3600
    recording = read_with(tmp_path, stamps)
    assert lost_before(recording.stamps, SFREQ_HZ)[1000] == 3600 * SFREQ_HZ
    assert not recording.notes


def test_one_stamp_for_all_samples_of_half_a_second_is_spread(tmp_path):
    last = np.arange(N_SAMPLES) // 250 * 250 + 249
    recording = read_with(tmp_path, 5000 + last / SFREQ_HZ, [5001.0])
    assert is_regular(recording)
    assert onsets_of(recording) == pytest.approx([1.0])
    assert any("were stamped together in 20 pieces" in note for note in recording.notes)


def test_a_clock_that_is_set_back_costs_no_sample(tmp_path):
    stamps = 5000 + REGULAR
    stamps[2000:] -= 100
    recording = read_with(tmp_path, stamps, [5001.0, 4908.0])
    assert is_regular(recording)
    assert any("set back 1 times, by 100 s" in note for note in recording.notes)


@pytest.mark.parametrize("kind", ["constant", "random"])
def test_stamps_that_show_no_time_are_replaced(kind, tmp_path):
    rng = np.random.default_rng(0)
    stamps = np.full(N_SAMPLES, 5000.0) if kind == "constant" else rng.uniform(0, 1e4, N_SAMPLES)
    recording = read_with(tmp_path, stamps)
    assert is_regular(recording)
    assert any("they show no time" in note for note in recording.notes)


def test_a_header_of_half_the_rate_loses_nothing(tmp_path):
    recording = read_with(tmp_path, 5000 + 2 * REGULAR, [5004.0])
    assert is_regular(recording)
    assert onsets_of(recording) == pytest.approx([2.0])  # at its sample
    assert any("stamped at about 250 Hz" in note for note in recording.notes)


def test_lost_packets_are_no_other_rate(tmp_path):
    stamps = 5000 + np.arange(int(N_SAMPLES / 0.9 + 20)) / SFREQ_HZ
    stamps = stamps[np.arange(stamps.size) // 10 % 10 != 3][:N_SAMPLES]
    recording = read_with(tmp_path, stamps)
    assert not recording.notes
    assert lost_before(recording.stamps, SFREQ_HZ).sum() == pytest.approx(N_SAMPLES / 9, abs=20)


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1e300])
def test_clock_offsets_that_are_no_numbers_are_left_out_and_counted(odd, tmp_path):
    offsets = [(5000.0, 7.0), (5005.0, odd), (5010.0, 7.0)]
    recording = read_with(tmp_path, 5000 + REGULAR, [5008.0], offsets)
    assert is_regular(recording)
    assert onsets_of(recording) == pytest.approx([1.0])
    assert "1 clock offsets of stream 'amp' are no numbers" in recording.notes[0]


@pytest.mark.parametrize(
    ("name", "n_channels", "n_codes", "is_read"),
    [
        ("mouse", 2, 500, False),
        ("mouse", 1, 500, False),
        ("button", 1, 5, True),
        ("trigger", 2, 500, True),
    ],
)
def test_whole_numbers_at_irregular_times_are_markers_by_name_or_where_they_are_few(
    name, n_channels, n_codes, is_read, tmp_path
):
    rng = np.random.default_rng(0)
    values = rng.integers(1, n_codes + 1, (1000, n_channels)).astype(float)
    times = 5000 + np.sort(rng.uniform(0, 9, 1000))
    desc = described(("A1", "A2"))
    signal = XdfStream("amp", 5000 + REGULAR, VALUES, SFREQ_HZ, desc=desc)
    other = XdfStream(name, times, values, 0.0, "int32", "Position")
    write_xdf(tmp_path / "one.xdf", signal, other)
    recording = read_recording(tmp_path / "one.xdf")
    assert len(recording.events) == (1000 if is_read else 0)
    assert any(f"{name!r}" in note for note in recording.notes) == (n_channels > 1 or not is_read)
